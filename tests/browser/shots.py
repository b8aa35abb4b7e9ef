"""Pictures of pages, wide and on a phone, light and dark; with `--axe` also what axe finds.

python -m tests.browser.shots --out /tmp/shots [--axe] [--cookie lyceum=...] URL...
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.browser.axe import violations
from tests.browser.chromium import chromium

SIZES = {"1440": (1440, 900), "375": (375, 812), "320": (320, 700)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def problems(page: Page, *, axe: bool) -> Iterator[str]:
    if (wide := page.evaluate(TOO_WIDE)) > 0:
        yield f"{wide} px too wide"
    if axe:
        yield from violations(page)


def shoot(browser: Browser, url: str, options: argparse.Namespace) -> int:
    """Saves `<path>-<width>-<theme>.png`; the number of problems found."""
    path = re.sub(r"\W+", "-", url.split("://", 1)[1].partition("/")[2]).strip("-") or "root"
    origin, found = "/".join(url.split("/", 3)[:3]), 0
    for size in options.sizes.split(","):
        width, height = SIZES[size]
        for theme in THEMES:
            view = {"width": width, "height": height}
            context = browser.new_context(viewport=view, color_scheme=theme)  # type: ignore[arg-type] # ViewportSize
            for cookie in options.cookie:
                name, _sep, value = cookie.partition("=")
                context.add_cookies([{"name": name, "value": value, "url": origin}])
            page = context.new_page()
            page.on("console", _heard)
            page.goto(url, wait_until="networkidle")
            page.screenshot(path=options.out / f"{path}-{size}-{theme}.png", full_page=options.full)
            for line in problems(page, axe=options.axe):
                _say(f"{url} {size} {theme}: {line}")
                found += 1
            context.close()
    return found


def _heard(said: ConsoleMessage) -> None:
    if said.type == "error":
        _say(said.text[:200])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("shots"))
    parser.add_argument("--sizes", default="1440,375", help="of 1440, 375 and 320")
    parser.add_argument("--axe", action="store_true")
    parser.add_argument("--full", action="store_true", help="the whole page, not the first screen")
    parser.add_argument("--cookie", action="append", default=[], help="name=value")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        found = sum(shoot(browser, url, options) for url in options.urls)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
