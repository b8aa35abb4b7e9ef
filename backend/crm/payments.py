from typing import Annotated, Any

from fastapi import Form, Path, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, text
from backend.core.deps import Caller, Routes, crud, recent, require
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.core.templating import flash, go_to, local_path, render
from backend.crm.sales import TEST, timeline
from backend.crm.table import NUMBER, Column, Screen, Table, attributes, between, cells, choice, install, relation, when
from backend.database.crud.payments import RefundCRUD
from backend.database.crud.sales import PaymentListCRUD, SaleCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.sales import PaymentFilters

router = Routes(prefix="/dashboard/sales/payments", dependencies=[require(Permission.PURCHASES_READ)])
Sales = Annotated[SaleCRUD, crud(SaleCRUD)]
Refunds = Annotated[RefundCRUD, crud(RefundCRUD)]
PaymentId = Annotated[int, Path(ge=1, le=MAX_ID)]


def _url(row: Any) -> str:
    """Of the sale that it paid for, or its own."""
    return f"/dashboard/sales/{row.purchase_id}" if row.purchase_id else f"/dashboard/sales/payments/{row.id}"


def _payer(row: Any, screen: Screen) -> str:
    name = cells.name_of(row) if row.user_id else _("unknown person")
    shown = cells.buyer(row.user_id, name, screen, row.payer_telegram_id or "")
    link = f'<a class="d-block ly-cut" href="{_url(row)}">{escape(_title(row))}</a>'
    moment = f'<span class="ly-quiet ly-xs">{text.ago(row.created_at)}</span>'
    return f"{shown}{cells.small(f'{link}{_state(row)} {moment}')}"


def _title(row: Any) -> str:
    return row.title or _("unknown item")


def _thing(row: Any, _screen: Screen) -> str:
    return f'<a class="ly-strong text-reset ly-cut" href="{_url(row)}">{escape(_title(row))}</a>'


def _amount(row: Any, _screen: Screen) -> str:
    return text.money(row.amount) if row.currency == "XTR" else f"{text.number(row.amount)} {escape(row.currency)}"


def _state(row: Any, _screen: Screen | None = None) -> str:
    found = [STATES[key] for key in (row.status, row.refund_status) if key in STATES]
    badges = [atoms.badge(kind, sign, _(label)) for kind, sign, label in found]
    badges += [atoms.badge("info", "flask", _("Test"))] if row.is_test else []
    return f'<span class="ly-badges">{" ".join(badges)}</span>'


STATES = {
    "settled": ("good", "check", N_("Received")), "unmatched": ("warn", "alert-triangle", N_("Unmatched")),
    "done": ("", "arrow-back-up", N_("Refunded")), "failed": ("bad", "alert-circle", N_("Refund failed")),
    "requested": ("warn", "clock", N_("Refund pending")),
}  # fmt: skip
TABLE = Table(
    name="payments", key="payment", crud=PaymentListCRUD, params=PaymentFilters, prefix="/dashboard/sales/payments",
    title=N_("Payments"), search=N_("Payer or payment number"), label=_title, page=_url,
    none="sales/payments/_none.html", tabs="sales/_tabs.html",
    columns=(
        Column("payer", N_("Payer"), _payer, file=("payer_telegram_id", "first_name", "last_name", "username")),
        Column("title", N_("Paid for"), _thing, "ly-no-sm"),
        Column("amount", N_("Amount"), _amount, "is-end", "amount", desc=True, file=("amount", "currency")),
        Column("status", N_("Status"), _state, "ly-no-sm", file=("status", "refund_status", "is_test")),
        Column("provider_charge_id", N_("Payment number"), cells.code("provider_charge_id"), "ly-col-lg ly-sm"),
        when("created_at", N_("When"), "ly-no-sm"),
        NUMBER,
    ),
    filters=(
        choice(
            "status", N_("Status"), ("settled", N_("Received")), ("unmatched", N_("Unmatched")),
            ("refunded", N_("Refunded")),
        ),
        choice(
            "refund", N_("Refund"), ("requested", N_("Refund pending")), ("done", N_("Refunded")),
            ("failed", N_("Refund failed")),
        ),
        between("day", N_("Date"), "since", "until", kind="date"),
        TEST,
        relation("user_id", N_("Student"), StudentCRUD, Permission.USERS_READ),
    ),
    export=attributes(
        "id", "created_at", "payer_telegram_id", "first_name", "last_name", "username", "title", "amount", "currency",
        "status", "refund_status", "is_test", "provider_charge_id",
    ),
)  # fmt: skip
install(router, TABLE)


@router.get("/{payment_id}", name="crm:payments:detail")
def detail(request: Request, caller: Caller, sales: Sales, payment_id: PaymentId) -> Response:
    sale = sales.of_payment(payment_id)
    return render(request, "sales/payments/detail.html", sale=sale, timeline=timeline(caller, sale))


@router.post(
    "/{payment_id}/retry",
    name="crm:payments:retry",
    dependencies=[require(Permission.PURCHASES_REFUND), recent],
)
def retry(
    request: Request,
    refunds: Refunds,
    payment_id: PaymentId,
    next: Annotated[str, Form(max_length=1000)] = "",  # noqa: A002 - the field's name in every form
) -> Response:
    """Asks Telegram once more for a refund that failed."""
    refunds.retry(refunds.get_of_payment(payment_id).id)
    flash(request, _("Refund request sent to Telegram again"))
    return go_to(request, local_path(next, "/dashboard/sales/payments"))
