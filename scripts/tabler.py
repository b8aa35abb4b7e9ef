"""Makes static/css/10-tabler.css: the part of Tabler that Lyceum uses, in the lowest cascade layer.

`python scripts/tabler.py build` writes it from static/vendor/tabler.min.css; `check` (a test runs
it too) says whether it is what `build` would write and whether a template uses a class of Tabler
that it leaves out. To use a new one, add it to KEEP and build again. The whole of Tabler weighs
79 KB compressed, this part about a tenth.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "static" / "vendor" / "tabler.min.css"
TARGET = ROOT / "static" / "css" / "10-tabler.css"
HEAD = """/* Made by scripts/tabler.py from Tabler 1.6.1 (MIT, static/vendor/licenses).
   Do not edit: change KEEP there and build. */
"""
LINE = 240

# Regular expressions over whole class names.
KEEP = re.compile(
    r"btn|btn-(primary|danger|icon|sm|ghost|link)"
    r"|card|card-(header|body|footer|title)"
    r"|table|badge|alert"
    r"|form-(label|control|select|hint|check|check-input|check-label|switch)"
    r"|is-invalid|invalid-feedback|required"
    r"|visually-hidden|visually-hidden-focusable"
    r"|d-(none|block|inline|inline-block|flex|inline-flex|grid|print-none)"
    r"|flex-(fill|row|column|wrap|nowrap|grow-1|shrink-0)"
    r"|align-(items|self)-(start|center|end|baseline|stretch)|align-(top|middle|bottom)"
    r"|justify-content-(start|center|end|between)"
    r"|gap-[0-5]|[mp][tbsexy]?-[0-5]|m[tbsexy]?-auto"
    r"|[wh]-(25|50|75|100|auto)|(min-)?v[wh]-100"
    r"|text-(start|center|end|nowrap|break|wrap|truncate)"
    r"|text-(reset|secondary|muted|uppercase|decoration-none)"
    r"|fw-(normal|medium|semibold|bold)|fs-[1-6]|fst-italic|font-monospace|lh-(1|sm|base)"
    r"|bg-(surface|transparent)|border|border-(0|top|bottom|start|end|top-0|bottom-0)"
    r"|rounded|rounded-[0-3]|overflow-(auto|hidden|visible|scroll)"
    r"|position-(static|relative|absolute|fixed|sticky)|sticky-top|order-(first|last|[0-5])"
    r"|list-unstyled|list-inline|opacity-(0|25|50|75|100)|user-select-(all|none)|pe-none"
    r"|object-(fit-)?(cover|contain)|img-fluid|lead|small"
)
NAME = re.compile(r"\.((?:[\w-]|\\.)+)")


def build(source: str) -> str:
    """The kept rules, one per line; custom properties that nothing reads any more are dropped."""
    source = re.sub(r"/\*.*?\*/", "", source.removeprefix('@charset "UTF-8";'), flags=re.DOTALL)
    kept = list(_kept(source))
    text = _without_unused_keyframes(kept)
    while (smaller := _without_unused_properties(text)) != text:
        text = smaller
    return HEAD + "@layer tabler {\n" + "\n".join(_packed(text.split("\n"))) + "\n}\n"


def _packed(rules: list[str]) -> Iterator[str]:
    """Some rules a line: neither one endless line nor a thousand short ones."""
    line = ""
    for rule in rules:
        if len(line) > LINE:
            yield line
            line = ""
        line += rule
    yield line


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """(prelude, body) of each rule at the top level; statements without a block are skipped."""
    start = 0
    while start < len(css):
        opening, semicolon = css.find("{", start), css.find(";", start)
        if opening < 0:
            return
        if 0 <= semicolon < opening:
            start = semicolon + 1
            continue
        end = _closing(css, opening)
        yield css[start:opening].strip(), css[opening + 1 : end]
        start = end + 1


def _closing(css: str, opening: int) -> int:
    depth, quote, at = 0, "", opening
    while at < len(css):
        char = css[at]
        if char == "\\":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return at
        at += 1
    raise ValueError("unbalanced braces")


def _kept(css: str) -> Iterator[str]:
    for prelude, body in _rules(css):
        if prelude.startswith(("@media", "@supports")):
            inner = "".join(_kept(body))
            if inner:
                yield f"{prelude}{{{inner}}}"
        elif prelude.startswith("@"):
            yield f"{prelude}{{{body}}}"
        else:
            selectors = [selector for selector in _split(prelude) if _wanted(selector)]
            if selectors and body.strip():
                yield f"{','.join(selectors)}{{{body}}}"


def _split(prelude: str) -> list[str]:
    parts, depth = [""], 0
    for char in prelude:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _wanted(selector: str) -> bool:
    # Dark and light come from our tokens, which also follow the system; Tabler's switch is unused.
    if "-theme" in selector or "#" in selector or re.search(r"\[(class|data-)", selector):
        return False
    if ":root" in selector and NAME.search(selector):
        return False
    return all(KEEP.fullmatch(name.replace("\\", "")) for name in NAME.findall(selector))


def _without_unused_keyframes(rules: list[str]) -> str:
    text = "\n".join(rule for rule in rules if not rule.startswith("@"))
    media = "\n".join(rule for rule in rules if rule.startswith(("@media", "@supports")))
    used = set(re.findall(r"animation(?:-name)?:[^;}]*?([a-z-]+)", text + media))
    frames = [rule for rule in rules if rule.startswith("@keyframes") and rule.split("{")[0].split()[1] in used]
    return "\n".join([text, media, *frames]).strip()


def _without_unused_properties(text: str) -> str:
    used = set(re.findall(r"var\((--[\w-]+)", text)) | OURS
    text = re.sub(
        r"(--[\w-]+):(?:\"[^\"]*\"|'[^']*'|url\([^)]*\)|[^;{}\"'])*;?",
        lambda match: match[0] if match[1] in used else "",
        text,
    )
    return re.sub(r"(?m)^(?:@[^{}]+\{)?[^{}@\n]+\{\}\}?\n?", "", text)


def _ours() -> set[str]:
    sheets = [path for path in TARGET.parent.glob("*.css") if path != TARGET]
    return {name for sheet in sheets for name in re.findall(r"var\((--tblr-[\w-]+)", sheet.read_text("utf-8"))}


OURS = _ours()


def missing(built: str, source: str) -> dict[str, str]:
    """Tabler's classes that a template names but the built file lacks -> that template."""
    known = {name.replace("\\", "") for name in NAME.findall(source)}
    have = {name.replace("\\", "") for name in NAME.findall(built)}
    ours = {
        name
        for sheet in TARGET.parent.glob("*.css")
        if sheet != TARGET
        for name in NAME.findall(sheet.read_text("utf-8"))
    }
    found = {}
    for template in sorted((ROOT / "templates").rglob("*.html")):
        for classes in re.findall(r'class="([^"]*)"', re.sub(r"\{[{%].*?[%}]\}", " ", template.read_text("utf-8"))):
            for name in classes.split():
                if name in known - have - ours:
                    found[name] = template.relative_to(ROOT).as_posix()
    return found


def main(verb: str = "check") -> int:
    source = SOURCE.read_text("utf-8")
    built = build(source)
    if verb == "build":
        TARGET.write_text(built, "utf-8")
    elif not TARGET.exists() or TARGET.read_text("utf-8") != built:
        print("static/css/10-tabler.css is out of date: run `python scripts/tabler.py build`")
        return 1
    lacking = missing(built, source)
    for name, template in lacking.items():
        print(f"{template}: Tabler's class `{name}` is not kept: add it to KEEP in scripts/tabler.py and build")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
