"""What a careful person writes by hand for one page: the raw driver, plain SQL, the same template.

The measure for our own code, which does the same through its layers. It knows who asks (one query,
as ours), answers from a thread (as ours) and has neither history, forms, errors nor rights.
"""

import contextlib
import gc
import hashlib
import json
import re
import sqlite3
import threading
from collections import namedtuple
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl

import anyio.to_thread
import psycopg
from sqlalchemy.engine import make_url
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from backend.core import csrf
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.forms import Form
from backend.core.links import Links
from backend.core.templating import render
from backend.crm.desk import delivery
from backend.crm.queue import queue_rows, with_chosen
from backend.crm.table.screen import Screen, read_query, respond, screen_params
from backend.crm.users import TABLE
from backend.crm.waiting import LIST_URL, waited
from backend.database.listing import Cursor, Page, decode_cursor
from backend.database.models.users import User
from backend.database.schemas.tickets import QueueFilters
from backend.database.schemas.users import StudentFilters
from backend.database.search.keys import alternatives, normalise
from benchmarks import queries as sql
from main import create_app

settings = Settings()
URL = make_url(settings.database_url)
SQLITE = URL.get_backend_name() == "sqlite"
local = threading.local()
TIMES = frozenset(
    {"created_at", "updated_at", "last_seen_at", "waiting_since", "first_reply_at"}
    | {"last_message_at", "revoked_at", "blocked_bot_at", "terms_accepted_at", "at"}
)
SORTED: dict[str, Any] = {"created_at": User.created_at, "name": User.search_key}
GATHERED = "group_concat(g.name, char(10))" if SQLITE else "string_agg(g.name, chr(10))"
FLAGS = frozenset({"is_active", "waiting", "internal", "is_test"})


def _connect() -> Any:
    if not SQLITE:
        address = URL.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(address, autocommit=True)
    connection = sqlite3.connect(URL.database or "", isolation_level=None, check_same_thread=False)
    for pragma in ("cache_size=-16000", "mmap_size=268435456", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@cache
def _written(statement: str) -> str:
    """`:name` as the driver wants it."""
    return statement if SQLITE else re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement.replace("%", "%%"))


@cache
def _row(statement: str, names: tuple[str, ...]) -> Any:
    made = namedtuple("Row", names)  # type: ignore[misc] # its columns are the statement's
    # SQLite hands out text for moments and numbers for flags.
    moments = [place for place, name in enumerate(names) if name in TIMES] if SQLITE else []
    flags = [place for place, name in enumerate(names) if name in FLAGS] if SQLITE else []

    def convert(values: tuple[Any, ...]) -> Any:
        if not moments and not flags:
            return made._make(values)
        changed = list(values)
        for place in moments:
            text = changed[place]
            if text is not None:
                changed[place] = datetime.fromisoformat(text).replace(tzinfo=UTC)
        for place in flags:
            changed[place] = bool(changed[place])
        return made._make(changed)

    return convert


def ask(statement: str, **values: Any) -> list[Any]:
    if not hasattr(local, "connection"):
        local.connection = _connect()
    if SQLITE:
        values = {name: _plain(value) for name, value in values.items()}
    found = local.connection.execute(_written(statement), values)
    convert = _row(statement, tuple(column[0] for column in found.description))
    return [convert(values) for values in found.fetchall()]


def _plain(value: Any) -> Any:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _enter(request: Request) -> Principal:
    key = hashlib.sha256(request.cookies["lyceum"].encode()).hexdigest()
    (who,) = ask(sql.SESSION, key=key, now=datetime.now(UTC))
    rights = json.loads(who.permissions) if SQLITE else who.permissions
    me = Principal(
        kind="session",
        user_id=who.id,
        name=who.first_name,
        login=who.login,
        role=who.role,
        permissions=frozenset(rights),
        language=who.ui_language or "ru",
        csrf_token=csrf.make_token(settings, key),
    )
    request.state.me = me
    return me


def _student_role() -> int:
    return int(ask(sql.STUDENT_ROLE)[0].id)


@dataclass(frozen=True)
class ByHand(Screen):
    """The list's own templates around a page that is there already."""

    made: Page[Any]

    def page(self) -> Page[Any]:
        return self.made


def users(request: Request) -> Response:
    me = _enter(request)
    params = StudentFilters.model_validate(dict(parse_qsl(request.url.query)))
    values: dict[str, Any] = {"role": _student_role(), "limit": params.limit + 1}
    where, sort = "", params.sort or "-created_at"
    descending, name = sort.startswith("-"), sort.lstrip("-")
    column = {"created_at": "u.created_at", "name": "u.search_key"}[name]
    way, less = ("DESC", "<") if descending else ("ASC", ">")
    if params.q:
        where += _search(params.q, values)
    counted = ask(sql.USERS_COUNT.format(where=where), **values)
    if params.cursor:
        cursor = decode_cursor(params.cursor, sort, SORTED[name])
        where += f" AND ({column}, u.id) {less} (:value, :after)"
        values |= {"value": cursor.value, "after": cursor.row_id}
    order = f"{column} {way}, u.id {way}"
    rows = ask(sql.USERS.format(where=where, order=order, gathered=GATHERED), **values)
    more, rows = len(rows) > params.limit, rows[: params.limit]
    last = rows[-1] if rows else None
    page: Page[Any] = Page(
        items=rows,
        next=Cursor(sort, getattr(last, name), last.id).encode() if more and last else None,
        total=counted[0].number if counted[0].number <= sql.CAP else None,
        capped=counted[0].number > sql.CAP,
    )
    asked = read_query(request, screen_params(StudentFilters))
    return respond(ByHand(TABLE, request, cast("Any", SimpleNamespace(me=me, session=None)), asked, page))


