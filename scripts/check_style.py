"""The style budgets that no other tool knows: sizes, reasons for opt-outs, what the CSP allows.

python scripts/check_style.py        prints path:line: what is wrong, and ends with 1 if anything is
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("backend", "benchmarks", "migrations", "scripts", "static", "templates", "tests")
FOREIGN = ("static/vendor/", "tests/vendor/")
LETTERS = "templates/letters/"  # no CSP in a mail program, and no style but an inline one
FUNCTION_LINES, FUNCTION_LINES_P95 = 60, 40
FILE_LINES = {".py": 400, ".js": 400, ".css": 400, ".html": 120}

MIGRATION = re.compile(r"\d{4}-\d{2}-\d{2}-\d{4}_[a-z0-9_]+\.py")
OPT_OUT = re.compile(r"#\s*(ruff:|noqa|type:\s*ignore|pragma:\s*no)", re.IGNORECASE)
REASONED = re.compile(
    r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ignore\[[\w, -]+\]|pragma: no (cover|branch))"
    r"\s+(-|#)\s*\w+.{4,}"
)
JINJA_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
TEMPLATE_SINS = {
    re.compile(r"\shx-on[:\s=-]", re.IGNORECASE): "hx-on needs eval, which the CSP forbids",
    re.compile(r"[\"'\s](javascript|js):", re.IGNORECASE): "js: needs eval, which the CSP forbids",
    re.compile(r"\shx-trigger=[\"'][^\"']*\[", re.IGNORECASE): "an event filter needs eval (CSP)",
    re.compile(r"\sstyle\s*=", re.IGNORECASE): "an inline style: the CSP drops it, use a class",
    re.compile(r"<style\b", re.IGNORECASE): "an inline <style>: the CSP drops it",
    re.compile(r"\son[a-z]+\s*=", re.IGNORECASE): "an inline event handler: bind it in static/js",
    re.compile(r"<script\b(?![^>]*\b(src=|type=[\"']application/(ld\+)?json))", re.IGNORECASE): (
        "an inline <script>: the CSP drops it, use a module in static/js"
    ),
    re.compile(r"<(script|link|img)\b[^>]*(src|href)=[\"'](https?:)?//", re.IGNORECASE): (
        "a file from another host: put it into static/vendor"
    ),
    re.compile(
        r"\shx-(vars|params|prompt|ext|disinherit|inherit|request|history|history-elt"
        r"|disabled-elt)\s*="
    ): "an attribute of htmx 2 that htmx 4 does not know",
    re.compile(r"\s(sse-(connect|swap|close)|ws-(connect|send))\s*="): ("an attribute of htmx 2: write hx-sse:connect"),
}
SAFE = re.compile(r"\|\s*safe\b|\{%-?\s*autoescape\s+false")
SCRIPT_SINS = {
    re.compile(r"htmx:[a-z]+[A-Z]"): "an event name of htmx 2: write htmx:after:swap",
    re.compile(r"htmx\.(addClass|closest|defineExtension|logAll|off|remove|toggleClass)\b"): ("a function of htmx 2"),
    re.compile(r"\b(eval|Function)\("): "eval, which the CSP forbids",
    re.compile(r"HX-Trigger-After-(Swap|Settle)"): "a header of htmx 2",
}


CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
CLASS = re.compile(r"\.ly-[\w-]+")


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """Our own Python, templates, scripts and styles, with their path in the project."""
    found = [*root.glob("*.py")]
    for room in ROOMS:
        found += (root / room).rglob("*")
    for path in sorted(found):
        name = path.relative_to(root).as_posix()
        if path.suffix in FILE_LINES and path.is_file() and not name.startswith(FOREIGN):
            yield name, path


def check(root: Path) -> list[str]:
    problems: list[str] = []
    lengths: list[int] = []
    safe: list[str] = []
    for name, path in files(root):
        text = path.read_text("utf-8")
        lines = text.count("\n")
        if lines > (budget := FILE_LINES[path.suffix]):
            problems.append(f"{name}:1: {lines} lines, the budget is {budget}: make it two files")
        if path.suffix == ".py":
            problems += opt_outs(name, text)
            # A migration is one long list of statements, written once.
            functions = [] if name.startswith("migrations/") else list(function_lengths(text))
            lengths += [length for _, _, length in functions]
            problems += [
                f"{name}:{line}: {function} has {length} lines, the budget is {FUNCTION_LINES}"
                for function, line, length in functions
                if length > FUNCTION_LINES
            ]
        elif path.suffix == ".html":
            text = blanked(JINJA_COMMENT, text)
            if not name.startswith(LETTERS):
                problems += sins(name, blanked(JINJA, text), TEMPLATE_SINS)
            safe += [f"{name}:{line_of(text, found)}" for found in SAFE.finditer(text)]
        if path.suffix == ".js" or name.startswith("backend/"):
            problems += sins(name, text, SCRIPT_SINS)
    problems += [f"{place}: |safe, which one place alone may use ({safe[0]})" for place in safe[1:]]
    return [*problems, *undated(root), *claimed_twice(root), *spread(lengths)]


def sins(name: str, text: str, catalogue: dict[re.Pattern[str], str]) -> Iterator[str]:
    for pattern, message in catalogue.items():
        for found in pattern.finditer(text):
            yield f"{name}:{line_of(text, found)}: {message}"


def blanked(pattern: re.Pattern[str], text: str) -> str:
    """The text without what matches, its lines still numbered as before."""
    return pattern.sub(lambda found: "\n" * found[0].count("\n"), text)


def line_of(text: str, found: re.Match[str]) -> int:
    # A pattern may begin with the white space before an attribute.
    start = found.start() + len(found[0]) - len(found[0].lstrip())
    return text.count("\n", 0, start) + 1


def opt_outs(name: str, text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and OPT_OUT.search(token.string):
            # One comment may hold two of them, each with its reason.
            for part in re.split(r"(?=#\s*(?:noqa|type:|pragma:))", token.string):
                if OPT_OUT.search(part) and not REASONED.search(part):
                    yield (
                        f"{name}:{token.start[0]}: an opt-out needs a code and a reason:"
                        " # noqa: S104 - why, or # type: ignore[arg-type] # why"
                    )


def function_lengths(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, first line and number of lines of each function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def undated(root: Path) -> Iterator[str]:
    for path in sorted((root / "migrations" / "versions").glob("*.py")):
        if not MIGRATION.fullmatch(path.name) and path.name != "__init__.py":
            yield f"migrations/versions/{path.name}:1: write 2026-11-21-1030_create_lessons.py"


def claimed_twice(root: Path) -> Iterator[str]:
    """A class that two files of styles each describe as theirs: the later one dresses the other's element too."""
    owner: dict[str, str] = {}
    for path in sorted((root / "static" / "css").glob("*.css")):
        name, depth = path.relative_to(root).as_posix(), 0
        text = blanked(CSS_COMMENT, path.read_text("utf-8"))
        for found in re.finditer(r"([^{};]*)([{}])", text):
            rule = found[1].strip()
            if depth == 1 and found[2] == "{" and CLASS.fullmatch(rule) and owner.setdefault(rule, name) != name:
                yield f"{name}:{line_of(text, found)}: {rule} is a class of {owner[rule]} already"
            depth += 1 if found[2] == "{" else -1


def spread(lengths: list[int]) -> Iterator[str]:
    if lengths:
        p95 = sorted(lengths)[int(len(lengths) * 0.95)]
        if p95 > FUNCTION_LINES_P95:
            yield (f"one function in twenty has {p95} lines or more, the budget is {FUNCTION_LINES_P95}")


def main() -> int:
    problems = check(ROOT)
    print("\n".join(problems) or "style: within the budgets")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
