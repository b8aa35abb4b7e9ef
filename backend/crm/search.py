"""The palette: pages, records and verbs that fit a text, the lately opened first; without script a page of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from backend.core import lately
from backend.core.context import Principal
from backend.core.deps import Caller, Routes, require
from backend.core.i18n import N_
from backend.core.navigation import FOOT, SECTIONS, Item
from backend.core.permissions import Permission
from backend.core.templating import render_part, url_of
from backend.crm.palette import KINDS, VERBS, Kind, Verb, Wish, fitting, wishes
from backend.crm.table.declare import TABLES
from backend.database.crud.search import SHOWN, SearchCRUD
from backend.database.listing import AnyRow
from backend.database.schemas.base import ListParams

router = Routes(prefix="/dashboard", dependencies=[require(Permission.DASHBOARD_READ)])
P = Permission
MOST = 12  # of what a text names: a verb fits several kinds
SEARCHED = ("students", "tickets", "lessons", "courses", "promo_codes")
# The lists that a text which is typed here can be looked for in.
LISTS: tuple[Item, ...] = (
    Item(N_("Students"), "search", "crm:users:index", P.USERS_READ),
    Item(N_("Purchases"), "search", "crm:sales:index", P.PURCHASES_READ),
    Item(N_("Tickets"), "search", "crm:tickets:index", P.TICKETS_READ),
)
PAGES: dict[str, Item] = {item.route: item for section in (*SECTIONS, FOOT) for item in section.items}


@dataclass(frozen=True)
class Hit:
    """A record that is found, or a page; with `verb` what is done to the record instead of opening it."""

    kind: Kind | None
    row: AnyRow | None = None
    verb: Verb | None = None
    page: Item | None = None


@router.get("/search", name="crm:search:index")
def index(request: Request, caller: Caller, params: Annotated[ListParams, Query()]) -> Response:
    q, found, me = params.q or "", SearchCRUD(caller.session), caller.me
    opened = [place for place in lately.read(request, me) if not _is_here(request, place)]
    return render_part(
        request,
        "search/index.html",
        "search/_found.html",
        q=q,
        lately=[] if q else _lately(found, opened, me),
        wanted=_wanted(found, q, me),
        records={
            kind: _records(found, kind, q, opened) if q and me.may(KINDS[kind].permission) else [] for kind in SEARCHED
        },
        pages=fitting(q, PAGES.values(), me),
        verbs=fitting(q, VERBS, me),
        new_code=_new_code(found, q, me),
        lists=[item for item in LISTS if q and me.may(item.permission)],
    )


def _is_here(request: Request, place: lately.Place) -> bool:
    """Whether the palette was opened over this very page."""
    kind = KINDS.get(place[0])
    if kind is None and place[1] not in PAGES:
        return False
    url = url_of(request, kind.route, **{kind.parameter: place[1]}) if kind else url_of(request, place[1])
    _scheme, _sep, rest = request.headers.get("HX-Current-URL", "").partition("://")
    return re.split(r"[?#]", rest)[0].partition("/")[2] == url.removeprefix("/")


def _records(found: SearchCRUD, kind: str, q: str, opened: Sequence[lately.Place]) -> list[Hit]:
    """What was opened lately stands first."""
    rows = found.find(kind, q)
    known = {value for opened_kind, value in opened if opened_kind == kind}
    return [Hit(KINDS[kind], row) for row in sorted(rows, key=lambda row: str(row.id) not in known)]


def _lately(found: SearchCRUD, opened: Sequence[lately.Place], me: Principal) -> list[Hit]:
    rows: dict[lately.Place, Any] = {}
    for name, kind in KINDS.items():
        ids = [int(value) for opened_kind, value in opened if opened_kind == name and value.isdecimal()]
        if me.may(kind.permission):
            rows |= {(name, str(row_id)): row for row_id, row in found.among(name, ids).items()}
    return [hit for place in opened if (hit := _opened(place, rows, me))]


def _opened(place: lately.Place, rows: dict[lately.Place, Any], me: Principal) -> Hit | None:
    page = PAGES.get(place[1]) if place[0] == lately.PAGE else None
    if page is not None:
        return Hit(None, page=page) if me.may(page.permission) else None
    return Hit(KINDS[place[0]], rows[place]) if place in rows else None


def _wanted(found: SearchCRUD, q: str, me: Principal) -> list[Hit]:
    """The records that the text names by number or by their kind, and what it wants done to them."""
    asked = wishes(q, me)
    meant = {(wish.kind.name, wish.number, wish.text): wish for wish in asked}
    rows = {key: _meant(found, wish) for key, wish in meant.items()}
    hits = [
        Hit(wish.kind, row, wish.verb)
        for wish in asked
        for row in _fitting(found, me, wish, rows[wish.kind.name, wish.number, wish.text])
    ]
    return hits[:MOST]


def _meant(found: SearchCRUD, wish: Wish) -> list[AnyRow]:
    if wish.number is not None and wish.kind.numbered:
        return list(found.among(wish.kind.name, [wish.number]).values())
    return list(found.find(wish.kind.name, wish.text))[:SHOWN]


def _fitting(found: SearchCRUD, me: Principal, wish: Wish, rows: list[AnyRow]) -> list[AnyRow]:
    """Those that the verb can be done to."""
    verb = wish.verb
    if verb is None or not rows:
        return rows
    if not verb.does:
        return [row for row in rows if verb.takes != "purchases" or _can_be_returned(row)]
    listed = TABLES[wish.kind.table or wish.kind.name].data(found.session, me).rows_of([row.id for row in rows])
    can = {row.id for row in listed if verb.fits is None or verb.fits(row)}
    return [row for row in rows if row.id in can]


def _can_be_returned(row: Any) -> bool:
    return bool(row.amount > 0 and not row.payment_id.startswith("grant:") and row.revoked_at is None)


def _new_code(found: SearchCRUD, q: str, me: Principal) -> str:
    """A promo code that is named and does not exist yet, for those who may make it."""
    asked = [wish.text.upper() for wish in wishes(q, me) if wish.kind.name == "promo_codes" and wish.verb is None]
    if not asked or not me.may(P.PROMO_CODES_WRITE) or " " in asked[0]:
        return ""
    known = [str(row.code).upper() for row in found.find("promo_codes", asked[0])]
    return "" if asked[0] in known else asked[0]
