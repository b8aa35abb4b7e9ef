import re
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core import conflicts
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import AppError, InvalidError
from backend.core.exports import csv_response
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import (
    flash,
    render,
    render_list,
    render_part,
    see_other,
    wants_fragment,
)
from backend.core.text import from_local_input
from backend.crm.deeplinks import deep_link
from backend.database import history, listing
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.listing import Page
from backend.database.models.promo_codes import PromoCode
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import Switch
from backend.database.schemas.promo_codes import (
    PromoCodeCreate,
    PromoCodeFilters,
    PromoCodeForm,
    PromoCodeUpdate,
)

router = Routes(prefix="/dashboard/promo-codes", dependencies=[require(Permission.PROMO_CODES_READ)])
can_write = [require(Permission.PROMO_CODES_WRITE)]
PromoCodes = Annotated[PromoCodeCRUD, crud(PromoCodeCRUD)]
Settings = Annotated[SettingCRUD, crud(SettingCRUD)]
Filters = Annotated[PromoCodeFilters, Query()]
PromoId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[PromoCodeForm], form_of(PromoCodeForm)]
FIELDS = ("code", "discount_percent", "discount_amount", "max_uses", "expires_at", "is_active")
CSV = ("id", *FIELDS[:4], "current_uses", *FIELDS[4:], "created_at")
# Telegram takes 64 of these characters behind ?start=, "promo_" among them.
DEEP_LINK = re.compile(r"[A-Za-z0-9_-]{1,58}")
# What the cards of an empty list begin with.
STARTERS: dict[str, dict[str, object]] = {
    "sale": {"code": "SALE20", "discount_percent": 20},
    "gift": {"code": "GIFT", "discount_percent": 100, "max_uses": 50},
    "ad": {"code": "HELLO", "discount_percent": 10},
}


@router.get("/", name="crm:promo_codes:index")
def index(request: Request, promos: PromoCodes, params: Filters) -> Response:
    page = promos.get_all(params, cap=listing.PAGE_CAP)
    return render_list(request, "promo_codes", page=page, params=params)


