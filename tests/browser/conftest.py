"""The whole school as a person starts it (`python -m backend.cli serve`), and a browser in front of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect

from backend.sandbox.testing import free_port, served
from tests.browser.chromium import chromium

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
expect.set_options(timeout=15_000)


@dataclass
class School:
    """A running school: its address, the one-time link that its start printed, its folder."""

    url: str
    link: str
    folder: Path


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    folder = tmp_path_factory.mktemp("school")
    port = free_port()
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"API_PORT": str(port), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "REGISTRATION": "1"}
    output = folder / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve"], cwd=folder, env=environment, stdout=sink, stderr=sink
        )
    try:
        yield School(f"http://127.0.0.1:{port}", _printed_link(process, output), folder)
    finally:
        process.send_signal(signal.SIGTERM)
        # uvicorn ends by the signal itself once it has closed everything.
        assert process.wait(30) in (0, -signal.SIGTERM), output.read_text()[-3000:]


def _printed_link(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        text = output.read_text(errors="replace")
        link = re.search(r"http://\S+/enter/\S+", text)
        if link and "startup complete" in text:
            return link.group()
        assert process.poll() is None, text
        time.sleep(0.1)
    raise AssertionError(f"the school did not start: {output.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with its module: Playwright's event loop must not run under the tests of others."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A clean browser profile in English; a script error or a refused resource fails the test.

    A failed test leaves a picture of where it stood in its tmp_path.
    """
    failed_before = request.session.testsfailed
    context = browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    if request.session.testsfailed > failed_before:
        page.screenshot(path=tmp_path / "failed.png")
    context.close()
    assert problems == []


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """The app of the test itself, over real HTTP: cheaper than a school, and its rows are the test's own."""
    with served(app) as origin:
        yield origin


@pytest.fixture
def context(browser: Browser, url: str, admin: TestClient) -> Iterator[BrowserContext]:
    """A browser in which the admin of `url` is signed in."""
    context = browser.new_context(base_url=url, locale="en-GB", viewport={"width": 1440, "height": 1000})
    context.add_cookies([{"name": "lyceum", "value": admin.cookies["lyceum"], "url": url}])
    context.set_default_timeout(8000)
    yield context
    context.close()
