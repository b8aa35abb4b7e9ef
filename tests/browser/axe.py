"""What axe finds on a page, one line for each broken rule. Dev only: axe-core is not served."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})"
# Half faded in, everything lacks contrast.
STILL = """() => Promise.all(document.getAnimations()
  .filter(each => each.effect.getComputedTiming().endTime !== Infinity)
  .map(each => each.finished.catch(() => 0)))"""


def violations(page: Page) -> list[str]:
    """Run over the page as it is now; evaluated, since the CSP forbids a foreign script tag."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    page.evaluate(STILL)
    found: dict[str, Any] = page.evaluate(RUN, TAGS)
    return [_line(rule) for rule in found["violations"]]


def _line(rule: dict[str, Any]) -> str:
    node = rule["nodes"][0]
    checks = node["any"] or node["all"] or node["none"] or [{"message": ""}]
    place = f"{node['target']} {node['html'][:140]}"
    return f"{rule['id']} x{len(rule['nodes'])}: {place} | {checks[0]['message'][:160]}"
