"""What the desk's templates are given, and how its parts are worded."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from zlib import crc32

from fastapi import Request

from backend.core import clock
from backend.core.deps import Caller
from backend.core.forms import Form
from backend.core.i18n import _
from backend.core.links import set_filters, url_with
from backend.core.permissions import Permission
from backend.core.text import short_day, zone
from backend.crm.queue import queue_rows
from backend.crm.waiting import LIST_URL, waited
from backend.database.crud.desk import Counts, DeskCRUD, Event, Line, Thread
from backend.database.crud.dispatches import ERRORS, UNKNOWN_ERROR
from backend.database.crud.students import StudentPageCRUD
from backend.database.listing import AnyRow, Page
from backend.database.models.tickets import SupportTicket
from backend.database.schemas.tickets import QueueFilters

MOVING = ("pending", "sending")


@dataclass(frozen=True)
class Delivery:
    """Where an answer is on its way to the student."""

    text: str
    icon: str
    bad: bool = False
    cancel: bool = False
    resend: bool = False


def delivery(line: Line, ticket: SupportTicket) -> Delivery | None:
    """None for what is not sent at all."""
    if line.message.side != "staff" or line.message.internal:
        return None
    if line.dispatch is not None:
        return _way(line.dispatch)
    if ticket.user.telegram_id is None:
        return Delivery(_("not sent: the student is not in Telegram"), "alert-circle", bad=True)
    return None


def _way(row: AnyRow) -> Delivery:
    match row.state:
        case "sent":
            return Delivery(_("delivered"), "checks")
        case "sending":
            return Delivery(_("being sent"), "send")
        case "pending":
            return Delivery(_waits(row.not_before, row.attempts), "clock", cancel=True)
        case _:
            words = _("not delivered: %s") % explain(row.error)
            return Delivery(words, "alert-circle", bad=True, cancel=True, resend=True)


def _waits(not_before: datetime, attempts: int) -> str:
    left = round((not_before - clock.now()).total_seconds())
    if attempts:
        return _("not delivered yet, the next try is soon")
    return _("in the queue, leaves in %s s") % left if left > 0 else _("in the queue")


def explain(error: str | None) -> str:
    """A dispatch's error in words."""
    return _(ERRORS.get((error or "").partition(":")[0], UNKNOWN_ERROR))


def tell(event: Event, names: dict[int, str]) -> list[str]:
    """What happened, in words that need nobody's gender."""
    told = []
    if "assignee_id" in event.after:
        told.append(_assigned(event, names))
    status, before = event.after.get("status"), event.before.get("status")
    if status == "closed":
        told.append(_("Closed: %s") % event.actor if event.actor else _("Ticket closed"))
    elif before == "closed":
        told.append(_("Opened again: %s") % event.actor if event.actor else _("Opened again by the student"))
    return told


def _assigned(event: Event, names: dict[int, str]) -> str:
    to = event.after["assignee_id"]
    if to is None:
        return _("Nobody's again")
    name = names.get(to, "")
    if to == event.actor_id or not event.actor:
        return _("Taken: %s") % name
    return _("Assigned: %(name)s (by %(actor)s)") % {"name": name, "actor": event.actor}


