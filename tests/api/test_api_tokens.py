"""API tokens: what they say of themselves, when they die, and that use is noted."""

from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database import session as session_module
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.models.auth import ApiToken, AuthSession
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import Api
from tests.doors import ask_tokens, bearer, program


@pytest.fixture
def tokens(app: FastAPI) -> dict[str, str]:
    found: dict[str, str] = ask_tokens(program(app)).json()
    return found


def admin_row(db: Session) -> User:
    return db.scalars(select(User).where(User.login == "admin")).one()


# -- API tokens


def test_an_api_token_says_what_it_is(api: Api) -> None:
    assert api("lessons:read", "users:read").get("/api/auth/me").json() == {
        "id": None,
        "kind": "token",
        "name": "tests",
        "login": None,
        "email": None,
        "role": None,
        "permissions": ["lessons:read", "users:read"],
        "language": "en",
        "created_at": None,
    }


def test_a_revoked_api_token_is_dead(api: Api, db: Session) -> None:
    client = api("lessons:read")
    assert client.get("/api/auth/me").status_code == 200
    ApiTokenCRUD(db).revoke(db.scalars(select(ApiToken.id)).one())
    db.commit()
    assert client.get("/api/auth/me").status_code == 401


def test_a_persons_token_never_does_more_than_the_person(app: FastAPI, db: Session) -> None:
    person = admin_row(db)
    _row, text = ApiTokenCRUD(db).issue("mine", frozenset({"lessons:read", "users:write"}), user_id=person.id)
    db.commit()
    client = program(app)
    assert client.get("/api/auth/me", headers=bearer(text)).json()["permissions"] == ["lessons:read", "users:write"]
    person.role_id = 3  # an author reads lessons and changes nobody
    db.commit()
    found = client.get("/api/auth/me", headers=bearer(text)).json()
    assert (found["id"], found["login"], found["permissions"]) == (1, "admin", ["lessons:read"])
    person.is_active = False
    db.commit()
    assert client.get("/api/auth/me", headers=bearer(text)).status_code == 401


def test_a_token_is_answered_in_the_language_that_it_asks_for(api: Api) -> None:
    client, told = api("lessons:read"), []
    for language in ("ru", "en"):
        headers = {"Accept-Language": language}
        found = client.get("/api/auth/me", headers=headers).json()
        refused = client.get("/api/users/", headers=headers)
        told.append((found["language"], refused.status_code, refused.json()["error"]["message"]))
    assert told == [
        ("ru", 403, "У вас нет права на это действие."),
        ("en", 403, "You do not have permission to do this."),
    ]


def test_use_of_a_token_is_noted(api: Api, db: Session) -> None:
    client = api("lessons:read")
    client.get("/api/auth/me")
    first = db.scalars(select(ApiToken.last_used_at)).one()
    client.get("/api/auth/me")
    db.rollback()
    assert first is not None
    assert db.scalars(select(ApiToken.last_used_at)).one() == first


def test_the_session_of_a_token_shows_when_it_was_used_last(app: FastAPI, tokens: dict[str, str], db: Session) -> None:
    before = db.scalars(select(AuthSession.last_seen_at)).one()
    db.rollback()
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        program(app).get("/api/auth/me", headers=bearer(tokens["access_token"]))
    assert db.scalars(select(AuthSession.last_seen_at)).one() > before + timedelta(minutes=1)


def test_a_note_that_cannot_be_taken_breaks_no_request(
    database: Database, tokens: dict[str, str], client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has no single writer to hold up")
    monkeypatch.setattr(session_module, "BUSY_SECONDS", 0)
    with database.transaction(), time_machine.travel(clock.now() + timedelta(minutes=2)):
        answer = client.get("/api/auth/me", headers=bearer(tokens["access_token"]))
    assert answer.status_code == 200


def test_a_token_of_a_given_text_replaces_those_of_older_keys(app: FastAPI, db: Session) -> None:
    tokens, scopes = ApiTokenCRUD(db), frozenset({"lessons:read"})
    tokens.issue("other", scopes)
    mine = tokens.issue("bot", scopes, user_id=1)[0]
    first = tokens.keep("bot", "lyc_first", scopes)
    assert tokens.keep("bot", "lyc_first", frozenset({"users:read"})) is first
    assert (first.scopes, first.hint) == (["users:read"], "irst")
    second = tokens.keep("bot", "lyc_second", scopes)
    db.commit()
    assert first.revoked_at is not None
    assert (second.revoked_at, mine.revoked_at) == (None, None)
    assert program(app).get("/api/auth/me", headers=bearer("lyc_first")).status_code == 401
    assert program(app).get("/api/auth/me", headers=bearer("lyc_second")).status_code == 200
    tokens.keep("bot", "lyc_first", scopes)
    assert (first.revoked_at, second.revoked_at is None) == (None, False)
