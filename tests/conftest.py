"""A real app on a real migrated database for every test; SQLite by default, PostgreSQL by TEST_DATABASE_URL."""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import psycopg
import pytest
import time_machine
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from backend import init_roles
from backend.core import csrf, security
from backend.core.auth import session_key
from backend.core.config import Settings
from backend.core.permissions import ADMIN, expand_scopes
from backend.database.base import Base
from backend.database.crud.auth import ABSOLUTE as SESSION_LIFETIME
from backend.database.crud.auth import ApiTokenCRUD, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.schema import migrate
from backend.database.session import Database
from main import create_app
from tests import statements
from tests.figures import (  # noqa: F401 - what stands here is known to all tests
    figure,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
)
from tests.redisserver import RedisServer

SECRET = "test-key-test-key-test-key-0123456789-abcdefghij"
PASSWORD = "correct horse battery staple"
ORIGIN = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
POSTGRES = os.environ.get("TEST_DATABASE_URL", "")
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
Seed = str
# How long an example takes says more about the machine than about the rule.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
statements.share()


@event.listens_for(Engine, "connect")
def _backwards(connection: object, _record: object) -> None:
    """SQLite without an ORDER BY gives rows in the order of their keys, PostgreSQL in any: what relies on the first
    would pass for months and fail once. Here SQLite gives them the other way round.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA reverse_unordered_selects=ON")


def make_settings(url: str, data_dir: Path, **changes: object) -> Settings:
    values: dict[str, object] = {
        "database_url": url,
        "secret_key": SECRET,
        "data_dir": data_dir,
        "api_rate_limit": 0,
        "run_jobs": False,
        "bot_mode": "off",
    }
    return Settings(_env_file=None, **values | changes)  # type: ignore[arg-type,call-arg] # pydantic checks the values


@pytest.fixture(autouse=True)
def one_event_loop() -> Iterator[None]:
    """For all clients of a test: else each request starts a thread and a loop, which takes longer than a page."""
    with start_blocking_portal() as portal:
        TestClient.portal = portal
        yield
        TestClient.portal = None


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's shell or .env says must not decide a test."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database with roles and an admin; tests get copies of it."""
    if POSTGRES:
        url = make_url(POSTGRES).set(database=f"lyceum_{uuid.uuid4().hex[:12]}_template")
        _postgres(f'CREATE DATABASE "{url.database}"')
        _postgres(f'ALTER DATABASE "{url.database}" SET synchronous_commit = off')  # nothing here outlives the server
        name = url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    else:
        name = f"sqlite:///{tmp_path_factory.mktemp('template')}/template.db"
    database = Database(name)
    # Older than any test may take for new: how long the suite has been running must not decide one.
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=1)):
        migrate(database)
        with database.transaction() as session:
            init_roles(session)
            UserCRUD(session).create_staff(
                login="admin", password_hash=security.hash_password(PASSWORD), role=ADMIN, first_name="Анна"
            )
    database.dispose()
    yield name
    if POSTGRES:
        _postgres(f'DROP DATABASE "{make_url(name).database}" WITH (FORCE)')


