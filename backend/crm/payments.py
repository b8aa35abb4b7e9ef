from typing import Annotated

from fastapi import Form, Path, Query, Request
from fastapi.responses import Response

from backend.core.deps import Caller, Routes, crud, require
from backend.core.exports import csv_response
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, go_to, local_path, render, render_list
from backend.core.text import zone
from backend.crm.sales import timeline
from backend.database import listing
from backend.database.crud.payments import RefundCRUD
from backend.database.crud.sales import PaymentListCRUD, SaleCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.sales import PaymentFilters

router = Routes(prefix="/dashboard/sales/payments", dependencies=[require(Permission.PURCHASES_READ)])
Payments = Annotated[PaymentListCRUD, crud(PaymentListCRUD)]
Sales = Annotated[SaleCRUD, crud(SaleCRUD)]
Refunds = Annotated[RefundCRUD, crud(RefundCRUD)]
Filters = Annotated[PaymentFilters, Query()]
PaymentId = Annotated[int, Path(ge=1, le=MAX_ID)]
CSV = (
    "id",
    "created_at",
    "payer_telegram_id",
    "first_name",
    "last_name",
    "username",
    "title",
    "amount",
    "currency",
    "status",
    "refund_status",
    "is_test",
    "provider_charge_id",
)


@router.get("/", name="crm:payments:index")
def index(request: Request, caller: Caller, payments: Payments, sales: Sales, params: Filters) -> Response:
    page = payments.get_all(params.asked(zone(caller.me.timezone)), cap=listing.PAGE_CAP)
    buyer = sales.buyer(params.user_id)
    return render_list(request, "sales/payments", page=page, params=params, buyer=buyer)


@router.get("/export.csv", name="crm:payments:csv")
def export(caller: Caller, payments: Payments, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = {"limit": listing.API_CAP, "cursor": None}
    asked = params.asked(zone(caller.me.timezone)).model_copy(update=everything)
    rows = payments.get_all(asked, cap=listing.API_CAP).items
    return csv_response("payments", CSV, ([getattr(row, name) for name in CSV] for row in rows))


@router.get("/{payment_id}", name="crm:payments:detail")
def detail(request: Request, caller: Caller, sales: Sales, payment_id: PaymentId) -> Response:
    sale = sales.of_payment(payment_id)
    return render(request, "sales/payments/detail.html", sale=sale, timeline=timeline(caller, sale))


@router.post(
    "/{payment_id}/retry",
    name="crm:payments:retry",
    dependencies=[require(Permission.PURCHASES_REFUND)],
)
def retry(
    request: Request,
    refunds: Refunds,
    payment_id: PaymentId,
    next: Annotated[str, Form(max_length=1000)] = "",  # noqa: A002 - the field's name in every form
) -> Response:
    """Asks Telegram once more for a refund that failed."""
    refunds.retry(refunds.get_of_payment(payment_id).id)
    flash(request, _("Telegram is asked once more"))
    return go_to(request, local_path(next, "/dashboard/sales/payments"))
