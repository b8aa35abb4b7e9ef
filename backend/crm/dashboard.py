from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from backend.core import clock
from backend.core.deps import Caller, Routes, require
from backend.core.permissions import Permission
from backend.core.templating import render
from backend.core.text import zone
from backend.crm.waiting import waited
from backend.database.crud.analytics import AnalyticsCRUD, Period
from backend.database.crud.revenue import HOLD

router = Routes(prefix="/dashboard", dependencies=[require(Permission.DASHBOARD_READ)])
PERIODS = (7, 30, 90)


@router.get("/", name="crm:dashboard:index")
def index(
    request: Request,
    caller: Caller,
    days: Annotated[int, Query(ge=1, le=90)] = 30,
) -> Response:
    """What each person sees follows their rights: no sales without purchases:read, no tickets without tickets:read."""
    me, figures = caller.me, AnalyticsCRUD(caller.session)
    period = Period.ending_now(days if days in PERIODS else 30, zone(me.timezone))
    context: dict[str, Any] = {"period": period, "periods": PERIODS}
    if me.may(Permission.PURCHASES_READ):
        border = clock.now() - HOLD
        revenue, sales = figures.earnings(period)
        context |= {
            "revenue": revenue,
            "sales": sales,
            "withdrawable": figures.withdrawable(border),
            "border": border,
            "latest": figures.latest_sales(),
            "best": figures.best_lessons(period),
        }
    elif me.may(Permission.LESSONS_READ):
        context["lessons"] = figures.newest_lessons()  # an author has no figures to look at
    if me.may(Permission.USERS_READ):
        context["students"] = figures.students(period)
    if me.may(Permission.TICKETS_READ):
        waiting, longest = figures.waiting()
        context |= {"reply": figures.first_reply(period), "waiting": waiting, "longest": longest, "waited": waited}
    return render(request, "dashboard/index.html", **context)
