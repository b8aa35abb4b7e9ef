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
from backend.core.i18n import _
from backend.core.links import set_filters, url_with
from backend.core.permissions import Permission
from backend.core.text import short_day, zone
from backend.crm.queue import queue_rows, with_chosen
from backend.crm.waiting import LIST_URL, waited
from backend.database.crud.desk import BOUGHT, OTHERS, DeskCRUD, Event, Line, Thread, people, reading
from backend.database.crud.dispatches import ERRORS, UNKNOWN_ERROR
from backend.database.listing import AnyRow, Page
from backend.database.schemas.tickets import QueueFilters

MOVING = ("pending", "sending")
MINUTE = 60
# The rights that decide what stands on the desk.
SEEN = (
    Permission.TICKETS_WRITE,
    Permission.HISTORY_READ,
    Permission.USERS_READ,
    Permission.PURCHASES_READ,
    Permission.PURCHASES_REFUND,
)


@dataclass(frozen=True)
class Delivery:
    """Where an answer is on its way to the student."""

    text: str
    icon: str
    bad: bool = False
    cancel: bool = False
    resend: bool = False


def delivery(line: Line, student: Any) -> Delivery | None:
    """None for what is not sent at all."""
    if line.message.side != "staff" or line.message.internal:
        return None
    if line.dispatch is not None:
        return _way(line.dispatch)
    if student.telegram_id is None:
        return Delivery(_("not sent: the student is not in Telegram"), "alert-circle", bad=True)
    return None


def _way(row: AnyRow) -> Delivery:
    match row.state:
        case "sent":
            return Delivery(_("delivered"), "checks")
        case "sending":
            return Delivery(_("sending"), "send")
        case "pending":
            return Delivery(_waits(row.not_before, row.attempts), "clock", cancel=True)
        case _:
            words = _("not delivered: %s") % explain(row.error)
            return Delivery(words, "alert-circle", bad=True, cancel=True, resend=True)


def _waits(not_before: datetime, attempts: int) -> str:
    left = round((not_before - clock.now()).total_seconds())
    if attempts:
        return _("not delivered yet, retrying soon")
    return _("queued, sends in %s s") % left if left > 0 else _("queued")


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
        told.append(_("Reopened: %s") % event.actor if event.actor else _("Reopened by the student"))
    return told


def _assigned(event: Event, names: dict[int, str]) -> str:
    to = event.after["assignee_id"]
    if to is None:
        return _("Unassigned")
    name = names.get(to, "")
    if to == event.actor_id or not event.actor:
        return _("Picked up: %s") % name
    return _("Assigned: %(name)s (by %(actor)s)") % {"name": name, "actor": event.actor}


