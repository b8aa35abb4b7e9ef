"""Starts the servers that are measured, as they run in a school, and looks at their memory."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.core.config import ROOT
from backend.sandbox.testing import free_port
from benchmarks.client import UnexpectedError, Wire, request
from benchmarks.storage import FOLDER

APP, HANDMADE = "main:app", "benchmarks.handmade:app"
SECRET = secrets.token_urlsafe(48)
PATIENCE = 180  # seconds


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    seconds: float  # from the start to the first answer

    def workers(self) -> list[int]:
        """The processes that answer: the children that are not multiprocessing's own helper."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        found = [pid for pid in map(int, children.split()) if b"resource_tracker" not in _command(pid)]
        return found or [self.process.pid]

    def cpu_ms(self) -> float:
        """What all threads of the workers have computed so far."""
        total = 0
        for pid in self.workers():
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e6

    def megabytes(self) -> list[float]:
        """What each worker keeps in memory; pages of a mapped database file are the system's.

        What processes share, as the program's libraries, is divided among them (PSS).
        """
        return [_kilobytes(pid, "Pss:") / 1024 for pid in self.workers()]

    def whole_megabytes(self) -> float:
        """Of all processes together, with the one that starts the workers."""
        return sum(_kilobytes(pid, "Pss:") for pid in {self.process.pid, *self.workers()}) / 1024

    def resident_megabytes(self) -> list[float]:
        """The same with everything that is shared counted in full, as `ps` shows it."""
        return [_kilobytes(pid, "Rss:") / 1024 for pid in self.workers()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _kilobytes(pid: int, of: str) -> int:
    """Of all mappings but databases."""
    total, counted = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if line[0] in "0123456789abcdef" and "-" in line.split(" ", 1)[0]:
            counted = not line.endswith((".db", ".db-shm", ".db-wal"))
        elif counted and line.startswith(of):
            total += int(line.split()[1])
    return total


def environment(url: str, port: int, more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET,
        "API_PORT": str(port),
        "API_RATE_LIMIT": "0",  # one client asks as a thousand would
        "DATA_DIR": str(FOLDER / "run" / "data"),
        "RUN_JOBS": "0",
        "BOT_MODE": "off",
        **more,
    }


def _starting(target: str, port: int) -> list[str]:
    if target == APP:
        return ["backend.cli", "serve", "--no-demo"]
    quiet = ["--no-access-log", "--log-level", "warning"]
    # A busy machine is no reason to shoot a worker.
    return ["uvicorn", target, "--host", "127.0.0.1", "--port", str(port), *quiet, "--timeout-worker-healthcheck", "60"]


@contextmanager
def serving(
    target: str, url: str, *, workers: int = 2, port: int = 0, more: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The school as an operator starts it, in a folder without a .env; other programs under uvicorn."""
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [sys.executable, "-m", *_starting(target, port), "--workers", str(workers)]
    log = (folder / f"{target.partition(':')[0]}.log").open("wb")
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment(url, port, more or {}), stdout=log, stderr=log)
    try:
        _wait(process, port, Path(log.name))
        yield Server(port, process, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.perf_counter() + PATIENCE
    sent = request("/health", {})
    while time.perf_counter() < until:
        if process.poll() is not None:
            break
        try:
            wire = Wire(port)
            wire.ask(sent)
            wire.close()
        except (OSError, UnexpectedError):
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"The server did not start:\n{log.read_text()[-3000:]}")
