"""The tickets of the demo school: each thread as `crud.tickets` would have written it."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import User
from backend.demo.content import dice, read
from backend.demo.journal import Step
from backend.demo.sales import Sale

CLOSED_AFTER = timedelta(minutes=25)


@dataclass
class Thread:
    ticket: SupportTicket
    messages: list[Message]
    steps: list[Step]


def build(now: datetime, students: list[User], sales: list[Sale], support: User) -> list[Thread]:
    rng, taken = dice("support"), set[int]()
    entries = sorted(read("tickets")["tickets"], key=lambda entry: -int(entry["opened"]))
    return [_thread(entry, now, _writer(rng, entry, now, students, sales, taken), support) for entry in entries]


def _writer(
    rng: random.Random,
    entry: Mapping[str, Any],
    now: datetime,
    students: list[User],
    sales: list[Sale],
    taken: set[int],
) -> User:
    """A student who can have written it and has not written yet."""
    opened = now - timedelta(minutes=entry["opened"])
    known = {
        "any": students,
        "buyer": [sale.user for sale in sales if sale.payment and sale.at < opened],
        "refunded": [sale.user for sale in sales if sale.refund and sale.at < opened],
    }
    for who in (entry["who"], "buyer", "any"):
        fit = [
            person
            for person in known[who]
            if person.created_at < opened
            and id(person) not in taken
            and (who == "any" or person.language_code == entry.get("lang", "ru"))
            and person.is_active
        ]
        spoken = [one for one in fit if one.language_code == entry.get("lang", "ru")]
        if fit:
            break
    writer = rng.choice(spoken or fit)
    taken.add(id(writer))
    return writer


def _thread(entry: Mapping[str, Any], now: datetime, student: User, support: User) -> Thread:
    opened = now - timedelta(minutes=entry["opened"])
    ticket = SupportTicket(
        user=student,
        subject=entry["subject"],
        message=entry["thread"][0][2],
        status="open",
        waiting_since=opened,
        created_at=opened,
        updated_at=opened,
        last_message_at=opened,
        admin_response=None,
        assignee=None,
        first_reply_at=None,
    )
    ticket.chat = Chat(kind="ticket", created_at=opened)
    thread = Thread(ticket, [], [])
    at = opened
    for who, minutes, text in entry["thread"]:
        at += timedelta(minutes=minutes)
        _say(thread, who, text, at, support)
    ticket.chat.messages = thread.messages
    if entry["status"] == "closed":
        _close(thread, at + CLOSED_AFTER, support)
    if student.last_seen_at is not None:
        student.last_seen_at = max(student.last_seen_at, *_own(thread, student))
    return thread


def _own(thread: Thread, student: User) -> Iterator[datetime]:
    return (message.created_at for message in thread.messages if message.sender is student)


def _say(thread: Thread, who: str, text: str, at: datetime, support: User) -> None:
    ticket, staff = thread.ticket, who != "student"
    message = Message(
        side="staff" if staff else "student",
        sender=support if staff else ticket.user,
        body=text,
        internal=who == "note",
        created_at=at,
    )
    thread.messages.append(message)
    before = _state(ticket)
    if who == "support":
        ticket.admin_response, ticket.waiting_since = text, None
        ticket.first_reply_at = ticket.first_reply_at or at
        ticket.assignee, ticket.status = support, "in_progress"
    elif who == "student":
        ticket.waiting_since = ticket.waiting_since or at
    if who != "note":
        ticket.last_message_at = ticket.updated_at = at
    if len(thread.messages) == 1:
        thread.steps.append(Step(at).make(ticket, **before).make(ticket.chat).make(message))
        return
    step = Step(at, "reply" if who == "support" else "", support if staff else None).make(message)
    thread.steps.append(step.move(ticket, before, _state(ticket)))


def _close(thread: Thread, at: datetime, support: User) -> None:
    ticket = thread.ticket
    before = _state(ticket)
    ticket.status, ticket.waiting_since, ticket.updated_at = "closed", None, at
    thread.steps.append(Step(at, actor=support).move(ticket, before, _state(ticket)))


def _state(ticket: SupportTicket) -> dict[str, Any]:
    """The columns that an event moves; the assignee is known by id only once all is flushed."""
    names = ("status", "admin_response", "waiting_since", "first_reply_at")
    return {name: getattr(ticket, name) for name in names}
