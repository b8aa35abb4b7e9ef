"""All tickets as a list, beside the desk: to close, hand out or delete many at once, and to take away as a file."""

from typing import Any

from markupsafe import escape

from backend.core import atoms
from backend.core.deps import Routes, require
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.crm.queue import state
from backend.crm.table import (
    NUMBER,
    Action,
    Column,
    Field,
    Screen,
    Table,
    attributes,
    between,
    cells,
    choice,
    empty,
    install,
    relation,
    when,
)
from backend.crm.waiting import LIST_URL, PREFIX, waited
from backend.database.crud.ticket_list import AnsweringCRUD, TicketListCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.schemas.tickets import TicketListFilters

router = Routes(prefix=f"{PREFIX}/list", dependencies=[require(Permission.TICKETS_READ)])


def _url(row: Any) -> str:
    return f"{LIST_URL}{row.id}?tab=all"


def _subject(row: Any, _screen: Screen) -> str:
    return cells.headed(_url(row), row.subject, row, _state(row))


def _state(row: Any, _screen: Screen | None = None) -> str:
    return state(row, waited(row.waiting_since))


def _assignee(row: Any, _screen: Screen) -> str:
    if not row.assignee_id:
        return f'<span class="ly-quiet">{escape(_("unassigned"))}</span>'
    return atoms.badge("", "user", row.assignee)


TABLE = Table(
    name="ticket_list", key="listed", crud=TicketListCRUD, params=TicketListFilters, prefix=f"{PREFIX}/list",
    title=N_("Tickets"), search=N_("Subject, student or number"), label=lambda row: row.subject, page=_url,
    write=Permission.TICKETS_WRITE, none="tickets/_none_listed.html", tabs="tickets/_tabs.html",
    columns=(
        Column("subject", N_("Subject"), _subject),
        Column("student", N_("Student"), cells.student, "ly-no-sm", file=("first_name", "last_name", "username")),
        Column("status", N_("Status"), _state, "ly-no-sm", file=("status", "waiting_since")),
        Column("assignee", N_("Assignee"), _assignee, "ly-col-md"),
        when("last_message_at", N_("Last message"), "ly-no-sm"),
        when("created_at", N_("Opened")),
        when("first_reply_at", N_("First reply"), sort=False, hidden=True),
        NUMBER,
    ),
    filters=(
        choice(
            "status", N_("Status"), ("open", N_("Open tickets")), ("in_progress", N_("Tickets in progress")),
            ("closed", N_("Closed tickets")),
        ),
        choice("waiting", N_("Student"), ("true", N_("waiting for reply")), ("false", N_("not waiting"))),
        empty("taken", N_("Assignee"), N_("unassigned"), N_("assigned")),
        relation("assignee_id", N_("Assigned to"), AnsweringCRUD, Permission.TICKETS_READ),
        choice("answered", N_("First reply"), ("true", N_("sent")), ("false", N_("not yet"))),
        between("opened", N_("Opened"), "opened_since", "opened_until", kind="date"),
        relation("user_id", N_("From student"), StudentCRUD, Permission.USERS_READ),
    ),
    actions=(
        Action("close", N_("Close"), "check", fits=lambda row: row.status != "closed"),
        Action("open_again", N_("Reopen"), "arrow-back-up", fits=lambda row: row.status == "closed"),
        Action(
            "assign", N_("Assign to"), "user", fields=(Field("assignee_id", N_("Assignee"), choices=AnsweringCRUD),),
        ),
        Action("unassign", N_("Unassign"), "user-off", fits=lambda row: row.assignee_id is not None),
        Action("delete", N_("Delete"), "trash", bad=True),
    ),
    export=attributes(
        "id", "subject", "first_name", "last_name", "username", "status", "assignee", "waiting_since",
        "first_reply_at", "last_message_at", "created_at",
    ),
)  # fmt: skip
install(router, TABLE)