class Desk:
    """Collects what is on screen; each part once."""

    def __init__(self, request: Request, caller: Caller, tickets: DeskCRUD, params: QueueFilters) -> None:
        self.request = request
        self.me = caller.me
        self.tickets = tickets
        self.params = params

    @cached_property
    def page(self) -> Page[Any]:
        return self.tickets.queue(self.params, self.me.user_id)

    @cached_property
    def counts(self) -> Counts:
        return self.tickets.counts(self.me.user_id)

    @cached_property
    def queue_mark(self) -> str:
        """Changes with what the queue shows; also every minute, for the times in it."""
        rows = [
            (row.id, row.last_message_at, row.waiting_since, row.status, row.assignee_id) for row in self.page.items
        ]
        return _mark(rows, self.counts, clock.now().strftime("%H%M"))

    def queue(self) -> dict[str, Any]:
        self.request.state.badges = {"tickets": self.counts.waiting}
        return {
            "page": self.page,
            "params": self.params,
            "counts": self.counts,
            "list_url": LIST_URL,
            "queue_mark": self.queue_mark,
            "chips": self._chips(),
            "staff": self.staff,
            "waited": waited,
            "queue_rows": queue_rows,
            "thread": None,
        }

    @cached_property
    def staff(self) -> dict[int, str]:
        """Who may take a ticket: names by id, in their order."""
        return {person.id: person.name for person in self.tickets.staff()}

    def names(self, *ids: int | None) -> dict[int, str]:
        """Of those who may take a ticket, and of these people, whatever they do now."""
        return self.staff | self.tickets.names(*(i for i in ids if i not in self.staff))

    def _chips(self) -> list[tuple[str, str]]:
        """The filters that are on, in words, each with the address without it."""
        on = set_filters(self.params)
        names = self.names(self.params.user_id, self.params.assignee_id)
        labels: dict[str, Callable[[Any], str]] = {
            "status": status_word,
            "user_id": lambda value: _("Student: %s") % names.get(value, value),
            "assignee_id": lambda value: _("Assignee: %s") % names.get(value, value),
            "answered": lambda value: _("Answered") if value == "true" else _("Without an answer"),
            "opened_since": lambda value: _("Opened since %s") % _day(value, self.me.timezone),
            "opened_until": lambda value: _("Opened before %s") % _day(value, self.me.timezone),
        }
        return [
            (label(on[name]), url_with(self.params, LIST_URL, **{name: None}))
            for name, label in labels.items()
            if name in on
        ]

    def all(self, ticket_id: int) -> dict[str, Any]:
        return self.queue() | self.thread(ticket_id) | {"form": Form()}

    def thread(self, ticket_id: int) -> dict[str, Any]:
        found = self.tickets.thread(ticket_id)
        ticket = found.ticket
        moving = any(line.dispatch and line.dispatch.state in MOVING for line in found.lines)
        return {
            "params": self.params,
            "ticket": ticket,
            "thread": found,
            "timeline": self._timeline(found),
            "delivery": delivery,
            "waited": waited,
            "thread_mark": self._thread_mark(found),
            "thread_every": "2s" if moving else "10s",
            "staff": self.staff,
            "card": self.tickets.card(ticket.user_id),
            "others": self.tickets.others(ticket),
            "purchases": self._purchases(ticket.user_id),
            "my_last": max(
                (line.message.id for line in found.lines if line.message.sender_id == self.me.user_id),
                default=0,
            ),
        }

    @staticmethod
    def _thread_mark(found: Thread) -> str:
        ways = [
            (line.message.id, line.dispatch and (line.dispatch.state, line.dispatch.attempts)) for line in found.lines
        ]
        return _mark(found.ticket.version, ways)

    def _timeline(self, found: Thread) -> list[tuple[str, datetime, Any]]:
        """Messages and events in the order of time: ("line", at, Line) or ("event", at, words)."""
        names = self.names(*(event.after.get("assignee_id") for event in found.events))
        first = found.lines[0].at if found.lines else found.ticket.created_at
        items: list[tuple[str, datetime, Any]] = [("line", line.at, line) for line in found.lines]
        for event in found.events:
            if event.at >= first:
                items += [("event", event.at, words) for words in tell(event, names)]
        return sorted(items, key=lambda item: item[1])

    def _purchases(self, user_id: int) -> Any:
        if not self.me.may(Permission.PURCHASES_READ):
            return None
        return StudentPageCRUD(self.tickets.session).purchases(user_id)


def _day(moment: str, timezone: str) -> str:
    return short_day(datetime.fromisoformat(moment).astimezone(zone(timezone)).date())


def status_word(status: str) -> str:
    words = {
        "open": _("Open tickets"),
        "in_progress": _("Tickets in progress"),
        "closed": _("Closed tickets"),
    }
    return words[status]


def _mark(*parts: object) -> str:
    return f"{crc32(repr(parts).encode()):08x}"
