"""The support desk: queue, thread and student in three panes; on a phone each is a page."""

from datetime import timedelta
from typing import Annotated

from fastapi import Form as Field
from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core.auth import by_itself
from backend.core.deps import Caller, Routes, crud, require
from backend.core.forms import Form, form_of, number
from backend.core.i18n import _
from backend.core.links import url_with
from backend.core.permissions import Permission
from backend.core.templating import flash, go_to, render, render_part, types_on, wants_fragment
from backend.crm.desk import Desk
from backend.crm.waiting import LIST_URL, PREFIX
from backend.database import history
from backend.database.crud.desk import DeskCRUD
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.schemas.base import MAX_ID, Id
from backend.database.schemas.tickets import QueueFilters, ReplyForm, StaffTicketForm, Status
from backend.database.schemas.users import StudentFilters

router = Routes(prefix=PREFIX, dependencies=[require(Permission.TICKETS_READ)])
can_write = [require(Permission.TICKETS_WRITE)]
can_open = [*can_write, require(Permission.USERS_READ)]
Students = Annotated[StudentCRUD, crud(StudentCRUD)]
Tickets = Annotated[DeskCRUD, crud(DeskCRUD)]
Filters = Annotated[QueueFilters, Query()]
TicketId = Annotated[int, Path(ge=1, le=MAX_ID)]
MessageId = Annotated[int, Path(ge=1, le=MAX_ID)]
Have = Annotated[str | None, Query(max_length=20)]
PICKED = 20  # students offered at once
# Long enough to take back what was sent too soon.
GRACE = timedelta(seconds=4)


@router.get("/", name="crm:tickets:index")
def index(request: Request, caller: Caller, tickets: Tickets, params: Filters, have: Have = None) -> Response:
    desk = Desk(request, caller, tickets, params)
    if have is not None:
        by_itself(request)
        if desk.queue_mark == have:
            return Response(status_code=204)
    page = render_part(request, "tickets/index.html", "tickets/_queue.html", desk=desk)
    if have is None and request.headers.get("HX-Source", "").startswith("input"):
        # The first letter adds a step to go back to, the next ones none.
        header = "HX-Replace-Url" if types_on(request) else "HX-Push-Url"
        page.headers[header] = url_with(params, LIST_URL)
    return page


@router.get("/new", name="crm:tickets:new", dependencies=can_open)
def new(
    request: Request,
    students: Students,
    user_id: Annotated[Id | None, Query(description="To whom")] = None,
    q: Annotated[str, Query(max_length=100, description="Search for the student")] = "",
) -> Response:
    """The form; without a student, first the choice of one."""
    if user_id is not None:
        return render(request, "tickets/new.html", student=students.get_by_id(user_id), form=Form())
    found = students.get_all(StudentFilters(q=q.strip(), limit=PICKED)).items
    return render(request, "tickets/pick.html", found=found, q=q)


@router.post("/", name="crm:tickets:create", dependencies=can_open)
def create(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    students: Students,
    form: Annotated[Form[StaffTicketForm], form_of(StaffTicketForm)],
) -> Response:
    """The school writes first; the message reaches the student in the chat."""
    student = students.get_by_id(number(form.value("user_id")))
    if form.data is None:
        return render_part(request, "tickets/new.html", "tickets/_new_form.html", 422, student=student, form=form)
    ticket = tickets.open_for(form.data, caller.me.user_id)
    flash(request, _("Ticket opened"))
    return go_to(request, f"{LIST_URL}{ticket.id}?tab=all")


@router.get("/badge", name="crm:tickets:badge")
def badge(request: Request, tickets: Tickets, have: Have = None) -> Response:
    """The figure in the sidebar, for every page."""
    by_itself(request)
    waiting = tickets.waiting()
    if have == str(waiting):
        return Response(status_code=204)
    request.state.badges = {"tickets": waiting}
    return render(request, "tickets/_badge.html", waiting=waiting)


@router.get("/{ticket_id}", name="crm:tickets:detail")
def detail(request: Request, caller: Caller, tickets: Tickets, ticket_id: TicketId, params: Filters) -> Response:
    desk = Desk(request, caller, tickets, params, ticket_id)
    return render_part(request, "tickets/index.html", "tickets/_panes.html", desk=desk, form=Form())


@router.get("/{ticket_id}/history", name="crm:tickets:history", dependencies=[require(Permission.HISTORY_READ)])
def history_of(request: Request, caller: Caller, tickets: Tickets, ticket_id: TicketId) -> Response:
    """On a page of its own: the desk is for answering, and asks no more than that needs."""
    ticket = tickets.get_by_id(ticket_id)
    timeline = HistoryCRUD(caller.session).of_record("support_tickets", ticket_id)
    return render(request, "tickets/history.html", ticket=ticket, timeline=timeline)


