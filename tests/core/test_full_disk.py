"""A disk without room: a write is refused whole, reading goes on, and the next write after someone made room works."""

from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from backend.database.models.history import Change
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from tests.conftest import Api


def test_a_full_disk_refuses_writes_and_nothing_else(database: Database, db: Session, api: Api) -> None:
    if not database.is_sqlite:
        pytest.skip("SQLite can be told how large it may grow")
    client = api("lessons:read", "lessons:write")
    asked = db.connection().exec_driver_sql
    pages = asked("PRAGMA page_count").scalar_one() - asked("PRAGMA freelist_count").scalar_one()

    def limit(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 60}")

    def post() -> tuple[int, str]:
        sent = {"title": "Scales", "description": "x", "price": 5, "text_content": "x" * 19_000}
        answer = client.post("/api/lessons/", json=sent)
        return answer.status_code, answer.headers.get("retry-after", "")

    event.listen(database.engine, "connect", limit)
    database.dispose()
    answers = [post() for _ in range(6)]
    kept = answers.count((201, ""))
    assert 0 < kept < 6
    assert set(answers) == {(201, ""), (503, "1")}
    assert client.get("/api/lessons/").json()["total"] == kept
    # Neither half of a refused write is there: a lesson and its history come together or not at all.
    assert db.scalar(select(func.count(Lesson.id))) == kept
    assert db.scalar(select(func.count(Change.id)).where(Change.entity == "lessons")) == kept

    event.remove(database.engine, "connect", limit)
    database.dispose()
    assert post() == (201, "")
