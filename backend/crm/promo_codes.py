import re
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, clock, conflicts, text
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import AppError, InvalidError
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _, current_language
from backend.core.permissions import Permission
from backend.core.templating import (
    flash,
    render,
    render_part,
    see_other,
)
from backend.core.text import from_local_input
from backend.crm.deeplinks import deep_link
from backend.crm.table import (
    NUMBER,
    Action,
    Column,
    Edit,
    Field,
    Screen,
    Table,
    attributes,
    between,
    cells,
    choice,
    empty,
    install,
    when,
)  # fmt: skip
from backend.database import history
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.promo_codes import PromoCode
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import Switch
from backend.database.schemas.promo_codes import (
    PromoCodeCreate,
    PromoCodeForm,
    PromoCodeListFilters,
    PromoCodeUpdate,
)

router = Routes(prefix="/dashboard/promo-codes", dependencies=[require(Permission.PROMO_CODES_READ)])
can_write = [require(Permission.PROMO_CODES_WRITE)]
PromoCodes = Annotated[PromoCodeCRUD, crud(PromoCodeCRUD)]
Settings = Annotated[SettingCRUD, crud(SettingCRUD)]
PromoId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[PromoCodeForm], form_of(PromoCodeForm)]
FIELDS = ("code", "discount_percent", "discount_amount", "max_uses", "expires_at", "is_active")
# Telegram takes 64 of these characters behind ?start=, "promo_" among them.
DEEP_LINK = re.compile(r"[A-Za-z0-9_-]{1,58}")
# What the cards of an empty list begin with.
STARTERS: dict[str, dict[str, object]] = {
    "sale": {"code": "SALE20", "discount_percent": 20},
    "gift": {"code": "GIFT", "discount_percent": 100, "max_uses": 50},
    "ad": {"code": "HELLO", "discount_percent": 10},
}


def _worth(row: Any, _screen: Screen | None = None) -> str:
    gap = text.NBSP if current_language.get() == "ru" else ""
    parts = [f"{text.MINUS}{row.discount_percent}{gap}%"] if row.discount_percent else []
    parts += [f"{text.MINUS}{text.money(row.discount_amount)}"] if row.discount_amount else []
    return f" {_('and')} ".join(parts)


def _state(row: Any, _screen: Screen | None = None) -> str:
    if not row.is_active:
        return atoms.badge("", "ban", _("Off"))
    if row.expires_at and row.expires_at <= clock.now():
        return atoms.badge("", "clock", _("Expired"))
    if row.max_uses is not None and row.current_uses >= row.max_uses:
        return atoms.badge("warn", "checks", _("Used up"))
    return atoms.badge("good", "circle-check", _("Valid"))


def _code(row: Any, _screen: Screen) -> str:
    url, code = f"/dashboard/promo-codes/{row.id}", escape(row.code)
    link = f'<a class="ly-strong text-reset ly-cut" href="{url}"><code>{code}</code></a>'
    return f"{link}{cells.small(f'{_worth(row)} {_state(row)}')}"


def _uses(row: Any, _screen: Screen) -> str:
    if row.max_uses is None:
        return text.number(row.current_uses)
    return _("%(used)s of %(max)s") % {"used": text.number(row.current_uses), "max": text.number(row.max_uses)}


NUM, INT = "is-end ly-num", Edit("number")
ENDLESS = N_("no limit")
TABLE = Table(
    name="promo_codes", key="promo", crud=PromoCodeCRUD, params=PromoCodeListFilters, update=PromoCodeUpdate, edit=True,
    prefix="/dashboard/promo-codes", title=N_("Promo codes"), search=N_("Code"), label=lambda row: row.code,
    write=Permission.PROMO_CODES_WRITE, new=("crm:promo_codes:new", N_("Promo code")), none="promo_codes/_none.html",
    columns=(
        Column("code", N_("Code"), _code, sort="code", edit=Edit(link=True)),
        Column("worth", N_("Discount"), _worth, "ly-no-sm ly-num", file=FIELDS[1:3]),
        Column(
            "current_uses", N_("Used"), _uses, "is-end ly-num", "current_uses", desc=True,
            file=("current_uses", "max_uses"),
        ),
        Column("status", N_("Status"), _state, "ly-no-sm", file=("is_active", "expires_at")),
        Column("expires_at", N_("Valid until"), cells.moment("expires_at", ENDLESS), "ly-quiet ly-sm ly-col-lg"),
        when("created_at", N_("Created"), "ly-col-md"),
        Column("discount_percent", N_("Percent"), cells.number("discount_percent"), NUM, hidden=True, edit=INT),
        Column("discount_amount", N_("Stars off"), cells.money("discount_amount"), NUM, hidden=True, edit=INT),
        Column("max_uses", N_("Max uses"), cells.number("max_uses"), NUM, hidden=True, edit=INT),
        NUMBER,
    ),
    filters=(
        choice("is_active", N_("Status"), ("true", N_("On")), ("false", N_("Off"))),
        between("percent", N_("Percent"), "percent_min", "percent_max", unit=" %"),
        between("used", N_("Used"), "used_min", "used_max"),
        empty("expires", N_("Valid until"), ENDLESS, N_("has an end date")),
    ),
    actions=(
        Action("switch_on", N_("Turn on"), "circle-check", fits=lambda row: not row.is_active),
        Action("switch_off", N_("Turn off"), "ban", fits=lambda row: row.is_active),
        Action("set_end", N_("Set end date"), "calendar", fields=(Field("expires_at", N_("Valid until"), "moment"),)),
        Action("delete", N_("Delete"), "trash", bad=True),
    ),
    export=attributes("id", *FIELDS[:4], "current_uses", *FIELDS[4:], "created_at"),
)  # fmt: skip
install(router, TABLE)


@router.get("/new", name="crm:promo_codes:new", dependencies=can_write)
def new(
    request: Request,
    like: Annotated[str, Query(max_length=20, description="A starter")] = "",
    code: Annotated[str, Query(max_length=64, description="How it is called")] = "",
) -> Response:
    values = {"code": code, "is_active": True, "discount_percent": "", **STARTERS.get(like, {})}
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
        figures=promos.worth(promo_id) if caller.me.may(Permission.PURCHASES_READ) else None,
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
    told = _("The code %s is active") if promo.is_active else _("The code %s is turned off")
    flash(request, told % promo.code, undo=history.change_set_id(caller.session))
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
