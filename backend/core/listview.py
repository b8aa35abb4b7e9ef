"""What a template says about its list: columns and filters; components/list.html draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.text import number


@dataclass(frozen=True)
class Column:
    """`sort`: the parameter's value; `desc`: first click sorts down; `hidden`: a heading unseen."""

    label: str
    sort: str = ""
    cls: str = ""
    desc: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Filter:
    """A chip of the filter bar. `names` are the query parameters that it sets."""

    name: str
    label: str
    names: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    kind: str = "number"
    unit: str = ""

    def shown(self, on: Mapping[str, Any]) -> str:
        """What the chip says while the filter is on, else ""."""
        if self.options:
            value = on.get(self.name)
            return dict(self.options).get(str(value), str(value)) if value is not None else ""
        low, high = (self._value(on.get(name)) for name in self.names)
        if low and high:
            return f"{low}\u2013{high}{self.unit}"
        if low or high:
            return f"{'≥' if low else '≤'}\u00a0{low or high}{self.unit}"
        return ""

    def _value(self, value: Any) -> str:
        if value is None:
            return ""
        return number(value) if isinstance(value, int | float) else str(value)[:10]


def choice(name: str, label: str, options: Sequence[tuple[str, str]]) -> Filter:
    """One of some values: [(value, what a person reads), ...]; a boolean's are "true", "false"."""
    return Filter(name, label, (name,), tuple((str(value), text) for value, text in options))


def between(name: str, label: str, low: str, high: str, *, kind: str = "number", unit: str = "") -> Filter:
    """Two ends, each optional; kind "number" or "date"."""
    return Filter(name, label, (low, high), (), kind, unit)
