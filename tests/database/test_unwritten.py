"""What is asked once for as long as nobody writes: sessions, and the desk that asks again by itself."""

import subprocess
import sys
from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import expand_scopes
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.session import ANSWERS_KEPT, Database, while_unwritten
from tests.conftest import POSTGRES
from tests.doors import bearer, browser, program, sign_in
from tests.factories import make_lesson

READ = text("SELECT title FROM lessons")


def asked(engine: Engine) -> list[str]:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cur, statement, *_rest: statements.append(statement))
    return statements


def titles(database: Database, key: str = "titles") -> list[str]:
    session = database.readers.take()
    try:
        with database.readers.reading(session):
            return while_unwritten(session, key, lambda: list(session.scalars(READ)))
    finally:
        database.readers.give_back(session)


def test_an_answer_stands_until_somebody_writes(db: Session, database: Database) -> None:
    make_lesson(db, title="one")
    db.commit()
    statements = asked(database.reader)
    assert [titles(database) for _ in range(3)] == [["one"]] * 3
    assert len(statements) == (3 if POSTGRES else 1)
    with database.transaction() as session:
        session.execute(text("UPDATE lessons SET title = 'two'"))
        assert titles(database) == ["one"]  # not committed
    assert [titles(database) for _ in range(2)] == [["two"]] * 2
    assert len(statements) == (6 if POSTGRES else 2)


@pytest.mark.skipif(bool(POSTGRES), reason="there it is asked every time")
def test_another_process_is_somebody_too(db: Session, database: Database) -> None:
    make_lesson(db, title="one")
    db.commit()
    assert titles(database) == ["one"]
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    path = database.engine.url.database or ""
    subprocess.run([sys.executable, "-c", code, path, "UPDATE lessons SET title = 'two'"], check=True)
    assert titles(database) == ["two"]


@pytest.mark.skipif(bool(POSTGRES), reason="there it is asked every time")
def test_each_key_has_its_own_answer_and_a_connection_keeps_only_so_many(database: Database) -> None:
    statements = asked(database.reader)
    for number in range(ANSWERS_KEPT):
        titles(database, f"key {number}")
    assert len(statements) == ANSWERS_KEPT
    titles(database, "key 0")
    assert len(statements) == ANSWERS_KEPT
    titles(database, "one more")
    titles(database, "key 0")
    assert len(statements) == ANSWERS_KEPT + 2


def test_where_something_may_be_written_it_is_always_asked(db: Session, database: Database) -> None:
    make_lesson(db, title="one")
    db.commit()
    titles(database)
    with database.transaction() as session:
        for title in ("two", "three"):
            session.execute(text("UPDATE lessons SET title = :title"), {"title": title})
            assert while_unwritten(session, "titles", lambda s=session: list(s.scalars(READ))) == [title]  # type: ignore[misc] # a loop's value


def test_a_session_ends_though_nobody_writes(app: FastAPI) -> None:
    client = browser(app)
    sign_in(client)
    assert [client.get("/dashboard/").status_code for _ in range(2)] == [200, 200]
    with time_machine.travel(clock.now() + timedelta(minutes=59)):
        assert client.get("/dashboard/").status_code == 200
    with time_machine.travel(clock.now() + timedelta(hours=12, seconds=1)):
        assert client.get("/dashboard/").status_code == 303


def test_who_asks_is_looked_up_once_until_it_changes(app: FastAPI, database: Database) -> None:
    with database.transaction() as session:
        headers = bearer(ApiTokenCRUD(session).issue("t", expand_scopes(["lessons:read"]))[1])
    client, statements = program(app), asked(app.state.database.reader)
    for _ in range(3):
        assert client.get("/api/auth/me", headers=headers).status_code == 200
    read = [statement for statement in statements if "FROM api_tokens" in statement]
    assert len(read) == (3 if POSTGRES else 2)  # the first use is written down
    database.run(lambda session: session.execute(text("UPDATE api_tokens SET revoked_at = created_at")))
    assert client.get("/api/auth/me", headers=headers).status_code == 401
