"""Secrets in the files, in every commit and in its message: `python scripts/leaks.py`.

Kingfisher looks for them, by its own rules and those of leaks.yml, and asks nobody whether they still work: no network.
leaks.toml lists by SHA-256 what it may find, and why.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RULES, SAMPLES = ROOT / "scripts/leaks.yml", ROOT / "scripts/leaks.toml"
SCANNER = Path(sys.executable).with_name("kingfisher")
CACHE = Path(sys.prefix) / "kingfisher"  # its compiled rules, which take seconds to make
MESSAGES = "messages-of-commits"
FOUND, CLEAN = 200, 0


@dataclass(frozen=True)
class Leak:
    """Where a secret stands. The secret itself is for nobody's log: `digest` is its SHA-256."""

    rule: str
    place: str
    digest: str


def leaks(root: Path) -> list[Leak]:
    """Of the files that git keeps or would keep, and of everything that led to HEAD, as far as the clone goes back."""
    with tempfile.TemporaryDirectory() as folder:
        gathered = Path(folder)
        commits = _gather(root, gathered)
        return [_leak(each) for each in _scan(gathered, commits)]


def leaks_of_files(folder: Path) -> list[Leak]:
    """Of a folder that is no repository."""
    return [_leak(each) for each in _scan(folder, 0)]


def _gather(root: Path, folder: Path) -> int:
    """A repository with nothing but what is to be looked at: no .env, no database. Returns the number of commits."""
    _git(folder, "init", "--quiet")
    _git(folder, "fetch", "--quiet", "--update-shallow", str(root.resolve()), "HEAD:refs/heads/scanned")
    for name in filter(None, _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")):
        source, target = root / name, folder / name
        if source.is_file() and not source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    (folder / MESSAGES).mkdir()
    logged = [each for each in _git(folder, "log", "-z", "--format=%H%n%B", "scanned").split("\0") if each]
    for entry in logged:
        commit, _, message = entry.partition("\n")
        (folder / MESSAGES / commit).write_text(message, "utf-8")
    return len(logged)


def _git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=folder, stdout=subprocess.PIPE, check=True)
    return os.fsdecode(ran.stdout)


def _scan(folder: Path, commits: int) -> list[dict[str, Any]]:
    """Kingfisher's findings. A scan that did not go through every commit found nothing out."""
    looking = [str(SCANNER), "scan", ".", "--rules-path", str(RULES), "--confidence", "low", "--git-history", "full"]
    offline = ["--no-validate", "--no-update-check", "--no-ignore", "--quiet", "--format", "jsonl"]
    environment = os.environ | {"KF_RULE_CACHE_DIR": str(CACHE)}
    ran = subprocess.run([*looking, *offline], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in ran.stdout.splitlines() if line.strip()]
    scanned = [each for answer in answers for each in answer.get("audit", {}).get("repositories", [])]
    through = [(each["scan"]["status"], each.get("git", {}).get("fetched_commit_count", 0)) for each in scanned]
    if ran.returncode not in (FOUND, CLEAN) or through != [("completed", commits)]:
        raise SystemExit(f"leaks: the scan of {commits} commits failed, {through}:\n{ran.stderr}")
    return [answer for answer in answers if "finding" in answer]


def _leak(answer: dict[str, Any]) -> Leak:
    finding = answer["finding"]
    name, line = finding["path"].removeprefix("./"), finding["line"]
    commit = finding.get("git_metadata", {}).get("commit", {}).get("id", "")
    place = f"{name}:{line} in commit {commit}" if commit else f"{name}:{line}"
    if name.startswith(f"{MESSAGES}/"):
        place = f"the message of commit {Path(name).name}"
    return Leak(answer["rule"]["id"], place, hashlib.sha256(finding["snippet"].encode()).hexdigest())


def samples(file: Path) -> dict[str, str]:
    """Why each secret of the list is none, by its SHA-256."""
    return {each["sha256"]: each["why"] for each in tomllib.loads(file.read_text("utf-8")).get("sample", [])}


def check(root: Path, allowed: dict[str, str]) -> Iterator[str]:
    """A line for each secret, and for each sample that stands nowhere any more."""
    found = leaks(root)
    for leak in found:
        if leak.digest not in allowed:
            yield f"{leak.place}: {leak.rule} (SHA-256 {leak.digest})"
    if _git(root, "rev-parse", "--is-shallow-repository").strip() == "false":
        for digest in allowed.keys() - {leak.digest for leak in found}:
            yield f"leaks.toml: {digest} stands nowhere any more"


def main() -> None:
    told = list(check(ROOT, samples(SAMPLES)))
    print("\n".join(told) or "leaks: no secret in the files, nor in the history")
    if told:
        print("A secret that was committed is known: replace it where it works, then take it out.", file=sys.stderr)
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
