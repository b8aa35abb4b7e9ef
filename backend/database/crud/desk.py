"""What the support desk shows: the queue, one thread with its delivery, the student beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Integer, ScalarSelect, bindparam, func, literal_column, select

from backend.core.errors import NotFoundError
from backend.database.crud.base import Filter
from backend.database.crud.ticket_list import ASSIGNEE, LISTED, TicketListCRUD
from backend.database.crud.tickets import ANSWERS, Ticket, TicketCRUD
from backend.database.listing import AnyRow, AnySelect, Cursor, Page
from backend.database.models.courses import Course
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import Role, User, full_name
from backend.database.packed import Packed
from backend.database.schemas.base import ListParams
from backend.database.schemas.tickets import QueueFilters
from backend.database.session import row_while_unwritten

EXCERPT = 140
MESSAGES = 500
EVENTS_SHOWN = 100
PEOPLE_SHOWN = 1000  # of one role
OTHERS_SHOWN = 5
BOUGHT_SHOWN = 8
CAP = 1000
OPENED: int = QueueFilters.model_fields["limit"].default
# What of a ticket's history the thread tells.
TOLD = ("status", "assignee_id")


@dataclass(frozen=True)
class Line:
    """One message as the desk shows it; `dispatch` is its way to the student, if it has one: the same row."""

    message: AnyRow
    author: str
    dispatch: AnyRow | None

    @property
    def at(self) -> datetime:
        made: datetime = self.message.created_at
        return made


@dataclass(frozen=True)
class Event:
    """What happened to the ticket between two messages: the columns of TOLD that changed."""

    at: datetime
    before: dict[str, Any]
    after: dict[str, Any]
    actor_id: int | None
    actor: str
    label: str


@dataclass(frozen=True)
class Thread:
    """`ticket` and `student`: rows of TICKET and STUDENT."""

    ticket: Any
    assignee: str  # a name, "" while it is nobody's
    student: Any
    lines: Sequence[Line]
    events: Sequence[Event]
    earlier: int  # messages before the first line

    @property
    def name(self) -> str:
        return full_name(self.student.first_name, self.student.last_name)


def _fixed(number: int) -> ColumnElement[int]:
    """A limit that stands in the statement: with a bound one PostgreSQL cannot keep a plan that fits all values."""
    return literal_column(str(number), Integer)


# The statements are made once: building them would cost more than running them.
LAST = (
    select(func.substr(Message.body, 1, EXCERPT))
    .join(Chat, Chat.id == Message.chat_id)
    .where(Chat.ticket_id == Ticket.id, Message.internal.is_(False))
    .order_by(Message.id.desc())
    .limit(_fixed(1))
    .correlate(Ticket)
    .scalar_subquery()
)
QUEUE: AnySelect = LISTED.add_columns(LAST.label("excerpt"))
UNSEEN = frozenset({"created_at", "updated_at", "username"})  # of the list of tickets, not of the queue
SEEN: AnySelect = QUEUE.with_only_columns(*(column for column in QUEUE.selected_columns if column.key not in UNSEEN))


def _number(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many tickets, counted up to the cap."""
    some = select(Ticket.id).where(*conditions).limit(_fixed(CAP)).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


WAITS, MINE = Ticket.waiting_since.is_not(None), Ticket.assignee_id == bindparam("me")
# Written out and not bound, as the partial index of such tickets has it.
UNDONE = Ticket.status != literal_column("'closed'")
# What a tab is sorted by, and what stands in it.
TABS: dict[str, tuple[Any, tuple[ColumnElement[bool], ...]]] = {
    "waiting": (Ticket.waiting_since, (WAITS,)),
    "mine": (Ticket.last_message_at, (MINE, UNDONE)),
    "all": (Ticket.last_message_at, ()),
}


def _opening(tab: str) -> Packed:
    column, conditions = TABS[tab]
    order = (column, Ticket.id) if tab == "waiting" else (column.desc(), Ticket.id.desc())
    return Packed(SEEN.where(*conditions).order_by(*order).limit(_fixed(OPENED + 1)))