def _search(q: str, values: dict[str, Any]) -> str:
    found = []
    for place, term in enumerate(normalise(q.replace("@", " ")).split()):
        ways, long = [], []
        for nth, word in enumerate(alternatives(term)):
            name = f"term{place}_{nth}"
            if len(word) < 3:
                ways.append(f"(u.search_key >= :{name} AND u.search_key < :{name}_end)")
                values |= {name: f" {word}", f"{name}_end": f" {word}\U0010ffff"}
            elif SQLITE:
                long.append('"' + word.replace('"', '""') + '"')
            else:
                ways.append(f"u.search_key LIKE :{name}")
                values[name] = f"%{word}%"
        if long:
            ways.append(f"u.id IN (SELECT rowid FROM users_search WHERE users_search MATCH :term{place})")
            values[f"term{place}"] = " OR ".join(long)
        found.append(f" AND ({' OR '.join(ways)})")
    return "".join(found)


def ticket(request: Request) -> Response:
    me = _enter(request)
    params = QueueFilters.model_validate(dict(parse_qsl(request.url.query)))
    number = request.path_params["ticket_id"]
    queue = ask(sql.QUEUE[params.tab], me=me.user_id, limit=params.limit + 1)
    counts = ask(sql.COUNTS, me=me.user_id, cap=1000)[0]
    staff = {person.id: person.first_name for person in ask(sql.STAFF)}
    (found,) = ask(sql.TICKET, ticket=number)
    lines = [
        SimpleNamespace(message=row, author=row.first_name or "", dispatch=None, at=row.created_at)
        for row in ask(sql.MESSAGES, ticket=number)
    ]
    ask(sql.EVENTS, ticket=number)
    request.state.badges = {"tickets": counts.waiting}
    rows = queue[: params.limit]
    more = len(queue) > params.limit
    bought = ask(sql.PURCHASES, user=found.user_id)
    student = ask(sql.USER, user=found.user_id)[0]
    card = ask(sql.CARD, user=found.user_id)[0]
    desk = SimpleNamespace(
        queue_key=None,  # drawn anew, as by someone who keeps nothing
        thread_key=None,
        student_key=None,
        page=Page(items=rows, next="more" if more else None, total=None),
        params=params,
        waiting=counts.waiting,
        mine=counts.mine,
        list_url=LIST_URL,
        queue_mark="handmade",
        chips=[],
        staff=staff,
        waited=waited,
        queue_rows=queue_rows,
        with_chosen=with_chosen,
        ticket=found,
        thread=SimpleNamespace(
            ticket=found,
            assignee=found.assignee_name,
            student=SimpleNamespace(**student._asdict(), **card._asdict()),
            name=f"{student.first_name} {student.last_name}",
            lines=lines,
            events=[],
            earlier=0,
        ),
        timeline=[("line", line.at, line) for line in lines],
        delivery=delivery,
        thread_mark="handmade",
        thread_every="10s",
        others=ask(sql.OTHERS, user=found.user_id, ticket=number),
        may_see_purchases=True,
        bought=bought[:8],
        my_last=0,
    )
    return render(request, "tickets/index.html", desk=desk, form=Form())


def lookup(request: Request) -> Response:
    secret = request.headers["authorization"].partition(" ")[2]
    (token,) = ask(sql.TOKEN, key=hashlib.sha256(secret.encode()).hexdigest())
    if "users:read" not in (json.loads(token.scopes) if SQLITE else token.scopes):
        return Response(status_code=403)
    telegram_id = int(request.query_params["telegram_id"])
    rows = ask(sql.LOOKUP, telegram_id=telegram_id)
    items = [row._asdict() for row in rows]
    answer = {"items": items, "next": None, "total": len(items)}
    body = json.dumps(answer, default=datetime.isoformat, ensure_ascii=False)
    return Response(body, media_type="application/json")


def health(_request: Request) -> Response:
    return PlainTextResponse("ok")


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    yield


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/dashboard/users/", users),
        Route("/dashboard/tickets/{ticket_id:int}", ticket),
        Route("/api/users/", lookup),
    ],
    lifespan=lifespan,
)
_real = create_app(settings)
app.state.settings = settings
app.state.links = Links(_real)  # addresses of the pages that the template names
app.state.school = _real.state.school
