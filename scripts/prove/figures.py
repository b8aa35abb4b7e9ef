"""The figures that tests write down, one line of JSON each, and the table that is made of them.

A figure tells what was counted, how often it was tried (`of`) and what it has to be: `0`, `<= 5`, `>= 90`. Those of one
kind from several tests are added up.
"""

import json
import operator
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
HOLDS, MISSED, NO_FIGURE, NOT_ASKED = "holds", "MISSED", "NO FIGURE", "not asked"
GOAL = re.compile(r"(<=|>=|<|>)? ?(\d+(?:\.\d+)?)")
SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, None: operator.eq}
HEAD = ("threat", "what", "goal", SQLITE, POSTGRESQL, "")


@dataclass(frozen=True)
class Threat:
    """`kind`: of the parts that have to bring a figure."""

    number: str
    name: str
    kind: str = "tests"


# Those of the plan that are tried here: no seats are sold (A5), and `make image` tries the image (D4).
THREATS = (
    Threat("A1", "a payment that comes again"),
    Threat("A2", "a payment that was altered"),
    Threat("A3", "a promo code used too often"),
    Threat("A4", "a lesson bought or returned twice"),
    Threat("A6", "an edit that is lost between two people"),
    Threat("A7", "a job or its messages lost or repeated by a crash"),
    Threat("A8", "what follows a payment lost or doubled by a crash"),
    Threat("A9", "an acknowledged sale lost by a crash"),
    Threat("A10", "half a migration"),
    Threat("A11", "a backup that does not restore"),
    Threat("A12", "time zones"),
    Threat("B1", "roles and rights passed by"),
    Threat("B2", "script in texts of strangers"),
    Threat("B3", "forged forms"),
    Threat("B4", "forged or confused tokens"),
    Threat("B5", "guessed passwords"),
    Threat("B6", "finding out who has an account"),
    Threat("B7", "the second factor passed by"),
    Threat("B8", "sessions that do not end"),
    Threat("B9", "refresh tokens used again"),
    Threat("B10", "attacks on signing in elsewhere"),
    Threat("B11", "forged or repeated calls of Telegram"),
    Threat("B12", "fields that nobody may set"),
    Threat("B13", "SQL injection"),
    Threat("B14", "hostile files"),
    Threat("B15", "formulas in tables"),
    Threat("B16", "inner addresses, links that lead away, foreign hosts"),
    Threat("B17", "headers"),
    Threat("B18", "secrets in logs and in the repository", "checks"),
    Threat("C1", "errors on odd input", "fuzz"),
    Threat("C7", "a history that somebody changed", "benchmarks"),
    Threat("D1", "accessibility"),
    Threat("D2", "pages without script"),
    Threat("D3", "known holes and changed files of others", "checks"),
    Threat("D5", "tests that notice nothing", "mutants"),
)
ORDER = {threat.number: place for place, threat in enumerate(THREATS)}
Number = int | float


@dataclass(frozen=True)
class Figure:
    threat: str
    what: str
    measured: Number
    goal: str
    of: int | None = None
    database: str = SQLITE
    test: str = ""


def read(path: Path) -> list[Figure]:
    """What the tests have written: a line each, in no order."""
    return [Figure(**json.loads(line)) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def fits(measured: Number, goal: str) -> bool:
    told = GOAL.fullmatch(goal)
    if told is None:
        raise ValueError(f"not a goal: {goal!r}")
    return bool(SIGNS[told[1]](measured, float(told[2])))


@dataclass
class Row:
    """A line of the table. `found`: the sums by database."""

    threat: str
    what: str
    goal: str = ""
    verdict: str = ""
    found: dict[str, tuple[Number, int | None]] = field(default_factory=dict)
    tests: set[str] = field(default_factory=set)

    def add(self, figure: Figure) -> None:
        measured, of = self.found.get(figure.database, (0, None))
        tried = of if figure.of is None else (of or 0) + figure.of
        self.found[figure.database] = measured + figure.measured, tried
        self.tests |= {figure.test} - {""}
        self.verdict = HOLDS if all(fits(sum_, self.goal) for sum_, _of in self.found.values()) else MISSED

    def cells(self) -> tuple[str, ...]:
        return self.threat, self.what, self.goal, self._told(SQLITE), self._told(POSTGRESQL), self.verdict

    def _told(self, database: str) -> str:
        if database not in self.found:
            return "–"
        measured, of = self.found[database]
        number = (
            f"{measured:,}" if isinstance(measured, int) else f"{measured:,.3f}" if measured < 1 else f"{measured:,.1f}"
        )
        return number if of is None else f"{number} of {of:,}"


def rows(figures: Iterable[Figure], asked: Collection[str], left: Iterable[tuple[str, str]] = ()) -> list[Row]:
    """In the order of the threats. `asked`: the kinds of parts that ran; a threat without any figure has a row too.

    `left`: threats and figures that nobody could be asked about, whatever else is known of these threats.
    """
    made: dict[tuple[str, str, str], Row] = {}
    for figure in figures:
        key = figure.threat, figure.what, figure.goal
        made.setdefault(key, Row(*key)).add(figure)
    unknown = [Row(threat, what, verdict=NOT_ASKED) for threat, what in left]
    told = {row.threat for row in (*made.values(), *unknown)}
    empty = [
        Row(threat.number, threat.name, verdict=NO_FIGURE if threat.kind in asked else NOT_ASKED)
        for threat in THREATS
        if threat.number not in told
    ]
    return sorted([*made.values(), *unknown, *empty], key=lambda row: (ORDER[row.threat], row.what))


def table(found: Iterable[Row]) -> Iterator[str]:
    """Lines of Markdown, whose columns stand below each other in a terminal too."""
    cells = [HEAD, *(row.cells() for row in found)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    cells.insert(1, tuple("-" * width for width in widths))
    for line in cells:
        yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
