"""python -m scripts.mutants FILE,FILE... [--sample 300] [--seed 1] [--seconds 20] [--tests ...] [--again] [--goal 90]

Changes the files in small ways, one at a time, and runs the tests that execute the changed lines until one of them
fails. A change that none notices has survived; its diff is shown. SQLite alone, one process; no file is changed.

The sample takes from each file in proportion to its changes; the same seed takes the same ones. `--again` tries the
survivors of the last report once more, with all the time that is given to each by `--seconds`. Fewer `--tests` are
cheaper, and the share that is noticed can only be lower.
"""

import argparse
import hashlib
import json
import math
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.mutants.forking import Tell, watched
from scripts.mutants.mapping import Map, Mapper
from scripts.mutants.operators import Mutant, mutants_of
from scripts.mutants.testing import collected, warm
from scripts.mutants.trying import KILLED, LATE, SURVIVED, Plan, Planner, Trial, Verdict, preload

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".mutants"
# The browser, the bot, the sandbox and the demo school run the same code as the others, later and at length.
ROOMS = ("api", "cli", "core", "crm", "database", "jobs", "money")
ALONE = ("test_access.py", "test_mass_assignment.py", "test_matrix.py", "test_walls.py", "test_routes.py")
PLACES = ",".join(f"tests/{name}" for name in (*ROOMS, *ALONE))
CONTROLS = 3
DAY_SECONDS = 24 * 3600.0
Z95 = 1.959964
Outcome = dict[str, Any]


def sampled(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """`size` of them (0: all), from each file in proportion, in the order of their text."""

    def drawn(mutant: Mutant) -> str:
        return hashlib.sha256(f"{seed}:{mutant.key}".encode()).hexdigest()

    if not 0 < size < len(mutants):
        return list(mutants)
    shuffled = sorted(mutants, key=lambda mutant: (mutant.path, drawn(mutant)))
    step = len(shuffled) / size
    chosen = {shuffled[int((index + 0.5) * step)] for index in range(size)}
    return [mutant for mutant in mutants if mutant in chosen]


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's, of 95 %: between which shares the true one lies."""
    share, square = hits / of, Z95**2 / of
    middle = (share + square / 2) / (1 + square)
    reach = Z95 / (1 + square) * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return middle - reach, middle + reach


def draw_map(files: Sequence[str], places: Sequence[str], folder: Path) -> Map:
    """In a fork, because this process must not import the project."""
    path = KEPT / "map.json"

    def work(tell: Tell) -> None:
        tell("next", DAY_SECONDS)
        mapper = Mapper(ROOT, files, path, lambda words: tell("said", words))
        mapper.begin()
        tell("drawn", collected(places, str(folder / "map"), mapper.loop))

    for kind, fact in watched(work):
        if kind == "said":
            print(fact, flush=True)
        if kind == "drawn" and fact == 0:
            return Map.load(path)
    raise SystemExit("the tests cannot be run: see pytest")


class Report:
    """What became of each change. `told`: those that need not be tried again."""

    def __init__(self, total: int, told: Sequence[Outcome] = ()) -> None:
        self.total = total
        self.outcomes = list(told)
        self.tried = 0
        self.began = time.monotonic()

    def note(self, verdict: Verdict) -> None:
        mutant = verdict.mutant
        self.tried += 1
        self.outcomes.append(
            {
                "path": mutant.path, "line": mutant.line, "key": mutant.key, "before": mutant.before,
                "after": mutant.after, "state": verdict.state, "by": verdict.by, "tried": verdict.tried,
            }
        )  # fmt: skip
        print(f"{self.tried}/{self.total} {mutant.path}:{mutant.line} {mutant.key} {verdict.state}", flush=True)
        if verdict.state == SURVIVED:
            print(_diff(verdict), flush=True)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.outcomes, ensure_ascii=False, indent=1))

    def table(self) -> str:
        rows = ["| file | changes | noticed | timed out | survived |", "|---|---|---|---|---|"]
        for path in [*sorted({one["path"] for one in self.outcomes}), ""]:
            states = Counter(one["state"] for one in self.outcomes if path in ("", one["path"]))
            counts = f"{states.total()} | {states[KILLED]} | {states[LATE]} | {states[SURVIVED]}"
            rows.append(f"| {f'`{path}`' if path else 'all'} | {counts} |")
        return "\n".join(rows)

    def share(self) -> float:
        """Of the changes that were noticed, in percent; a test that hangs has noticed."""
        return 100 * self._noticed() / len(self.outcomes)

    def summary(self) -> str:
        low, high = interval(self._noticed(), len(self.outcomes))
        minutes = (time.monotonic() - self.began) / 60
        return (
            f"{self._noticed()} of {len(self.outcomes)} noticed: {self.share():.1f} %"
            f" (95 %: {100 * low:.1f} to {100 * high:.1f}) in {minutes:.0f} minutes"
        )

    def _noticed(self) -> int:
        return sum(one["state"] != SURVIVED for one in self.outcomes)


