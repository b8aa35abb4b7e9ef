from typing import Annotated

from fastapi import Path, Query

from backend.core.deps import (
    BAD_LIST,
    CONFLICT,
    NOT_FOUND,
    Caller,
    Routes,
    crud,
    require,
)
from backend.core.errors import ForbiddenError, NotFoundError
from backend.core.permissions import Permission
from backend.database.crud.tickets import TicketCRUD
from backend.database.listing import Page
from backend.database.models.tickets import SupportTicket
from backend.database.schemas.base import MAX_ID, Id, ListResponse
from backend.database.schemas.tickets import (
    MessageCreate,
    PostedResponse,
    TicketCreate,
    TicketFilters,
    TicketResponse,
    TicketUpdate,
)

router = Routes(prefix="/api/tickets", tags=["tickets"])
Tickets = Annotated[TicketCRUD, crud(TicketCRUD)]
TicketId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]


def present(tickets: TicketCRUD, caller: Caller, *rows: SupportTicket) -> list[dict[str, object]]:
    """Tickets with their threads. The bot, which speaks to students, sees no notes."""
    notes = not caller.me.may(Permission.BOT)
    threads = tickets.messages_of([row.id for row in rows], notes=notes)
    names = [name for name in TicketResponse.model_fields if name != "messages"]
    return [{name: getattr(row, name) for name in names} | {"messages": threads[row.id]} for row in rows]


@router.get(
    "/",
    response_model=ListResponse[TicketResponse],
    dependencies=[require(Permission.TICKETS_READ)],
    summary="List tickets",
    responses=BAD_LIST,
)
def list_tickets(tickets: Tickets, caller: Caller, params: Annotated[TicketFilters, Query()]) -> object:
    """`q` searches subjects, students' names and numbers (`#412`)."""
    page = tickets.get_all(params)
    return Page(present(tickets, caller, *page.items), page.next, total=page.total)


@router.post(
    "/",
    response_model=TicketResponse,
    status_code=201,
    dependencies=[require(Permission.BOT)],
    summary="Ask a question for a student",
    responses=NOT_FOUND,
)
def create_ticket(tickets: Tickets, caller: Caller, data: TicketCreate) -> object:
    return present(tickets, caller, tickets.create(data))[0]


@router.get(
    "/{ticket_id}",
    response_model=TicketResponse,
    dependencies=[require(Permission.TICKETS_READ)],
    summary="One ticket with its thread",
    responses=NOT_FOUND,
)
def get_ticket(
    tickets: Tickets,
    caller: Caller,
    ticket_id: TicketId,
    user_id: Annotated[Id | None, Query(description="Only if it is this student's")] = None,
) -> object:
    ticket = tickets.get_by_id(ticket_id)
    if user_id is not None and ticket.user_id != user_id:
        raise NotFoundError(tickets.missing(ticket_id))
    return present(tickets, caller, ticket)[0]


@router.put(
    "/{ticket_id}",
    response_model=TicketResponse,
    dependencies=[require(Permission.TICKETS_WRITE)],
    summary="Change a ticket",
    responses={**NOT_FOUND, **CONFLICT},
)
def update_ticket(tickets: Tickets, caller: Caller, ticket_id: TicketId, data: TicketUpdate) -> object:
    """Replaces only the fields sent. A new `admin_response` is a reply: it goes to the student."""
    ticket = tickets.update(ticket_id, data, caller.me.user_id)
    return present(tickets, caller, ticket)[0]


@router.post(
    "/{ticket_id}/messages",
    response_model=PostedResponse,
    status_code=201,
    dependencies=[require(Permission.BOT, Permission.TICKETS_WRITE)],
    summary="Write into a thread",
    responses=NOT_FOUND,
)
def post_message(tickets: Tickets, caller: Caller, ticket_id: TicketId, data: MessageCreate) -> object:
    """`from: student` needs `bot`, `from: staff` needs `tickets:write`; notes are for people."""
    me = caller.me
    if not me.may(Permission.BOT if data.side == "student" else Permission.TICKETS_WRITE):
        raise ForbiddenError
    if data.internal and me.may(Permission.BOT):
        raise ForbiddenError
    if data.side == "student":
        message = tickets.student_says(ticket_id, data.text, user_id=data.user_id)
    elif data.internal:
        message = tickets.note(ticket_id, data.text, me.user_id)
    else:
        message = tickets.reply(ticket_id, data.text, me.user_id)
    ticket = tickets.get_by_id(ticket_id)
    names = ("id", "side", "body", "internal", "created_at")
    posted = {name: getattr(message, name) for name in names}
    return posted | {"ticket_id": ticket.id, "status": ticket.status}
