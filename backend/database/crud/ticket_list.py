"""The list of all tickets, beside the desk: for whoever looks after many at once."""

from collections.abc import Container, Mapping
from typing import Any, ClassVar

from sqlalchemy import select
from sqlalchemy.orm import aliased

from backend.database.crud.base import BaseCRUD, Filter
from backend.database.crud.tickets import ROLES, Ticket, TicketCRUD
from backend.database.listing import AnySelect
from backend.database.models.tickets import WAITS
from backend.database.models.users import User
from backend.database.schemas.tickets import ToAssignee
from backend.database.verbs import DELETE, Verb, named
from backend.database.walking import ANY

ASSIGNEE = aliased(User)
LISTED: AnySelect = (
    select(
        Ticket.id,
        Ticket.subject,
        Ticket.status,
        Ticket.waiting_since,
        Ticket.first_reply_at,
        Ticket.last_message_at,
        Ticket.created_at,
        Ticket.updated_at,
        Ticket.user_id,
        User.first_name,
        User.last_name,
        User.username,
        Ticket.assignee_id,
        ASSIGNEE.first_name.label("assignee"),
    )
    .join(User, User.id == Ticket.user_id)
    .outerjoin(ASSIGNEE, ASSIGNEE.id == Ticket.assignee_id)
)


class AnsweringCRUD(BaseCRUD[User]):
    """Who may be given a ticket, as a choice."""

    model = User
    called: ClassVar[tuple[Any, ...]] = (User.first_name, User.last_name)

    @classmethod
    def list_statement(cls) -> AnySelect:
        return select(User).where(User.role_id.in_(ROLES), User.is_active.is_(True))


class TicketListCRUD(TicketCRUD):
    default_sort = "-last_message_at"
    filters: ClassVar[Mapping[str, Filter]] = {
        **TicketCRUD.filters,
        "waiting": lambda on: WAITS if on else Ticket.waiting_since.is_(None),
        "taken": lambda yes: Ticket.assignee_id.is_not(None) if yes == "yes" else Ticket.assignee_id.is_(None),
        "answered": lambda on: Ticket.first_reply_at.is_not(None) if on else Ticket.first_reply_at.is_(None),
        "opened_since": Ticket.created_at.__ge__,
        "opened_until": Ticket.created_at.__lt__,
    }
    seldom: ClassVar[Mapping[str, Container[Any]]] = {
        "waiting": (True,),
        "status": ("open", "in_progress"),
        "answered": (False,),
        "taken": (),
        "assignee_id": ANY,
        "user_id": ANY,
    }
    verbs: ClassVar[Mapping[str, Verb]] = named(
        Verb("close", lambda tickets, row_id, _given: tickets.set_status(row_id, "closed")),
        Verb("open_again", lambda tickets, row_id, _given: tickets.open_again(row_id)),
        Verb("assign", lambda tickets, row_id, given: tickets.hand_to(row_id, given.assignee_id), ToAssignee),
        Verb("unassign", lambda tickets, row_id, _given: tickets.hand_to(row_id, None)),
        DELETE,
    )

    @classmethod
    def list_statement(cls) -> AnySelect:
        return LISTED

    def open_again(self, ticket_id: int) -> Ticket:
        """Only what is closed: a ticket in progress stays that. Raises NotFoundError."""
        ticket = self.get_by_id(ticket_id)
        return self.set_status(ticket_id, "open") if ticket.status == "closed" else ticket