def _diff(verdict: Verdict) -> str:
    before = "\n".join(f"    - {line}" for line in verdict.mutant.before.splitlines())
    after = "\n".join(f"    + {line}" for line in verdict.mutant.after.splitlines())
    return f"{before}\n{after}\n    {verdict.tried} tests ran it"


def controls(plans: Sequence[Plan]) -> list[Plan]:
    """Some of them, whose tests have to pass with nothing changed."""
    tried = [plan for plan in plans if plan.tests]
    return random.Random(0).sample(tried, min(CONTROLS, len(tried)))  # noqa: S311 - no secret


def quiet(verdict: Verdict) -> None:
    """What a control has to be."""
    if verdict.state != SURVIVED:
        raise SystemExit(f"with nothing changed {verdict.by or 'a test'} fails or hangs: no result counts")


def run(report: Report, plans: Sequence[Plan], known: Map, places: Sequence[str], folder: Path) -> None:
    cheap = [plan for plan in plans if plan.changes is not None]
    for kind, fact in watched(lambda tell: _swap_all(cheap, known, places, folder, tell)):
        if kind == "control":
            quiet(fact)
        elif kind == "verdict":
            report.note(fact)
    preload()
    dear = [plan for plan in plans if plan.changes is None]
    for plan in controls(dear):
        Trial(ROOT, known, folder, quiet).imported(plan, changed=False)
    for plan in dear:
        Trial(ROOT, known, folder, report.note).imported(plan)


def _swap_all(plans: Sequence[Plan], known: Map, places: Sequence[str], folder: Path, tell: Tell) -> None:
    tell("next", DAY_SECONDS)

    def loop(items: list[pytest.Item]) -> None:
        warm(items)
        unchanged = [replace(plan, changes=()) for plan in controls(plans)]
        Trial(ROOT, known, folder, lambda verdict: tell("control", verdict)).swapped(unchanged, items)
        Trial(ROOT, known, folder, lambda verdict: tell("verdict", verdict)).swapped(plans, items)

    collected(places, str(folder / "many"), loop)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", help="paths in the project, with commas between them")
    parser.add_argument("--sample", type=int, default=300, help="how many changes; 0 is all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="what the tests of a change may take in all")
    parser.add_argument("--tests", default=PLACES, help="files and folders, with commas between them")
    parser.add_argument("--again", action="store_true", help="the survivors of the last report alone")
    parser.add_argument("--goal", type=float, default=90, help="percent; exit code 1 below it")
    asked = parser.parse_args()
    os.chdir(ROOT)
    files = asked.files.split(",")
    mutants = [mutant for name in files for mutant in mutants_of(name, (ROOT / name).read_bytes())]
    kept = KEPT / "report.json"
    told: list[Outcome] = json.loads(kept.read_text()) if asked.again else []
    left = {one["key"] for one in told if one["state"] == SURVIVED}
    chosen = [one for one in mutants if one.key in left] if asked.again else sampled(mutants, asked.sample, asked.seed)
    print(f"{len(chosen)} of {len(mutants)} changes", flush=True)
    again = {mutant.key for mutant in chosen}
    report = Report(len(chosen), [one for one in told if one["key"] not in again])
    with tempfile.TemporaryDirectory(prefix="lyceum-mutants-") as name:
        places = asked.tests.split(",")
        known = draw_map(files, places, Path(name))
        planner = Planner(ROOT, known, asked.seconds)
        run(report, [planner.plan(mutant) for mutant in chosen], known, places, Path(name))
    report.save(kept)
    print(f"\n{report.table()}\n\n{report.summary()}")
    return int(report.share() < asked.goal)


if __name__ == "__main__":
    sys.exit(main())
