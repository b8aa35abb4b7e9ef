"""The Russian catalogue: `python -m scripts.messages extract|check`, `python -m scripts.messages fill FILE.json`.

extract  brings locales/ru/LC_MESSAGES/messages.po up to date with backend/ and templates/
fill     takes translations from a file: {"text": "перевод", "singular": ["1", "2", "5"]}
check    lists what is untranslated, fuzzy, stale or differs in its placeholders or tags
"""

import argparse
import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from jinja2.ext import extract_from_ast

from backend.core.templating import env

ROOT = Path(__file__).parents[1]
LOCALE = "ru"
FORMS = 3  # of a Russian plural: 1 урок, 2 урока, 5 уроков
PLAIN, PLURAL = {"_", "gettext", "N_"}, {"ngettext"}
HEADER = "# The Russian texts of Lyceum. The source is English; `make messages` updates this file."
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
TAG = re.compile(r"</?\w+")

Text = str | tuple[str, str]
"""A message id: the text, or singular and plural."""


@dataclass
class Source:
    """What the code says: texts with the files that use them, and calls that no tool can follow."""

    texts: dict[Text, set[str]] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def add(self, text: Text, path: str) -> None:
        self.texts.setdefault(text, set()).add(path)


def scan(root: Path) -> Source:
    source = Source()
    for path in sorted((root / "backend").rglob("*.py")):
        scan_python(path, path.relative_to(root).as_posix(), source)
    for path in sorted(found for kind in ("html", "txt") for found in (root / "templates").rglob(f"*.{kind}")):
        scan_template(path, path.relative_to(root).as_posix(), source)
    singulars = Counter(text if isinstance(text, str) else text[0] for text in source.texts)
    source.mistakes += [
        f"{singular!r} has two plurals, or stands with and without one"
        for singular, times in singulars.items()
        if times > 1
    ]
    return source


def scan_python(path: Path, name: str, source: Source) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func.id if isinstance(node.func, ast.Name) else ""
        count = 1 if function in PLAIN else 2 if function in PLURAL else 0
        arguments = node.args[:count]
        if any(isinstance(argument, ast.JoinedStr | ast.BinOp) for argument in arguments):
            source.mistakes.append(f"{name}:{node.lineno}: {function}() needs a plain string; fill it afterwards")
        elif text := _text([_constant(argument) for argument in arguments]):
            source.add(text, name)


def scan_template(path: Path, name: str, source: Source) -> None:
    tree = env.parse(path.read_text("utf-8"), filename=name)
    for _line, function, found in extract_from_ast(tree, [*PLAIN, *PLURAL]):
        parts: list[str | None] = [*found] if isinstance(found, tuple) else [found]
        if text := _text(parts[: 2 if function in PLURAL else 1]):
            source.add(text, name)


def _constant(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _text(parts: list[str | None]) -> Text | None:
    """None for a call whose text is a variable: N_() marks it elsewhere."""
    match parts:
        case [str(one)] if one:
            return one
        case [str(singular), str(plural)]:
            return singular, plural
    return None


def catalogue_path(root: Path) -> Path:
    return root / "locales" / LOCALE / "LC_MESSAGES" / "messages.po"


def read(root: Path) -> Catalog:
    path = catalogue_path(root)
    if not path.exists():
        return Catalog(locale=LOCALE)
    with path.open("rb") as file:
        return read_po(file, locale=LOCALE, ignore_obsolete=True)


def write(root: Path, catalogue: Catalog) -> None:
    """Sorted, with file names but neither line numbers nor dates: a change shows what changed."""
    buffer = BytesIO()
    write_po(buffer, catalogue, width=0, sort_output=True, ignore_obsolete=True, include_lineno=False)
    lines = buffer.getvalue().decode().splitlines(keepends=True)
    passing = ('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By', '"Last-Translator')
    kept = [line for line in lines if not line.startswith(passing)]
    path = catalogue_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(kept), "utf-8")


def extract(root: Path) -> list[str]:
    source, old = scan(root), read(root)
    new = Catalog(locale=LOCALE, header_comment=HEADER, project="Lyceum", fuzzy=False, charset="utf-8")
    for text, paths in source.texts.items():
        known = old.get(text if isinstance(text, str) else text[0])
        translated = known.string if known and known.id == text else None
        locations = [(path, 0) for path in sorted(paths)]
        new.add(text, translated, locations=locations)
    write(root, new)
    print(f"{len(new)} texts, {sum(not _complete(message) for message in new if message.id)} empty")
    return source.mistakes


def fill(root: Path, file: Path) -> list[str]:
    """Problems: translations of texts that nobody uses, or of the other kind."""
    catalogue = read(root)
    problems = []
    for singular, translation in json.loads(file.read_text("utf-8")).items():
        message = catalogue.get(singular)
        if message is None:
            problems.append(f"nobody uses {singular!r}")
        elif isinstance(translation, list) == message.pluralizable:
            message.string = tuple(translation) if message.pluralizable else translation
        else:
            problems.append(f"{singular!r} needs the other kind: plural or plain")
    write(root, catalogue)
    return problems


def check(root: Path) -> list[str]:
    source, catalogue = scan(root), read(root)
    messages = {message.id: message for message in catalogue if message.id}
    problems = list(source.mistakes)
    problems += [f"stale: {text!r}" for text in messages if text not in source.texts]
    for text, paths in sorted(source.texts.items(), key=lambda item: str(item[0])):
        message = messages.get(text)
        where = f"{text!r} ({min(paths)})"
        if message is None or not _complete(message):
            problems.append(f"untranslated: {where}")
        elif message.fuzzy:
            problems.append(f"fuzzy: {where}")
        else:
            problems += [f"{problem}: {where}" for problem in _differences(text, message)]
    return problems


def _forms(message: Message) -> tuple[str, ...]:
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(string)


def _complete(message: Message) -> bool:
    forms = _forms(message)
    return all(forms) and len(forms) == (FORMS if message.pluralizable else 1)


def _differences(text: Text, message: Message) -> Iterator[str]:
    # Russian's first form also serves 21: it needs the number that an English singular may omit.
    model = text if isinstance(text, str) else text[1]
    forms = _forms(message)
    for what, pattern in (("placeholders", PLACEHOLDER), ("tags", TAG)):
        wanted = Counter(pattern.findall(model))
        if any(Counter(pattern.findall(form)) != wanted for form in forms):
            yield f"other {what} in the translation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("extract")
    actions.add_parser("check")
    actions.add_parser("fill").add_argument("file", type=Path)
    chosen = parser.parse_args()
    match chosen.action:
        case "extract":
            problems = extract(ROOT)
        case "fill":
            problems = fill(ROOT, chosen.file)
        case _:
            problems = check(ROOT)
    print("\n".join(problems) or f"messages: {chosen.action} is done")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
