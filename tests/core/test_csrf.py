"""Writes by cookie: only from our own page, only with the token of this very session."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import csrf, security
from backend.core.config import Settings
from backend.core.errors import ForbiddenError
from backend.database.models.users import User
from tests.conftest import PASSWORD, SignIn, make_settings
from tests.doors import browser, token_of
from tests.doors import sign_in as enter

PATH = "/dashboard/settings/theme"
OURS = "http://127.0.0.1:8000"

# What the browser says of itself (Sec-Fetch-Site and Origin), and whether that is accepted.
SOURCES: list[tuple[str | None, str | None, bool]] = [
    ("same-origin", OURS, True),
    ("same-origin", None, True),
    ("same-site", OURS, False),
    ("cross-site", OURS, False),
    ("none", OURS, False),
    ("", OURS, False),
    ("SAME-ORIGIN", OURS, False),
    (None, OURS, True),
    (None, "HTTP://127.0.0.1:8000", True),
    (None, None, False),
    (None, "null", False),
    (None, "", False),
    (None, "http://127.0.0.1", False),
    (None, "http://127.0.0.1:8001", False),
    (None, "https://127.0.0.1:8000", False),
    (None, "http://127.0.0.1:8000.evil.example", False),
    (None, "http://evil.example", False),
    (None, "http://localhost:8000", False),
]


@pytest.fixture
def signed_in(sign_in: SignIn) -> TestClient:
    client = sign_in("admin")
    for name in ("Origin", "Sec-Fetch-Site"):
        del client.headers[name]
    return client


def theme(db: Session) -> str:
    db.rollback()
    return db.scalars(select(User.theme).where(User.login == "admin")).one()


@pytest.mark.parametrize(("site", "origin", "accepted"), SOURCES)
def test_where_a_form_comes_from(
    signed_in: TestClient, db: Session, site: str | None, origin: str | None, accepted: bool
) -> None:
    headers = {name: value for name, value in (("Sec-Fetch-Site", site), ("Origin", origin)) if value is not None}
    answer = signed_in.post(PATH, data={"theme": "dark"}, headers=headers)
    assert (answer.status_code, theme(db)) == ((303, "dark") if accepted else (403, "auto"))


def test_the_token_of_nobody_else_fits(app: FastAPI, signed_in: TestClient, sign_in: SignIn, db: Session) -> None:
    own = signed_in.headers.pop("X-CSRF-Token")
    headers = {"Origin": OURS}
    other_session, visitor = sign_in("admin").headers["X-CSRF-Token"], browser(app).headers["X-CSRF-Token"]
    mac, _dot, random = own.partition(".")
    settings: Settings = app.state.settings
    wrong = [
        "", ".", own + "x", own[1:], mac, f"{mac}.", f".{random}", f"{random}.{mac}", f"{mac}.{random}.{random}",
        f"{'0' * 64}.{random}", other_session, visitor, csrf.make_token(settings, ""), "\u00e9.\u00e9",
        security.sign(settings, "device", f"0!!{random}") + "." + random,
    ]  # fmt: skip
    for token in wrong:
        answer = signed_in.post(PATH, data={"theme": "dark", "csrf_token": token}, headers=headers)
        assert (answer.status_code, theme(db)) == (403, "auto"), token
    assert "This form is out of date or came from another site." in answer.text
    assert signed_in.post(PATH, data={"theme": "dark"}, headers=headers).status_code == 403
    assert signed_in.post(PATH, data={"theme": "dark", "csrf_token": own}, headers=headers).status_code == 303
    assert theme(db) == "dark"


def test_the_header_counts_before_the_field_and_json_needs_it(signed_in: TestClient) -> None:
    own, headers = signed_in.headers.pop("X-CSRF-Token"), {"Origin": OURS}
    bad = {**headers, "X-CSRF-Token": "x"}
    assert signed_in.post(PATH, data={"theme": "dark", "csrf_token": own}, headers=bad).status_code == 403
    assert signed_in.post(PATH, json={"theme": "dark", "csrf_token": own}, headers=headers).status_code == 403
    files = {"csrf_token": ("a.txt", own.encode())}
    assert signed_in.post(PATH, files=files, headers=headers).status_code == 403


def test_a_session_has_many_good_tokens_and_none_names_it(signed_in: TestClient) -> None:
    pages = {token_of(signed_in.get("/dashboard/settings/")) for _ in range(3)}
    assert len(pages) == 3
    for token in pages:
        headers = {"Origin": OURS, "X-CSRF-Token": token}
        assert signed_in.post(PATH, data={"theme": "dark"}, headers=headers).status_code == 303
    digest = security.digest(signed_in.cookies["lyceum"])
    assert all(digest not in token for token in pages)


@pytest.mark.parametrize("path", ["/login", "/logout", "/enter/x", PATH, "/dashboard/settings/language"])
def test_a_signed_out_browser_needs_its_form_too(app: FastAPI, path: str) -> None:
    client = browser(app)
    token = client.headers.pop("X-CSRF-Token")
    data = {"username": "admin", "password": PASSWORD, "theme": "dark", "language": "en"}
    assert client.post(path, data=data).status_code == 403
    assert client.post(path, data={**data, "csrf_token": browser(app).headers["X-CSRF-Token"]}).status_code == 403
    client.cookies.clear()
    assert client.post(path, data={**data, "csrf_token": token}).status_code == 403


def test_a_visitor_cannot_choose_a_key_that_makes_two_tokens_one(settings: Settings) -> None:
    """`key!random` could be cut in two places; the length in front leaves one."""
    token = csrf.make_token(settings, "a")
    mac, _dot, random = token.partition(".")
    with pytest.raises(ForbiddenError):
        csrf.check(settings, {"origin": OURS}, f"a!{random}", f"{mac}.")
    csrf.check(settings, {"origin": OURS, "host": "127.0.0.1:8000"}, "a", token)


def test_an_odd_visitor_cookie_is_replaced(app: FastAPI) -> None:
    for odd in ("x", "a!b" * 10, "ä" * 30, "x" * 65, ""):
        client = TestClient(app, base_url=OURS)
        answer = client.get("/login", headers={b"Cookie": f"lyceum_visitor={odd}".encode()})
        assert answer.headers["set-cookie"].startswith("lyceum_visitor=")
        assert len(client.cookies["lyceum_visitor"]) == 43


def test_a_visitor_with_a_cookie_keeps_it(app: FastAPI) -> None:
    client = browser(app)
    assert "set-cookie" not in client.get("/login").headers


def test_the_public_address_decides_what_our_origin_is(settings: Settings) -> None:
    public = make_settings(settings.database_url, settings.data_dir, base_url="https://school.example/")
    assert csrf.same_origin(public, {"origin": "https://school.example"})
    assert not csrf.same_origin(public, {"origin": "http://school.example", "host": "school.example"})
    assert not csrf.same_origin(public, {"origin": "https://evil.example", "host": "school.example"})
    assert csrf.same_origin(public, {"origin": "https://localhost:8000", "host": "localhost:8000"})


def test_reading_needs_no_token_and_changes_nothing(app: FastAPI, db: Session) -> None:
    client = browser(app)
    enter(client)
    del client.headers["X-CSRF-Token"]
    answer = client.get(PATH, params={"theme": "dark"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, theme(db)) == (405, "auto")