def _postgres(statement: str) -> None:
    engine = create_engine(
        make_url(POSTGRES).set(drivername="postgresql+psycopg", database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def database_url(template_database: str, seed: Seed, tmp_path: Path) -> str:
    """A database as migrated and seeded: a copy of the file, or the one PostgreSQL database of this worker, reset."""
    if POSTGRES:
        reset(template_database, seed)
        return template_database
    shutil.copy(make_url(template_database).database or "", tmp_path / "test.db")
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture(scope="session")
def seed(template_database: str) -> Seed:
    """The statements that put PostgreSQL back to what the template holds, before each test: one round trip.

    Creating and dropping a database for every test costs a checkpoint each, a second on a slow disk.
    """
    if not POSTGRES:
        return ""
    tables = Base.metadata.sorted_tables
    engine = create_engine(template_database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA seed"))
        for table in tables:
            connection.execute(text(f"CREATE TABLE seed.{table.name} AS TABLE {table.name}"))
        filled = [table for table in tables if connection.scalar(select(func.count()).select_from(table))]
        counted = [table for table in tables if "id" in table.c]
        last = {table.name: connection.scalar(select(func.max(table.c.id))) for table in counted}
    engine.dispose()
    return ";\n".join(
        [
            f"SELECT pg_terminate_backend(pid) {OTHERS}",
            "SET session_replication_role = replica",
            *(f"DELETE FROM {table.name}" for table in tables),
            *(f"INSERT INTO {table.name} SELECT * FROM seed.{table.name}" for table in filled),
            *(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {number or 1}, {bool(number)})"
                for name, number in last.items()
            ),
        ]
    )


def reset(url: str, seed: Seed) -> None:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        connection.execute(seed)  # type: ignore[arg-type] # no values in it, so it may hold many statements


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, tmp_path / "data")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    app = create_app(settings)
    yield app
    app.state.database.readers.close()
    assert app.state.database.reader.pool.checkedout() == 0  # type: ignore[attr-defined] # of a QueuePool
    app.state.database.dispose()


@pytest.fixture
def whole(settings: Settings) -> Iterator[FastAPI]:
    """The app with everything that settings can add: the sandbox and a bot, which runs in a process of its own."""
    app = create_app(settings.model_copy(update={"sandbox": True, "bot_mode": "process"}))
    yield app
    app.state.sandbox.hub.close()
    app.state.database.dispose()


@pytest.fixture
def database(app: FastAPI) -> Database:
    found: Database = app.state.database
    return found


@pytest.fixture
def db(database: Database) -> Iterator[Session]:
    """A session for arranging and looking. Each statement commits by itself: no lock, no snapshot is held."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """A signed-out browser of our own origin."""
    return TestClient(app, base_url="http://127.0.0.1:8000", headers=ORIGIN, follow_redirects=False)


SignIn = Callable[[str], TestClient]


@pytest.fixture
def sign_in(app: FastAPI, database: Database) -> SignIn:
    """A browser signed in as the person with this login; its CSRF token is in its headers."""

    def enter(login: str) -> TestClient:
        with database.transaction() as session:
            user = UserCRUD(session).find_by_login(login)
            assert user is not None
            opened, secret = SessionCRUD(session).open(
                user, kind="cookie", user_agent="tests", ip="127.0.0.1", lifetime=SESSION_LIFETIME
            )
            key = session_key(opened.id)
        browser = TestClient(app, base_url="http://127.0.0.1:8000", headers=ORIGIN, follow_redirects=False)
        browser.cookies.set("lyceum", secret, domain="127.0.0.1")  # as an answer would: a new one takes its place
        browser.headers["X-CSRF-Token"] = csrf.make_token(app.state.settings, key)
        return browser

    return enter


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("admin")


@pytest.fixture
def staff(sign_in: SignIn, database: Database) -> SignIn:
    """A browser signed in as a new person with this role."""

    def hire(role: str) -> TestClient:
        with database.transaction() as session:
            login = f"user-{uuid.uuid4().hex[:8]}"
            UserCRUD(session).create_staff(login=login, password_hash=None, role=role, first_name=role)
        return sign_in(login)

    return hire


Api = Callable[..., TestClient]


@pytest.fixture
def api(app: FastAPI, database: Database) -> Api:
    """A client of /api whose token has these scopes: `api("users:read")`, `api("bot")`."""

    def connect(*scopes: str) -> TestClient:
        with database.transaction() as session:
            _token, secret = ApiTokenCRUD(session).issue("tests", expand_scopes(list(scopes)))
        headers = {"Authorization": f"Bearer {secret}", "Accept-Language": "en"}
        return TestClient(app, base_url="http://127.0.0.1:8000", headers=headers, follow_redirects=False)

    return connect


@pytest.fixture
def bot(api: Api) -> TestClient:
    return api("bot")


@pytest.fixture
def queries(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SELECTs, INSERTs, ... that the app sends from now on, transaction control left out: as many as in a school in
    which somebody writes all the time, for else SQLite is not asked again (see `while_unwritten`).
    """
    monkeypatch.setattr("backend.database.session._forget_if_written", lambda *_: None)
    seen: list[str] = []

    def note(_c: object, _cur: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", note)
    return seen
