"""SQL that somebody hopes will run: in every parameter, path, field and header that any route reads, on both databases.

What is sent holds MARK. A statement that has it anywhere but in a bound value or a closed literal is a finding, and so
are an error of the server, words of a database in an answer, and a list that grows with what is always true.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import delete, event, inspect, select
from sqlalchemy.orm import Session

from backend.core.permissions import Permission
from backend.crm.table.declare import Table
from backend.crm.table.screen import screen_params
from backend.database.models.auth import RateBucket
from backend.database.models.users import User
from backend.database.session import Database
from tests.access import API, PAGES, Rule, everything
from tests.conftest import Api
from tests.figures import Figure
from tests.routes import routes_of, schemas
from tests.test_mass_assignment import FILLED

MARK = "8675309"  # figures: whatever folds or spells a text leaves them
ERRORS = (
    "{}'", '{}"', "{}')", "{}'))", '{}")', "{}\\", "{}'\"`);--", "{};", "{}%27", "{}`", "{}]", "'{}", "{}'||'",
    "{}%' --", "{}' AND 1=CAST((SELECT version()) AS int)--", "{}' AND json('x')--", "{} AND 1=1/0",
    "CAST('x{}' AS int)",
    "{}' AND extractvalue(1,concat(0x7e,1))--", "{}＇ OR 1=1--", "{}ʼ OR 1=1--", "{}%df' OR 1=1--",
    "\\' OR {}=1--",
)  # fmt: skip
TRUE, FALSE = "x' OR '{0}'='{0}", "x' AND '{0}'='2"
BOOLEANS = (
    TRUE, FALSE, "1 OR {0}={0}", "1) OR ({0}={0}", "x' OR {}>1--", "x%' OR '{0}' LIKE '%", "x\" OR \"{0}\"=\"{0}",
    "-1 OR '{}' IS NOT NULL", "(CASE WHEN {}>1 THEN id ELSE title END)", "id,(SELECT {})", "id ASC, {}", "-id/**/,{}",
    "x'/**/OR/**/{0}={0}--", "x')) OR (({0}={0}", "1 UNION SELECT {}", "x' UNION SELECT NULL,NULL,'{}'--",
    "x' UNION ALL SELECT password_hash FROM users WHERE {}>1--", '{}" OR rowid:*', '"{}" AND NOT', "{}* NEAR(a b)",
    "$${}$$", "E'{}\\'' OR 1=1", "%_{}\\",
)  # fmt: skip
WAITS = (  # short ones: what gives them away is the statement
    "x'; SELECT pg_sleep(0.01), {}--", "x' OR (SELECT {} FROM pg_sleep(0.01)) IS NULL--", "x' AND SLEEP({})--",
    "1 AND {}=(SELECT 1 FROM pg_sleep(0.01))", "x' AND {}=LIKE('ABC',UPPER(HEX(RANDOMBLOB(1000))))--",
    "x';WAITFOR DELAY '{}'--",
)  # fmt: skip
STACKED = (
    "x'; CREATE TABLE t{} (a int)--", "x'; DROP TABLE users; --{}", "x'); DELETE FROM users; --{}",
    "1; DELETE FROM users--{}", "x'; UPDATE users SET first_name='{}'--", "x'; ATTACH DATABASE '{}.db' AS z--",
    "x'; COPY users TO '/tmp/{}'--",
)  # fmt: skip
PAYLOADS = tuple(text.format(MARK) for text in (*ERRORS, *BOOLEANS, *WAITS, *STACKED))
HEADERS = ("User-Agent", "X-Request-ID", "Idempotency-Key", "Accept-Language", "Referer", "X-Forwarded-For", "If-Match")
RAW = {"GET /login/from/{provider}": ("state", "code", "iss")}  # read by hand
LITERAL = re.compile(r"'(?:[^']|'')*'")
WORDS = re.compile(
    r"sqlite3\.|psycopg|syntax error at or near|unterminated quoted|SQLSTATE|unrecognized token|ProgrammingError"
    r"|OperationalError|no such column|invalid input syntax"
)


@dataclass(frozen=True)
class Place:
    """Where a text goes in: `kind` is query, path, body or header; `beside`: what else is sent, or in the path."""

    rule: Rule
    kind: str
    name: str
    beside: tuple[tuple[str, str], ...] = ()


@dataclass
class Prober:
    """Sends payloads and looks at what the database is told."""

    ids: dict[str, str]
    bodies: dict[str, dict[str, Any]]
    statements: list[str] = field(default_factory=list)

    def send(self, client: TestClient, place: Place, payload: str) -> Any:
        rule, ids = place.rule, self.ids | dict(place.beside)
        options: dict[str, Any] = {}
        if place.kind == "path":
            ids[place.name] = payload.replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
        if place.kind == "query":
            options["params"] = {place.name: payload}
        if place.kind == "header":
            options["headers"] = {place.name: payload.encode()}
        if rule.writes:
            changed = dict(place.beside) | ({place.name: payload} if place.kind == "body" else {})
            options["json" if rule.path.startswith(("/api", "/auth")) else "data"] = self.bodies[rule.name] | changed
        return client.request(rule.method, rule.address(ids), **options)

    def finding(self, client: TestClient, place: Place, payload: str) -> str:
        """What gives an injection away; "" for nothing."""
        self.statements.clear()
        answer = self.send(client, place, payload)
        if answer.status_code >= 500:
            return f"status {answer.status_code}"
        if found := WORDS.search(answer.text):
            return f"words {found[0]}"
        naked = (LITERAL.sub("''", statement) for statement in self.statements)
        return next((f"statement {each}" for each in naked if MARK in each), "")

    def believes(self, client: TestClient, place: Place) -> bool:
        """Whether a list gives more for what is always true than for what never is."""
        sizes = []
        for text in (TRUE, FALSE):
            answer = self.send(client, place, text.format(MARK))
            sizes.append(len(answer.json()["items"]) if answer.status_code == 200 else answer.status_code)
        return sizes[0] != sizes[1]


def asked(dependant: Any) -> Iterator[str]:
    """The names of a route's query parameters."""
    for each in dependant.query_params:
        kinds = each.field_info.annotation, *get_args(each.field_info.annotation)
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        yield from (about.alias or name for model in models for name, about in model.model_fields.items())
        if not models:
            yield each.alias
    for dependency in dependant.dependencies:
        for table in tables(dependency):
            yield from screen_params(table.params).model_fields
        yield from asked(dependency)


