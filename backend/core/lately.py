"""What a person opened lately, in a cookie of kinds and ids: no names, no script. The palette shows of it only what is
still there and may still be seen.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import Response

from backend.core.context import Principal
from backend.core.navigation import FOOT, SECTIONS

COOKIE, DAYS, KEPT = "lyceum_lately", 30, 8
PAGE = "page"
# The page of a record: route -> (kind, the parameter of its path that holds the id).
RECORDS = {
    "crm:users:detail": ("students", "user_id"),
    "crm:tickets:detail": ("tickets", "ticket_id"),
    "crm:lessons:detail": ("lessons", "lesson_id"),
    "crm:courses:detail": ("courses", "course_id"),
    "crm:promo_codes:detail": ("promo_codes", "promo_id"),
    "crm:sales:detail": ("purchases", "purchase_id"),
    "crm:payments:detail": ("payments", "payment_id"),
}
PAGES = {item.route for section in (*SECTIONS, FOOT) for item in section.items}
MARK = re.compile(r"([a-z_]{1,20})\.([a-zA-Z0-9_-]{1,40})")

Place = tuple[str, str]  # kind and id; of a page its route


def read(request: Request, me: Principal) -> list[Place]:
    """The latest first. Another person's on the same browser are not shown."""
    owner, *marks = request.cookies.get(COOKIE, "").split("~")[: KEPT + 1]
    if owner != str(me.user_id):
        return []
    found = [match.groups() for mark in marks if (match := MARK.fullmatch(mark))]
    return [(kind, value.replace("-", ":") if kind == PAGE else value) for kind, value in found]


def remember(request: Request, response: Response, me: Principal) -> None:
    """Puts a page that was opened in front."""
    place = _place(request)
    if place is None or not me.signed_in or response.status_code != HTTPStatus.OK:
        return
    known = read(request, me)
    if known[:1] == [place]:
        return
    kept = [place, *(other for other in known if other != place)][:KEPT]
    settings = request.app.state.settings
    response.set_cookie(
        COOKIE, _written(me, kept), max_age=DAYS * 86_400, httponly=True, samesite="lax", secure=settings.https
    )


def _written(me: Principal, places: Sequence[Place]) -> str:
    return "~".join([str(me.user_id), *(f"{kind}.{value.replace(':', '-')}" for kind, value in places)])


def _place(request: Request) -> Place | None:
    name = getattr(request.scope.get("route"), "name", "")
    if name in RECORDS:
        kind, parameter = RECORDS[name]
        return kind, str(request.path_params[parameter])
    return (PAGE, name) if name in PAGES else None
