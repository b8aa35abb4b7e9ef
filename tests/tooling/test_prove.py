"""The table of `make prove`: figures into rows, verdicts, what failed and what nobody told."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.prove import figures, parts
from scripts.prove.__main__ import asked, keep, prove, report, trouble
from scripts.prove.figures import HOLDS, MISSED, NO_FIGURE, POSTGRESQL, SQLITE, THREATS, Figure, fits, rows, table
from scripts.prove.parts import FAILED, NOT_ASKED, PASSED, Outcome, Part, run

ROOT = Path(__file__).parents[2]
GUESSES = Figure("B5", "guesses that are looked at", 5, "<= 5", 10_000, test="tests/a.py::test_guesses")


def of(threat: str, found: list[figures.Row]) -> list[tuple[str, ...]]:
    return [row.cells() for row in found if row.threat == threat]


@pytest.mark.parametrize(
    ("measured", "goal", "kept"),
    [
        (0, "0", True), (1, "0", False), (5, "<= 5", True), (6, "<= 5", False), (90.0, ">= 90", True),
        (89.9, ">= 90", False), (31.9, "< 32", True), (32, "< 32", False), (3, "> 2.5", True), (2.5, "> 2.5", False),
    ],
)  # fmt: skip
def test_a_goal_is_kept_or_missed(measured: float, goal: str, kept: bool) -> None:
    assert fits(measured, goal) is kept


@pytest.mark.parametrize("goal", ["", "none", "<= ", "5 MB", "-1"])
def test_a_goal_that_is_none_is_refused(goal: str) -> None:
    with pytest.raises(ValueError, match="not a goal"):
        fits(0, goal)


def test_figures_of_one_kind_are_added_up_for_each_database() -> None:
    told = [
        Figure("A9", "sales lost", 0, "0", 25, SQLITE, "tests/a.py::test_one"),
        Figure("A9", "sales lost", 0, "0", 30, SQLITE, "tests/a.py::test_two"),
        Figure("A9", "sales lost", 1, "0", 40, POSTGRESQL, "tests/a.py::test_one"),
        Figure("A9", "sales doubled", 0, "0"),
        GUESSES,
    ]
    found = rows(told, set())
    assert of("A9", found) == [
        ("A9", "sales doubled", "0", "0", "–", HOLDS),
        ("A9", "sales lost", "0", "0 of 55", "1 of 40", MISSED),
    ]
    assert of("B5", found) == [("B5", GUESSES.what, "<= 5", "5 of 10,000", "–", HOLDS)]
    assert next(row.tests for row in found if row.what == "sales lost") == {
        "tests/a.py::test_one",
        "tests/a.py::test_two",
    }


def test_a_threat_without_a_figure_is_seen() -> None:
    found = rows([GUESSES], {"tests", "checks"})
    verdicts = {row.threat: row.verdict for row in found}
    assert [row.threat for row in found] == [threat.number for threat in THREATS]
    assert verdicts["B5"] == HOLDS
    by_kind = {kind: {verdicts[t.number] for t in THREATS if t.kind == kind} for kind in parts.KINDS}
    assert by_kind == {
        "tests": {HOLDS, NO_FIGURE}, "checks": {NO_FIGURE}, "fuzz": {figures.NOT_ASKED},
        "benchmarks": {figures.NOT_ASKED}, "mutants": {figures.NOT_ASKED},
    }  # fmt: skip
    assert of("B4", found) == [("B4", "forged or confused tokens", "", "–", "–", NO_FIGURE)]


def test_the_columns_stand_below_each_other() -> None:
    lines = list(table(rows([GUESSES, Figure("D5", "percent", 90.7, ">= 90")], set())))
    assert {len(line) for line in lines} == {len(lines[0])}
    assert re.split(" +", lines[0]) == [
        "|",
        "threat",
        "|",
        "what",
        "|",
        "goal",
        "|",
        "SQLite",
        "|",
        "PostgreSQL",
        "|",
        "|",
    ]
    assert any(re.split(" +", line)[8:11] == ["90.7", "|", "–"] for line in lines if "D5" in line)


# -- what the parts print

PARSERS = "cookies 1,000\n1,000,000 inputs in 117 s, 8,547 a second\n{} came out with an error that is not declared\n"
REQUESTS = "Test cases:\n  11784 generated, {}\n\nSeed: 1\n"
DOORS = """login: known 34.49 ms, unknown 34.48 ms; AUC 0.561, 1 kind of body: MISSED
login: known 1.00 ms, unknown 1.00 ms; AUC 0.513, 1 kind of body: kept
forgot-password: known 18.48 ms, unknown 18.25 ms; AUC 0.438, 1 kind of body: MISSED
"""
CHAIN = "postgresql: 1,000,000 rows sealed in 8.3 s, proved in 4.8 s (4.7 s of work): kept\n"
MUTANTS = "| all | 300 | 270 | 2 | 28 |\n\n272 of 300 noticed: 90.7 % (95 %: 86.8 to 93.5) in 61 minutes\n"


def test_what_each_tool_prints_is_a_figure() -> None:
    (texts,) = parts.parsers(PARSERS.format(2), 1)
    assert (texts.threat, texts.measured, texts.of) == ("C1", 2, 1_000_000)
    (sound,) = parts.requests(POSTGRESQL)(REQUESTS.format("11784 passed"), 0)
    (broken,) = parts.requests(SQLITE)(REQUESTS.format("7 found 2 unique failures"), 1)
    assert (sound.measured, sound.of, sound.database) == (0, 11_784, POSTGRESQL)
    assert (broken.measured, broken.of, broken.database) == (7, 11_784, SQLITE)
    (share,) = parts.mutants(MUTANTS, 0)
    assert (share.what, share.measured, share.goal) == (
        "percent of 300 small changes that a test notices", 90.7, ">= 90",
    )  # fmt: skip
    doors = parts.unequal(POSTGRESQL)(DOORS, 1)
    assert [(door.threat, door.what.partition(":")[0], door.measured, door.goal, door.database) for door in doors] == [
        ("B6", "login", 0.013, "<= 0.05", POSTGRESQL),
        ("B6", "forgot-password", 0.062, "<= 0.05", POSTGRESQL),
    ]
    (chain,) = parts.proved(POSTGRESQL)(CHAIN, 0)
    assert (chain.what, chain.measured, chain.database) == (
        "seconds to prove 1,000,000 rows of history", 4.8, POSTGRESQL,
    )  # fmt: skip
    found = parts.findings("B18", "secrets")
    assert [found(said, code)[0].measured for said, code in (("none\n", 0), ("a: b\nc: d\n", 1))] == [0, 2]
    assert found("", 1) == []


@pytest.mark.parametrize(
    "reader", [parts.parsers, parts.requests(SQLITE), parts.unequal(SQLITE), parts.proved(SQLITE), parts.mutants]
)
def test_what_came_to_no_end_is_no_figure(reader: parts.Reader) -> None:
    assert reader("Traceback (most recent call last):\n", 1) == []


def part(code: str, **more: object) -> Part:
    return Part("a part", "checks", (sys.executable, "-c", code), parts.findings("B18", "secrets"), **more)  # type: ignore[arg-type] # named by the tests


def test_what_nobody_could_be_asked_about_is_told_beside_what_is_known() -> None:
    """The files of others are as locked, while nobody tells whether they have holes."""
    holes = "D3", "known vulnerabilities"
    sound, away = (part(f"raise SystemExit({code})", unasked=2, about=holes) for code in (0, 2))
    assert [run(each, {}).open for each in (sound, away)] == [None, holes]
    found = rows([Figure("D3", "changed files", 0, "0")], {"checks"}, [holes])
    assert of("D3", found) == [
        ("D3", "changed files", "0", "0", "–", HOLDS),
        ("D3", "known vulnerabilities", "", "–", "–", figures.NOT_ASKED),
    ]
    assert not any("D3" in line for line in trouble([], found))
    [known] = [each for each in parts.checks() if each.name == "advisories"]
    assert (known.unasked, known.about and known.about[0]) == (2, "D3")


def test_a_part_runs_is_shown_and_may_fail(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sound = run(part("print('nothing found')"), {})
    failed = run(part("print('one'); print('two'); raise SystemExit(1)"), {})
    away = run(part("raise SystemExit(2)", unasked=2), {})
    other = run(part("raise SystemExit(3)", unasked=2), {})
    assert [outcome.state for outcome in (sound, failed, away, other)] == [PASSED, FAILED, NOT_ASKED, FAILED]
    told = [[figure.measured for figure in outcome.figures] for outcome in (sound, failed, away, other)]
    assert told == [[0], [2], [], []]  # who ends with an error and says nothing has found nothing out
    assert all(0 <= outcome.seconds < 60 for outcome in (sound, failed))
    assert b"one\ntwo\n" in capfdbinary.readouterr().out


def test_reasons_why_it_is_no_proof() -> None:
    found = rows([Figure("A1", "second purchases", 1, "0", 9)], {"fuzz"})
    outcomes = [
        Outcome("leaks", PASSED, 1, []),
        Outcome("tests on SQLite", FAILED, 1, []),
        Outcome("x", NOT_ASKED, 1, []),
    ]
    assert trouble(outcomes, found) == [
        "tests on SQLite failed",
        "A1, second purchases: the goal is missed",
        "C1, errors on odd input: nobody has told a figure",
    ]
    assert trouble(outcomes[:1], rows([GUESSES], set())) == []


def test_all_of_it_is_kept_as_json(tmp_path: Path) -> None:
    began = datetime(2026, 11, 29, 18, 45, 3, tzinfo=UTC)
    told = report(began, [Outcome("leaks", PASSED, 2.5, [])], rows([GUESSES], {"fuzz"}))
    path = keep(tmp_path / "kept", began, told)
    assert path == tmp_path / "kept/2026-11-29-1845.json"
    kept = json.loads(path.read_text())
    assert kept["began"] == "2026-11-29T18:45:03+00:00"
    assert re.fullmatch("[0-9a-f]{40}", kept["commit"])
    assert kept["python"] == ".".join(map(str, sys.version_info[:3]))
    assert kept["machine"]["cores"] >= 1
    assert kept["machine"]["memory_mb"] > 100
    assert kept["parts"] == [{"name": "leaks", "state": "passed", "seconds": 2.5}]
    assert next(row for row in kept["figures"] if row["threat"] == "B5") == {
        "threat": "B5", "what": GUESSES.what, "goal": "<= 5", "verdict": "holds",
        "measured": {"SQLite": {"value": 5, "of": 10_000}}, "tests": ["tests/a.py::test_guesses"],
    }  # fmt: skip
    assert kept["trouble"] == ["C1, errors on odd input: nobody has told a figure"]


# -- what is asked for


def test_what_is_told_besides_chooses_among_the_tests() -> None:
    wanted, kinds = asked(["--workers", "3", "--postgres", "tests/api tests/crm", "--mutated", "a.py,b.py"])
    assert kinds == {"checks", "tests", "fuzz", "benchmarks", "mutants"}
    commands = {each.name: " ".join(each.command) for each in parts.parts(wanted)}
    assert commands["tests on SQLite"].endswith("-m pytest -n 3 --dist worksteal -m slow or figures")
    assert commands["tests on PostgreSQL"].endswith("-m slow or figures tests/api tests/crm")
    assert "with_postgres.py" in commands["fuzz on PostgreSQL"]
    assert commands["mutants"].endswith("scripts.mutants a.py,b.py")

    wanted, kinds = asked(["-k", "money", "tests/money", "--postgres", "tests/api"])
    assert (kinds, wanted.chosen) == ({"tests"}, ("-k", "money", "tests/money"))
    assert parts.tests(wanted)[1].command[-3:] == ("-k", "money", "tests/money")
    wanted, kinds = asked(["--only", "fuzz", "--quick"])
    assert kinds == {"fuzz"}
    assert [each.command[-1] for each in parts.parts(wanted) if each.kind == "fuzz"] == [
        "--cases=20000", "--cases=500", "--cases=500",
    ]  # fmt: skip
    assert {each.kind for each in parts.parts(wanted)} == {"checks", "tests", "fuzz"}


TESTS = """
import pytest

