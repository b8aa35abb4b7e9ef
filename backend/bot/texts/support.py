"""Writing to the school and reading its answers."""

from collections.abc import Sequence

from aiogram.types import InlineKeyboardButton
from markupsafe import Markup

from backend.bot.client import Ticket
from backend.bot.keyboards import (
    LABEL,
    Go,
    Place,
    Reply,
    Show,
    button,
    cancel_row,
    go,
    keyboard,
    menu_row,
    pages_row,
)
from backend.bot.markup import Run, clip, split
from backend.bot.screen import Screen, fill, page
from backend.bot.texts.catalogue import Shown
from backend.core.i18n import _
from backend.core.text import day_text

THREAD = 3200  # units of a thread on one screen; the rest of a message is for what stands around it
WAITING, ANSWERED, CLOSED = "🟡", "🟢", "⚪"
SUBJECT = 200
DRAFT_SUBJECT = 60


def mark(ticket: Ticket) -> str:
    if ticket.status == "closed":
        return CLOSED
    return WAITING if ticket.waiting_since else ANSWERED


def status_text(ticket: Ticket) -> str:
    if ticket.status == "closed":
        return _("closed")
    return _("waiting for our reply") if ticket.waiting_since else _("answered")


def support() -> Screen:
    return Screen(
        page(
            fill(_("<b>Support</b>")),
            fill(_("Ask about a lesson, a payment or anything else. A person will answer right here in the chat.")),
        ),
        keyboard(
            [go(_("Ask a question"), Place.NEW_TICKET)],
            [go(_("My questions"), Place.TICKETS), *menu_row()],
        ),
    )


def ask_subject(*, too_long: bool = False) -> Screen:
    shorter = fill(_("That is too long for a subject: 200 characters at most.")) if too_long else None
    return Screen(
        page(shorter, fill(_("What is it about? A few words are enough; the details come next."))),
        keyboard(cancel_row()),
    )


def ask_message(subject: str) -> Screen:
    return Screen(
        page(
            fill(_("Subject: <b>%(subject)s</b>"), subject=clip(subject, SUBJECT)),
            fill(_("Now describe it in one message: what you did, what happened, what you expected.")),
        ),
        keyboard(cancel_row()),
    )


def tickets(rows: Sequence[Ticket], shown: Shown) -> Screen:
    if not rows:
        return Screen(
            fill(_("You have not asked anything yet.")),
            keyboard([go(_("Ask a question"), Place.NEW_TICKET), *menu_row()]),
        )
    buttons = [
        [
            button(
                f"{mark(row)} {clip(row.subject, LABEL - 10)} · №{row.id}",
                Show(kind="ticket", id=row.id),
            )
        ]
        for row in rows
    ]
    legend = _("🟡 waiting for our reply, 🟢 answered, ⚪ closed. The latest is on top.")
    return Screen(
        page(fill(_("<b>My questions</b>")), fill(legend)),
        keyboard(
            *buttons,
            pages_row(Go(place=Place.TICKETS, page=shown.number), shown.pages),
            [go(_("Ask a question"), Place.NEW_TICKET), *menu_row()],
        ),
    )


def ticket(row: Ticket, *, number: int = 0, note: Markup | None = None) -> Screen:
    """`number` counts the pages of a long thread from the newest."""
    pages = thread(row)
    number = min(number, len(pages) - 1)
    return Screen(
        page(_head(row), pages[len(pages) - 1 - number], note),
        keyboard(
            [button(_("Write more"), Reply(id=row.id))],
            _older(row, number, len(pages)),
            [go(_("‹ My questions"), Place.TICKETS), *menu_row()],
        ),
    )


def ask_reply(row: Ticket) -> Screen:
    """The newest of the thread, and the next message joins it."""
    return Screen(
        page(
            _head(row),
            thread(row)[-1],
            fill(_("✏️ Write your message: it will be added to this conversation.")),
        ),
        keyboard(
            [button(_("‹ Back"), Show(kind="ticket", id=row.id))],
        ),
    )


def thread(row: Ticket) -> list[Markup]:
    """At least one page; above each message who wrote and on which day: we know no time zone."""
    runs: list[Run] = []
    for message in row.messages:
        who = _("You") if message.side == "student" else _("The school")
        when = day_text(message.created_at)
        runs += [
            Run("\n\n" if runs else ""),
            Run(who, ("<b>",)),
            Run(f" · {when}\n", ("<i>",)),
            Run(message.text),
        ]
    return split(runs, THREAD) or [fill(_("There are no messages yet."))]


def _head(row: Ticket) -> Markup:
    return fill(
        "<b>№%(id)s. %(subject)s</b>\n%(mark)s %(status)s",
        id=row.id,
        subject=clip(row.subject, SUBJECT),
        mark=mark(row),
        status=status_text(row),
    )


def _older(row: Ticket, number: int, pages: int) -> list[InlineKeyboardButton]:
    turns = {_("‹ Earlier"): number + 1, _("Later ›"): number - 1}
    return [button(text, Show(kind="ticket", id=row.id, page=at)) for text, at in turns.items() if 0 <= at < pages]


def sent() -> Markup:
    return fill(_("✓ Sent. The reply will arrive in this chat."))


def text_only() -> Screen:
    return Screen(fill(_("I can only pass on text for now. Please describe it in words.")), keyboard(cancel_row()))


def draft_subject(text: str) -> str:
    """The subject of a question that was typed without one."""
    return clip(text.partition("\n")[0], DRAFT_SUBJECT)
