"""What the proof is made of: the commands that run one after the other, and how each tells its figures."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.prove.figures import POSTGRESQL, SQLITE, Figure

ROOT = Path(__file__).parents[2]
KINDS = ("checks", "tests", "fuzz", "benchmarks", "mutants")
PASSED, FAILED, NOT_ASKED = "passed", "FAILED", "not asked"
# Exit codes: of pytest when a choice leaves none, of scripts/advisories.py without a network.
NO_TESTS, NO_ANSWER = 5, 2
ON_POSTGRES = (sys.executable, "scripts/with_postgres.py")
# Of the whole: a look at it all in minutes.
QUICK_CASES, QUICK_TEXTS = 500, 20_000

Reader = Callable[[str, int], list[Figure]]
"""Makes figures of what a command has printed, and of its exit code."""


def nothing(_said: str, _code: int) -> list[Figure]:
    """The tests write theirs into a file."""
    return []


def findings(threat: str, what: str) -> Reader:
    """Of a tool that prints a line for each finding and ends with 1 if there are any."""

    def reader(said: str, code: int) -> list[Figure]:
        found = len(said.strip().splitlines()) if code else 0
        return [Figure(threat, what, found, "0")] if found or not code else []  # else it broke

    return reader


def parsers(said: str, _code: int) -> list[Figure]:
    tried = re.search(r"^([\d,]+) inputs in", said, re.MULTILINE)
    broken = re.search(r"^(\d+) came out with an error", said, re.MULTILINE)
    if not tried or not broken:
        return []
    what = "texts at the parsers that end in an undeclared error"
    return [Figure("C1", what, int(broken[1]), "0", int(tried[1].replace(",", "")))]


def requests(database: str) -> Reader:
    def reader(said: str, _code: int) -> list[Figure]:
        made = re.search(r"(\d+) generated, (?:(\d+) found|\d+ passed)", said)
        if not made:
            return []
        what = "hostile requests with a server error or an undocumented answer"
        return [Figure("C1", what, int(made[2] or 0), "0", int(made[1]), database)]

    return reader


def unequal(database: str) -> Reader:
    """How far the last AUC of each door is from saying nothing."""

    def reader(said: str, _code: int) -> list[Figure]:
        found = dict(re.findall(r"^([\w-]+): known .* AUC ([\d.]+),", said, re.MULTILINE))
        return [
            Figure("B6", f"{door}: how far time tells who has an account (AUC - 0.5)", far, "<= 0.05", None, database)
            for door, auc in found.items()
            for far in (round(abs(float(auc) - 0.5), 3),)
        ]

    return reader


def proved(database: str) -> Reader:
    def reader(said: str, _code: int) -> list[Figure]:
        found = re.search(r"([\d,]+) rows sealed in [\d.]+ s, proved in ([\d.]+) s", said)
        if not found:
            return []
        what = f"seconds to prove {found[1]} rows of history"
        return [Figure("C7", what, float(found[2]), "<= 30", None, database)]

    return reader


def mutants(said: str, _code: int) -> list[Figure]:
    noticed = re.search(r"^\d+ of (\d+) noticed: ([\d.]+) %", said, re.MULTILINE)
    if not noticed:
        return []
    return [Figure("D5", f"percent of {noticed[1]} small changes that a test notices", float(noticed[2]), ">= 90")]


@dataclass(frozen=True)
class Part:
    """`unasked`: the exit code that says there was nobody to ask; `about`: the threat and figure it leaves open."""

    name: str
    kind: str
    command: tuple[str, ...]
    read: Reader = nothing
    unasked: int | None = None
    about: tuple[str, str] | None = None


@dataclass(frozen=True)
class Outcome:
    name: str
    state: str
    seconds: float
    figures: list[Figure]
    open: tuple[str, str] | None = None
    """The threat and figure that nobody could be asked about."""


@dataclass(frozen=True)
class Wanted:
    """`places`: tests that have something to say about PostgreSQL. `chosen`: what pytest is told besides."""

    workers: str
    places: tuple[str, ...]
    mutated: str
    chosen: tuple[str, ...] = ()
    quick: bool = False


def parts(wanted: Wanted) -> list[Part]:
    return [*checks(), *tests(wanted), *fuzz(wanted), *([] if wanted.quick else [*benchmarks(), *mutating(wanted)])]


def checks() -> list[Part]:
    python = sys.executable
    bandit = (python, "-m", "bandit", "-q", "-f", "custom", "--msg-template", "{relpath}:{line}: {test_id} {msg}")
    places = ("-c", "pyproject.toml", "-r", "backend", "main.py", "scripts")
    known = "D3", "known vulnerabilities of what is locked"
    changed = findings("D3", "files of others that are not as locked")
    return [
        Part("leaks", "checks", (python, "scripts/leaks.py"), findings("B18", "secrets in the files or the history")),
        Part("bandit", "checks", (*bandit, *places), findings("B13", "findings of bandit")),
        Part("vendor", "checks", (python, "scripts/vendor.py", "check"), changed),
        Part("advisories", "checks", (python, "-m", "scripts.advisories"), findings(*known), NO_ANSWER, known),
    ]


def tests(wanted: Wanted) -> list[Part]:
    marks = "figures" if wanted.quick else "slow or figures"
    pytest = (sys.executable, "-m", "pytest", "-n", wanted.workers, "--dist", "worksteal", "-m", marks)
    named = any((ROOT / word.partition("::")[0]).exists() for word in wanted.chosen)
    places = () if named else wanted.places
    return [
        Part("tests on SQLite", "tests", (*pytest, *wanted.chosen), unasked=NO_TESTS),
        Part("tests on PostgreSQL", "tests", (*ON_POSTGRES, *pytest, *places, *wanted.chosen), unasked=NO_TESTS),
    ]


def fuzz(wanted: Wanted) -> list[Part]:
    program = (sys.executable, "scripts/fuzz.py")
    texts, cases = ((f"--cases={n}",) if wanted.quick else () for n in (QUICK_TEXTS, QUICK_CASES))
    there = (*ON_POSTGRES, *program, "--only=postgresql", *cases)
    return [
        Part("parsers", "fuzz", (*program, "--parsers", *texts), parsers),
        Part("fuzz on SQLite", "fuzz", (*program, "--only=sqlite", *cases), requests(SQLITE)),
        Part("fuzz on PostgreSQL", "fuzz", there, requests(POSTGRESQL)),
    ]


def benchmarks() -> list[Part]:
    doors = (sys.executable, "-m", "benchmarks.enumeration")
    chain = (sys.executable, "-m", "benchmarks.chain")
    return [
        Part("who has an account, on SQLite", "benchmarks", doors, unequal(SQLITE)),
        Part("who has an account, on PostgreSQL", "benchmarks", (*ON_POSTGRES, *doors), unequal(POSTGRESQL)),
        Part("the chain on SQLite", "benchmarks", (*chain, "--only=sqlite"), proved(SQLITE)),
        Part("the chain on PostgreSQL", "benchmarks", (*ON_POSTGRES, *chain, "--only=postgresql"), proved(POSTGRESQL)),
    ]


def mutating(wanted: Wanted) -> list[Part]:
    return [Part("mutants", "mutants", (sys.executable, "-m", "scripts.mutants", wanted.mutated), mutants)]


def run(part: Part, environment: Mapping[str, str]) -> Outcome:
    """Shows what the command prints as it comes."""
    print(f"\n== {part.name}", flush=True)
    began, said = time.monotonic(), bytearray()
    with subprocess.Popen(part.command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, bufsize=0) as process:
        while chunk := process.stdout.read(65536) if process.stdout else b"":
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            said += chunk
    code = process.returncode
    state = PASSED if code == 0 else NOT_ASKED if code == part.unasked else FAILED
    found = [] if state == NOT_ASKED else part.read(said.decode("utf-8", "replace"), code)
    seconds = round(time.monotonic() - began, 1)
    return Outcome(part.name, state, seconds, found, part.about if state == NOT_ASKED else None)
