"""Known vulnerabilities of everything that is locked: `python -m scripts.advisories`.

OSV (osv.dev, where the advisories of PyPI and GitHub meet) is asked about the packages of Python and those that the
browser files come from. Without a network, --pypi and --npm take OSV's own dumps (all.zip of each), matched here.

Ends with 0 when none is known, 1 when one is, and 2 when that could not be found out: silence is no answer.
"""

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import httpx
from packaging.version import InvalidVersion, Version

from scripts.sbom import ROOT, Part, locked, vendored

SERVICE = "https://api.osv.dev"
BATCH = 500  # OSV takes 1,000 at most
LONGEST = 160  # characters: some advisories tell everything in one line
# Whoever knows nothing of these knows nothing of ours either.
CONTROLS = {"PyPI": Part("PyPI", "jinja2", "2.4.1"), "npm": Part("npm", "lodash", "4.17.15")}

Advisory = dict[str, Any]
Found = dict[str, list[Advisory]]
"""Advisories by the purl that they are about."""


class UnansweredError(Exception):
    """Nothing can be said; the text tells why."""


def everything(root: Path) -> list[Part]:
    return locked(root / "requirements-dev.txt") + vendored(root)


def asked(parts: list[Part], service: str) -> Found:
    """What OSV answers about these, over the network."""
    try:
        with httpx.Client(base_url=service, timeout=30) as client:
            named = _named(client, parts)
            every = sorted({each for names in named.values() for each in names})
            told = {each: client.get(f"/v1/vulns/{each}").raise_for_status().json() for each in every}
    except httpx.HTTPError as error:
        raise UnansweredError(f"cannot reach {service}: {error}") from error
    except (ValueError, KeyError) as error:
        raise UnansweredError(f"{service} does not answer as OSV does: {error!r}") from error
    return {purl: [told[each] for each in names] for purl, names in named.items()}


def _named(client: httpx.Client, parts: list[Part]) -> dict[str, list[str]]:
    """The ids of advisories by purl. A long answer comes in pages."""
    found: dict[str, list[str]] = {}
    waiting = [{"package": {"purl": part.purl}} for part in parts]
    while waiting:
        queries, waiting = waiting[:BATCH], waiting[BATCH:]
        answer = client.post("/v1/querybatch", json={"queries": queries}).raise_for_status().json()
        for query, result in zip(queries, answer["results"], strict=True):
            found.setdefault(query["package"]["purl"], []).extend(each["id"] for each in result.get("vulns", []))
            if token := result.get("next_page_token"):
                waiting.append(query | {"page_token": token})
    return found


def matched(parts: list[Part], ecosystem: str, dump: Path) -> Found:
    """What a dump of OSV says about those of one ecosystem."""
    ours = [part for part in parts if part.ecosystem == ecosystem]
    found: Found = {}
    for advisory in _advisories(dump, {_plain(f'"{part.name}"'.encode()) for part in ours}):
        for affected in advisory.get("affected", []):
            for part in ours:
                if _is_about(affected, part) and affects(affected, part.version):
                    found.setdefault(part.purl, []).append(advisory)
    return found


def _is_about(affected: Advisory, part: Part) -> bool:
    package = affected.get("package", {})
    name = str(package.get("name"))
    plain = re.sub(r"[-_.]+", "-", name).lower() if part.ecosystem == "PyPI" else name
    return package.get("ecosystem") == part.ecosystem and plain == part.name


def _advisories(dump: Path, names: set[bytes]) -> Iterator[Advisory]:
    """Those that name one of these, of some hundred thousand."""
    try:
        with zipfile.ZipFile(dump) as archive:
            for member in archive.namelist():
                text = archive.read(member)
                plain = _plain(text)
                advisory = json.loads(text) if any(name in plain for name in names) else {}
                if advisory and "withdrawn" not in advisory:
                    yield advisory
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UnansweredError(f"cannot read {dump} as a dump of OSV: {error}") from error


def _plain(text: bytes) -> bytes:
    """However somebody spells a name: the comparison itself comes later."""
    return text.lower().replace(b"_", b"-").replace(b".", b"-")


def affects(affected: Advisory, version: str) -> bool:
    """By OSV's rules: named among the versions, or between an event that begins and one that ends it."""
    spans = (span["events"] for span in affected.get("ranges", []) if span["type"] in ("ECOSYSTEM", "SEMVER"))
    return version in affected.get("versions", []) or any(_within(events, _order(version)) for events in spans)


