"""Counts the lines and branches of backend/ that tests reach: `pytest -p tests.covering`, with COVERAGE_DIR set.

slipcover takes a probe out of the bytecode once it has been reached often enough: this costs a fifth of what tracing
does. Each process writes a file of its own at its end; `scripts/covered.py` adds them up.
"""

import json
import os
from pathlib import Path

import pytest
import slipcover

ROOT = Path(__file__).parents[1]
ENTRIES = ("backend/__main__.py", "backend/*/__main__.py")  # they run in processes of their own
EXCLUDED = ("if TYPE_CHECKING:", "raise NotImplementedError", r"^\s*\.\.\.$", r"assert_never\(")

counter = slipcover.Slipcover(branch=True, source=[str(ROOT / "backend")], omit=list(ENTRIES), exclude_also=EXCLUDED)
# From here on: pytest loads this before any conftest.py, and with it before any module of the program.
matcher = slipcover.FileMatcher(sources=[ROOT / "backend"], omit=[str(ROOT / entry) for entry in ENTRIES])
slipcover.ImportManager(counter, matcher).__enter__()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = Path(os.environ["COVERAGE_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    (folder / f"{os.getpid()}-{worker}.json").write_text(json.dumps(counter.get_coverage()), "utf-8")
