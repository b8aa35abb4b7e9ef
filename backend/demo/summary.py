"""What became of the demo data, and where its rows are remembered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backend.core.i18n import _

KEY = "demo"  # of table `settings`
SCHOOL = {"name": "Свет из окна"}  # what the demo school is called, until someone names theirs
Ranges = list[list[int]]


@dataclass(frozen=True)
class Summary:
    """`rows`: table -> rows written or deleted. `kept`: sentences about what stays and why.

    Both empty: there was nothing to do.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For a terminal, in the current language."""
        counts = [f"{table}: {number}" for table, number in self.rows.items()]
        return [", ".join(counts) or _("Nothing to do."), *self.kept]


def to_ranges(ids: Iterable[int]) -> Ranges:
    """[1, 2, 3, 7] -> [[1, 3], [7, 7]]"""
    ranges: Ranges = []
    for row_id in sorted(ids):
        if ranges and ranges[-1][1] == row_id - 1:
            ranges[-1][1] = row_id
        else:
            ranges.append([row_id, row_id])
    return ranges


def from_ranges(ranges: Ranges) -> set[int]:
    return {row_id for first, last in ranges for row_id in range(first, last + 1)}