def tables(dependency: Any) -> Iterator[Table]:
    """Of a route that shows a list, which reads the address by itself."""
    cells = getattr(dependency.call, "__closure__", None) or ()
    yield from (cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Table))


def forms_of_lists(rule: Rule, table: Table) -> Iterator[Place]:
    """What an edited cell and a verb on chosen rows are sent, which no schema of the route names."""
    columns = [column.name for column in table.columns if column.edit is not None]
    if rule.path.endswith("/cell/{name}"):
        for column in columns:
            yield from (Place(rule, "body", name, (("name", column),)) for name in ("value", "version", "was"))
    if rule.path.endswith("/bulk"):
        yield from (Place(rule, "body", name) for name in ("ids", "verb", "all"))
        for action in table.actions:
            arguments = table.crud.verbs[action.verb].arguments
            beside = (("ids", "1"), ("verb", action.verb), ("asked", "1"))
            yield from (Place(rule, "body", name, beside) for name in (arguments.model_fields if arguments else ()))


def filled(schema: type[BaseModel]) -> dict[str, Any]:
    """Something for every field that must be there, of its type where that is easily told."""
    told = schema.model_json_schema()
    made = {}
    for name in told.get("required", ()):
        about = told["properties"][name]
        by_type = {"integer": 1, "boolean": True, "array": [], "object": {}, "number": 1}
        made[name] = (about.get("examples") or about.get("enum") or [by_type.get(about.get("type"), "x")])[0]
    return made


@pytest.fixture
def prober(app: FastAPI, database: Database, db: Session) -> Prober:
    made = Prober(everything(db), {})

    def note(_c: object, _cur: object, statement: str, *_rest: object) -> None:
        made.statements.append(statement)

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", note)
    for route in routes_of(app):
        for method in route.methods or ():
            whole: dict[str, Any] = {}
            for schema in schemas(route.dependant):
                whole |= filled(schema)
            made.bodies[f"{method} {route.path}"] = whole | FILLED.get(route.path, {})
    return made


