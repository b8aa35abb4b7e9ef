"""How a file is read, and what one of its rows would do."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SKIPPED = "-"  # the field of a column that is not read
# What our own export puts before a text that a spreadsheet would run.
GUARDED = re.compile(r"'(?=[=+\-@\t\r\n\0＝＋－＠])")
Key = str | int


@dataclass(frozen=True)
class Plan:
    """How a file is read: which field each of its columns is, what tells records apart, whether empty cells empty."""

    columns: Sequence[str]
    key: str
    clears: bool = False
    timezone: str = "UTC"

    @cached_property
    def places(self) -> Mapping[str, int]:
        return {name: at for at, name in enumerate(self.columns) if name != SKIPPED}

    def texts(self, cells: Sequence[str]) -> dict[str, str]:
        """The mapped cells; "" for what is empty."""
        found = {name: cells[at] if at < len(cells) else "" for name, at in self.places.items()}
        return {name: GUARDED.sub("", text, count=1).strip() for name, text in found.items()}


@dataclass
class Verdict:
    """`values`: what is to be written."""

    state: str
    record: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    words: str | None = None


@dataclass
class Seen:
    """What the rows before have taken: keys and e-mails."""

    keys: dict[Key, int] = field(default_factory=dict)
    others: dict[Key, int] = field(default_factory=dict)
