"""The arithmetic behind the server-rendered charts (components/figures.html)."""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TypeVar

T = TypeVar("T")


def line_path(values: Sequence[float], width: float, height: float, top: float | None = None) -> str:
    """An SVG path through the values; from zero to `top`, else from the smallest to the largest."""
    if len(values) == 1:
        values = [values[0], values[0]]
    if not values:
        return "M0 0"
    low = 0 if top is not None else min(values)
    high = top if top is not None else max(values)
    step, scale = width / (len(values) - 1), height / ((high - low) or 1)
    points = (f"{_short(at * step)} {_short(height - (value - low) * scale)}" for at, value in enumerate(values))
    return "M" + " ".join(points)


def nice_top(*series: Sequence[float]) -> int:
    """The top of an axis of three parts: the smallest round number that is not below any value."""
    largest = max((value for values in series for value in values), default=0)
    if largest <= 3:  # noqa: PLR2004 - three parts, so three is the least that has whole marks
        return 3
    step = int(10 ** floor(log10(largest / 3)))
    halves = (2, 3, 4, 6, 8, 10, 20) if step > 1 else (2, 4, 6, 8, 10, 20)
    return next(3 * step * half // 2 for half in halves if 3 * step * half // 2 >= largest)


def sparse(labels: Sequence[T], most: int) -> list[T]:
    """At most `most` labels, evenly chosen, the first and the last among them."""
    if len(labels) <= most:
        return list(labels)
    gap = (len(labels) - 1) / (most - 1)
    return [labels[ceil(at * gap - 0.5)] for at in range(most)]


def _short(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
