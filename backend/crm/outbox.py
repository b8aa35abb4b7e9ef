"""What is on its way to Telegram, and what did not get there."""

from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core.deps import Routes, SettingsDep, crud, require
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, render, render_list, see_other, wants_fragment
from backend.crm.desk import explain
from backend.database import listing
from backend.database.crud.outbox import OutboxCRUD
from backend.database.listing import Page
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.dispatches import OutboxFilters

router = Routes(prefix="/dashboard/outbox", dependencies=[require(Permission.OPERATIONS_READ)])
can_write = [require(Permission.SETTINGS_WRITE)]
Outbox = Annotated[OutboxCRUD, crud(OutboxCRUD)]
DispatchId = Annotated[int, Path(ge=1, le=MAX_ID)]
SHOWN = 120


@router.get("/", name="crm:outbox:index")
def index(
    request: Request,
    outbox: Outbox,
    settings: SettingsDep,
    params: Annotated[OutboxFilters, Query()],
) -> Response:
    page = outbox.get_all(params, cap=listing.PAGE_CAP)
    return render_list(
        request,
        "outbox",
        page=page,
        params=params,
        paused_until=outbox.paused_until(),
        bot_on=settings.bot_on,
        explain=explain,
        what=what,
    )


def what(row: Any) -> str:
    """What a message says, in short; its method when it says nothing."""
    text = str(row.params.get("text") or row.params.get("caption") or row.method)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _row(request: Request, outbox: OutboxCRUD, dispatch_id: int) -> Response:
    if wants_fragment(request):
        page = Page(items=[outbox.get_row(dispatch_id)])
        return render(request, "outbox/_row.html", page=page, explain=explain, what=what)
    return see_other(request, "crm:outbox:index")


@router.post("/{dispatch_id}/resend", name="crm:outbox:resend", dependencies=can_write)
def resend(request: Request, outbox: Outbox, dispatch_id: DispatchId) -> Response:
    outbox.send_again(dispatch_id)
    flash(request, _("The message leaves again"))
    return _row(request, outbox, dispatch_id)


@router.post("/{dispatch_id}/cancel", name="crm:outbox:cancel", dependencies=can_write)
def cancel(request: Request, outbox: Outbox, dispatch_id: DispatchId) -> Response:
    outbox.withdraw(dispatch_id)
    flash(request, _("The message will not be sent"), kind="info")
    return _row(request, outbox, dispatch_id)
