"""Builds the image and tries what it promises: `python -m scripts.image`, with docker or podman.

No secret in any layer, an unprivileged user without capabilities, a root file system that nothing is written to,
an answer to the health check, a list of what is inside, and a school that opens.
"""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import httpx

from backend.sandbox.testing import free_port
from scripts.leaks import ROOT, SAMPLES, leaks_of_files, samples

IMAGE = NAME = "lyceum-tried"
USER = "10001"
LOCKED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
# What Debian and PyPI publish holds samples of keys, and is no secret of ours.
PUBLISHED = re.compile(r"(^|/)(usr|site-packages)/")
PATIENCE = 120  # seconds until the school is open


class Engine:
    """docker or podman. `options` go before every command, `extra` after `run`."""

    def __init__(self, command: str, extra: str) -> None:
        self.command = shlex.split(command) or [_installed()]
        self.extra = shlex.split(extra)
        self.is_podman = Path(self.command[0]).name == "podman"

    def __call__(self, *arguments: str) -> str:
        ran = subprocess.run([*self.command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return ran.stdout.strip()

    def says(self, *arguments: str) -> str:
        """Whatever is printed inside the running school, also by a command that fails."""
        ran = subprocess.run([*self.command, "exec", NAME, *arguments], capture_output=True, text=True, check=False)
        return (ran.stdout + ran.stderr).strip()

    def last_words(self) -> str:
        """The end of its log; the engines write it to different streams."""
        ran = subprocess.run([*self.command, "logs", "--tail", "20", NAME], capture_output=True, text=True, check=False)
        return (ran.stdout + ran.stderr).strip()

    def runs(self) -> bool:
        return self("inspect", "--format", "{{.State.Running}}", NAME) == "true"

    def is_healthy(self) -> bool:
        if self.is_podman:  # which looks by itself only where systemd reminds it
            asked = subprocess.run([*self.command, "healthcheck", "run", NAME], capture_output=True, check=False)
            return asked.returncode == 0
        return self("inspect", "--format", "{{.State.Health.Status}}", NAME) == "healthy"


def _installed() -> str:
    for name in ("docker", "podman"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return name
    raise SystemExit("image: neither docker nor podman answers here")


def secrets_within(archive: Path) -> list[str]:
    """Where secrets stand in an image as `save` writes it: a line each, also for what a later layer deletes."""
    allowed = samples(SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        _unpack(archive, Path(folder))
        found = leaks_of_files(Path(folder))
    return [f"{leak.place}: {leak.rule}" for leak in found if leak.digest not in allowed]


def _unpack(archive: Path, folder: Path) -> None:
    """The files of each layer under its number, and the settings that the image holds."""
    with tarfile.open(archive) as image:
        (about,) = json.loads(_read(image, "manifest.json"))
        (folder / "settings.json").write_bytes(_read(image, about["Config"]))
        for number, name in enumerate(about["Layers"]):
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                for member in filter(_is_ours, layer):
                    target = folder / f"layer-{number}" / member.name.lstrip("/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(_read(layer, member.name))


def _is_ours(member: tarfile.TarInfo) -> bool:
    return member.isfile() and not PUBLISHED.search(member.name) and ".." not in PurePosixPath(member.name).parts


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    return file.read() if file else b""


def broken_promises(engine: Engine) -> Iterator[str]:
    """Of a school that runs in it, one line each."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"SECRET_KEY": "tried-once-0123456789-abcdefghijk", "BASE_URL": address, "API_PORT": str(port)}
    named = [part for key, value in settings.items() for part in ("--env", f"{key}={value}")]
    where = ("--network", "host", "--env", "API_HOST=127.0.0.1", "--volume", f"{NAME}:/app/data")
    engine("run", "--detach", "--name", NAME, *LOCKED, *where, *named, *engine.extra, IMAGE)
    until = time.monotonic() + PATIENCE
    while not engine.is_healthy():
        if time.monotonic() > until or not engine.runs():
            yield f"the health check does not answer: {engine.last_words()}"
            return
        time.sleep(1)
    yield from _of_the_process(engine)
    shown = httpx.get(f"{address}/login", timeout=30)
    if shown.status_code != httpx.codes.OK:
        yield f"/login answers {shown.status_code}"


def _of_the_process(engine: Engine) -> Iterator[str]:
    if (user := engine.says("id", "-u")) != USER:
        yield f"it runs as {user}"
    if not re.search(r"CapBnd:\s+0{16}\n(.*\n)*NoNewPrivs:\s+1", engine.says("cat", "/proc/1/status")):
        yield "it has capabilities, or may get some"
    for folder in ("/", "/etc", "/app", "/venv"):
        if "Read-only file system" not in engine.says("touch", f"{folder}/written"):
            yield f"{folder} is on no read-only file system"
    if told := engine.says("sh", "-c", "touch /app/data/written /tmp/written"):
        yield f"data cannot be written: {told}"
    if hidden := engine.says("sh", "-c", "find /app /venv ! -type l ! -readable | head -3"):
        yield f"it may not read its own files: {hidden}"
    if '"bomFormat": "CycloneDX"' not in engine.says("head", "-5", "/app/sbom.cdx.json"):
        yield "it does not hold the list of what is inside"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="", help="docker or podman, with options of its own")
    parser.add_argument("--build", default="", help="more options of build, as --build=--network=host")
    parser.add_argument("--run", default="", help="more options of run, likewise")
    options = parser.parse_args()
    engine = Engine(options.engine, options.run)
    form = ["--format", "docker"] if engine.is_podman else []  # the other one knows no health check
    engine("build", *form, "--tag", IMAGE, *shlex.split(options.build), ".")
    with tempfile.TemporaryDirectory() as folder:
        engine("save", "--output", f"{folder}/image.tar", IMAGE)
        broken = secrets_within(Path(folder) / "image.tar")
    try:
        broken += broken_promises(engine)
    finally:
        subprocess.run([*engine.command, "rm", "--force", "--volumes", NAME], capture_output=True, check=False)
        subprocess.run([*engine.command, "volume", "rm", "--force", NAME], capture_output=True, check=False)
        subprocess.run([*engine.command, "rmi", "--force", IMAGE], capture_output=True, check=False)
    print("\n".join(broken) or "image: it keeps what it promises")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
