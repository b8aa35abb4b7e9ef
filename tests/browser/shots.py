"""Pictures of pages, wide and on a phone, in the light and in the dark; with `--axe` also what axe finds.

    python -m tests.browser.shots --out /tmp/shots [--axe] [--cookie lyceum=...] http://127.0.0.1:8000/dashboard/ ...
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
SIZES = {"1440": (1440, 900), "375": (375, 812)}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def audit(page: Page) -> list[str]:
    """One line for each rule that axe finds broken, with the first places."""
    # evaluate, not a script tag: the page's own CSP forbids those, and it should.
    await page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = await page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", TAGS
    )
    return [
        f"{rule['id']} x{len(rule['nodes'])}: {rule['nodes'][0]['target']} {rule['nodes'][0]['html'][:140]}"
        f" | {(rule['nodes'][0].get('any') or rule['nodes'][0].get('all') or [{'message': ''}])[0]['message'][:160]}"
        for rule in found["violations"]
    ]


async def shoot(browser: Browser, url: str, options: argparse.Namespace) -> int:
    problems = 0
    for size, (width, height) in SIZES.items():
        for theme in ("light", "dark"):
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,  # type: ignore[arg-type] # both are of its literals
                java_script_enabled=True,
            )
            for cookie in options.cookie:
                name, _sep, value = cookie.partition("=")
                await context.add_cookies([{"name": name, "value": value, "url": url}])
            page = await context.new_page()
            page.on("console", lambda message: message.type in ("error", "warning") and print("  console:", message.text[:200]))
            page.on("pageerror", lambda error: print("  error:", error))
            await page.goto(url, wait_until="networkidle")
            name = re.sub(r"\W+", "-", url.split("://", 1)[1].partition("/")[2]).strip("-") or "root"
            await page.screenshot(path=options.out / f"{name}-{size}-{theme}.png", full_page=options.full)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                print(f"  {url} {size}: {wide} px too wide")
                problems += 1
            for line in await audit(page) if options.axe else []:
                print(f"  {url} {size} {theme}: {line}")
                problems += 1
            await context.close()
    return problems


async def run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        problems = sum([await shoot(browser, url, options) for url in options.urls])
        await browser.close()
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("/tmp/shots"))
    parser.add_argument("--axe", action="store_true")
    parser.add_argument("--full", action="store_true", help="the whole page, not the first screen")
    parser.add_argument("--cookie", action="append", default=[], help="name=value")
    return 1 if asyncio.run(run(parser.parse_args())) else 0


if __name__ == "__main__":
    sys.exit(main())
