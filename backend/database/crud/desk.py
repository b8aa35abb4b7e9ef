"""What the support desk shows: the queue, one thread with its delivery, the student beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Row, ScalarSelect, bindparam, func, literal_column, select
from sqlalchemy.orm import joinedload

from backend.database.crud.base import Filter
from backend.database.crud.ticket_list import LISTED, TicketListCRUD
from backend.database.crud.tickets import Ticket, TicketCRUD
from backend.database.listing import AnyRow, AnySelect, Cursor, Page
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import Change, ChangeSet
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import User, full_name
from backend.database.schemas.base import ListParams
from backend.database.schemas.tickets import QueueFilters
from backend.database.session import ask

EXCERPT = 140
MESSAGES = 500
EVENTS = 100
CAP = 1000
# What of a ticket's history the thread tells.
TOLD = ("status", "assignee_id")


@dataclass(frozen=True)
class Counts:
    waiting: int
    mine: int


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
    ticket: SupportTicket  # with user and assignee
    lines: Sequence[Line]
    events: Sequence[Event]
    earlier: int  # messages before the first line


# The statements are made once: building them would cost more than running them.
LAST = (
    select(func.substr(Message.body, 1, EXCERPT))
    .join(Chat, Chat.id == Message.chat_id)
    .where(Chat.ticket_id == Ticket.id, Message.internal.is_(False))
    .order_by(Message.id.desc())
    .limit(1)
    .correlate(Ticket)
    .scalar_subquery()
)
QUEUE: AnySelect = LISTED.add_columns(LAST.label("excerpt"))


def _number(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many tickets, counted up to the cap."""
    some = select(Ticket.id).where(*conditions).limit(CAP).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


WAITS, MINE = Ticket.waiting_since.is_not(None), Ticket.assignee_id == bindparam("me")
# Written out and not bound, as the partial index of such tickets has it.
UNDONE = Ticket.status != literal_column("'closed'")
COUNTS = select(
    _number(WAITS).label("waiting"),
    _number(MINE, UNDONE).label("mine"),
)
# What a tab is sorted by, and what stands in it.
TABS: dict[str, tuple[Any, tuple[ColumnElement[bool], ...]]] = {
    "waiting": (Ticket.waiting_since, (WAITS,)),
    "mine": (Ticket.last_message_at, (MINE, UNDONE)),
    "all": (Ticket.last_message_at, ()),
}


def _opening(tab: str) -> AnySelect:
    column, conditions = TABS[tab]
    order = (column, Ticket.id) if tab == "waiting" else (column.desc(), Ticket.id.desc())
    return QUEUE.where(*conditions).order_by(*order).limit(bindparam("number"))


OPENING = {tab: _opening(tab) for tab in TABS}
LINES = (
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
    .limit(MESSAGES)
)
EVENT_ROWS = (
    select(Change.before, Change.after, ChangeSet.at, ChangeSet.actor_id, ChangeSet.label, User.first_name)
    .join(ChangeSet, ChangeSet.id == Change.change_set_id)
    .outerjoin(User, User.id == ChangeSet.actor_id)
    .where(
        Change.entity == SupportTicket.__tablename__,
        Change.entity_id == bindparam("ticket"),
        Change.op == "update",
    )
    .order_by(Change.id.desc())
    .limit(EVENTS)
)
HERS = Ticket.user_id == bindparam("user")
CARD = select(
    User.spent,
    User.purchases,
    select(func.count(Ticket.id)).where(HERS).scalar_subquery().label("tickets"),
    select(func.count(Ticket.id)).where(HERS, UNDONE).scalar_subquery().label("open"),
).where(User.id == bindparam("user"))
OTHERS = (
    select(Ticket.id, Ticket.subject, Ticket.status, Ticket.last_message_at)
    .where(HERS, Ticket.id != bindparam("ticket"))
    .order_by(Ticket.last_message_at.desc(), Ticket.id.desc())
    .limit(bindparam("limit"))
)


