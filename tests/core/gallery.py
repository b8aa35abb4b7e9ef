"""A small app on the real templates, with data made up on the spot, to look at the shared parts.

`python -m tests.core.gallery 8120` serves it for eyes and pictures.
"""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import uvicorn
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import Response
from jinja2 import ChoiceLoader, FileSystemLoader
from starlette.middleware.base import RequestResponseEndpoint

from backend.core import atoms, clock, templating
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.errors import AppError, ForbiddenError, NotFoundError
from backend.core.forms import Form
from backend.core.permissions import Permission
from backend.core.static import PREFIX, assets
from backend.crm.table import Column, Screen, Table, between, cells, choice
from backend.crm.table.screen import screen_params
from backend.database.crud.base import BaseCRUD
from backend.database.listing import Page
from backend.database.models.users import Role
from backend.database.schemas.base import ListParams

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'"
)
PAGES = Path(__file__).parent / "pages"
NAMES = (
    "Нина Воробьёва",
    "Мария Ковалёва",
    "Тимур Сафин",
    "Александр Константинопольский",
    "Ева Лисицына",
    "Emma Stone",
)
RIGHTS = frozenset(permission.value for permission in Permission)
ME = Principal("session", 3, "Анна Соколова", "anna", "Админ", RIGHTS, "en", csrf_token="token-1")
SALES = [1422, 1100, 780, 1310, 1650, 1540, 1200, 980, 1390, 1810, 1760, 1500, 1240, 1120, 1990]
STEP, LAST = 25, 100
router = APIRouter()


class Params(ListParams):
    status: str | None = None
    spent_min: int | None = None
    spent_max: int | None = None
    since: str | None = None
    until: str | None = None
    active: bool | None = None


class Things(BaseCRUD[Any]):
    model = Role
    default_sort = "-spent"
    sorts: ClassVar[Mapping[str, Any]] = {"name": Role.name, "spent": Role.id, "seen": Role.id}


def _learning(_thing: object, _screen: object) -> str:
    return atoms.badge("good", "circle-check", "Learning")


def _person(thing: Any, _screen: object) -> str:
    return atoms.person(thing.id, thing.name, f"/dashboard/things/{thing.id}", f"@{thing.username}")


THINGS = Table(
    name="things",
    key="thing",
    crud=Things,
    params=Params,
    prefix="/dashboard/things",
    title="Students",
    search="Name, @username or ID",
    label=lambda thing: thing.name,
    write=Permission.USERS_WRITE,
    none="things/_none.html",
    new=("crm:things:new", "Student"),
    columns=(
        Column("name", "Student", _person, sort="name"),
        Column("status", "Status", _learning, "ly-col-md"),
        Column("spent", "Spent", cells.money("spent"), "is-end", "spent", desc=True),
        Column("seen", "Seen", cells.ago("seen"), "is-end ly-quiet ly-sm ly-col-md", "seen", desc=True),
    ),
    filters=(
        choice("status", "Status", ("good", "Learning"), ("bad", "Blocked")),
        between("spent", "Spent", "spent_min", "spent_max", unit=" ★"),
        between("day", "Registered", "since", "until", kind="date"),
    ),
)
Asked = screen_params(Params)


def make_thing(number: int) -> SimpleNamespace:
    seen = clock.now() - timedelta(minutes=7 * number * number)
    name, spent = NAMES[number % len(NAMES)], 4870 - 37 * number
    return SimpleNamespace(id=number, name=name, username=f"user_{number}", spent=spent, seen=seen)


def make_gallery(me: Principal = ME, **settings: object) -> FastAPI:
    """The app as `me` sees it; `lang` and `theme` in the query override theirs."""
    values = {"secret_key": "gallery-gallery-gallery-0123456789-abc", "school_name": "Свет из окна"}
    app = FastAPI()
    app.state.settings = Settings(_env_file=None, **values | settings)  # type: ignore[arg-type] # pydantic checks
    app.state.things = [make_thing(number) for number in range(1, 5)]
    app.mount(PREFIX, assets)
    loader = templating.env.loader
    if not isinstance(loader, ChoiceLoader):
        assert loader is not None
        templating.env.loader = ChoiceLoader([loader, FileSystemLoader(PAGES)])

    @app.middleware("http")
    async def sign_in(request: Request, call_next: RequestResponseEndpoint) -> Response:
        language = request.query_params.get("lang", me.language)
        theme = request.query_params.get("theme", me.theme)
        request.state.me = Principal(**{**me.__dict__, "language": language, "theme": theme})
        request.state.badges = {"tickets": 7}
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    app.include_router(router)
    return app


@router.get("/dashboard/", name="crm:dashboard:index")
@router.get("/dashboard/things/{thing_id:int}", name="crm:things:detail")
def detail(request: Request) -> Response:
    days = [f"{day} Oct" for day in range(1, len(SALES) + 1)]
    before = [value - 200 for value in SALES[::-1]]
    return templating.render(request, "things/detail.html", values=SALES, previous=before, labels=days)