OPENING = {tab: _opening(tab) for tab in TABS}
# Role by role and up to a number: so PostgreSQL too finds the few of the staff in their index, and looks at no student.
PEOPLE = Packed(
    select(User.id, User.first_name, User.last_name, User.search_key, User.is_active)
    .where(User.role_id == Role.id)
    .order_by(User.search_key, User.id)
    .limit(_fixed(PEOPLE_SHOWN))
    .correlate(Role)
)
STAFF = Packed(select(PEOPLE.column.label("people")).where(ANSWERS))
ASKED = Ticket.id == bindparam("ticket")
TICKET = Packed(
    select(
        Ticket.id,
        Ticket.subject,
        Ticket.status,
        Ticket.waiting_since,
        Ticket.created_at,
        Ticket.version,
        Ticket.assignee_id,
        ASSIGNEE.first_name,
        ASSIGNEE.last_name,
    )
    .outerjoin(ASSIGNEE, ASSIGNEE.id == Ticket.assignee_id)
    .where(ASKED)
)
LINES = Packed(
    select(
        Message.id,
        Message.side,
        Message.body,
        Message.internal,
        Message.sender_id,
        Message.created_at,
        User.first_name,
        User.last_name,
        Dispatch.state,
        Dispatch.attempts,
        Dispatch.not_before,
        Dispatch.error,
    )
    .join(Chat, Chat.id == Message.chat_id)
    .outerjoin(User, User.id == Message.sender_id)
    .outerjoin(Dispatch, Dispatch.message_id == Message.id)
    .where(Chat.ticket_id == bindparam("ticket"))
    .order_by(Message.id.desc())
    .limit(_fixed(MESSAGES))
)
EVENTS = Packed(
    select(Change.before, Change.after, ChangeSet.at, ChangeSet.actor_id, ChangeSet.label, User.first_name)
    .join(ChangeSet, ChangeSet.id == Change.change_set_id)
    .outerjoin(User, User.id == ChangeSet.actor_id)
    .where(
        Change.entity == SupportTicket.__tablename__,
        Change.entity_id == bindparam("ticket"),
        Change.op == "update",
    )
    .order_by(Change.id.desc())
    .limit(_fixed(EVENTS_SHOWN))
)
# Whose ticket it is.
HER = select(Ticket.user_id).where(ASKED).correlate(None).scalar_subquery()
STUDENT = Packed(
    select(
        User.id,
        User.first_name,
        User.last_name,
        User.username,
        User.telegram_id,
        User.language_code,
        User.ui_language,
        User.blocked_bot_at,
        User.last_seen_at,
        User.created_at,
        User.spent,
        User.purchases,
        select(func.count(Ticket.id)).where(Ticket.user_id == HER).scalar_subquery().label("tickets"),
        select(func.count(Ticket.id)).where(Ticket.user_id == HER, UNDONE).scalar_subquery().label("open"),
    ).where(User.id == HER)
)
OTHERS = Packed(
    select(Ticket.id, Ticket.subject, Ticket.last_message_at)
    .where(Ticket.user_id == HER, ~ASKED)
    .order_by(Ticket.last_message_at.desc(), Ticket.id.desc())
    .limit(_fixed(OTHERS_SHOWN))
)
BOUGHT = Packed(
    select(
        Purchase.id,
        Purchase.amount,
        Purchase.revoked_at,
        Purchase.created_at,
        Purchase.lesson_id,
        func.coalesce(Lesson.title, Course.title).label("title"),
    )
    .outerjoin(Lesson, Lesson.id == Purchase.lesson_id)
    .outerjoin(Course, Course.id == Purchase.course_id)
    .where(Purchase.user_id == HER)
    .order_by(Purchase.created_at.desc(), Purchase.id.desc())
    .limit(_fixed(BOUGHT_SHOWN))
)


@cache
def reading(*, counts: bool, tab: str, thread: bool, bought: bool) -> AnySelect:
    """One statement for all that a page shows.

    `counts`: the desk around a thread too; `tab`: "" for none; `bought`: with what the student bought.
    """
    columns: dict[str, ColumnElement[Any]] = {"staff": STAFF.column}
    if counts:
        columns |= {"waiting": _number(WAITS), "mine": _number(MINE, UNDONE)}
    if tab:
        columns["queue"] = OPENING[tab].column
    if thread:
        columns |= {"ticket": TICKET.column, "lines": LINES.column, "events": EVENTS.column}
        columns["student"] = STUDENT.column
    if thread and counts:
        columns["others"] = OTHERS.column
        columns |= {"bought": BOUGHT.column} if bought else {}
    return select(*(column.label(name) for name, column in columns.items()))


