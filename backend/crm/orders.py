"""Orders: what students meant to buy. One that was not paid stands nowhere else."""

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import atoms, text
from backend.core.deps import Caller, Routes, crud, require
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.core.templating import render
from backend.crm.sales import TEST, timeline
from backend.crm.table import (
    NUMBER,
    Column,
    Screen,
    Table,
    attributes,
    between,
    cells,
    choice,
    empty,
    install,
    relation,
    when,
)
from backend.database.crud.order_list import OrderListCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.sales import SaleCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.sales import OrderFilters

PREFIX = "/dashboard/sales/orders"
router = Routes(prefix=PREFIX, dependencies=[require(Permission.PURCHASES_READ)])
Sales = Annotated[SaleCRUD, crud(SaleCRUD)]
OrderId = Annotated[int, Path(ge=1, le=MAX_ID)]


def _url(row: Any) -> str:
    return f"{PREFIX}/{row.id}"


def _title(row: Any, _screen: Screen) -> str:
    return cells.headed(_url(row), row.title, row, _state(row))


def _total(row: Any, _screen: Screen) -> str:
    return text.money(row.total)


def _code(row: Any, screen: Screen) -> str:
    return cells.code("code")(row, screen) if row.code else ""


def _state(row: Any, _screen: Screen | None = None) -> str:
    kind, sign, label = STATES[row.status]
    test = [atoms.badge("info", "flask", _("Test"))] if row.is_test else []
    return f'<span class="ly-badges">{" ".join([atoms.badge(kind, sign, _(label)), *test])}</span>'


STATES = {
    "awaiting_payment": ("warn", "clock", N_("Awaiting payment")), "paid": ("good", "check", N_("Paid")),
    "expired": ("", "hourglass", N_("Expired")), "cancelled": ("", "x", N_("Cancelled")),
    "refunded": ("", "arrow-back-up", N_("Refunded")),
}  # fmt: skip
TABLE = Table(
    name="orders", key="order", crud=OrderListCRUD, params=OrderFilters, prefix=PREFIX,
    title=N_("Orders"), search=N_("Student or order number"), label=lambda row: row.title, page=_url,
    none="sales/orders/_none.html", tabs="sales/_tabs.html",
    columns=(
        Column("title", N_("Ordered"), _title),
        Column("student", N_("Student"), cells.student, "ly-no-sm", file=("first_name", "last_name", "username")),
        Column("total", N_("Amount due"), _total, "is-end"),
        Column("status", N_("Status"), _state, "ly-no-sm"),
        Column("code", N_("Promo code"), _code, "ly-col-md ly-sm"),
        when("created_at", N_("Placed"), "ly-no-sm"),
        when("paid_at", N_("Paid"), sort=False, hidden=True),
        NUMBER,
    ),
    filters=(
        choice("status", N_("Status"), *((key, label) for key, (_kind, _sign, label) in STATES.items())),
        empty("with_code", N_("Promo code"), N_("without"), N_("with")),
        between("day", N_("Date"), "since", "until", kind="date"),
        TEST,
        relation("user_id", N_("Student"), StudentCRUD, Permission.USERS_READ),
        relation("promo_id", N_("With code"), PromoCodeCRUD, Permission.PROMO_CODES_READ),
    ),
    export=attributes(
        "id", "created_at", "title", "first_name", "last_name", "username", "subtotal", "discount", "total", "code",
        "status", "paid_at", "is_test",
    ),
)  # fmt: skip
install(router, TABLE)


@router.get("/{order_id}", name="crm:orders:detail")
def detail(request: Request, caller: Caller, sales: Sales, order_id: OrderId) -> Response:
    sale = sales.of_order(order_id)
    return render(request, "sales/orders/detail.html", sale=sale, timeline=timeline(caller, sale))