class DeskCRUD(TicketCRUD):
    sorts: ClassVar[Mapping[str, Any]] = {**TicketCRUD.sorts, "waiting_since": Ticket.waiting_since}
    filters: ClassVar[Mapping[str, Filter]] = TicketListCRUD.filters
    _me: int | None = None

    # -- the queue

    @classmethod
    def list_statement(cls) -> AnySelect:
        return QUEUE

    def queue(self, params: QueueFilters, me: int | None) -> Page[Any]:
        """The rows of a tab: who waits longest first; in the others what moved last first."""
        if params.model_fields_set <= {"tab"}:
            return self._tab(params, me)
        self._me = me
        usual = "waiting_since" if params.tab == "waiting" else "-last_message_at"
        asked = params.sort or usual
        if params.tab != "waiting" and asked.lstrip("-") == "waiting_since":
            asked = usual  # who does not wait has no place in that order
        params = params.model_copy(update={"sort": asked})
        statement = self.listed(params)
        return self._page(statement, params)  # the desk shows no total

    def _tab(self, params: QueueFilters, me: int | None) -> Page[Any]:
        """The first page of a tab and nothing else asked, as the desk opens: the same from a statement made once."""
        column = TABS[params.tab][0]
        rows = ask(self.session, OPENING[params.tab], me=me, number=params.limit + 1).all()
        shown, more = rows[: params.limit], len(rows) > params.limit
        if not more:
            return Page(items=shown, total=None)
        sort = column.key if params.tab == "waiting" else f"-{column.key}"
        return Page(items=shown, next=Cursor(sort, getattr(shown[-1], column.key), shown[-1].id).encode(), total=None)

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        found = super().conditions(params)
        tab = params.tab if isinstance(params, QueueFilters) else "all"
        if tab == "waiting":
            found.append(Ticket.waiting_since.is_not(None))
        elif tab == "mine":
            found.extend((Ticket.assignee_id == self._me, UNDONE))
        return found

    def counts(self, me: int | None) -> Counts:
        """How many wait, how many of mine are not closed; each counted up to a cap."""
        found = ask(self.session, COUNTS, me=me).one()
        return Counts(found.waiting, found.mine)

    # -- one ticket

    def thread(self, ticket_id: int) -> Thread:
        """Raises NotFoundError. Four queries however long it is."""
        people = joinedload(Ticket.user), joinedload(Ticket.assignee)
        ticket = self.get_by_id(ticket_id, *people)
        rows = ask(self.session, LINES, ticket=ticket_id).all()
        lines = [
            Line(row, full_name(row.first_name, row.last_name), row if row.state else None) for row in reversed(rows)
        ]
        earlier = self._before(ticket_id, lines[0].message.id) if len(lines) == MESSAGES else 0
        return Thread(ticket, lines, self._events(ticket_id), earlier)

    def _before(self, ticket_id: int, message_id: int) -> int:
        older = Chat.ticket_id == ticket_id, Message.id < message_id
        statement = select(func.count()).select_from(Message).join(Chat).where(*older)
        return self.session.scalar(statement) or 0

    def _events(self, ticket_id: int) -> list[Event]:
        rows = ask(self.session, EVENT_ROWS, ticket=ticket_id).all()
        return [
            Event(
                at,
                {name: before.get(name) for name in TOLD if name in after},
                {name: after[name] for name in TOLD if name in after},
                actor_id,
                actor or "",
                label,
            )
            for before, after, at, actor_id, label, actor in reversed(rows)
            if any(name in after for name in TOLD)
        ]

    # -- the student beside it

    def card(self, user_id: int) -> Row[*tuple[Any, ...]]:
        """spent (Stars), purchases, tickets, open: what the desk says in short about a student."""
        return ask(self.session, CARD, user=user_id).one()

    def others(self, ticket: SupportTicket, limit: int = 5) -> Sequence[Row[*tuple[Any, ...]]]:
        """The student's other tickets, the latest first."""
        return ask(self.session, OTHERS, user=ticket.user_id, ticket=ticket.id, limit=limit).all()

    def names(self, *ids: int | None) -> dict[int, str]:
        """First names of people, whatever they do now."""
        wanted = {found for found in ids if found is not None}
        if not wanted:
            return {}
        rows = self.session.execute(select(User.id, User.first_name, User.last_name).where(User.id.in_(wanted)))
        return {row.id: full_name(row.first_name, row.last_name) for row in rows}