def _within(events: list[dict[str, str]], version: Version) -> bool:
    inside = False
    for kind, value in sorted((next(iter(event.items())) for event in events), key=lambda event: _order(event[1])):
        if kind == "introduced" and version >= _order(value):
            inside = True
        elif (kind == "fixed" and version >= _order(value)) or (kind == "last_affected" and version > _order(value)):
            inside = False
    return inside


def _order(version: str) -> Version:
    """A version of npm that Python cannot read counts as the release that it leads to."""
    try:
        return Version(version)
    except InvalidVersion:
        release = re.match(r"\d+(\.\d+)*", version)
        return Version(release[0] if release else "0")


def lines(parts: list[Part], found: Found, needed: set[str]) -> Iterator[str]:
    """One for each vulnerability, however many databases have a number for it."""
    for part in parts:
        known: set[str] = set()
        for advisory in sorted(found.get(part.purl, []), key=lambda each: str(each["id"])):
            names = {advisory["id"], *advisory.get("aliases", [])}
            if not known & names:
                aside = "" if part.purl in needed else " (development alone)"
                yield f"{part.name} {part.version}{aside}: {_sentence(advisory, part)}"
            known |= names


def _sentence(advisory: Advisory, part: Part) -> str:
    numbers = [name for name in advisory.get("aliases", []) if name.startswith("CVE-")]
    fixes = _fixes(advisory, part)
    end = f"mended in {', '.join(fixes)}" if fixes else "no fix yet"
    about = shorten(advisory.get("summary") or str(advisory.get("details", "")).partition("\n")[0], LONGEST)
    return f"{', '.join([advisory['id'], *numbers])} {about} [{end}]"


def _fixes(advisory: Advisory, part: Part) -> list[str]:
    """Versions later than ours that mend it."""
    ours = [affected for affected in advisory.get("affected", []) if _is_about(affected, part)]
    spans = [span for affected in ours for span in affected.get("ranges", []) if span["type"] != "GIT"]
    fixed = {event["fixed"] for span in spans for event in span["events"] if "fixed" in event}
    return sorted((each for each in fixed if _order(each) > _order(part.version)), key=_order)


def look_up(parts: list[Part], dumps: dict[str, Path], service: str) -> Found:
    """What is known of the parts, from the dumps if there are any. Refuses to say "nothing" on behalf of the deaf."""
    wanted = [*parts, *CONTROLS.values()]
    if missing := sorted(set(CONTROLS) - set(dumps)) if dumps else []:
        raise UnansweredError(f"no dump of {', '.join(missing)} was given: half an answer is none")
    found: Found = {} if dumps else asked(wanted, service)
    for ecosystem, dump in dumps.items():
        found |= matched(wanted, ecosystem, dump)
    for control in CONTROLS.values():
        if not found.get(control.purl):
            raise UnansweredError(f"{control.name} {control.version} is known to be vulnerable, but not here")
    return found


def report(parts: list[Part], found: Found, ignored: Iterable[str]) -> list[str]:
    """The lines about what is not ignored."""
    run = {part.purl for part in locked(ROOT / "requirements.txt")}
    needed = run | {part.purl for part in parts if any(path.startswith("static/") for path, _ in part.files)}
    wanted = {
        purl: [each for each in advisories if not {each["id"], *each.get("aliases", [])} & set(ignored)]
        for purl, advisories in found.items()
    }
    return list(lines(parts, wanted, needed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pypi", type=Path, help="OSV's dump of PyPI")
    parser.add_argument("--npm", type=Path, help="OSV's dump of npm")
    parser.add_argument("--service", default=SERVICE, help="another OSV than %(default)s")
    parser.add_argument("--ignore", action="append", default=[], metavar="ID", help="one that was looked at")
    options = parser.parse_args()
    parts = everything(ROOT)
    dumps = {kind: path for kind, path in (("PyPI", options.pypi), ("npm", options.npm)) if path}
    try:
        found = look_up(parts, dumps, options.service)
    except UnansweredError as error:
        print(f"advisories: {error}. Nothing was checked.", file=sys.stderr)
        sys.exit(2)
    told = report(parts, found, options.ignore)
    print("\n".join(told) or f"advisories: none is known of {len(parts)} locked packages")
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
