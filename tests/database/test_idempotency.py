"""Keys of requests that may be sent again: what a key is, and which of two twins gets the work."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.errors import ConflictError
from backend.database.crud.idempotency import MAX_KEY, IdempotencyCRUD, Stored
from backend.database.models.auth import IdempotencyKey
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from tests.conftest import Api
from tests.database.rivals import overtaken

LESSON = {"title": "Light", "description": "By the window", "price": 10, "text_content": "Text"}


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        (b"k", True),
        (b"k" * MAX_KEY, True),
        (b"two words", True),
        (b"", False),
        (b"k" * (MAX_KEY + 1), False),
        (b"a\tb", False),
        ("clé".encode("latin-1"), False),
    ],
)
def test_a_key_is_short_and_readable_or_nothing_is_done(api: Api, db: Session, key: bytes, *, fits: bool) -> None:
    headers = {b"Idempotency-Key": key}

    answer = api("lessons:write").post("/api/lessons", json=LESSON, headers=headers)

    done = ["Light"] if fits else []
    assert (db.scalars(select(Lesson.title)).all(), db.scalars(select(IdempotencyKey.key)).all()) == (
        done,
        [key.decode()] if fits else [],
    )
    if fits:
        assert answer.status_code == 201
    else:
        error = answer.json()["error"]
        told = {"Idempotency-Key": "1 to 128 printable ASCII characters"}
        assert (answer.status_code, error["code"], error["fields"]) == (422, "validation", told)


def test_of_twins_the_later_one_waits_for_the_answer_of_the_first(database: Database, db: Session) -> None:
    def first(_connection: object) -> None:
        def work(session: Session) -> None:
            keys = IdempotencyCRUD(session)
            assert keys.claim("token:1", "order-7", "body") is None
            keys.remember("token:1", "order-7", Stored(201, "made"))

        database.run(work)

    keys = IdempotencyCRUD(db)
    with overtaken(database.engine, "INSERT INTO idempotency_keys", first), pytest.raises(ConflictError) as refused:
        keys.claim("token:1", "order-7", "body")

    assert (refused.value.code, refused.value.headers) == ("idempotency_running", {"Retry-After": "1"})
    assert refused.value.message == "The same request is already being processed."
    db.rollback()
    assert keys.claim("token:1", "order-7", "body") == Stored(201, "made")
    assert db.scalars(select(IdempotencyKey.response)).all() == ["made"]
