"""The palette: pages, records and verbs that fit a text; without script a page of its own."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from backend.core.context import Principal
from backend.core.deps import Caller, Routes, require
from backend.core.i18n import N_, _
from backend.core.navigation import FOOT, SECTIONS, Item
from backend.core.permissions import Permission
from backend.core.templating import render_part
from backend.database.crud.search import SearchCRUD
from backend.database.schemas.base import ListParams
from backend.database.search import normalise

router = Routes(prefix="/dashboard", dependencies=[require(Permission.DASHBOARD_READ)])
P = Permission

VERBS: tuple[Item, ...] = (
    Item(N_("New lesson"), "plus", "crm:lessons:new", P.LESSONS_WRITE),
    Item(N_("New course"), "plus", "crm:courses:new", P.COURSES_WRITE),
    Item(N_("New promo code"), "plus", "crm:promo_codes:new", P.PROMO_CODES_WRITE),
    Item(N_("New student"), "plus", "crm:users:new", P.USERS_WRITE),
)
# The lists that a text which is typed here can be looked for in.
LISTS: tuple[Item, ...] = (
    Item(N_("Students"), "search", "crm:users:index", P.USERS_READ),
    Item(N_("Purchases"), "search", "crm:sales:index", P.PURCHASES_READ),
    Item(N_("Tickets"), "search", "crm:tickets:index", P.TICKETS_READ),
)
RECORDS: dict[str, Permission] = {
    "students": P.USERS_READ,
    "lessons": P.LESSONS_READ,
    "courses": P.COURSES_READ,
    "promo_codes": P.PROMO_CODES_READ,
    "tickets": P.TICKETS_READ,
}


@router.get("/search", name="crm:search:index")
def index(request: Request, caller: Caller, params: Annotated[ListParams, Query()]) -> Response:
    q, found, me = params.q or "", SearchCRUD(caller.session), caller.me
    records: dict[str, Any] = {
        name: getattr(found, name)(q) if q and me.may(right) else [] for name, right in RECORDS.items()
    }
    return render_part(
        request,
        "search/index.html",
        "search/_found.html",
        q=q,
        records=records,
        pages=_fitting(q, [item for section in (*SECTIONS, FOOT) for item in section.items], me),
        verbs=_fitting(q, VERBS, me),
        lists=[item for item in LISTS if q and me.may(item.permission)],
    )


def _fitting(q: str, items: Iterable[Item], me: Principal) -> list[Item]:
    """Those that the person may open and whose name has every word of the text."""
    words = normalise(q).split()
    allowed = [item for item in items if me.may(item.permission)]
    return [item for item in allowed if all(word in normalise(_(item.label)) for word in words)]
