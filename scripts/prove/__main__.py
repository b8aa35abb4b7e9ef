"""python -m scripts.prove [--only checks|tests|fuzz|benchmarks|mutants] [--quick] [arguments of pytest]

Runs the long proofs and prints one table: what each threat of docs/security.md has come to, on SQLite and PostgreSQL.
The same stands in `.prove/DATE.json` with the machine, the commit and the seconds of each part.

Ends with 1 when a part failed, a figure missed its goal, or a threat has no figure, which a forgotten test would look
like. Arguments of pytest (`-k money`, `tests/money`) choose among the tests, and those alone run. `--quick` leaves out
what is marked slow, the benchmarks and the mutants, and fuzzes for a minute or two.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.prove.figures import MISSED, NO_FIGURE, NOT_ASKED, Figure, Row, read, rows, table
from scripts.prove.parts import FAILED, KINDS, ROOT, Outcome, Part, Wanted, parts, run

KEPT = ROOT / ".prove"


def asked(arguments: Sequence[str]) -> tuple[Wanted, set[str]]:
    """What is wanted, and the kinds of parts that are to run."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.prove",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--workers", default="auto", help="of pytest")
    parser.add_argument("--postgres", default="tests", help="the tests that run on PostgreSQL too")
    parser.add_argument("--mutated", default="", help="files for the mutants, with commas between them")
    told, chosen = parser.parse_known_args(arguments)
    kinds = {told.only} if told.only else {"tests"} if chosen else set(KINDS)
    places = tuple(told.postgres.split())
    return Wanted(told.workers, places, told.mutated, tuple(chosen), told.quick), kinds


def prove(chosen: Sequence[Part]) -> tuple[list[Outcome], list[Figure]]:
    with tempfile.TemporaryDirectory(prefix="lyceum-prove-") as folder:
        lines = Path(folder) / "figures.jsonl"
        plain = os.environ | {"PYTHONUNBUFFERED": "1"}
        telling = plain | {"LYCEUM_FIGURES": str(lines)}  # the mutants run tests too, which have nothing to tell
        outcomes = [run(part, telling if part.kind == "tests" else plain) for part in chosen]
        return outcomes, [*read(lines), *(figure for outcome in outcomes for figure in outcome.figures)]


def trouble(outcomes: Sequence[Outcome], found: Sequence[Row]) -> list[str]:
    """A line for each reason why this is no proof."""
    return [
        *(f"{outcome.name} failed" for outcome in outcomes if outcome.state == FAILED),
        *(f"{row.threat}, {row.what}: the goal is missed" for row in found if row.verdict == MISSED),
        *(f"{row.threat}, {row.what}: nobody has told a figure" for row in found if row.verdict == NO_FIGURE),
    ]


def git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def report(began: datetime, outcomes: Sequence[Outcome], found: Sequence[Row]) -> dict[str, Any]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return {
        "began": began.isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain")),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "memory_mb": memory},
        "parts": [{"name": outcome.name, "state": outcome.state, "seconds": outcome.seconds} for outcome in outcomes],
        "figures": [
            {
                **{name: value for name, value in asdict(row).items() if name not in ("found", "tests")},
                "measured": {name: {"value": value, "of": of} for name, (value, of) in row.found.items()},
                "tests": sorted(row.tests),
            }
            for row in found
        ],
        "trouble": trouble(outcomes, found),
    }


def keep(folder: Path, began: datetime, told: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{began:%Y-%m-%d-%H%M}.json"
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return path


def main(arguments: Sequence[str]) -> int:
    began = datetime.now(UTC)
    wanted, kinds = asked(arguments)
    outcomes, figures = prove([part for part in parts(wanted) if part.kind in kinds])
    narrowed = wanted.quick or bool(wanted.chosen)
    left = [outcome.open for outcome in outcomes if outcome.open]
    found = rows(figures, set() if narrowed else kinds, left)
    told = report(began, outcomes, found)
    print("", *table(row for row in found if row.verdict != NOT_ASKED), "", sep="\n")
    if unasked := [f"{row.threat} ({row.what})" for row in found if row.verdict == NOT_ASKED]:
        print("not asked:", ", ".join(unasked), end="\n\n")
    for outcome in outcomes:
        print(f"{outcome.name}: {outcome.state}, {outcome.seconds:.0f} s")
    print("", *told["trouble"], f"Written to {keep(KEPT, began, told).relative_to(ROOT)}", sep="\n")
    return 1 if told["trouble"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
