"""Where the desk is, and how it says how long someone has waited."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.core import clock
from backend.core.i18n import _, ngettext

PREFIX = "/dashboard/tickets"
LIST_URL = PREFIX + "/"
HOUR, DAY = 60, 24 * 60  # minutes
LATE, LONG = timedelta(hours=24), timedelta(hours=1)


@dataclass(frozen=True)
class Wait:
    """How long someone has waited. `kind` colours the badge."""

    text: str
    kind: str
    icon: str


def waited(since: datetime | None) -> Wait | None:
    if since is None:
        return None
    passed = max(clock.now() - since, timedelta(0))
    minutes = int(passed.total_seconds()) // 60
    if minutes < HOUR:
        text = _("%s min") % minutes
    elif minutes < 2 * DAY:
        text = _("%s h") % (minutes // HOUR)
    else:
        days = minutes // DAY
        text = ngettext("%(num)s day", "%(num)s days", days) % {"num": days}
    if passed >= LATE:
        return Wait(text, "bad", "alert-circle")
    return Wait(text, "warn" if passed >= LONG else "", "clock")
