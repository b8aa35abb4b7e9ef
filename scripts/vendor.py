"""Third-party browser files: `fetch` builds them from vendor.toml, `check` compares with the lock.

`check` needs the standard library alone and runs in CI; `fetch` needs npm, and uv for the fonts.
"""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDERS = ("static/vendor", "tests/vendor")
FONTTOOLS = "fonttools[woff]==4.68.0"


@dataclass(frozen=True)
class Package:
    """One entry of vendor.toml; `files` maps paths in the npm archive to paths in the project."""

    name: str
    version: str
    license: str
    files: dict[str, str] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    sprite: dict[str, Any] = field(default_factory=dict)
    font: list[dict[str, str]] = field(default_factory=list)


def packages(root: Path) -> list[Package]:
    listed = tomllib.loads((root / "vendor.toml").read_text("utf-8"))["package"]
    return [Package(**entry) for entry in listed]


def fetch(root: Path) -> None:
    lock = {}
    for package in packages(root):
        with tempfile.TemporaryDirectory() as folder:
            archive = _npm_pack(package, Path(folder))
            built = _build(package, archive, Path(folder))
            built |= {path: (root / path).read_bytes() for path in package.written}
            integrity = _integrity(archive.read_bytes())
        for path, content in built.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        lock[package.name] = {
            "version": package.version,
            "license": package.license,
            "integrity": integrity,
            "files": {path: _sha256(content) for path, content in built.items()},
        }
        print(f"{package.name} {package.version}: {len(built)} files")
    (root / "vendor.lock.json").write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")


def check(root: Path) -> list[str]:
    """What differs from vendor.lock.json: changed, missing, unlisted files, other versions."""
    lock = json.loads((root / "vendor.lock.json").read_text("utf-8"))
    wanted = {package.name: package.version for package in packages(root)}
    locked = {name: entry["version"] for name, entry in lock.items()}
    problems = [
        f"{name}: vendor.toml says {wanted.get(name)}, vendor.lock.json says {locked.get(name)}"
        for name in sorted(wanted.keys() | locked.keys())
        if wanted.get(name) != locked.get(name)
    ]
    files: dict[str, str] = {}
    for entry in lock.values():
        files |= entry["files"]
    return problems + _changed(root, files) + _unlisted(root, files)


def _changed(root: Path, files: Mapping[str, str]) -> list[str]:
    problems = []
    for path, expected in sorted(files.items()):
        target = root / path
        if not target.is_file():
            problems.append(f"{path}: missing")
        elif _sha256(target.read_bytes()) != expected:
            problems.append(f"{path}: changed")
    return problems


def _unlisted(root: Path, files: Mapping[str, str]) -> list[str]:
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())
    names = sorted(path.relative_to(root).as_posix() for path in found)
    return [f"{name}: not in vendor.lock.json" for name in names if name not in files]


def _npm_pack(package: Package, folder: Path) -> Path:
    """Downloads the archive; npm's own answer is checked against the bytes that arrived."""
    command = ["npm", "pack", "--json", f"{package.name}@{package.version}"]
    answer = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    described = json.loads(answer.stdout)[0]
    archive = folder / str(described["filename"])
    if _integrity(archive.read_bytes()) != described["integrity"]:
        raise SystemExit(f"{package.name}: the archive differs from its integrity value")
    return archive


def _build(package: Package, archive: Path, folder: Path) -> dict[str, bytes]:
    """The package's files by their path in the project."""
    with tarfile.open(archive) as tar:

        def read(member: str) -> bytes:
            source = tar.extractfile(f"package/{member}")
            if source is None:
                raise SystemExit(f"{package.name}: {member} is no file")
            return source.read()

        built = {target: read(source) for source, target in package.files.items()}
        if package.sprite:
            svgs = {name: read(_icon_path(name)).decode() for name in package.sprite["icons"]}
            built[package.sprite["file"]] = sprite(svgs)
        for font in package.font:
            built[font["file"]] = _subset(read(font["source"]), font["unicodes"], folder)
    return built


def _icon_path(name: str) -> str:
    base = name.removesuffix("-filled")
    return f"icons/filled/{base}.svg" if base != name else f"icons/outline/{name}.svg"


def sprite(svgs: Mapping[str, str]) -> bytes:
    """One <symbol id="icon-NAME"> each. Stroke and fill are left to CSS, except in filled icons."""
    symbols = []
    for name, svg in sorted(svgs.items()):
        opening, _, rest = svg.partition(">")
        body = re.sub(r'<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>', "", rest)
        body = re.sub(r"\s*(/?>)\s*", r"\1", body.partition("</svg>")[0].strip())
        if 'fill="currentColor"' in opening:
            body = f'<g fill="currentColor" stroke="none">{body}</g>'
        symbols.append(f'<symbol id="icon-{name}" viewBox="0 0 24 24">{body}</symbol>\n')
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{"".join(symbols)}</svg>\n'.encode()


def _subset(source: bytes, unicodes: str, folder: Path) -> bytes:
    """The font with weights 400-600, the given characters, kerning and tabular figures."""
    whole, narrowed, small = (folder / name for name in ("whole.woff2", "narrowed.ttf", "small.woff2"))
    whole.write_bytes(source)
    run = ["uv", "tool", "run", "--quiet", "--from", FONTTOOLS, "fonttools"]
    narrow = ["varLib.instancer", "--quiet", "--no-recalc-timestamp", f"--output={narrowed}"]
    subprocess.run([*run, *narrow, str(whole), "wght=400:600"], check=True)
    subset = ["subset", "--layout-features=kern,tnum", "--no-hinting", "--flavor=woff2"]
    characters = [f"--unicodes={unicodes}", f"--output-file={small}", str(narrowed)]
    subprocess.run([*run, *subset, *characters], check=True)
    return small.read_bytes()


def _integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["fetch", "check"])
    if parser.parse_args().action == "fetch":
        fetch(ROOT)
    problems = check(ROOT)
    print("\n".join(problems) or "vendor: every file is as locked")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
