"""What a test has to tell in the table of `make prove`."""

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    long = {item.nodeid.partition("[")[0] for item in items if item.get_closest_marker("slow")}
    for item in items:
        if "figure" in getattr(item, "fixturenames", ()) and item.nodeid.partition("[")[0] not in long:
            item.add_marker(pytest.mark.figures)


class Figure(Protocol):
    def __call__(self, threat: str, what: str, measured: float, goal: str, of: int | None = None) -> None: ...


PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Iterator[Figure]:
    """Notes a number for the table of scripts/prove: a line of LYCEUM_FIGURES, if the test passes."""
    noted: list[dict[str, object]] = []

    def note(threat: str, what: str, measured: float, goal: str, of: int | None = None) -> None:
        told = {"threat": threat, "what": what, "measured": measured, "goal": goal, "of": of}
        database = "PostgreSQL" if os.environ.get("TEST_DATABASE_URL") else "SQLite"
        noted.append(told | {"database": database, "test": request.node.nodeid.partition("[")[0]})

    yield note
    path = os.environ.get("LYCEUM_FIGURES")
    if path and request.node.stash.get(PASSED, False):
        with Path(path).open("ab", buffering=0) as file:  # several processes append to it, a write each
            file.write("".join(f"{json.dumps(line)}\n" for line in noted).encode())
