from dataclasses import replace
from typing import Annotated, Any

from fastapi import Form as Field
from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core.deps import Caller, Routes, crud, require
from backend.core.exports import csv_response
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, go_to, local_path, render, render_list, render_part, see_other
from backend.core.text import zone
from backend.database import listing
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.purchases import is_grant
from backend.database.crud.sales import Sale, SaleCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.purchases import PurchaseRefund
from backend.database.schemas.sales import SaleFilters

router = Routes(prefix="/dashboard/sales", dependencies=[require(Permission.PURCHASES_READ)])
Sales = Annotated[SaleCRUD, crud(SaleCRUD)]
Filters = Annotated[SaleFilters, Query()]
PurchaseId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[PurchaseRefund], form_of(PurchaseRefund)]
can_refund = [require(Permission.PURCHASES_REFUND)]
can_grant = [require(Permission.PURCHASES_GRANT)]
CSV = (
    "id",
    "created_at",
    "user_id",
    "first_name",
    "last_name",
    "username",
    "title",
    "amount",
    "status",
    "revoked_at",
    "is_test",
    "payment_id",
)


@router.get("/", name="crm:sales:index")
def index(request: Request, caller: Caller, sales: Sales, params: Filters) -> Response:
    asked = params.asked(zone(caller.me.timezone))
    page = sales.get_all(asked, cap=listing.PAGE_CAP)
    return render_list(
        request,
        "sales",
        page=page,
        params=params,
        totals=None if page.capped or params.cursor else sales.totals(asked),
        lessons=sales.lessons(),
        courses=sales.courses(),
        buyer=sales.buyer(params.user_id),
        promo=sales.promo(params.promo_id),
    )


@router.get("/export.csv", name="crm:sales:csv")
def export(caller: Caller, sales: Sales, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = {"limit": listing.API_CAP, "cursor": None}
    asked = params.asked(zone(caller.me.timezone)).model_copy(update=everything)
    rows = sales.get_all(asked, cap=listing.API_CAP).items
    return csv_response("purchases", CSV, ([getattr(row, name) for name in CSV] for row in rows))


@router.get("/{purchase_id}", name="crm:sales:detail")
def detail(request: Request, caller: Caller, sales: Sales, purchase_id: PurchaseId) -> Response:
    return render(request, "sales/detail.html", **_context(caller, sales, purchase_id))


@router.get("/{purchase_id}/refund", name="crm:sales:ask_refund", dependencies=can_refund)
def ask_refund(request: Request, caller: Caller, sales: Sales, purchase_id: PurchaseId) -> Response:
    """The question as a page, for browsers without dialogs."""
    return render(request, "sales/refund.html", **_context(caller, sales, purchase_id))


@router.post("/{purchase_id}/refund", name="crm:sales:refund", dependencies=can_refund)
def refund(request: Request, caller: Caller, sales: Sales, form: Sent, purchase_id: PurchaseId) -> Response:
    if form.data is None:
        context = _context(caller, sales, purchase_id) | {"form": form}
        pages = "sales/refund.html", "sales/_refund_form.html"
        return render_part(request, *pages, 422, **context)
    sales.refund(purchase_id, reason=form.data.reason, actor_id=caller.me.user_id)
    flash(request, _("Access is closed, the Stars are on their way back"))
    return see_other(request, "crm:sales:detail", purchase_id=purchase_id)


@router.post("/{purchase_id}/revoke", name="crm:sales:revoke", dependencies=can_grant)
def revoke(
    request: Request,
    sales: Sales,
    purchase_id: PurchaseId,
    next: Annotated[str, Field(max_length=1000)] = "",  # noqa: A002 - the field's name in every form
) -> Response:
    """Takes a gift back; it can be given again."""
    sales.revoke_grant(purchase_id)
    flash(request, _("Access is closed"))
    return go_to(request, local_path(next, f"/dashboard/sales/{purchase_id}"))


def _context(caller: Caller, sales: Sales, purchase_id: int) -> dict[str, Any]:
    sale = sales.of_purchase(purchase_id)
    assert sale.purchase is not None
    paid = sale.payment is not None and sale.purchase.revoked_at is None
    return {
        "sale": sale,
        "form": Form[PurchaseRefund](),
        "is_gift": is_grant(sale.purchase),
        "refundable": paid,
        "timeline": timeline(caller, sale),
    }


def timeline(caller: Caller, sale: Sale) -> list[Entry] | None:
    """What happened to the purchase, its order, payment and refund, the latest first."""
    if not caller.me.may(Permission.HISTORY_READ):
        return None
    parts = {
        "purchases": sale.purchase,
        "orders": sale.order,
        "payments": sale.payment,
        "refunds": sale.refund,
    }
    records, merged = HistoryCRUD(caller.session), dict[int, Entry]()
    for name, part in parts.items():
        for entry in records.of_record(name, part.id) if part is not None else ():
            known = merged.get(entry.change_set.id)
            changes = [*known.changes, *entry.changes] if known else entry.changes
            merged[entry.change_set.id] = replace(entry, changes=changes)
    return [merged[key] for key in sorted(merged, reverse=True)]