class DeskCRUD(TicketCRUD):
    sorts: ClassVar[Mapping[str, Any]] = {**TicketCRUD.sorts, "waiting_since": Ticket.waiting_since}
    filters: ClassVar[Mapping[str, Filter]] = TicketListCRUD.filters
    _me: int | None = None

    # -- the queue

    @classmethod
    def list_statement(cls) -> AnySelect:
        return QUEUE

    def read(self, parts: AnySelect, me: int | None, ticket_id: int) -> AnyRow:
        """What of the desk is shown, in one query: a row of `reading`."""
        found = row_while_unwritten(self.session, parts, me=me, ticket=ticket_id)
        assert found is not None  # it has columns alone
        return found

    def queue(self, params: QueueFilters, me: int | None) -> Page[Any]:
        """The rows of a tab as they are asked for: who waits longest first; in the others what moved last first."""
        self._me = me
        usual = "waiting_since" if params.tab == "waiting" else "-last_message_at"
        asked = params.sort or usual
        if params.tab != "waiting" and asked.lstrip("-") == "waiting_since":
            asked = usual  # who does not wait has no place in that order
        params = params.model_copy(update={"sort": asked})
        statement = self.listed(params)
        return self._page(statement, params)  # the desk shows no total

    @staticmethod
    def opened(text: str | None, tab: str) -> Page[Any]:
        """The same for the first page of a tab and nothing else asked, which comes with `read`."""
        column = TABS[tab][0]
        rows = OPENING[tab].rows(text)
        shown, more = rows[:OPENED], len(rows) > OPENED
        if not more:
            return Page(items=shown, total=None)
        sort = column.key if tab == "waiting" else f"-{column.key}"
        return Page(items=shown, next=Cursor(sort, getattr(shown[-1], column.key), shown[-1].id).encode(), total=None)

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        found = super().conditions(params)
        tab = params.tab if isinstance(params, QueueFilters) else "all"
        if tab == "waiting":
            found.append(Ticket.waiting_since.is_not(None))
        elif tab == "mine":
            found.extend((Ticket.assignee_id == self._me, UNDONE))
        return found

    # -- one ticket

    def ticket(self, found: AnyRow, ticket_id: int) -> Any:
        """A row of TICKET. Raises NotFoundError."""
        rows = TICKET.rows(found.ticket)
        if not rows:
            raise NotFoundError(self.missing(ticket_id))
        return rows[0]

    def thread(self, found: AnyRow, ticket: Any) -> Thread:
        """Of what `read` found."""
        lines = [
            Line(row, full_name(row.first_name, row.last_name), row if row.state else None)
            for row in reversed(LINES.rows(found.lines))
        ]
        earlier = self._before(ticket.id, lines[0].message.id) if len(lines) == MESSAGES else 0
        assignee = full_name(ticket.first_name, ticket.last_name)
        return Thread(ticket, assignee, STUDENT.rows(found.student)[0], lines, told(found.events), earlier)

    def _before(self, ticket_id: int, message_id: int) -> int:
        older = Chat.ticket_id == ticket_id, Message.id < message_id
        statement = select(func.count()).select_from(Message).join(Chat).where(*older)
        return self.session.scalar(statement) or 0

    def names(self, *ids: int | None) -> dict[int, str]:
        """First names of people, whatever they do now."""
        wanted = {found for found in ids if found is not None}
        if not wanted:
            return {}
        rows = self.session.execute(select(User.id, User.first_name, User.last_name).where(User.id.in_(wanted)))
        return {row.id: full_name(row.first_name, row.last_name) for row in rows}


def told(text: str | None) -> list[Event]:
    return [
        Event(
            row.at,
            {name: row.before.get(name) for name in TOLD if name in row.after},
            {name: row.after[name] for name in TOLD if name in row.after},
            row.actor_id,
            row.first_name or "",
            row.label,
        )
        for row in reversed(EVENTS.rows(text))
        if any(name in row.after for name in TOLD)
    ]


def people(text: str | None) -> dict[int, str]:
    """Who may take a ticket: names by id, in their order."""
    found = [person for role in STAFF.rows(text) for person in PEOPLE.rows(role.people) if person.is_active]
    found.sort(key=lambda person: (person.search_key, person.id))
    return {person.id: full_name(person.first_name, person.last_name) for person in found}
