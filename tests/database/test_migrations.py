"""kill -9 in the middle of a migration leaves each step whole or undone, and the next start goes on from there."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, event, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from backend import init_roles
from backend.core import clock
from backend.core.permissions import SUPPORT, SYSTEM_ROLES
from backend.database.models.auth import AuthSession, SignInPlace
from backend.database.models.users import Role, User
from backend.database.schema import alembic_config, current, head, migrate
from backend.database.session import Database
from tests.conftest import POSTGRES, _postgres
from tests.factories import make_lesson, make_purchase, make_user, save
from tests.figures import Figure

MakeDatabase = Callable[[], str]
SCHEMA = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE name <> 'alembic_version' ORDER BY name",
    "postgresql": (
        "SELECT table_name || '.' || column_name, data_type || is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename <> 'alembic_version' ORDER BY 1, 2"
    ),
}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeDatabase]:
    """Addresses of new, empty databases."""
    made: list[str] = []

    def new() -> str:
        name = f"lyceum_{uuid.uuid4().hex[:12]}"
        if not POSTGRES:
            return f"sqlite:///{tmp_path}/{name}.db"
        made.append(name)
        _postgres(f'CREATE DATABASE "{name}"')
        url = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)

    yield new
    for name in made:
        _postgres(f'DROP DATABASE "{name}" WITH (FORCE)')


def schema(url: str) -> list[tuple[str, str]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(SCHEMA[engine.dialect.name])).all()
    engine.dispose()
    # A table that was rebuilt lists its constraints in no certain order.
    return [(row[0], "\n".join(sorted(line.strip(" \t,") for line in (row[1] or "").splitlines()))) for row in found]


def revision(url: str) -> str | None:
    database = Database(url)
    try:
        return current(database)
    finally:
        database.dispose()


def upgrade_until_killed(url: str, statements: int) -> bool:
    """Runs the migrations in a process that dies before this statement; False when it came to the end."""
    child = os.fork()
    if child == 0:
        left = statements

        def count(*_arguments: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", count)
        try:
            command.upgrade(alembic_config(url), "head")
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


MOMENTS = (3, 90) if POSTGRES else (3, 30, 60, 90, 105)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_killed_migration_leaves_no_half_step(make: MakeDatabase, figure: Figure) -> None:
    whole = make()
    command.upgrade(alembic_config(whole), "head")
    stood: dict[str | None, list[tuple[str, str]]] = {None: [], head(): schema(whole)}
    for moment in MOMENTS:
        url = make()
        assert upgrade_until_killed(url, moment), moment
        at = revision(url)
        if at not in stood:
            reference = make()
            command.upgrade(alembic_config(reference), at or "base")
            stood[at] = schema(reference)
        assert schema(url) == stood[at], (moment, at)

        database = Database(url)
        migrate(database)
        database.dispose()
        assert (revision(url), schema(url)) == (head(), stood[head()]), moment
    assert len(stood) > 2  # some stood at neither end
    figure("A10", "upgrades by kill -9 that leave half a step", 0, "0", len(MOMENTS))


@contextmanager
def written(database: Database) -> Iterator[Session]:
    """A school of today, to be filled."""
    migrate(database)
    with database.write_sessions() as session:
        init_roles(session)
        yield session
        session.commit()


def bring_back(database: Database, revision: str) -> None:
    """The school as it was at this revision, brought up to today again."""
    database.dispose()
    command.downgrade(alembic_config(database.url), revision)
    migrate(database)


def test_what_students_hold_is_counted_in_an_old_school(make: MakeDatabase) -> None:
    database = Database(make())
    with written(database) as session:
        people, lessons = [make_user(session) for _ in range(3)], [make_lesson(session, price=40) for _ in range(3)]
        for lesson in lessons:
            make_purchase(session, people[0], lesson)
        make_purchase(session, people[1], lessons[0], is_test=True)
        make_purchase(session, people[1], lessons[1], revoked_at=clock.now())
        session.execute(update(User).where(User.id == people[2].id).values(username=""))
    bring_back(database, "202611251640")
    with database.read() as session:
        held = session.execute(select(User.purchases, User.spent, User.username).order_by(User.id)).all()
        assert [tuple(row)[:2] for row in held] == [(3, 120), (1, 0), (0, 0)]
        assert held[2].username is None
    database.dispose()


def test_an_old_school_keeps_the_places_of_its_sessions(make: MakeDatabase) -> None:
    database = Database(make())
    with written(database) as session:
        anna, boris, vera = (make_user(session) for _ in range(3))
        session.commit()
        now, number = clock.now(), iter(range(99))

        def opened(user: User, agent: str, ip: str, hours: int, **how: Any) -> AuthSession:
            at = now - timedelta(hours=hours)
            more = {"created_at": at, "last_seen_at": at + timedelta(minutes=5), "expires_at": now, **how}
            hashed = str(next(number))
            return AuthSession(
                user_id=user.id, kind="cookie", token_hash=hashed, token_version=1, user_agent=agent, ip=ip, **more
            )

        save(
            session, opened(anna, "Firefox", "2001:db8::1", 9), opened(anna, "Firefox", "2001:db8::2", 2),
            opened(anna, "Firefox", "192.0.2.10", 5, revoked_at=now), opened(boris, "Chrome", "", 7),
            opened(boris, "Thief", "192.0.2.66", 1, impersonator_id=anna.id),
            opened(vera, "Safari", "192.0.2.10", 1, level="pending"),
        )  # fmt: skip
        ids = [anna.id, boris.id, vera.id]
    bring_back(database, "202611291900")
    with database.read() as session:
        columns = (SignInPlace.user_id, SignInPlace.user_agent, SignInPlace.network)
        found = session.execute(select(*columns, SignInPlace.first_at, SignInPlace.last_at).order_by(*columns)).all()
        hours = {
            (ids.index(row.user_id), row.user_agent, row.network): (
                round((now - row.first_at) / timedelta(hours=1)), round((now - row.last_at) / timedelta(hours=1)),
            )
            for row in found
        }  # fmt: skip
        assert hours == {
            (0, "Firefox", "192.0.2.10"): (5, 5),
            (0, "Firefox", "2001:db8::/64"): (9, 2),
            (1, "Chrome", ""): (7, 7),
        }
        seen = [session.get_one(User, user_id).seen_at for user_id in ids]
        assert [at and round((now - at) / timedelta(minutes=1)) for at in seen] == [115, 415, None]
    database.dispose()


def test_an_old_role_that_changes_records_sees_them(make: MakeDatabase) -> None:
    database = Database(make())
    with written(database) as session:
        session.add_all([
            Role(name="Editor", permissions=["lessons:write", "tickets:read", "users:write"]),
            Role(name="Reader", permissions=["lessons:read"]),
            Role(name="Nobody", permissions=[]),
        ])  # fmt: skip
    bring_back(database, "202611301800")
    with database.read() as session:
        found = dict(session.execute(select(Role.name, Role.permissions).where(~Role.is_system)).all())
        known = session.scalars(select(Role.permissions).where(Role.name == SUPPORT)).one()
    assert found == {
        "Editor": [
            *("dashboard:read", "lessons:read", "lessons:write", "profile:write"),
            *("tickets:read", "users:read", "users:write"),
        ],
        "Nobody": [],
        "Reader": ["dashboard:read", "lessons:read", "profile:write"],
    }
    assert set(known) == SYSTEM_ROLES[SUPPORT]
    database.dispose()
