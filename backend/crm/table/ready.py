"""Columns that many tables have."""

from backend.core.i18n import N_
from backend.crm.table import cells
from backend.crm.table.declare import Column

QUIET = "is-end ly-quiet ly-sm"


def when(name: str, label: str, cls: str = "ly-col-lg", *, sort: bool = True, hidden: bool = False) -> Column:
    """A moment, told as how long ago; the latest first."""
    return Column(name, label, cells.ago(name), f"{QUIET} {cls}", name if sort else "", desc=True, hidden=hidden)


CREATED = when("created_at", N_("Created"))
CHANGED = when("updated_at", N_("Changed"), sort=False, hidden=True)
NUMBER = Column("id", N_("Number"), cells.number("id"), f"{QUIET} ly-num ly-col-lg", "id", hidden=True)