class Desk:
    """What is on screen: read in one query, and each part made of it when it is drawn."""

    list_url = LIST_URL
    delivery = staticmethod(delivery)
    waited = staticmethod(waited)
    queue_rows = staticmethod(queue_rows)
    with_chosen = staticmethod(with_chosen)

    def __init__(
        self,
        request: Request,
        caller: Caller,
        tickets: DeskCRUD,
        params: QueueFilters,
        ticket_id: int = 0,
        *,
        queue: bool = True,
    ) -> None:
        """`queue=False`: the thread alone."""
        self.me = me = caller.me
        self.tickets = tickets
        self.params = params
        # The first page of a tab and nothing else asked, as the desk opens, comes along; others are put together.
        self._usual = params.model_fields_set <= {"tab"}
        self.may_see_purchases = me.may(Permission.PURCHASES_READ)
        tab = params.tab if queue and self._usual else ""
        parts = reading(counts=queue, tab=tab, thread=bool(ticket_id), bought=self.may_see_purchases)
        self._found = found = tickets.read(parts, me.user_id, ticket_id)
        self.ticket = tickets.ticket(found, ticket_id) if ticket_id else None
        self._second = int(clock.now().timestamp())
        if queue:
            request.state.badges = {"tickets": found.waiting}

    @cached_property
    def _rights(self) -> tuple[str, ...]:
        return tuple(right for right in SEEN if self.me.may(right))

    @cached_property
    def _filters(self) -> str:
        return self.params.tab if self._usual else url_with(self.params)

    # -- the queue

    @cached_property
    def page(self) -> Page[Any]:
        if self._usual:
            return self.tickets.opened(self._found.queue, self.params.tab)
        return self.tickets.queue(self.params, self.me.user_id)

    @property
    def waiting(self) -> int:
        found: int = self._found.waiting
        return found

    @property
    def mine(self) -> int:
        found: int = self._found.mine
        return found

    @cached_property
    def _listed(self) -> Any:
        """The queue by value."""
        return self._found.queue if self._usual else tuple(tuple(row) for row in self.page.items)

    @cached_property
    def queue_mark(self) -> str:
        """Changes with what the queue shows; also every minute, for the times in it."""
        return _mark(self._listed, self.waiting, self.mine, self._second // MINUTE)

    @property
    def queue_key(self) -> Any:
        """All that the queue is drawn from, its minute as well: see core.kept."""
        found, minute = self._found, self._second // MINUTE
        return self._listed, found.waiting, found.mine, found.staff, self._filters, self._rights, minute

    @cached_property
    def staff(self) -> dict[int, str]:
        """Who may take a ticket: names by id, in their order."""
        return people(self._found.staff)

    def names(self, *ids: int | None) -> dict[int, str]:
        """Of those who may take a ticket, and of these people, whatever they do now."""
        return self.staff | self.tickets.names(*(i for i in ids if i not in self.staff))

    @property
    def chips(self) -> list[tuple[str, str]]:
        """The filters that are on, in words, each with the address without it."""
        on = set_filters(self.params)
        asked = self.params.user_id, self.params.assignee_id
        # An address may hold anyone's number: whoever may not see people learns no name by it.
        names = self.names(*asked) if self.me.may(Permission.USERS_READ) else self.staff
        labels: dict[str, Callable[[Any], str]] = {
            "status": status_word,
            "user_id": lambda value: _("Student: %s") % names.get(value, value),
            "assignee_id": lambda value: _("Assignee: %s") % names.get(value, value),
            "answered": lambda value: _("Answered") if value == "true" else _("Unanswered"),
            "opened_since": lambda value: _("Opened since %s") % _day(value, self.me.timezone),
            "opened_until": lambda value: _("Opened before %s") % _day(value, self.me.timezone),
        }
        return [
            (label(on[name]), url_with(self.params, LIST_URL, **{name: None}))
            for name, label in labels.items()
            if name in on
        ]

    # -- the thread and its student

    @cached_property
    def thread(self) -> Thread:
        return self.tickets.thread(self._found, self.ticket)

    @cached_property
    def thread_key(self) -> Any:
        """All that the thread is drawn from."""
        found = self._found
        parts = found.ticket, found.lines, found.events, found.student, found.staff
        # An answer that is on its way counts its seconds.
        now = self._second if '"pending"' in (found.lines or "") else self._second // MINUTE
        return parts, self.me.user_id, self._rights, self._filters, now

    @property
    def student_key(self) -> Any:
        """All that the student beside it is drawn from."""
        found = self._found
        bought = found.bought if self.may_see_purchases else ""
        return found.student, found.others, bought, self._rights, self._second // MINUTE

    @cached_property
    def thread_mark(self) -> str:
        assert self.ticket is not None
        return _mark(self.ticket.version, self._found.lines)

    @property
    def thread_every(self) -> str:
        moving = any(line.dispatch and line.dispatch.state in MOVING for line in self.thread.lines)
        return "2s" if moving else "10s"

    @property
    def timeline(self) -> list[tuple[str, datetime, Any]]:
        """Messages and events in the order of time: ("line", at, Line) or ("event", at, words)."""
        found = self.thread
        names = self.names(*(event.after.get("assignee_id") for event in found.events))
        first = found.lines[0].at if found.lines else found.ticket.created_at
        items: list[tuple[str, datetime, Any]] = [("line", line.at, line) for line in found.lines]
        for event in found.events:
            if event.at >= first:
                items += [("event", event.at, words) for words in tell(event, names)]
        return sorted(items, key=lambda item: item[1])

    @property
    def my_last(self) -> int:
        """My last message: the field for the next one is emptied when it changes."""
        mine = (line.message.id for line in self.thread.lines if line.message.sender_id == self.me.user_id)
        return max(mine, default=0)

    @property
    def others(self) -> list[Any]:
        """The student's other tickets, the latest first."""
        return OTHERS.rows(self._found.others)

    @property
    def bought(self) -> list[Any] | None:
        """The student's latest purchases; None for whoever may not see them."""
        return BOUGHT.rows(self._found.bought) if self.may_see_purchases else None


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