@router.get("/dashboard/things/", name="crm:things:index")
@router.get("/dashboard/users/", name="crm:users:index")
def index(request: Request, params: Annotated[Asked, Query()], nothing: bool = False) -> Response:
    """1,204 things of which 100 can be seen; `?nothing=1` and `?q=nobody` have none."""
    start = int(params.cursor or 0)
    empty = nothing or params.q == "nobody"
    items = [] if empty else [make_thing(number) for number in range(start + 1, start + STEP + 1)]
    page = Page(
        items,
        next=None if empty or start + STEP >= LAST else str(start + STEP),
        prev=str(start - STEP) if start else None,
        total=0 if empty else None,
        capped=not empty,
    )
    me = SimpleNamespace(me=request.state.me, session=None)
    screen = Screen(THINGS, request, me, params)  # type: ignore[arg-type] # a caller without a unit of work
    names = "table/index.html", "table/_table.html"
    return templating.render_list(request, names, page=page, params=params, list_url=request.url.path, screen=screen)


@router.get("/dashboard/things/new", name="crm:things:new")
def new(request: Request, upload: bool = False) -> Response:
    until = datetime(2026, 11, 21, 8, 12, tzinfo=UTC)
    values = {"title": "Window light", "is_active": True, "expires_at": until}
    form: Form[Params] = Form(values=values)
    return templating.render(request, "things/edit.html", form=form, upload=upload)


@router.post("/dashboard/things/save", name="crm:things:save")
async def save(request: Request) -> Response:
    async with request.form() as sent:
        values = {name: value for name, value in sent.items() if isinstance(value, str)}
    token = request.headers.get("X-CSRF-Token") or values.get("csrf_token")
    if token != ME.csrf_token:
        return fail(request, ForbiddenError())
    if values.get("title") == "good":
        templating.flash(request, "Saved <b>it</b>", undo=12)
        return templating.see_other(request, "crm:things:detail", thing_id=1)
    errors = {"title": "Longer than 32 characters.", "price": "Stars are whole: write 199."}
    form: Form[Params] = Form(values=values, errors=errors)
    return templating.render_part(request, "things/edit.html", "things/_form.html", 422, form=form)


@router.get("/dashboard/order", name="crm:things:order")
@router.post("/dashboard/order", name="crm:things:move")
async def order(request: Request) -> Response:
    sent = await request.form()
    things: list[SimpleNamespace] = request.app.state.things
    if sent:
        moved = next(thing for thing in things if str(thing.id) == sent["id"])
        things.remove(moved)
        things.insert(int(str(sent["position"])) - 1, moved)
        templating.flash(request, f"{moved.name} is number {sent['position']} now", undo=5)
    return templating.render_part(request, "things/order.html", "things/_order.html", things=things)


@router.post("/dashboard/history/{change_set_id}/undo", name="crm:history:undo")
@router.post("/dashboard/settings/language", name="crm:settings:language")
@router.post("/dashboard/settings/theme", name="crm:settings:theme")
async def back(request: Request) -> Response:
    sent = await request.form()
    return templating.go_to(request, templating.local_path(str(sent.get("next"))))


@router.get("/login", name="auth:login")
def door(request: Request, refused: bool = False) -> Response:
    why = {"": "Wrong login or password. Check the layout and Caps Lock."} if refused else {}
    form: Form[Params] = Form(values={"username": "anna"}, errors=why)
    about: dict[str, Any] = {
        "next": "/dashboard/",
        "passkey": None,
        "elsewhere": [],
        "registration": False,
        "remember": False,
    }
    return templating.render(request, "auth/login.html", form=form, **about)


@router.get("/dashboard/tickets/badge", name="crm:tickets:badge")
def badge(request: Request) -> Response:
    return templating.render(request, "tickets/_badge.html", waiting=7)


@router.get("/broken")
def broken(request: Request) -> Response:
    error = AppError("The server could not cope with this request.")
    error.status = 500
    return fail(request, error)


@router.get("/dashboard/tickets/", name="crm:tickets:index")
@router.get("/dashboard/lessons/", name="crm:lessons:index")
@router.get("/dashboard/courses/", name="crm:courses:index")
@router.get("/dashboard/promo-codes/", name="crm:promo_codes:index")
@router.get("/dashboard/sales/", name="crm:sales:index")
@router.get("/dashboard/settings/", name="crm:settings:index")
@router.get("/dashboard/search", name="crm:search:index")
@router.get("/sandbox/", name="sandbox:index")
def missing(request: Request) -> Response:
    return fail(request, NotFoundError())


def fail(request: Request, error: AppError) -> Response:
    name = "errors/_toast.html" if request.headers.get("HX-Request") else "errors/page.html"
    number = "01KAJ3-7F2C-9Q4D"
    return templating.render(request, name, error.status, error=error, inside=False, request_id=number)


if __name__ == "__main__":
    templating.env.auto_reload = True
    uvicorn.run(make_gallery(sandbox=True), port=int(sys.argv[1]), log_level="warning")