@router.get("/{ticket_id}/thread", name="crm:tickets:thread")
def thread(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    ticket_id: TicketId,
    params: Filters,
    have: Have = None,
) -> Response:
    """What is new in the thread; 204 when nothing is."""
    by_itself(request)
    alone = wants_fragment(request)
    desk = Desk(request, caller, tickets, params, ticket_id, queue=not alone)
    if not alone:
        return render(request, "tickets/index.html", desk=desk, form=Form())
    if have == desk.thread_mark:
        return Response(status_code=204)
    return render(request, "tickets/_thread.html", desk=desk)


def _after(
    request: Request,
    caller: Caller,
    tickets: DeskCRUD,
    params: QueueFilters,
    ticket_id: int,
) -> Response:
    """The panes as they are now for htmx, the ticket's page for everyone else."""
    if wants_fragment(request):
        desk = Desk(request, caller, tickets, params, ticket_id)
        return render(request, "tickets/_panes.html", desk=desk, form=Form())
    return go_to(request, url_with(params, f"{LIST_URL}{ticket_id}"))


@router.post("/{ticket_id}/messages", name="crm:tickets:write", dependencies=can_write)
def write(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    ticket_id: TicketId,
    params: Filters,
    form: Annotated[Form[ReplyForm], form_of(ReplyForm)],
) -> Response:
    if form.data is None:
        desk = Desk(request, caller, tickets, params, ticket_id)
        return render_part(request, "tickets/index.html", "tickets/_compose.html", 422, desk=desk, form=form)
    if form.data.to == "note":
        tickets.note(ticket_id, form.data.text, caller.me.user_id)
    else:
        tickets.reply(ticket_id, form.data.text, caller.me.user_id, delay=GRACE)
    return _after(request, caller, tickets, params, ticket_id)


@router.post("/{ticket_id}/assign", name="crm:tickets:assign", dependencies=can_write)
def assign(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    ticket_id: TicketId,
    params: Filters,
    assignee_id: Annotated[int, Field(ge=0, le=MAX_ID)] = 0,
) -> Response:
    """`assignee_id` 0: nobody."""
    tickets.hand_to(ticket_id, assignee_id or None)
    told = _("The ticket is yours") if assignee_id == caller.me.user_id else _("Assignee changed")
    flash(request, told, undo=history.change_set_id(caller.session))
    return _after(request, caller, tickets, params, ticket_id)


@router.post("/{ticket_id}/status", name="crm:tickets:status", dependencies=can_write)
def set_status(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    ticket_id: TicketId,
    params: Filters,
    status: Annotated[Status, Field()],
) -> Response:
    tickets.set_status(ticket_id, status)
    told = _("Ticket closed") if status == "closed" else _("Status changed")
    flash(request, told, undo=history.change_set_id(caller.session))
    return _after(request, caller, tickets, params, ticket_id)


@router.post("/{ticket_id}/delete", name="crm:tickets:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, tickets: Tickets, ticket_id: TicketId, params: Filters) -> Response:
    tickets.delete(ticket_id)
    told = _("Ticket %s is deleted with its messages") % ticket_id
    flash(request, told, undo=history.change_set_id(caller.session))
    return go_to(request, url_with(params, LIST_URL))


@router.post("/{ticket_id}/messages/{message_id}/cancel", name="crm:tickets:cancel", dependencies=can_write)
def cancel(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    ticket_id: TicketId,
    message_id: MessageId,
    params: Filters,
) -> Response:
    """Takes an answer back while it is here, into the field where it was written."""
    text = tickets.cancel_reply(ticket_id, message_id)
    flash(request, _("Reply not sent: it is back in the text field"), kind="info")
    desk, form = Desk(request, caller, tickets, params, ticket_id), Form[ReplyForm](values={"text": text})
    return render_part(request, "tickets/index.html", "tickets/_panes.html", desk=desk, form=form)


@router.post("/{ticket_id}/messages/{message_id}/resend", name="crm:tickets:resend", dependencies=can_write)
def resend(
    request: Request,
    caller: Caller,
    tickets: Tickets,
    ticket_id: TicketId,
    message_id: MessageId,
    params: Filters,
) -> Response:
    tickets.resend_reply(ticket_id, message_id)
    return _after(request, caller, tickets, params, ticket_id)
