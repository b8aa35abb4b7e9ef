"""Pytest inside this process: tests that were collected once, run one by one in forks."""

from collections.abc import Callable, Iterable, Sequence

import pytest
from _pytest.runner import runtestprotocol

from scripts.mutants.forking import Tell

# Without what reorders and distributes tests: here this is done by us, and the clock is the parent's. What is imported
# beforehand is not rewritten, and need not be.
OPTIONS = (
    "-s", "-p", "no:randomly", "-p", "no:xdist", "-o", "timeout=0", "-o", "tmp_path_retention_policy=failed",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
Loop = Callable[[list[pytest.Item]], None]


class Session:
    """A plugin: instead of running what was collected, `loop` decides."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("some tests cannot be imported")
        self._loop(session.items)
        return True


def collected(places: Iterable[str], folder: str, loop: Loop) -> int:
    """Pytest's exit code."""
    arguments = [*places, *OPTIONS, "-m", "not slow and not browser", f"--basetemp={folder}"]
    return int(pytest.main(arguments, plugins=[Session(loop)]))


def warm(items: Sequence[pytest.Item]) -> None:
    """Runs one test, whose session fixtures stay: the migrated database that all others copy."""
    first = next(item for item in items if "template_database" in getattr(item, "fixturenames", ()))
    other = next(item for item in items if _room(item) != _room(first))
    if any(report.failed for report in runtestprotocol(first, log=False, nextitem=other)):
        raise RuntimeError(f"{first.nodeid} fails without any change")


def _room(item: pytest.Item) -> str:
    return item.nodeid.split("/")[1]


def passes(item: pytest.Item, following: pytest.Item | None) -> bool | None:
    """None: it was skipped."""
    reports = runtestprotocol(item, log=False, nextitem=following)
    if any(report.failed for report in reports):
        return False
    return None if any(report.skipped for report in reports) else True


def try_all(items: Sequence[pytest.Item], limits: Sequence[float], tell: Tell) -> None:
    """Up to the first that fails: ("killed", its id), else ("survived", how many were tried)."""
    for index, item in enumerate(items):
        tell("next", limits[index])
        following = items[index + 1] if index + 1 < len(items) else None
        if passes(item, following) is False:
            tell("killed", item.nodeid)
            return
    tell("survived", len(items))
