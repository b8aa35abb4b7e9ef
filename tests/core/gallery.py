"""A small app on the real templates: what the tests of the shared parts look at, with data made up on the spot.

`python -m tests.core.gallery 8120` serves it for eyes and pictures.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from jinja2 import ChoiceLoader, FileSystemLoader

from backend.core import clock, templating
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.errors import AppError, NotFoundError
from backend.core.forms import Form

from backend.core.permissions import Permission
from backend.core.static import PREFIX, assets
from backend.database.listing import Page
from backend.database.schemas.base import ListParams

CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'"
PAGES = Path(__file__).parent / "pages"
NAMES = ("Нина Воробьёва", "Мария Ковалёва", "Тимур Сафин", "Александр Константинопольский", "Ева Лисицына", "Emma Stone")
ME = Principal(
    "session", 3, "Анна Соколова", "anna", "Админ", frozenset(p.value for p in Permission), "en", csrf_token="token-1"
)


class Params(ListParams):
    status: str | None = None
    spent_min: int | None = None
    spent_max: int | None = None
    since: str | None = None
    until: str | None = None
    active: bool | None = None


def make_thing(number: int) -> SimpleNamespace:
    name = NAMES[number % len(NAMES)]
    seen = clock.now() - timedelta(minutes=7 * number * number)
    return SimpleNamespace(id=number, name=name, username=f"user_{number}", spent=4870 - 37 * number, seen=seen)


def make_gallery(me: Principal = ME, **settings: object) -> FastAPI:
    values = {"secret_key": "gallery-gallery-gallery-0123456789-abc", "school_name": "Школа «Свет из окна»"} | settings
    app = FastAPI()
    app.state.settings = Settings(_env_file=None, **values)  # type: ignore[arg-type,call-arg] # pydantic checks
    app.mount(PREFIX, assets)
    loader = templating.env.loader
    if not isinstance(loader, ChoiceLoader):
        assert loader is not None
        templating.env.loader = ChoiceLoader([loader, FileSystemLoader(PAGES)])

    @app.middleware("http")
    async def sign_in(request: Request, call_next):  # type: ignore[no-untyped-def] # Starlette's own signature
        language, theme = request.query_params.get("lang", me.language), request.query_params.get("theme", me.theme)
        request.state.me = Principal(**{**me.__dict__, "language": language, "theme": theme})
        request.state.badges = {"tickets": 7}
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    _routes(app)
    return app


def _routes(app: FastAPI) -> None:
    @app.get("/dashboard/", name="crm:dashboard:index")
    @app.get("/dashboard/things/{thing_id:int}", name="crm:things:detail")
    def detail(request: Request, thing_id: int = 1) -> Response:
        values = [1422, 1100, 780, 1310, 1650, 1540, 1200, 980, 1390, 1810, 1760, 1500, 1240, 1120, 1680, 1990, 1870]
        days = [f"{day} Oct" for day in range(1, 18)]
        return templating.render(
            request, "things/detail.html", values=values, previous=[v - 200 for v in values[::-1]], labels=days
        )

    @app.get("/dashboard/things/", name="crm:things:index")
    @app.get("/dashboard/users/", name="crm:users:index")
    def index(request: Request, params: Annotated[Params, Query()]) -> Response:
        start = int(params.cursor or 0)
        total = {"nobody": 0, "empty": 0}.get(params.q or "", 1204)
        if request.query_params.get("nothing"):
            total = 0
        items = [make_thing(n) for n in range(start + 1, min(start + 26, total + 1))]
        following = str(start + 25) if start + 25 < 100 and total else None
        page = Page(items, following, str(start - 25) if start else None, None if total > 1000 else total, total > 1000)
        return templating.render_list(request, "things", page=page, params=params)

    @app.get("/dashboard/things/new", name="crm:things:new")
    def new(request: Request, upload: bool = False) -> Response:
        form: Form[Params] = Form(values={"title": "Window light", "is_active": True, "expires_at": datetime(2026, 11, 21, 8, 12, tzinfo=UTC)})
        return templating.render(request, "things/edit.html", form=form, upload=upload)

    @app.post("/dashboard/things/save", name="crm:things:save")
    async def save(request: Request) -> Response:
        sent = dict(await request.form())
        if sent.get("title") == "good":
            templating.flash(request, "Saved <b>it</b>", undo=12)
            return templating.see_other(request, "crm:things:detail", thing_id=1)
        form: Form[Params] = Form(values=sent, errors={"title": "Longer than 32 characters.", "price": "Stars are whole: write 199."})
        return templating.render_part(request, "things/edit.html", "things/_form.html", 422, form=form)

    @app.post("/dashboard/history/{change_set_id}/undo", name="crm:history:undo")
    @app.post("/dashboard/settings/language", name="crm:settings:language")
    @app.post("/dashboard/settings/theme", name="crm:settings:theme")
    async def back(request: Request) -> Response:
        return templating.go_to(request, templating.local_path(str((await request.form()).get("next"))))

    for path, name in (("/dashboard/tickets/", "crm:tickets:index"), ("/dashboard/lessons/", "crm:lessons:index"),
                       ("/dashboard/courses/", "crm:courses:index"), ("/dashboard/promo-codes/", "crm:promo_codes:index"),
                       ("/dashboard/sales/", "crm:sales:index"), ("/dashboard/settings/", "crm:settings:index"),
                       ("/dashboard/search", "crm:search:index"), ("/sandbox/", "sandbox:index")):
        app.add_api_route(path, missing, name=name)
    app.add_api_route("/login", door, name="crm:login")
    app.add_api_route("/broken", broken)


def door(request: Request, refused: bool = False) -> Response:
    errors = {"": "Login or password did not fit. Check the layout and Caps Lock."} if refused else {}
    return templating.render(request, "login.html", form=Form(values={"username": "anna"}, errors=errors), next="/dashboard/")


def _fail(request: Request, error: AppError) -> Response:
    name = "errors/_toast.html" if request.headers.get("HX-Request") else "errors/page.html"
    return templating.render(request, name, error.status, error=error, request_id="01KAJ3-7F2C-9Q4D")


def missing(request: Request) -> Response:
    return _fail(request, NotFoundError())


def broken(request: Request) -> Response:
    error = AppError("The server could not cope with this request.")
    error.status = 500
    return _fail(request, error)


if __name__ == "__main__":
    templating.env.auto_reload = True
    uvicorn.run(make_gallery(sandbox=True), port=int(sys.argv[1]), log_level="warning")