def test_passes(figure):
    figure("A1", "what passes", 0, "0", 7)

def test_fails(figure):
    figure("A1", "what fails", 0, "0", 7)
    assert False

def test_ends_before(figure):
    assert False
    figure("A1", "what comes too late", 0, "0")

@pytest.mark.parametrize("size", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_has_a_slow_sibling(figure, size):
    figure("A3", "sizes", size, "9")

def test_tells_nothing():
    pass
"""


def test_only_who_passes_tells_a_figure_and_slow_siblings_tell_it_alone(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("from tests.figures import *\n")
    chosen = (sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-n", "2", "-m", "slow or figures")
    # What the mutants run are tests too, but have nothing to tell.
    other = Part(
        "mutants", "mutants", (sys.executable, "-c", "import os; raise SystemExit('LYCEUM_FIGURES' in os.environ)")
    )
    outcomes, told = prove([Part("tests", "tests", (*chosen, str(tmp_path))), other])
    assert [outcome.state for outcome in outcomes] == [FAILED, PASSED]
    assert {(each.what, each.measured, each.of, each.database) for each in told} == {
        ("what passes", 0, 7, told[0].database), ("sizes", 9, None, told[0].database),
    }  # fmt: skip
    assert sorted(each.test.partition("::")[2] for each in told) == ["test_has_a_slow_sibling", "test_passes"]


def test_each_threat_of_the_list_has_a_figure_in_some_test() -> None:
    """And no test tells one of a threat that is not in the list."""
    named = {
        number
        for path in (ROOT / "tests").rglob("test_*.py")
        if "tooling" not in path.parts
        for number in re.findall(r'figure\(\s*"(\w+)"', path.read_text("utf-8"))
    }
    listed = {threat.number for threat in THREATS if threat.kind == "tests"}
    assert listed <= named
    assert named <= {threat.number for threat in THREATS}


def test_the_command_tells_how_it_is_used() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.prove", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--only {checks,tests,fuzz,benchmarks,mutants}" in shown.stdout