@router.get("/export.csv", name="crm:promo_codes:csv")
def export(promos: PromoCodes, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = params.model_copy(update={"limit": listing.API_CAP, "cursor": None})
    rows = promos.get_all(everything, cap=listing.API_CAP).items
    return csv_response("promo-codes", CSV, ([getattr(row, name) for name in CSV] for row in rows))


@router.get("/new", name="crm:promo_codes:new", dependencies=can_write)
def new(request: Request, like: Annotated[str, Query(max_length=20, description="A starter")] = "") -> Response:
    values = {"is_active": True, "discount_percent": "", **STARTERS.get(like, {})}
    return render(request, "promo_codes/new.html", promo=None, form=Form(values=values))


@router.post("/", name="crm:promo_codes:create", dependencies=can_write)
def create(request: Request, caller: Caller, promos: PromoCodes, form: Sent) -> Response:
    promo = _tried(form, lambda: promos.create(PromoCodeCreate(**_values(form, caller))))
    if promo is None:
        pages = "promo_codes/new.html", "promo_codes/_form.html"
        return render_part(request, *pages, 422, promo=None, form=form)
    flash(request, _("Promo code created"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:promo_codes:detail", promo_id=promo.id)


@router.get("/{promo_id}", name="crm:promo_codes:detail")
def detail(request: Request, caller: Caller, promos: PromoCodes, settings: Settings, promo_id: PromoId) -> Response:
    promo = promos.get_by_id(promo_id)
    return render(
        request,
        "promo_codes/detail.html",
        promo=promo,
        link=deep_link(request, settings, f"promo_{promo.code}") if DEEP_LINK.fullmatch(promo.code) else None,
        figures=promos.worth(promo_id),
        redemptions=promos.redemptions(promo_id),
        timeline=_timeline(caller, promo_id) if caller.me.may(Permission.HISTORY_READ) else None,
    )


@router.get("/{promo_id}/edit", name="crm:promo_codes:edit", dependencies=can_write)
def edit(request: Request, promos: PromoCodes, promo_id: PromoId) -> Response:
    promo = promos.get_by_id(promo_id)
    form = Form[PromoCodeForm].of(promo, (*FIELDS, "version"))
    return render(request, "promo_codes/edit.html", promo=promo, form=form, conflict=None)


@router.post("/{promo_id}", name="crm:promo_codes:update", dependencies=can_write)
def update(request: Request, caller: Caller, promos: PromoCodes, form: Sent, promo_id: PromoId) -> Response:
    promo = promos.get_by_id(promo_id)
    context: dict[str, Any] = {"promo": promo, "form": form, "conflict": None}
    data = _tried(form, lambda: PromoCodeUpdate(**_values(form, caller)))
    found = data and _compare(caller, data, promo, form)
    if found and found.clashes:
        pages = "promo_codes/edit.html", "promo_codes/_conflict.html"
        return render_part(request, *pages, 409, **context | {"conflict": found})
    if data is None or _tried(form, lambda: promos.update(promo_id, data)) is None:
        pages = "promo_codes/edit.html", "promo_codes/_form.html"
        return render_part(request, *pages, 422, **context)
    flash(request, _("Promo code saved"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:promo_codes:detail", promo_id=promo_id)


@router.post("/{promo_id}/toggle", name="crm:promo_codes:toggle", dependencies=can_write)
def toggle(
    request: Request,
    caller: Caller,
    promos: PromoCodes,
    promo_id: PromoId,
    form: Annotated[Form[Switch], form_of(Switch)],
) -> Response:
    """Says which state is wanted, so that a double click or two people do not undo each other."""
    promo = promos.set_active(promo_id, form.data is not None and form.data.is_active)
    told = _("The code %s works") if promo.is_active else _("The code %s is switched off")
    flash(request, told % promo.code, undo=history.change_set_id(caller.session))
    if wants_fragment(request):
        return render(request, "promo_codes/_row.html", page=Page(items=[promo]))
    return see_other(request, "crm:promo_codes:detail", promo_id=promo_id)


@router.post("/{promo_id}/delete", name="crm:promo_codes:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, promos: PromoCodes, promo_id: PromoId) -> Response:
    promo = promos.delete(promo_id)
    told = _("The code %s is deleted") % promo.code
    flash(request, told, undo=history.change_set_id(caller.session))
    return see_other(request, "crm:promo_codes:index")


def _tried(form: Form[PromoCodeForm], work: Any) -> Any:
    """None when the form is wrong; it knows why."""
    if form.data is None:
        return None
    try:
        return work()
    except AppError as error:
        form.refuse(error)
        return None


def _values(form: Form[PromoCodeForm], caller: Caller) -> dict[str, Any]:
    """What was typed, with the end of the code's time on the clock of whoever typed it."""
    assert form.data is not None
    values = form.data.model_dump(exclude={"version"})
    if values["expires_at"] is not None:
        try:
            values["expires_at"] = from_local_input(values["expires_at"], caller.me.timezone)
        except (ValueError, OverflowError):
            raise InvalidError(fields={"expires_at": _("Enter a date and time.")}) from None
    return values


def _timeline(caller: Caller, promo_id: int, limit: int = 50) -> list[Entry]:
    return HistoryCRUD(caller.session).of_record("promo_codes", promo_id, limit)


def _compare(
    caller: Caller, data: PromoCodeUpdate, promo: PromoCode, form: Form[PromoCodeForm]
) -> conflicts.Conflict | None:
    """None unless the form was opened before somebody else saved."""
    assert form.data is not None
    if form.data.version in (None, promo.version):
        return None
    behind = promo.version - (form.data.version or 0)
    entries = _timeline(caller, promo.id, min(max(behind, 1), 50))
    return conflicts.compare(data, promo, FIELDS, entries)
