"""Adds up what tests/covering.py counted, prints what no test reached, and holds the goals.

    python -m scripts.covered FOLDER [--lines 95] [--whole FILE,FILE...]

`--lines` is the least share of lines in percent; the files of `--whole` must have no line and no branch that no test
reached. Exit code 1 when a goal is missed.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import slipcover

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Count:
    """Of one file, or of all: how much there is and what no test reached. `branches` are pairs of line numbers."""

    lines: int
    branches: int
    missing_lines: tuple[int, ...] = ()
    missing_branches: tuple[tuple[int, int], ...] = ()

    @property
    def whole(self) -> bool:
        return not self.missing_lines and not self.missing_branches

    @property
    def percent_of_lines(self) -> float:
        return percent(self.lines - len(self.missing_lines), self.lines)

    def missing(self) -> str:
        """`3, 7-9, 12->15`: lines, then branches that were never taken (0 is the end of the function)."""
        arrows = (f"{a}->{max(b, 0)}" for a, b in self.missing_branches if a not in self.missing_lines)
        return ", ".join([*ranges(self.missing_lines), *arrows])


def percent(part: int, of: int) -> float:
    return 100 * part / of if of else 100.0


def ranges(lines: Iterable[int]) -> list[str]:
    found = []
    for _, group in groupby(enumerate(sorted(lines)), lambda pair: pair[1] - pair[0]):
        run = [line for _, line in group]
        found.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
    return found


def read(folder: Path) -> dict[str, Count]:
    """By file. Raises SystemExit when no process has counted."""
    parts = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    if not parts:
        raise SystemExit(f"{folder} holds no counts: run the tests with -p tests.covering and COVERAGE_DIR={folder}")
    merged = parts[0]
    for part in parts[1:]:
        slipcover.merge_coverage(merged, part)
    return {name: _count(found) for name, found in sorted(merged["files"].items())}


def _count(found: Mapping[str, Any]) -> Count:
    lines, branches = found["missing_lines"], [(a, b) for a, b in found["missing_branches"]]
    return Count(
        len(found["executed_lines"]) + len(lines),
        len(found["executed_branches"]) + len(branches),
        tuple(lines),
        tuple(branches),
    )


def report(counts: Mapping[str, Count], least: float, whole: Sequence[str]) -> tuple[str, bool]:
    """What to print, and whether all goals are met."""
    rows = [
        f"{name}  {count.percent_of_lines:.0f} %  {count.missing()}"
        for name, count in counts.items()
        if not count.whole
    ]
    lines, branches = sum(c.lines for c in counts.values()), sum(c.branches for c in counts.values())
    of_lines = percent(lines - sum(len(c.missing_lines) for c in counts.values()), lines)
    of_branches = percent(branches - sum(len(c.missing_branches) for c in counts.values()), branches)
    rows.append(f"lines {of_lines:.1f} % of {lines:,}, branches {of_branches:.1f} % of {branches:,}")
    missed = [f"{name} is not among the files" for name in whole if name not in counts]
    missed += [
        f"{name} is to be whole: {counts[name].missing()}"
        for name in whole
        if name in counts and not counts[name].whole
    ]
    if of_lines < least:
        missed.append(f"lines: {of_lines:.1f} %, less than {least:g} %")
    return "\n".join(rows + [f"MISSED {each}" for each in missed]), not missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=float, default=0)
    parser.add_argument("--whole", default="")
    chosen = parser.parse_args()
    text, met = report(read(chosen.folder), chosen.lines, [name for name in chosen.whole.split(",") if name])
    print(text)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
