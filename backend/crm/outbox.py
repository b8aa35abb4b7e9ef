"""What is on its way to Telegram or by e-mail, and what did not get there."""

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, clock, text
from backend.core.context import Principal
from backend.core.deps import Current, Routes, crud, require
from backend.core.i18n import N_, _
from backend.core.letters import subject_of
from backend.core.permissions import Permission
from backend.core.templating import flash, see_other
from backend.crm.desk import explain
from backend.crm.table import Action, Column, Screen, Table, attributes, cells, choice, install, relation
from backend.database.crud.alerts import is_alert
from backend.database.crud.outbox import OutboxCRUD, must_arrive
from backend.database.crud.users import StudentCRUD
from backend.database.models.dispatches import EMAIL, TELEGRAM
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.dispatches import OutboxFilters

router = Routes(prefix="/dashboard/outbox", dependencies=[require(Permission.OPERATIONS_READ)])
can_write = [require(Permission.SETTINGS_WRITE)]
Outbox = Annotated[OutboxCRUD, crud(OutboxCRUD)]
DispatchId = Annotated[int, Path(ge=1, le=MAX_ID)]
SHOWN = 120


def _recipient(row: Any, screen: Screen) -> str:
    said = f'<span class="ly-only-sm ly-sm ly-quiet ly-cut ly-what">{escape(_said(row, screen))}</span>'
    if not screen.me.may(Permission.USERS_READ):
        channel = f'<small class="ly-quiet ly-xs">{escape(_(CHANNELS[row.channel]))}</small>'
        return f'<span class="d-grid">–{channel}</span>{said}'
    by_mail = row.channel == EMAIL  # to staff as well, who have no page among the students
    shown = cells.buyer(None if by_mail else row.user_id, _name(row), screen, row.address if by_mail else row.method)
    return f"{shown}{said}"


def _name(row: Any) -> str:
    return cells.name_of(row) or str(row.address or row.chat_id)


def _may_leave_again(row: Any) -> bool:
    fresh = row.expires_at is None or row.expires_at > clock.now()
    return bool(row.state == "failed" and fresh and not row.refund_id)


def _may_be_called_off(row: Any) -> bool:
    return bool(row.state in ("pending", "failed") and not row.refund_id and not must_arrive(row))


def what(row: Any) -> str:
    """What a message says, in short; its method when it says nothing."""
    if row.channel == EMAIL:
        return subject_of(row.method, row.params)
    text = str(row.params.get("text") or row.params.get("caption") or row.method)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def closed(row: Any, me: Principal) -> tuple[str, ...]:
    """What of a row this person may not read: alerts tell from where somebody came, as security events do."""
    return ("message",) if is_alert(row.dedupe_key) and not me.may(Permission.AUDIT_READ) else ()


def _said(row: Any, screen: Screen) -> str:
    """The same for those who may read what is written to students; a link of others needs a name all the same."""
    if screen.me.may(Permission.TICKETS_READ) and not closed(row, screen.me):
        return what(row)
    return _("Email message") if row.channel == EMAIL else "–"


def _message(row: Any, screen: Screen) -> str:
    said = escape(_said(row, screen))
    if row.channel != EMAIL and row.payment_id is None:
        return f'<span class="ly-cut d-block ly-what">{said}</span>'
    sign = atoms.icon("mail" if row.channel == EMAIL else "receipt-refund", "icon-sm")
    return f'<a class="ly-cut d-block ly-what" href="{_page(row)}">{sign} {said}</a>'


def _state(row: Any, screen: Screen) -> str:
    stays = row.channel == EMAIL and row.state == "pending" and not screen.caller.settings.mail_on
    kind, sign, label = FOR_YOU if stays else STATES[row.state]
    note = ""
    if row.error:
        said = row.error.partition(": ")[2]
        quoted = f": <span hx-ignore>{escape(said)}</span>" if said else ""
        note = f"{escape(explain(row.error))}{quoted}"
    elif row.state == "pending" and row.not_before > clock.now():
        note = text.datetime_(row.not_before)
    small = f'<small class="d-block ly-xs ly-quiet">{note}</small>' if note else ""
    return f"{atoms.badge(kind, sign, _(label))}{small}"


