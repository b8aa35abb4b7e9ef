"""Coming in with GitHub, which tells who someone is in its own way: no ID token, but a page that a token opens."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.elsewhere import providers
from backend.core.oauth import Elsewhere
from backend.database.models.auth import AuthIdentity, AuthSession
from tests.conftest import make_settings
from tests.crm.test_elsewhere import HERE, browser, leave
from tests.provider import CLIENT, SECRET, FakeProvider

AWAY, GITHUB = "/login/with/github", "https://github.com"
ANNA = {"id": 583_231, "login": "anna", "email": "anna@elsewhere.example"}


@pytest.fixture
def provider(app: FastAPI) -> Iterator[FakeProvider]:
    """Stands where github.com and api.github.com are."""
    settings = make_settings("sqlite://", Path(), github_client_id=CLIENT, github_client_secret=SECRET)
    with FakeProvider() as running:
        paths = {"authorization": "authorize", "token": "token", "userinfo": "user"}
        there = replace(
            providers(settings)["github"],
            hosts=frozenset({urlsplit(running.url).netloc}),
            fixed={f"{name}_endpoint": f"{running.url}/{path}" for name, path in paths.items()},
        )
        app.state.elsewhere = {"github": Elsewhere(there)}
        running.user = ANNA
        named(running, None)
        yield running


def named(provider: FakeProvider, issuer: str | None) -> None:
    """Whom the way back names as the one who answers."""
    given = {} if issuer is None else {"iss": issuer}
    provider.answer = lambda honest: {"code": honest["code"], "state": honest["state"], **given}


@pytest.fixture
def linked(db: Session) -> AuthIdentity:
    made = AuthIdentity(user_id=1, provider="github", issuer=GITHUB, subject="583231", name="anna")
    db.add(made)
    db.flush()
    return made


def come(app: FastAPI, provider: FakeProvider) -> int:
    """The answer to a new browser that comes back from there."""
    visitor = browser(app)
    return visitor.get(provider.visit(leave(visitor, AWAY))).status_code


def test_an_account_is_linked_by_its_number_and_comes_in_with_it(
    app: FastAPI, admin: TestClient, provider: FakeProvider, db: Session
) -> None:
    url = leave(admin, f"{HERE}github/link")
    asked = parse_qs(urlsplit(url).query)
    assert (asked["scope"], "nonce" in asked) == (["read:user"], False)
    assert admin.get(provider.visit(url)).headers["location"] == HERE
    kept = db.scalars(select(AuthIdentity)).one()
    assert (kept.user_id, kept.provider, kept.issuer) == (1, "github", GITHUB)
    assert (kept.subject, kept.name) == ("583231", "anna")

    provider.user = {**ANNA, "login": "renamed", "email": None}
    assert come(app, provider) == 303
    provider.user = {**ANNA, "id": 666}  # whoever took the old name over
    assert come(app, provider) == 403
    assert list(db.scalars(select(AuthSession.user_id).where(AuthSession.user_agent != "tests"))) == [1]


def test_an_account_without_a_name_is_linked_all_the_same(
    admin: TestClient, provider: FakeProvider, db: Session
) -> None:
    provider.user = {"id": 583_231, "login": None}
    assert admin.get(provider.visit(leave(admin, f"{HERE}github/link"))).headers["location"] == HERE
    kept = db.scalars(select(AuthIdentity)).one()
    assert (kept.subject, kept.name) == ("583231", "")


@pytest.mark.parametrize("number", ["583231", 583_231.0, True, None, [583_231], {"id": 583_231}])
@pytest.mark.usefixtures("linked")
def test_what_is_no_number_names_nobody(app: FastAPI, provider: FakeProvider, db: Session, number: object) -> None:
    provider.user = {**ANNA, "id": number}
    assert come(app, provider) == 400
    provider.user = {name: value for name, value in ANNA.items() if name != "id"}
    assert come(app, provider) == 400
    assert db.scalars(select(AuthSession)).all() == []


@pytest.mark.parametrize("answer", [[ANNA], "anna", 583_231, None])
@pytest.mark.usefixtures("linked")
def test_an_answer_that_is_no_object_is_none(app: FastAPI, provider: FakeProvider, db: Session, answer: object) -> None:
    provider.user = answer
    visitor = browser(app)
    came = visitor.get(provider.visit(leave(visitor, AWAY)))
    assert (came.status_code, "GitHub is not responding" in came.text) == (502, True)
    assert db.scalars(select(AuthSession)).all() == []


@pytest.mark.parametrize(
    ("issuer", "status"),
    [
        (None, 303),  # it does not promise to say so
        (GITHUB, 303),
        (f"{GITHUB}/login/oauth", 303),
        (f"{GITHUB}/", 400),
        ("", 400),
        ("https://accounts.google.com", 400),
        ("https://github.com.evil.example/login/oauth", 400),
    ],
)
@pytest.mark.usefixtures("linked")
def test_an_answer_is_believed_under_its_own_names_alone(
    app: FastAPI, provider: FakeProvider, db: Session, issuer: str | None, status: int
) -> None:
    """Its two names are known; the answer of another service does not count (mix-up)."""
    named(provider, issuer)
    assert come(app, provider) == status
    assert len(db.scalars(select(AuthSession)).all()) == (status == 303)
