"""Debian's Chromium for the tests, if it can be without the browser around the page, which costs half of its time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def found() -> str:
    names = (os.environ.get("CHROMIUM", ""), *NAMES)
    path = next((path for name in names if name and (path := shutil.which(name))), None)
    assert path, "Chromium is not installed: scripts/chromium.sh installs it"
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(), args=ARGUMENTS)
        yield browser
        browser.close()