def _page(row: Any) -> str:
    if row.channel == EMAIL:
        return f"/dashboard/outbox/letters/{row.id}"
    if row.payment_id is not None:
        return f"/dashboard/sales/payments/{row.payment_id}"
    return f"/dashboard/users/{row.user_id}" if row.user_id else "/dashboard/outbox/"


def _when(row: Any, _screen: Screen) -> str:
    return text.ago(row.sent_at or row.created_at)


def _about(caller: Current, _params: Any, _page: Any) -> dict[str, Any]:
    settings = caller.settings
    return {
        "paused_until": OutboxCRUD(caller.session).paused_until(),
        "bot_on": settings.bot_on,
        "mail_on": settings.mail_on,
    }


STATES = {
    "pending": ("", "clock", N_("Queued")), "sending": ("info", "send", N_("Sending")),
    "sent": ("good", "checks", N_("Sent")),
    "failed": ("bad", "alert-circle", N_("Failed")), "cancelled": ("", "ban", N_("Cancelled")),
}  # fmt: skip
CHANNELS = {TELEGRAM: N_("Telegram"), EMAIL: N_("Email")}
FOR_YOU = "warn", "hourglass", N_("Needs you")  # a letter, where no mail server takes it
TABLE = Table(
    name="outbox", key="dispatch", crud=OutboxCRUD, params=OutboxFilters, prefix="/dashboard/outbox", label=_name,
    title=N_("Outbox"), search="", write=Permission.SETTINGS_WRITE, none="outbox/_none.html", tabs="outbox/_notes.html",
    extra=_about,
    page=_page,
    columns=(
        Column("recipient", N_("Recipient"), _recipient, file=("recipient", "channel", "address")),
        Column("message", N_("Message"), _message, "ly-col-md"),
        Column("state", N_("State"), _state, file=("state", "error")),
        Column("attempts", N_("Attempts"), cells.number("attempts"), "is-end ly-num ly-col-lg"),
        Column("created_at", N_("When"), _when, "is-end ly-quiet ly-sm ly-col-md", "created_at", desc=True,
               file=("created_at", "sent_at")),
    ),
    filters=(
        choice(
            "state", N_("State"), ("unsent", N_("Not sent yet")), ("waiting", N_("Queued")), ("failed", N_("Failed")),
            ("sent", N_("Sent")), ("cancelled", N_("Cancelled")), ("all", N_("All")),
        ),
        choice("channel", N_("Channel"), *CHANNELS.items()),
        relation("user_id", N_("Student"), StudentCRUD, Permission.USERS_READ),
    ),
    actions=(
        Action("resend", N_("Resend"), "refresh", fits=_may_leave_again),
        Action("cancel", N_("Cancel"), "x", fits=_may_be_called_off),
    ),
    export={
        **attributes("id"), "recipient": cells.name_of, **attributes("channel"),
        "address": lambda row: row.address or row.chat_id, "message": what,
        **attributes("state", "error", "attempts", "created_at", "sent_at"),
    },
    guarded={**dict.fromkeys(("recipient", "address"), Permission.USERS_READ), "message": Permission.TICKETS_READ},
    names=Permission.USERS_READ, closed=closed,
)  # fmt: skip
install(router, TABLE)


@router.post("/{dispatch_id}/resend", name="crm:outbox:resend", dependencies=can_write)
def resend(request: Request, outbox: Outbox, dispatch_id: DispatchId) -> Response:
    outbox.send_again(dispatch_id)
    flash(request, _("Resending the message"))
    return see_other(request, "crm:outbox:index")


@router.post("/{dispatch_id}/cancel", name="crm:outbox:cancel", dependencies=can_write)
def cancel(request: Request, outbox: Outbox, dispatch_id: DispatchId) -> Response:
    outbox.withdraw(dispatch_id)
    flash(request, _("The message will not be sent"), kind="info")
    return see_other(request, "crm:outbox:index")
