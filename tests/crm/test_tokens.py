"""API tokens on one's settings: shown once, never more than their maker may give, dead when revoked."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.permissions import BOT_SCOPES, TOKEN_ONLY
from backend.database.models.auth import ApiToken
from backend.database.models.history import Change
from backend.database.models.users import Role
from tests.conftest import SignIn
from tests.crm.test_settings import HERE, SWAP, person
from tests.doors import bearer, program


def made(db: Session) -> list[ApiToken]:
    db.rollback()
    return list(db.scalars(select(ApiToken).order_by(ApiToken.id)))


def new_text(page: str) -> str:
    return page.partition('id="new-token" value="')[2].partition('"')[0]


def test_a_token_is_shown_once_and_works(app: FastAPI, own: TestClient, db: Session) -> None:
    answer = own.post(f"{HERE}tokens", data={"name": "website", "scopes": ["lessons:read", "courses:read"]})
    assert answer.status_code == 201
    text = new_text(answer.text)
    assert program(app).get("/api/auth/me", headers=bearer(text)).json()["permissions"] == [
        "courses:read",
        "lessons:read",
    ]
    [token] = made(db)
    assert (token.name, token.user_id, token.hint, token.token_hash) == ("website", 1, text[-4:], security.digest(text))
    page = own.get(HERE).text
    assert "website" in page
    assert text not in page
    change_row = db.scalars(select(Change).where(Change.entity == "api_tokens")).one()
    assert (change_row.op, change_row.after["name"], "token_hash" in change_row.after) == ("create", "website", False)


def test_a_swap_shows_only_the_tokens(own: TestClient) -> None:
    answer = own.post(f"{HERE}tokens", data={"name": "x", "scopes": "lessons:read"}, headers=SWAP)
    assert answer.text.lstrip().startswith('<div class="ly-stack" id="tokens">')
    assert len(new_text(answer.text)) == 47


def test_the_bots_token_belongs_to_the_school(app: FastAPI, own: TestClient, db: Session) -> None:
    text = new_text(own.post(f"{HERE}tokens", data={"name": "bot", "scopes": "bot"}).text)
    [token] = made(db)
    assert (token.user_id, set(token.scopes)) == (None, {str(scope) for scope in BOT_SCOPES})
    person(db).is_active = False
    db.commit()
    assert program(app).get("/api/auth/me", headers=bearer(text)).json()["id"] is None


def test_nobody_hides_rights_of_their_own_in_the_bots_token(own: TestClient, db: Session) -> None:
    for scopes in (["bot", "purchases:refund"], ["bot", "staff:write", "users:read"]):
        assert 'id="scopes-error"' in own.post(f"{HERE}tokens", data={"name": "bot", "scopes": scopes}).text
    assert made(db) == []
    for name, scopes in (("bot", ["bot", "users:read"]), ("web", ["purchases:refund"])):
        assert own.post(f"{HERE}tokens", data={"name": name, "scopes": scopes}).status_code == 201
    assert {token.name: token.user_id for token in made(db)} == {"bot": None, "web": 1}


@pytest.mark.parametrize("scope", ["purchases:write", "no:such", "*", "admin", "bot\x00"])
def test_rights_that_one_does_not_have_cannot_be_given(own: TestClient, db: Session, scope: str) -> None:
    answer = own.post(f"{HERE}tokens", data={"name": "x", "scopes": ["lessons:read", scope]})
    assert answer.status_code == (422 if "\x00" in scope else 403)
    assert made(db) == []


def test_a_role_with_tokens_gives_no_more_than_it_has(staff: SignIn, db: Session) -> None:
    client = staff("Автор")
    assert client.post(f"{HERE}tokens", data={"name": "x", "scopes": "lessons:read"}).status_code == 403
    author = db.get_one(Role, person(db, "admin").role_id + 2)
    author.permissions = [*author.permissions, "tokens:write"]
    db.commit()
    for scope, status in (("lessons:write", 201), ("users:write", 403), ("bot", 403), ("purchases:write", 403)):
        assert client.post(f"{HERE}tokens", data={"name": "x", "scopes": scope}).status_code == status, scope
    page = client.get(HERE).text
    assert 'value="lessons:write"' in page
    for missing in ("users:write", "bot", "purchases:write"):
        assert f'name="scopes" value="{missing}"' not in page


def test_who_sees_no_students_makes_no_token_of_the_bots_that_does(staff: SignIn, db: Session) -> None:
    client = staff("Автор")
    author = db.get_one(Role, person(db, "admin").role_id + 2)
    runs = {"dashboard:read", "profile:write", "settings:write", "tokens:write"}
    author.permissions = sorted(runs | BOT_SCOPES - TOKEN_ONLY - {"users:read"})
    db.commit()
    assert client.post(f"{HERE}tokens", data={"name": "x", "scopes": "bot"}).status_code == 403
    assert 'name="scopes" value="bot"' not in client.get(HERE).text
    author.permissions = sorted(runs | BOT_SCOPES - TOKEN_ONLY)
    db.commit()
    assert client.post(f"{HERE}tokens", data={"name": "x", "scopes": "bot"}).status_code == 201


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"name": "", "scopes": "lessons:read"}, "Fill in this field."),
        ({"name": "website"}, "Choose at least one."),
        ({"name": "x" * 101, "scopes": "lessons:read"}, "At most 100 characters."),
    ],
)
def test_a_token_needs_a_name_and_a_right(own: TestClient, db: Session, sent: dict[str, str], told: str) -> None:
    answer = own.post(f"{HERE}tokens", data=sent)
    assert (answer.status_code, told in answer.text) == (422, True)
    assert made(db) == []


def test_a_revoked_token_is_dead_at_once(app: FastAPI, own: TestClient, db: Session) -> None:
    text = new_text(own.post(f"{HERE}tokens", data={"name": "website", "scopes": "lessons:read"}).text)
    answer = own.post(f"{HERE}tokens/{made(db)[0].id}/revoke")
    assert answer.status_code == 303
    assert program(app).get("/api/auth/me", headers=bearer(text)).status_code == 401
    assert "Token “website” revoked" in own.get(HERE).text
    assert own.post(f"{HERE}tokens/{made(db)[0].id}/revoke").status_code == 303
    assert own.post(f"{HERE}tokens/999/revoke").status_code == 404
