"""Russian and English. English is the source language; the Russian catalogue is read from its .po file at start."""

import json
import re
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations, c2py
from pathlib import Path
from typing import Any

LANGUAGES = ("ru", "en")
DEFAULT_LANGUAGE = "en"
LOCALES = Path(__file__).parents[2] / "locales"

FIELD = re.compile(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?) ((?:".*"\n?)+)', re.MULTILINE)
FUZZY = re.compile(r"^#,.*\bfuzzy\b", re.MULTILINE)
PLURAL = re.compile(r"plural=([^;]+);")

current_language: ContextVar[str] = ContextVar("current_language", default=DEFAULT_LANGUAGE)


class Catalogue(GNUTranslations):
    """Reads a .po file as it is; Babel, which can compile it, would keep 8 MB of other languages' data for that."""

    def _parse(self, fp: Any) -> None:
        self._catalog: dict[str | tuple[str, int], str] = {}
        for entry in fp.read().split("\n\n"):
            found = {name: "".join(map(json.loads, lines.splitlines())) for name, lines in FIELD.findall(entry)}
            message = found.get("msgid")
            if message == "":
                self.plural = c2py(PLURAL.findall(found["msgstr"])[0])
            elif message and not FUZZY.search(entry):
                self._catalog |= {key: form for key, form in _forms(found) if form}


def _forms(entry: dict[str, str]) -> Iterator[tuple[str | tuple[str, int], str]]:
    if "msgid_plural" not in entry:
        yield entry["msgid"], entry["msgstr"]
        return
    for at in range(len(entry) - 2):
        yield (entry["msgid"], at), entry[f"msgstr[{at}]"]


@cache
def translations(language: str) -> NullTranslations:
    """The catalogue of a language; the source language needs none."""
    po = LOCALES / language / "LC_MESSAGES" / "messages.po"
    if not po.exists():
        return NullTranslations()
    with po.open(encoding="utf-8") as source:
        return Catalogue(source)  # type: ignore[arg-type] # text is what we read


def gettext(message: str) -> str:
    return translations(current_language.get()).gettext(message)


def ngettext(singular: str, plural: str, n: int) -> str:
    return translations(current_language.get()).ngettext(singular, plural, n)


def N_(message: str) -> str:  # noqa: N802 - the name that gettext tools know
    """Marks a message that is translated later, where it is shown."""
    return message


_ = gettext


@lru_cache(maxsize=100)
def negotiate(accept_language: str | None) -> str:
    """The best of our languages for an Accept-Language header (RFC 9110, 12.5.4)."""
    best, best_quality = DEFAULT_LANGUAGE, 0.0
    for part in (accept_language or "")[:200].split(","):
        tag, _sep, rest = part.strip().partition(";")
        language = tag.split("-")[0].lower()
        quality = _quality(rest)
        if language in LANGUAGES and quality > best_quality:
            best, best_quality = language, quality
    return best


def _quality(parameter: str) -> float:
    name, _sep, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
