from dataclasses import replace
from typing import Annotated, Any

from fastapi import Form as Field
from fastapi import Path, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, text
from backend.core.deps import Caller, Current, Routes, crud, recent, require
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.core.templating import flash, go_to, local_path, render, render_part, see_other
from backend.core.text import zone
from backend.crm.table import (
    NUMBER,
    Column,
    Screen,
    Table,
    attributes,
    between,
    cells,
    choice,
    install,
    relation,
    when,
)  # fmt: skip
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.purchases import is_grant
from backend.database.crud.sales import Sale, SaleCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.purchases import PurchaseRefund
from backend.database.schemas.sales import SaleFilters

router = Routes(prefix="/dashboard/sales", dependencies=[require(Permission.PURCHASES_READ)])
Sales = Annotated[SaleCRUD, crud(SaleCRUD)]
PurchaseId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[PurchaseRefund], form_of(PurchaseRefund)]
can_refund = [require(Permission.PURCHASES_REFUND)]
can_grant = [require(Permission.PURCHASES_GRANT)]


def _buyer(row: Any, screen: Screen) -> str:
    shown = cells.buyer(row.user_id, cells.name_of(row), screen, f"@{row.username}" if row.username else "")
    link = f'<a class="d-block ly-cut" href="{screen.table.url_of(row)}">{escape(row.title)}</a>'
    moment = f'<span class="ly-quiet ly-xs">{text.ago(row.created_at)}</span>'
    return f"{shown}{cells.small(f'{link}{_state(row)} {moment}')}"


def _thing(row: Any, screen: Screen) -> str:
    return cells.titled(screen.table.url_of(row), row.title, _("lesson") if row.lesson_id else _("course"))


def _state(row: Any, _screen: Screen | None = None) -> str:
    test = atoms.badge("info", "flask", _("Test")) if row.is_test else ""
    return f'<span class="ly-badges">{_how(row)}{test}</span>'


def _how(row: Any) -> str:
    gift = row.payment_id.startswith("grant:")
    if row.revoked_at:
        return atoms.badge("", "ban", _("Revoked")) if gift else atoms.badge("bad", "arrow-back-up", _("Refunded"))
    if row.status in UNFINISHED:
        kind, sign, label = UNFINISHED[row.status]
        return atoms.badge(kind, sign, _(label))
    if gift:
        return atoms.badge("accent", "gift", _("Gift"))
    return atoms.badge("good", "check", _("Paid")) if row.amount else atoms.badge("info", "gift", _("Free"))


def _totals(caller: Current, params: Any, page: Any) -> dict[str, Any]:
    """The sums above the list, while it is short enough to be counted."""
    if page.capped or params.cursor:
        return {"totals": None}
    return {"totals": SaleCRUD(caller.session).totals(params.asked(zone(caller.me.timezone)))}


UNFINISHED = {"failed": ("bad", "alert-circle", N_("Failed")), "pending": ("warn", "clock", N_("Pending"))}
TEST = choice("is_test", N_("Test sales"), ("false", N_("excluded")), ("true", N_("only")))
TABLE = Table(
    name="sales", key="purchase", crud=SaleCRUD, params=SaleFilters, prefix="/dashboard/sales", title=N_("Purchases"),
    search=N_("Student or payment number"), label=lambda row: row.title, none="sales/_none.html",
    tabs="sales/_tabs.html", above="sales/_totals.html", extra=_totals,
    columns=(
        Column("student", N_("Student"), _buyer, file=("user_id", "first_name", "last_name", "username")),
        Column("title", N_("What"), _thing, "ly-no-sm"),
        Column("amount", N_("Amount"), cells.money("amount"), "is-end", "amount", desc=True),
        Column("status", N_("Status"), _state, "ly-no-sm", file=("status", "revoked_at", "is_test")),
        when("created_at", N_("When"), "ly-no-sm"),
        Column("payment_id", N_("Payment number"), cells.code("payment_id"), "ly-col-lg ly-quiet ly-sm", hidden=True),
        NUMBER,
    ),
    filters=(
        choice(
            "state", N_("Status"), ("paid", N_("Paid")), ("returned", N_("Refunded")), ("gift", N_("Gift")),
            ("free", N_("Free")), ("open", N_("Has access")),
        ),
        between("day", N_("Date"), "since", "until", kind="date"),
        relation("lesson_id", N_("Lesson"), LessonCRUD, Permission.LESSONS_READ),
        relation("course_id", N_("Course"), CourseCRUD, Permission.COURSES_READ),
        relation("user_id", N_("Student"), StudentCRUD, Permission.USERS_READ),
        relation("promo_id", N_("Promo code"), PromoCodeCRUD, Permission.PROMO_CODES_READ),
        TEST,
        choice("earned", N_("Revenue"), ("true", N_("counts")), ("false", N_("does not count"))),
    ),
    export=attributes(
        "id", "created_at", "user_id", "first_name", "last_name", "username", "title", "amount", "status", "revoked_at",
        "is_test", "payment_id",
    ),
)  # fmt: skip
install(router, TABLE)


@router.get("/{purchase_id}", name="crm:sales:detail")
def detail(request: Request, caller: Caller, sales: Sales, purchase_id: PurchaseId) -> Response:
    return render(request, "sales/detail.html", **_context(caller, sales, purchase_id))


@router.get("/{purchase_id}/refund", name="crm:sales:ask_refund", dependencies=[*can_refund, recent])
def ask_refund(request: Request, caller: Caller, sales: Sales, purchase_id: PurchaseId) -> Response:
    """The question as a page, for browsers without dialogs."""
    return render(request, "sales/refund.html", **_context(caller, sales, purchase_id))


@router.post("/{purchase_id}/refund", name="crm:sales:refund", dependencies=[*can_refund, recent])
def refund(request: Request, caller: Caller, sales: Sales, form: Sent, purchase_id: PurchaseId) -> Response:
    if form.data is None:
        context = _context(caller, sales, purchase_id) | {"form": form}
        pages = "sales/refund.html", "sales/_refund_form.html"
        return render_part(request, *pages, 422, **context)
    sales.refund(purchase_id, reason=form.data.reason, actor_id=caller.me.user_id)
    flash(request, _("Access closed, refunding the Stars"))
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
    paid = sale.payment is not None and sale.purchase.revoked_at is None and not (sale.user and sale.user.erased_at)
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