def places(app: FastAPI, rules: list[Rule]) -> list[Place]:
    routes = {f"{method} {route.path}": route for route in routes_of(app) for method in route.methods or ()}
    found = []
    for number, rule in enumerate(rules):
        if rule.name in RAW:
            found += [Place(rule, "query", name) for name in RAW[rule.name]]
        route = routes.get(rule.name)
        if route is None:  # /health and the like, which read nothing
            continue
        names = [("query", name) for name in asked(route.dependant)]
        names += [("path", name) for name in re.findall(r"{(\w+)}", rule.path)]
        if rule.writes:
            names += [("body", name) for schema in schemas(route.dependant) for name in schema.model_fields]
        names.append(("header", HEADERS[number % len(HEADERS)]))
        found += [Place(rule, kind, name) for kind, name in dict.fromkeys(names)]
        if rule.writes:
            shown = (table for dependency in route.dependant.dependencies for table in tables(dependency))
            found += [place for table in shown for place in forms_of_lists(rule, table)]
    return found


# Daily every tenth place meets one text, in long runs each meets every sixth; LYCEUM_INJECTION_STEP=1 sends them all.
STEP = int(os.environ.get("LYCEUM_INJECTION_STEP", "6"))
RUNS = [(10, len(PAYLOADS)), pytest.param((1, STEP), marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
Run = tuple[int, int]


def probed(prober: Prober, db: Session, client: TestClient, all_places: list[Place], run: Run) -> dict[Place, str]:
    found: dict[Place, str] = {}
    every, step = run
    for number, place in enumerate(all_places[::every]):
        db.execute(delete(RateBucket))  # nobody is shut out for what was tried before
        for payload in PAYLOADS[number % step :: step]:
            if told := prober.finding(client, place, payload):
                found[place] = f"{payload}: {told}"
    return found


def unharmed(db: Session) -> bool:
    db.rollback()
    tables = inspect(db.get_bind()).get_table_names()
    return f"t{MARK}" not in tables and len(db.scalars(select(User.id).where(User.login == "admin")).all()) == 1


@pytest.mark.parametrize("run", RUNS)
def test_nothing_that_the_api_reads_becomes_sql(
    app: FastAPI, db: Session, api: Api, prober: Prober, run: Run, figure: Figure
) -> None:
    client = api("bot", *(permission.value for permission in Permission))
    all_places = places(app, [rule for rule in API if not rule.path.endswith("/logout")])
    assert len(all_places) > 200
    lists = [place for place in all_places if place.kind == "query" and place.rule.path.endswith("/")]
    assert [place for place in lists[:: run[0]] if prober.believes(client, place)] == []
    assert probed(prober, db, client, all_places, run) == {}
    assert unharmed(db)
    figure("B13", "parameters, fields and headers where a text became SQL", 0, "0", len(all_places))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("writes", [False, True])
def test_nothing_that_a_page_reads_becomes_sql(
    app: FastAPI, db: Session, admin: TestClient, prober: Prober, run: Run, writes: bool, figure: Figure
) -> None:
    shut = ("/logout", "/return", "/view")  # another person, or nobody, would try the rest
    rules = [rule for rule in PAGES if rule.writes == writes and not rule.path.endswith(shut)]
    all_places = places(app, rules)
    assert len(all_places) > 600
    assert probed(prober, db, admin, all_places, run) == {}
    assert unharmed(db)
    assert admin.get("/dashboard/").status_code == 200  # it was this person who asked, to the end
    figure("B13", "parameters, fields and headers where a text became SQL", 0, "0", len(all_places))


SHAPES = ("first_name = '{}'", "id = {}", "first_name LIKE '%{}%'", "id > 0 ORDER BY {}")


def test_the_probes_find_what_is_open(app: FastAPI, database: Database, api: Api, prober: Prober) -> None:
    """Routes that put a text into their statement, as nobody here may: found by what they say and by what is sent."""

    @app.get("/api/open/{shape}/")
    def open_(shape: int, name: str = "") -> dict[str, Any]:
        statement = f"SELECT first_name FROM users WHERE {SHAPES[shape].format(name)}"
        if database.engine.dialect.name != "sqlite":
            statement = statement.replace("%", "%%")
        with database.read() as session:
            return {"items": [row[0] for row in session.connection().exec_driver_sql(statement)]}

    client, found = api("users:read"), set[str]()
    for shape in range(len(SHAPES)):
        place = Place(Rule("GET", f"/api/open/{shape}/", "-"), "query", "name")
        told = {payload: prober.finding(client, place, payload) for payload in PAYLOADS}
        caught = {payload for payload, finding in told.items() if finding}
        assert len(caught) > len(PAYLOADS) * 0.4, SHAPES[shape]
        assert any(finding.startswith("status") for finding in told.values()), SHAPES[shape]
        found |= caught
        if shape == 0:
            assert any(finding.startswith("statement") for finding in told.values())
            assert prober.believes(client, place)
    assert len(found) > len(PAYLOADS) * 0.9
