"""From the text of a cell to what a schema reads; what cannot be read is left for the schema to refuse."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

from pydantic import AwareDatetime, BaseModel

from backend.core.text import zone

YES = frozenset({"да", "д", "истина", "+", "yes", "y", "true", "t", "on", "1"})
NO = frozenset({"нет", "н", "ложь", "no", "n", "false", "f", "off", "0"})
GAPS = re.compile(r"[\s\u00a0\u2009\u202f]+")
DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:,?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}.*)?")
UNREAD = "-"


def _types(schema: type[BaseModel], name: str) -> set[Any]:
    annotation = schema.model_fields[name].annotation
    parts = get_args(annotation) or (annotation,)
    return {getattr(part, "__origin__", part) for part in parts}


def readers(schema: type[BaseModel], timezone: str) -> dict[str, Callable[[str], Any]]:
    """How the text of each field is read."""

    def moment(text: str) -> Any:
        return _moment(text, timezone)

    found: dict[str, Callable[[str], Any]] = {}
    for name in schema.model_fields:
        types = _types(schema, name)
        if bool in types:
            found[name] = _flag
        elif types & {datetime, AwareDatetime}:
            found[name] = moment
        elif int in types:
            found[name] = _whole
        else:
            found[name] = _text
    return found


def _text(text: str) -> str:
    return text.replace("\r\n", "\n")


def _whole(text: str) -> str:
    return GAPS.sub("", text).removesuffix("★").removesuffix("%")


def _flag(text: str) -> Any:
    folded = text.casefold()
    return True if folded in YES else False if folded in NO else text


def _moment(text: str, timezone: str) -> Any:
    """A moment of ISO 8601 or 31.12.2026 18:00; without a zone it is on the clock of whoever imports."""
    try:
        if day := DAY.fullmatch(text):
            date, month, year, hour, minute, second = (int(part or 0) for part in day.groups())
            found = datetime(year, month, date, hour, minute, second)  # noqa: DTZ001 - the zone follows
        elif MOMENT.fullmatch(text):
            found = datetime.fromisoformat(text)
        else:
            return UNREAD
        return found.replace(tzinfo=zone(timezone)) if found.tzinfo is None else found
    except (ValueError, OverflowError):
        return UNREAD
