"""What the program is made of, as one CycloneDX document: `python scripts/sbom.py [FILE]`, or on stdout.

Packages of Python come from requirements.txt with what asks for them, third-party browser files from vendor.lock.json.
The same locks give the same bytes. The standard library is enough: the image writes its own.
"""

import argparse
import base64
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"([\w.-]+)(?:\[[^]]+\])?==(\S+)(?: ; (.+?))? \\")
SHA256 = re.compile(r"--hash=sha256:([0-9a-f]{64})")
ASKED = re.compile(r"    #(?: via|  ) (-r \S+|[\w.-]+)")
DIRECT = "-r requirements.in"
SHORT = 60  # some packages give the whole text of a licence for its name

Node = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One locked release. `hashes` are (algorithm, hex) of its archives, `files` (path, SHA-256) what we keep of it,
    `asked_by` the packages that need it, `marker` where it is needed at all."""

    ecosystem: str
    name: str
    version: str
    hashes: list[tuple[str, str]] = field(default_factory=list)
    licences: list[Node] = field(default_factory=list)
    marker: str = ""
    files: list[tuple[str, str]] = field(default_factory=list)
    asked_by: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        kind = {"PyPI": "pypi", "npm": "npm"}[self.ecosystem]
        return f"pkg:{kind}/{quote(self.name)}@{quote(self.version)}"


def locked(requirements: Path) -> list[Part]:
    """The packages of a compiled requirements file."""
    parts: list[Part] = []
    for line in requirements.read_text("utf-8").splitlines():
        if found := PINNED.fullmatch(line):
            name, version, marker = found.groups()
            parts.append(Part("PyPI", name, version, marker=marker or "", licences=_licences(name)))
        elif found := SHA256.search(line):
            parts[-1].hashes.append(("SHA-256", found[1]))
        elif found := ASKED.match(line):
            parts[-1].asked_by.append(found[1])
    return parts


def _licences(name: str) -> list[Node]:
    """As the installed package tells them: none when it is not installed here, or tells none."""
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return []
    if "License-Expression" in told:
        return [{"expression": told["License-Expression"]}]
    named = told["License"].strip() if "License" in told else ""
    classified = [each.rpartition(" :: ")[2] for each in told.get_all("Classifier", []) if "License ::" in each]
    names = [named] if named and len(named) <= SHORT and "\n" not in named else classified
    return [{"license": {"name": each}} for each in names]


def vendored(root: Path) -> list[Part]:
    """The packages that the browser files were taken from, those of the tests too."""
    lock = json.loads((root / "vendor.lock.json").read_text("utf-8"))
    return [
        Part(
            "npm",
            name,
            entry["version"],
            hashes=[("SHA-512", base64.b64decode(entry["integrity"].removeprefix("sha512-")).hex())],
            licences=[{"expression": entry["license"]}],
            files=sorted(entry["files"].items()),
        )
        for name, entry in sorted(lock.items())
    ]


def shipped(root: Path) -> list[Part]:
    """What a running school consists of: nothing that only development or the tests need."""
    served = [part for part in vendored(root) if not all(path.startswith("tests/") for path, _ in part.files)]
    return locked(root / "requirements.txt") + served


def document(root: Path) -> Node:
    """A CycloneDX 1.6 document of what is shipped."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    us = f"pkg:generic/{project['name']}@{project['version']}"
    parts = shipped(root)
    made: Node = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _about(project, us)},
        "components": [_component(part) for part in parts],
        "dependencies": list(_dependencies(us, parts)),
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "serialNumber": f"urn:uuid:{serial}"} | made


def _about(project: Node, reference: str) -> Node:
    return {
        "type": "application",
        "bom-ref": reference,
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"expression": project["license"]}],
        "purl": reference,
    }


def _component(part: Part) -> Node:
    node: Node = {"type": "library", "bom-ref": part.purl, "name": part.name, "version": part.version}
    node["purl"] = part.purl
    node["hashes"] = [{"alg": algorithm, "content": content} for algorithm, content in part.hashes]
    if part.licences:
        node["licenses"] = part.licences
    if part.marker:
        node["scope"] = "optional"
        node["properties"] = [{"name": "lyceum:marker", "value": part.marker}]
    if part.files:
        node["components"] = [
            {"type": "file", "name": path, "hashes": [{"alg": "SHA-256", "content": content}]}
            for path, content in part.files
        ]
    return node


def _dependencies(us: str, parts: list[Part]) -> Iterator[Node]:
    """Who needs whom. What requirements.in names, and every browser file, is needed by the program itself."""
    yield {"ref": us, "dependsOn": [part.purl for part in parts if part.ecosystem == "npm" or DIRECT in part.asked_by]}
    for part in parts:
        yield {"ref": part.purl, "dependsOn": [other.purl for other in parts if part.name in other.asked_by]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    file: Path | None = parser.parse_args().file
    text = json.dumps(document(ROOT), indent=2, ensure_ascii=False) + "\n"
    if file:
        file.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
