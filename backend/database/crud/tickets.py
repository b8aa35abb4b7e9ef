"""Support tickets: the rules of a thread between a student and the school."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, String, bindparam, cast, func, select, union
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.interfaces import ORMOption

from backend.core import clock
from backend.core.errors import InvalidError, NotFoundError
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.database import history, search
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.notices import language_of, speaking
from backend.database.crud.users import UserCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import Role, User, full_name
from backend.database.schemas.tickets import StaffTicketForm, TicketCreate, TicketUpdate
from backend.database.session import ask

Ticket = SupportTicket
NOTHING = timedelta(0)
SUBJECT_SHOWN = 80


@dataclass(frozen=True)
class Person:
    id: int
    name: str


# By role alone, and by its number: that finds the few of the staff in their index. With `is_active` or an order in it,
# SQLite walks through all students instead; with the roles' names in it, PostgreSQL does.
ANSWERS = cast(Role.permissions, String).contains(f'"{Permission.TICKETS_WRITE}"')
ROLES = select(Role.id).where(ANSWERS)
ANSWERING = select(User.id, User.first_name, User.last_name, User.search_key, User.is_active).where(
    User.role_id.in_(bindparam("roles", expanding=True))
)


class TicketCRUD(BaseCRUD[SupportTicket]):
    """Every verb locks the ticket: what two people write at once stands one after the other.

    A ticket's `message`, `admin_response`, `waiting_since` and `first_reply_at` always say what its
    thread says; notes count for nothing there.
    """

    model = SupportTicket
    sorts: ClassVar[Mapping[str, Any]] = {
        "created_at": Ticket.created_at,
        "updated_at": Ticket.updated_at,
        "last_message_at": Ticket.last_message_at,
    }
    default_sort = "-created_at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "status": exact(Ticket.status),
        "user_id": exact(Ticket.user_id),
        "assignee_id": exact(Ticket.assignee_id),
    }

    def search(self, q: str) -> ColumnElement[bool]:
        """By subject, by the student's names, by number ("#412")."""
        own = select(Ticket.id).where(search.matches(self.session, Ticket, q))
        people = select(Ticket.id).join(User, User.id == Ticket.user_id)
        found = [own, people.where(search.matches(self.session, User, q))]
        number = q.strip().lstrip("#№").strip()
        if number.isdecimal() and number.isascii() and len(number) < len(str(2**63)):
            found.append(select(Ticket.id).where(Ticket.id == int(number)))
        # A union keeps each side on its own index; OR would read the whole table.
        return Ticket.id.in_(union(*found))

    def missing(self, row_id: int) -> str:
        return _("There is no ticket %s.") % row_id

    # -- the thread

    def messages_of(self, ticket_ids: Sequence[int], *, notes: bool) -> dict[int, list[Message]]:
        """The messages of each ticket in their order: one query. `notes`: those among staff too."""
        statement = (
            select(Chat.ticket_id, Message)
            .join(Message, Message.chat_id == Chat.id)
            .where(Chat.ticket_id.in_(ticket_ids))
            .order_by(Message.id)
        )
        if not notes:
            statement = statement.where(Message.internal.is_(False))
        found: dict[int, list[Message]] = {ticket_id: [] for ticket_id in ticket_ids}
        for ticket_id, message in self.session.execute(statement):
            if ticket_id is not None:
                found[ticket_id].append(message)
        return found

    def create(self, data: BaseModel) -> SupportTicket:
        """A student's question. Raises NotFoundError for an unknown student."""
        assert isinstance(data, TicketCreate)
        UserCRUD(self.session).get_by_id(data.user_id)
        now = clock.now()
        ticket = Ticket(**data.model_dump(), waiting_since=now, last_message_at=now, created_at=now)
        first = Message(side="student", sender_id=data.user_id, body=data.message, created_at=now)
        ticket.chat = Chat(kind="ticket", messages=[first])
        return self.add(ticket)

    def open_for(self, data: StaffTicketForm, author_id: int | None) -> SupportTicket:
        """The school writes first: a ticket of the student's that waits for nothing of ours.

        Raises NotFoundError for an unknown student.
        """
        UserCRUD(self.session).get_by_id(data.user_id)
        now = clock.now()
        ticket = Ticket(
            user_id=data.user_id,
            subject=data.subject,
            message=data.text,
            admin_response=data.text,
            status="in_progress",
            assignee_id=author_id,
            last_message_at=now,
            created_at=now,
        )
        first = Message(side="staff", sender_id=author_id, body=data.text, created_at=now)
        ticket.chat = Chat(kind="ticket", messages=[first])
        self.add(ticket)
        self._send(ticket, first, now, opening=True)
        return ticket

    def student_says(self, ticket_id: int, text: str, *, user_id: int | None = None) -> Message:
        """A student's next message; it opens a closed ticket again.

        Raises NotFoundError, also when `user_id` is given and the ticket is another student's.
        """
        ticket = self._locked(ticket_id)
        if user_id is not None and ticket.user_id != user_id:
            raise NotFoundError(self.missing(ticket_id))
        message = self._write(ticket, "student", text, ticket.user_id)
        status = "open" if ticket.status == "closed" else ticket.status
        waiting = ticket.waiting_since or message.created_at
        values = {"status": status, "waiting_since": waiting, "last_message_at": message.created_at}
        self.assign(ticket, values)
        return message

    def reply(self, ticket_id: int, text: str, author_id: int | None, *, delay: timedelta = NOTHING) -> Message:
        """Our answer: in the thread, and on its way to the student in the same transaction.

        `delay` leaves time to cancel it. Whoever answers a ticket that is nobody's takes it.
        """
        ticket = self._locked(ticket_id)
        history.describe(self.session, "reply")
        message = self._write(ticket, "staff", text, author_id)
        moment = message.created_at
        values: dict[str, Any] = {
            "admin_response": text,
            "first_reply_at": ticket.first_reply_at or (moment if self._asked(ticket.id) else None),
            "last_message_at": moment,
            "waiting_since": None,
            "assignee_id": ticket.assignee_id or author_id,
            "status": "in_progress" if ticket.status == "open" else ticket.status,
        }
        self.assign(ticket, values)
        self._send(ticket, message, moment + delay)
        return message

    def note(self, ticket_id: int, text: str, author_id: int | None) -> Message:
        """A note among staff: it is never sent and moves nothing."""
        return self._write(self._locked(ticket_id), "staff", text, author_id, internal=True)

    def _asked(self, ticket_id: int) -> bool:
        """Whether the student wrote first; a ticket that the school opened has no first answer."""
        first = select(Message.side).join(Chat).where(Chat.ticket_id == ticket_id).order_by(Message.id).limit(1)
        return self.session.scalar(first) == "student"

    def _locked(self, ticket_id: int, *load: ORMOption) -> SupportTicket:
        statement = select(Ticket).where(Ticket.id == ticket_id).with_for_update().options(*load)
        options = {"populate_existing": True}
        found = self.session.scalars(statement, execution_options=options).one_or_none()
        if found is None:
            raise NotFoundError(self.missing(ticket_id))
        return found

    def _write(
        self,
        ticket: SupportTicket,
        side: str,
        text: str,
        sender: int | None,
        *,
        internal: bool = False,
    ) -> Message:
        chat_id = self.session.scalars(select(Chat.id).where(Chat.ticket_id == ticket.id)).first()
        if chat_id is None:  # a ticket that was imported without a thread
            self.session.add(chat := Chat(kind="ticket", ticket_id=ticket.id))
            self.session.flush()
            chat_id = chat.id
        message = Message(
            chat_id=chat_id,
            side=side,
            body=text,
            sender_id=sender,
            internal=internal,
            created_at=clock.now(),
        )
        self.session.add(message)
        self.session.flush()
        return message

    def _send(self, ticket: SupportTicket, message: Message, not_before: datetime, *, opening: bool = False) -> None:
        student = UserCRUD(self.session).get_by_id(ticket.user_id)
        if student.telegram_id is None:
            return
        DispatchCRUD(self.session).enqueue(
            f"message:{message.id}",
            chat_id=student.telegram_id,
            method="sendMessage",
            params=answer_params(student, ticket, message.body, opening=opening),
            user_id=student.id,
            message_id=message.id,
            not_before=not_before,
        )

    # -- who and how far

    def update(self, row_id: int, data: BaseModel, author_id: int | None = None) -> SupportTicket:
        """Replaces only the fields sent; a new `admin_response` is a reply.

        Raises ConflictError for a stale version, InvalidError for an unfit assignee.
        """
        assert isinstance(data, TicketUpdate)
        ticket = self._locked(row_id)
        sent = data.model_dump(exclude_unset=True)
        self.check_version(ticket, sent.get("version"))
        text = sent.get("admin_response", ticket.admin_response)
        if text is None and ticket.admin_response is not None:
            words = _("A sent reply cannot be undone.")
            raise InvalidError(fields={"admin_response": words})
        if text is not None and text != ticket.admin_response:
            self.reply(row_id, text, author_id)
        if "assignee_id" in sent:
            self.hand_to(row_id, sent["assignee_id"])
        if "status" in sent:
            self.set_status(row_id, sent["status"])
        return ticket

    def hand_to(self, ticket_id: int, user_id: int | None) -> SupportTicket:
        """Raises InvalidError unless the person answers tickets."""
        ticket = self._locked(ticket_id)
        if user_id is not None and user_id not in {person.id for person in self.staff()}:
            words = _("This person does not handle tickets.")
            raise InvalidError(fields={"assignee_id": words})
        return self.assign(ticket, {"assignee_id": user_id})

    def set_status(self, ticket_id: int, status: str) -> SupportTicket:
        """A closed ticket waits for nothing; opened again, it waits since the question."""
        ticket = self._locked(ticket_id)
        if status == ticket.status:
            return ticket
        self.assign(ticket, {"status": status})
        return self._follow_thread(ticket)

    def staff(self) -> Sequence[Person]:
        """Who may answer tickets, by name."""
        roles = ask(self.session, ROLES).scalars().all()
        rows = sorted(ask(self.session, ANSWERING, roles=roles), key=lambda row: (row.search_key, row.id))
        return [Person(row.id, full_name(row.first_name, row.last_name)) for row in rows if row.is_active]

    def delete(self, row_id: int) -> SupportTicket:
        """With its thread. An answer that has not left never will, unless this is undone.

        Raises NotFoundError.
        """
        ticket = self._locked(row_id, selectinload(Ticket.chat).selectinload(Chat.messages))
        chat: Chat | None = ticket.chat  # a ticket that was imported may have no thread
        messages = chat.messages if chat is not None else []
        root = Ticket.__tablename__, row_id
        DispatchCRUD(self.session).let_go([message.id for message in messages], root)
        self.session.delete(ticket)
        self.flush()
        return ticket

    # -- delivery

    def cancel_reply(self, ticket_id: int, message_id: int) -> str:
        """Takes back an answer that has not left; returns its text.

        Raises ConflictError when it is leaving or has left, NotFoundError.
        """
        ticket = self._locked(ticket_id)
        message, dispatch = self._delivery(ticket_id, message_id)
        DispatchCRUD(self.session).cancel(dispatch.id)
        self.session.delete(message)
        self.session.flush()
        self._follow_thread(ticket)
        return message.body

    def resend_reply(self, ticket_id: int, message_id: int) -> None:
        """Raises ConflictError unless sending has failed, NotFoundError."""
        self._locked(ticket_id)
        DispatchCRUD(self.session).resend(self._delivery(ticket_id, message_id)[1].id)

    def _delivery(self, ticket_id: int, message_id: int) -> tuple[Message, Dispatch]:
        statement = (
            select(Message, Dispatch)
            .join(Chat, Chat.id == Message.chat_id)
            .join(Dispatch, Dispatch.message_id == Message.id)
            .where(Chat.ticket_id == ticket_id, Message.id == message_id)
        )
        found = self.session.execute(statement).one_or_none()
        if found is None:
            raise NotFoundError
        return found[0], found[1]

    def _follow_thread(self, ticket: SupportTicket) -> SupportTicket:
        """Fills what the ticket repeats of its thread."""
        said = self.messages_of([ticket.id], notes=False)[ticket.id]
        replies = [message for message in said if message.side == "staff"]
        since = replies[-1].id if replies else 0
        waiting = [m.created_at for m in said if m.side == "student" and m.id > since]
        values = {
            "admin_response": replies[-1].body if replies else None,
            "first_reply_at": replies[0].created_at if replies and said[0].side == "student" else None,
            "waiting_since": waiting[0] if waiting and ticket.status != "closed" else None,
            "last_message_at": said[-1].created_at if said else ticket.created_at,
        }
        return self.assign(ticket, values)

    # -- figures

    def waiting(self, cap: int = 1000) -> int:
        """How many tickets wait for an answer, counted up to a cap."""
        some = select(Ticket.id).where(Ticket.waiting_since.is_not(None)).limit(cap)
        return self.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def answer_params(student: User, ticket: SupportTicket, text: str, *, opening: bool = False) -> dict[str, Any]:
    """sendMessage in the student's language: what it answers, in bold, then the text as typed.

    `opening`: the school writes first, about this.
    """
    subject = ticket.subject
    if len(subject) > SUBJECT_SHOWN:
        subject = subject[: SUBJECT_SHOWN - 1] + "…"
    with speaking(language_of(student)):
        words = _("The school writes: “%(subject)s”") if opening else _("Reply to “%(subject)s”")
        heading = words % {"subject": subject}
        button = _("Open the conversation")
    bold = {"type": "bold", "offset": 0, "length": len(heading.encode("utf-16-le")) // 2}
    keyboard = [[{"text": button, "callback_data": f"s1:ticket:{ticket.id}:0"}]]
    return {
        "text": f"{heading}\n\n{text}",
        "entities": [bold],
        "reply_markup": {"inline_keyboard": keyboard},
    }
