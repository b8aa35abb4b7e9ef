"""Tokens for programs: what a password buys, how long it lives, and every forgery that must not pass."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.auth import create_access_token
from backend.core.config import Settings
from backend.database.models.auth import AuthSession, IdempotencyKey, RefreshToken
from backend.database.models.users import User
from tests.conftest import PASSWORD, SECRET, Api, make_settings
from tests.doors import ask_tokens, bearer, browser, program, sign_in
from tests.figures import Figure

BOTH = pytest.mark.parametrize("prefix", ["/auth", "/api/auth"])


@pytest.fixture
def tokens(app: FastAPI) -> dict[str, str]:
    found: dict[str, str] = ask_tokens(program(app)).json()
    return found


def admin_row(db: Session) -> User:
    return db.scalars(select(User).where(User.login == "admin")).one()


# -- signing in


@BOTH
def test_a_password_buys_a_pair_of_tokens(app: FastAPI, prefix: str) -> None:
    client = program(app)
    answer = client.post(f"{prefix}/login", json={"username": "Admin", "password": PASSWORD})
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    me = client.get("/api/auth/me", headers=bearer(body["access_token"])).json()
    assert (me["id"], me["kind"], me["login"], me["role"]) == (1, "jwt", "admin", "Админ")
    assert "lessons:write" in me["permissions"]
    assert "bot" not in me["permissions"]
    assert "set-cookie" not in answer.headers


def test_a_form_works_as_the_authorize_button_sends_it(app: FastAPI) -> None:
    sent = {"grant_type": "password", "username": "admin", "password": PASSWORD, "scope": "", "client_id": "x"}
    answer = program(app).post("/auth/login", data=sent, headers={"Authorization": "Basic eDo="})
    assert answer.json()["token_type"] == "bearer"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 422, "validation"),
        (b"[" * 100_000, "application/json", 422, "validation"),
        (b"\xff\xfe", "application/json", 422, "validation"),
        (b"[]", "application/json", 422, "validation"),
        (b"{}", "application/json", 422, "validation"),
        (b'{"username": 1, "password": []}', "application/json", 422, "validation"),
        (b'{"username": "a\\u0000", "password": "x"}', "application/json", 422, "validation"),
        (b'{"username": "\\ud800", "password": "x"}', "application/json", 422, "validation"),
        (b'{"username": "a", "password": "x", "role": "admin"}', "application/json", 422, "validation"),
        (b"username=a", "application/x-www-form-urlencoded", 422, "validation"),
        (b"username=admin", "text/plain", 415, "unsupported_media_type"),
        (b"--x", "multipart/form-data; boundary=y", 400, "bad_request"),
        (b"--x", "multipart/form-data", 400, "bad_request"),
        (b"", "", 415, "unsupported_media_type"),
    ],
)
def test_a_broken_body_is_told_so(app: FastAPI, content: bytes, kind: str, status: int, code: str) -> None:
    answer = program(app).post("/auth/login", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_what_is_missing_is_named(app: FastAPI) -> None:
    error = program(app).post("/auth/login", json={"username": ""}).json()["error"]
    assert error["fields"] == {"username": "Fill in this field.", "password": "Fill in this field."}


def test_refusals_of_known_and_unknown_logins_are_the_same_bytes(app: FastAPI) -> None:
    def told(login: str) -> tuple[int, dict[str, Any], list[str]]:
        answer = ask_tokens(program(app), "wrong password here", login)
        error = answer.json()["error"]
        error.pop("request_id")
        return answer.status_code, error, sorted(answer.headers)

    assert told("admin") == told("nobody")
    assert told("admin")[1]["code"] == "invalid_credentials"


def test_an_idempotency_key_never_stores_tokens(app: FastAPI, db: Session) -> None:
    client, key = program(app), {"Idempotency-Key": "sign-in-1"}
    body = {"username": "admin", "password": PASSWORD}
    first, second = (client.post("/auth/login", json=body, headers=key).json() for _ in range(2))
    assert first["access_token"] != second["access_token"]
    assert db.scalars(select(IdempotencyKey)).all() == []


def test_a_bcrypt_hash_is_accepted_and_made_better(app: FastAPI, db: Session) -> None:
    from passlib.hash import bcrypt

    admin_row(db).password_hash = bcrypt.using(rounds=4).hash(PASSWORD)
    db.commit()
    assert ask_tokens(program(app)).status_code == 200
    db.rollback()
    assert (admin_row(db).password_hash or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert ask_tokens(program(app)).status_code == 200


def test_a_password_means_the_same_however_it_was_composed(app: FastAPI, db: Session) -> None:
    admin_row(db).password_hash = security.hash_password("ёлка и é с ﬁ")
    db.commit()
    decomposed = "е\u0308лка и e\u0301 с fi"
    assert ask_tokens(program(app), decomposed).status_code == 200


def test_a_hash_of_no_known_kind_refuses_instead_of_breaking(app: FastAPI, db: Session) -> None:
    admin_row(db).password_hash = "plain:secret"
    db.commit()
    assert ask_tokens(program(app), "secret").status_code == 401


# -- refreshing


@BOTH
def test_a_refresh_token_works_once(app: FastAPI, tokens: dict[str, str], prefix: str) -> None:
    client = program(app)
    answer = client.post(f"{prefix}/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert (answer.status_code, answer.json()["expires_in"]) == (200, 900)
    assert answer.json()["refresh_token"] != tokens["refresh_token"]
    assert client.get("/api/auth/me", headers=bearer(answer.json()["access_token"])).status_code == 200
    # The direct predecessor within ten seconds is refused, but the chain lives: a client that retried.
    again = client.post(f"{prefix}/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert (again.status_code, again.json()["error"]["code"]) == (401, "invalid_token")
    third = client.post(f"{prefix}/refresh", json={"refresh_token": answer.json()["refresh_token"]})
    assert third.status_code == 200


@pytest.mark.parametrize(("seconds", "alive"), [(1, True), (10, True), (11, False), (60, False)])
def test_a_replay_after_the_grace_ends_the_whole_session(
    app: FastAPI, tokens: dict[str, str], capfd: pytest.CaptureFixture[str], seconds: int, alive: bool, figure: Figure
) -> None:
    client, start = program(app), clock.now()
    with time_machine.travel(start, tick=False):
        second = client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
        assert client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).status_code == 401
        live = 200 if alive else 401
        assert client.get("/api/auth/me", headers=bearer(second["access_token"])).status_code == live
        assert client.post("/auth/refresh", json={"refresh_token": second["refresh_token"]}).status_code == live
    assert ('"event": "authn_token_reuse"' in capfd.readouterr().err) is not alive
    figure("B9", "replays after 1, 10, 11 and 60 s that end it too early or not at all", 0, "0", 1)


def test_a_replay_of_an_older_link_ends_it_even_at_once(app: FastAPI, tokens: dict[str, str]) -> None:
    client, pair = program(app), tokens
    for _ in range(2):
        pair = client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).json()
    assert client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).status_code == 401
    assert client.get("/api/auth/me", headers=bearer(pair["access_token"])).status_code == 401


def test_fifty_at_once_leave_exactly_one_live_chain(
    app: FastAPI, tokens: dict[str, str], db: Session, figure: Figure
) -> None:
    clients = [program(app) for _ in range(50)]
    body = {"refresh_token": tokens["refresh_token"]}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda client: client.post("/auth/refresh", json=body), clients))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert sorted({answer.status_code for answer in answers}) == [200, 401]
    assert len(won) == 1
    assert program(app).get("/api/auth/me", headers=bearer(won[0]["access_token"])).status_code == 200
    assert len(db.scalars(select(RefreshToken).where(RefreshToken.used_at.is_(None))).all()) == 1
    figure("B9", "live chains after one refresh token was used many times at once", len(won), "1", len(clients))


def test_the_chain_ends_after_fourteen_days_however_often_it_was_renewed(app: FastAPI, tokens: dict[str, str]) -> None:
    start, pair, client = clock.now(), tokens, program(app)
    for day in range(1, 14):
        with time_machine.travel(start + timedelta(days=day)):
            pair = client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).json()
    with time_machine.travel(start + timedelta(days=14, seconds=5)):
        assert client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).status_code == 401


@pytest.mark.parametrize("token", ["x", "lyc_" + "x" * 43, "ü" * 20])
def test_an_unknown_refresh_token_is_refused(app: FastAPI, token: str) -> None:
    assert program(app).post("/auth/refresh", json={"refresh_token": token}).status_code == 401


def test_a_refresh_token_of_a_dead_session_is_refused(app: FastAPI, tokens: dict[str, str], db: Session) -> None:
    admin_row(db).is_active = False
    db.commit()
    assert program(app).post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).status_code == 401


def test_no_secret_is_stored_as_it_is(tokens: dict[str, str], db: Session) -> None:
    assert db.scalars(select(RefreshToken.token_hash)).all() == [security.digest(tokens["refresh_token"])]


# -- signing out


@BOTH
def test_signing_out_kills_both_tokens_at_once(app: FastAPI, tokens: dict[str, str], prefix: str) -> None:
    client = program(app)
    answer = client.post(f"{prefix}/logout", headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("/api/auth/me", headers=bearer(tokens["access_token"])).status_code == 401
    assert client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).status_code == 401
    assert client.post(f"{prefix}/logout", headers=bearer(tokens["access_token"])).status_code == 401


def test_an_api_token_does_not_sign_out(api: Api) -> None:
    answer = api("lessons:read").post("/auth/logout")
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, "API tokens are revoked in Settings.")


# -- foreign tokens; the forged ones have tests/api/test_forged_tokens.py


@pytest.mark.parametrize("scheme", ["", "Basic ", "Token ", "bearer", "Bearer  ", "Bearer\t"])
def test_only_the_bearer_scheme_counts(app: FastAPI, tokens: dict[str, str], scheme: str) -> None:
    answer = program(app).get("/api/auth/me", headers={"Authorization": scheme + tokens["access_token"]})
    assert answer.status_code == 401


def test_tokens_are_taken_for_nothing_but_what_they_are(app: FastAPI, tokens: dict[str, str], api: Api) -> None:
    client = program(app)
    crm = browser(app)
    sign_in(crm)
    cookie = crm.cookies["lyceum"]
    for wrong in (tokens["refresh_token"], cookie, "lyc_" + tokens["refresh_token"]):
        assert client.get("/api/auth/me", headers=bearer(wrong)).status_code == 401
    for wrong in (tokens["access_token"], tokens["refresh_token"]):
        stranger = browser(app)
        stranger.cookies.set("lyceum", wrong)
        assert stranger.get("/dashboard/settings/").status_code == 303
    for wrong in (tokens["access_token"], cookie):
        assert client.post("/auth/refresh", json={"refresh_token": wrong[:200]}).status_code == 401
    # Cookies count on no API route, tokens on no page.
    assert crm.get("/api/auth/me").status_code == 401
    assert client.get("/dashboard/settings/", headers=bearer(tokens["access_token"])).status_code == 303
    assert api("settings:write").get("/dashboard/settings/").status_code == 303


@pytest.mark.parametrize("change", ["is_active", "token_version"])
def test_what_happens_to_the_account_kills_its_tokens(
    app: FastAPI, tokens: dict[str, str], db: Session, change: str
) -> None:
    person = admin_row(db)
    if change == "is_active":
        person.is_active = False
    else:
        person.token_version += 1
    db.commit()
    assert program(app).get("/api/auth/me", headers=bearer(tokens["access_token"])).status_code == 401


def test_an_access_token_lives_a_quarter_of_an_hour(app: FastAPI, tokens: dict[str, str]) -> None:
    client = program(app)
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=20)):  # 30 s for clocks that differ
        assert client.get("/api/auth/me", headers=bearer(tokens["access_token"])).status_code == 200
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=40)):
        assert client.get("/api/auth/me", headers=bearer(tokens["access_token"])).status_code == 401


def test_keys_rotate_without_signing_anyone_out(settings: Settings, db: Session, tokens: dict[str, str]) -> None:
    row = db.scalars(select(AuthSession)).one()
    new = "another-key-another-key-another-key-987654321"
    rotated = make_settings(settings.database_url, settings.data_dir, secret_key=f"{new},{SECRET}")
    forgotten = make_settings(settings.database_url, settings.data_dir, secret_key=new)
    assert (security.decode_jwt(rotated, tokens["access_token"]) or {})["sid"] == row.id
    assert security.decode_jwt(forgotten, tokens["access_token"]) is None
    fresh = create_access_token(rotated, row)
    assert security.decode_jwt(settings, fresh) is None
    assert (security.decode_jwt(forgotten, fresh) or {})["sid"] == row.id


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_every_algorithm_of_the_settings_works(
    settings: Settings, db: Session, tokens: dict[str, str], algorithm: str
) -> None:
    del tokens
    chosen = make_settings(settings.database_url, settings.data_dir, algorithm=algorithm)
    made = create_access_token(chosen, db.scalars(select(AuthSession)).one())
    assert jwt.get_unverified_header(made)["alg"] == algorithm
    assert security.decode_jwt(chosen, made) is not None
