"""The rows of the desk's queue, in Python as core/atoms.py is: half of the page, and a template takes twice as long."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from backend.core import clock, text
from backend.core.atoms import HUES, badge, icon
from backend.core.i18n import _, current_language
from backend.crm.waiting import LIST_URL, Wait, waited
from backend.database.models.users import full_name


def queue_rows(rows: Iterable[Any], tail: str) -> Markup:
    """`tail`: the filters of the queue, behind each ticket's address."""
    minute, look = int(clock.now().timestamp()) // 60, (current_language.get(), text.current_timezone.get())
    drawn = "".join(_row(row, tail, (*look, minute)) for row in rows)
    return Markup(drawn)  # noqa: S704 - every part is escaped or a number


def with_chosen(queue: str, ticket_id: int) -> Markup:
    """The queue as it is drawn for all its tickets, with this one marked as open."""
    before, row, rest = queue.partition(f'<li id="ticket-{ticket_id}"><a href="')
    url, end, after = rest.partition('"')
    mark = ' aria-current="true"' if row else ""
    return Markup(f"{before}{row}{url}{end}{mark}{after}")  # noqa: S704 - a template has drawn it


@lru_cache(maxsize=1000)
def _row(row: Any, tail: str, _look: tuple[str, str, int]) -> str:
    """Drawn once a minute: the queue is asked for again by every click, and every ten seconds by itself."""
    name, hue = full_name(row.first_name, row.last_name), row.user_id % HUES + 1
    wait, last = waited(row.waiting_since), row.last_message_at
    mark = ' class="is-unread"' if wait and not row.first_reply_at else ""
    today = text.local(last).date() == text.local(clock.now()).date()
    at = text.clock_time(last) if today else text.ago(last)
    return (
        f'<li id="ticket-{row.id}"><a href="{escape(f"{LIST_URL}{row.id}{tail}")}"{mark}>\n'
        f'<span class="ly-ava" data-hue="{hue}" aria-hidden="true">{escape(text.initials(name))}</span>'
        f'<b class="ly-cut">{escape(name)}</b>{at}\n'
        f'<span class="ly-cut ly-sm">{escape(row.subject)}</span><p class="ly-cut">{escape(row.excerpt or "")}</p>\n'
        f'<span class="ly-row">{state(row, wait)}{_assignee(row)}</span></a></li>\n'
    )


def state(row: Any, wait: Wait | None) -> str:
    """A badge: how long somebody has waited, or how the ticket stands."""
    if wait:
        kind = f" is-{wait.kind}" if wait.kind else ""
        quiet = f'<span class="visually-hidden">{escape(_("waiting"))} </span>'
        return f'<span class="badge{kind}">{icon(wait.icon)}{quiet}{escape(wait.text)}</span>'
    if row.status == "closed":
        return badge("", "check", _("Closed"))
    return badge("good", "checks", _("Answered"))


def _assignee(row: Any) -> str:
    if not row.assignee_id:
        return ""
    quiet = f'<span class="visually-hidden">{escape(_("Assignee"))}: </span>'
    return f'<span class="badge">{icon("user")}{quiet}{escape(row.assignee)}</span>'
