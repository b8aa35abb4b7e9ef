"""The counter of lines and branches on a program of its own, and the report that holds the goals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.covered import ROOT, Count, read, report

CHOOSES = '''"""Chooses."""

def choose(yes: bool) -> str:
    if yes:
        return "yes"
    return "no"


def never() -> None:
    print("never")
    print("ever")
'''
WHOLE = "SIGN = 1\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with backend/, the real counter and a test that takes one way of two."""
    for name, text in {
        "backend/__init__.py": "",
        "backend/choices.py": CHOOSES,
        "backend/whole.py": WHOLE,
        "backend/__main__.py": 'print("a process of its own")\n',
        "tests/__init__.py": "",
        "tests/covering.py": (ROOT / "tests/covering.py").read_text("utf-8"),
        "tests/test_choices.py": "from backend import choices, whole\n\n\ndef test_yes():\n"
        "    assert (choices.choose(True), whole.SIGN) == ('yes', 1)\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def counted(program: Path, *options: str) -> dict[str, Count]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.covering", "-p", "no:randomly", *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    clean["COVERAGE_DIR"] = "counts"
    done = subprocess.run(command, cwd=program, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read(program / "counts")


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_it_counts_what_a_test_reaches(program: Path, options: tuple[str, ...]) -> None:
    counts = counted(program, *options)
    assert {name: count.missing() for name, count in counts.items()} == {
        "backend/__init__.py": "",
        "backend/choices.py": "6, 10-11, 4->6",
        "backend/whole.py": "",
    }
    assert counts["backend/choices.py"].whole is False


def test_processes_are_added_up(tmp_path: Path) -> None:
    def part(name: str, executed: list[int], missing: list[int], taken: list[list[int]], not_: list[list[int]]) -> None:
        found = {
            "executed_lines": executed,
            "missing_lines": missing,
            "executed_branches": taken,
            "missing_branches": not_,
        }
        whole = {"meta": {"software": "slipcover", "branch_coverage": True}, "files": {"a.py": found}}
        (tmp_path / name).write_text(json.dumps(whole))

    part("1.json", [1, 2], [3, 4], [[2, 3]], [[2, 4], [4, 0]])
    part("2.json", [1, 3], [2, 4], [[2, 4]], [[2, 3], [4, 0]])
    assert read(tmp_path) == {"a.py": Count(4, 3, (4,), ((4, 0),))}


def test_nothing_counted_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run the tests with -p"):
        read(tmp_path)


SOME = {"a.py": Count(96, 4), "b.py": Count(4, 2, (2, 3, 4), ((1, 9),))}


@pytest.mark.parametrize(
    ("least", "whole", "missed"),
    [
        (97, ["a.py"], []),
        (97.5, [], ["MISSED lines: 97.0 %, less than 97.5 %"]),
        (0, ["b.py"], ["MISSED b.py is to be whole: 2-4, 1->9"]),
        (0, ["c.py"], ["MISSED c.py is not among the files"]),
    ],
)
def test_the_report_names_what_is_missing(least: float, whole: list[str], missed: list[str]) -> None:
    text, met = report(SOME, least, whole)
    assert text.splitlines() == ["b.py  25 %  2-4, 1->9", "lines 97.0 % of 100, branches 83.3 % of 6", *missed]
    assert met is (not missed)
