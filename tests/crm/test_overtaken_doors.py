"""A password changes while somebody is on the way in with the old one, or asks for more in a session that it ends."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.permissions import ADMIN
from backend.database.crud.auth import SessionCRUD
from backend.database.models.auth import ApiToken, AuthIdentity, Credential, OneTimeToken
from backend.database.session import Database
from tests.codes import code
from tests.conftest import PASSWORD, SignIn
from tests.crm.test_elsewhere import HERE as ACCOUNTS
from tests.crm.test_elsewhere import leave, provider, running  # noqa: F401 - fixtures
from tests.crm.test_staff import HERE as STAFF
from tests.crm.test_staff import NEW, hire
from tests.database.rivals import overtaken
from tests.doors import ask_tokens, bearer, browser, make_link, program
from tests.doors import sign_in as enter
from tests.provider import Claims, FakeProvider

CHANGE = {"current": PASSWORD, "password": NEW, "repeat": NEW}
A_MOMENT = 1.0  # long enough for a rival whom nothing holds


class Rival:
    """Somebody at another machine: done before we go on, unless they have to wait for us."""

    def __init__(self, act: Callable[[], int]) -> None:
        self.answers: list[int] = []
        self._thread = Thread(target=lambda: self.answers.append(act()))

    def __call__(self, _connection: Connection | None = None) -> None:
        self._thread.start()
        self._thread.join(A_MOMENT)

    def answer(self) -> int:
        self._thread.join()
        return self.answers[0]


@pytest.fixture
def ways(app: FastAPI, db: Session, admin: TestClient) -> dict[str, Callable[[], int]]:
    """How the owner gets another password."""
    make_link(db, "reset", "known")
    db.commit()
    guest = browser(app, "203.0.113.1")
    sent = {"password": NEW, "repeat": NEW}
    return {
        "change": lambda: admin.post("/dashboard/settings/password", data=CHANGE).status_code,
        "reset": lambda: guest.post("/reset/known", data=sent).status_code,
    }


@pytest.mark.parametrize("way", ["change", "reset"])
@pytest.mark.parametrize("statement", ["INSERT INTO sessions", "UPDATE rate_buckets", "DELETE FROM rate_buckets"])
def test_the_old_password_opens_nothing_that_outlives_it(
    app: FastAPI, database: Database, ways: dict[str, Callable[[], int]], way: str, statement: str
) -> None:
    thief, rival = browser(app), Rival(ways[way])
    with overtaken(database.engine, statement, rival):
        enter(thief)
    assert rival.answer() == 303
    assert thief.get("/dashboard/").headers["location"].startswith("/login")
    assert enter(browser(app, "203.0.113.5")).status_code == 401
    assert enter(browser(app, "203.0.113.6"), NEW).status_code == 303


def test_nor_does_it_for_programs(app: FastAPI, database: Database, ways: dict[str, Callable[[], int]]) -> None:
    thief, rival = program(app), Rival(ways["change"])
    with overtaken(database.engine, "INSERT INTO sessions", rival):
        pair = ask_tokens(thief).json()
    assert rival.answer() == 303
    assert thief.get("/api/auth/me", headers=bearer(pair["access_token"])).status_code == 401
    assert thief.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).status_code == 401


def test_a_session_of_an_older_number_is_dead_though_nothing_revoked_it(
    app: FastAPI, own: TestClient, db: Session
) -> None:
    other = browser(app)
    assert enter(other).status_code == 303
    assert own.post("/dashboard/settings/password", data=CHANGE).status_code == 303
    db.execute(update(SessionCRUD.model).values(revoked_at=None))  # as one that was opened meanwhile
    db.commit()
    assert other.get("/dashboard/").status_code == 303
    assert own.get("/dashboard/").status_code == 200  # whoever set it goes on


def test_another_email_is_not_asked_for_in_a_session_that_has_ended(
    app: FastAPI, database: Database, db: Session, admin: TestClient, sign_in: SignIn
) -> None:
    thief = sign_in("admin")
    rival = Rival(lambda: admin.post("/dashboard/settings/password", data=CHANGE).status_code)
    sent = {"first_name": "Анна", "email": "evil@thief.example", "timezone": "UTC"}
    with overtaken(database.engine, "INSERT INTO one_time_tokens", rival):
        thief.post("/dashboard/settings/profile", data=sent)
    assert rival.answer() == 303
    assert list(db.scalars(select(OneTimeToken.purpose))) == []
    assert thief.post("/dashboard/settings/profile", data=sent).status_code in (303, 403)
    assert list(db.scalars(select(OneTimeToken.purpose))) == []


@pytest.mark.parametrize(
    ("path", "sent"), [("/dashboard/settings/password", CHANGE), ("/dashboard/settings/sessions/revoke", {})]
)
def test_an_account_elsewhere_is_not_linked_for_a_session_that_ended_on_the_way(
    provider: FakeProvider,  # noqa: F811 - the fixture
    admin: TestClient,
    sign_in: SignIn,
    db: Session,
    path: str,
    sent: dict[str, str],
) -> None:
    thief = sign_in("admin")
    back = provider.visit(leave(thief, f"{ACCOUNTS}oidc/link"))

    def meanwhile(claims: Claims) -> Claims:
        assert admin.post(path, data=sent).status_code == 303
        return claims

    provider.claims = meanwhile
    assert thief.get(back).headers["location"].startswith("/login")
    assert list(db.scalars(select(AuthIdentity.subject))) == []


def test_nor_for_who_was_switched_off_on_the_way(
    provider: FakeProvider,  # noqa: F811 - the fixture
    admin: TestClient,
    sign_in: SignIn,
    db: Session,
) -> None:
    eve = hire(db, ADMIN, "eve", security.hash_password(PASSWORD))
    hers = sign_in("eve")
    back = provider.visit(leave(hers, f"{ACCOUNTS}oidc/link"))

    def meanwhile(claims: Claims) -> Claims:
        assert admin.post(f"{STAFF}{eve.id}/switch", data={"is_active": ""}).status_code == 303
        return claims

    provider.claims = meanwhile
    assert hers.get(back).headers["location"].startswith("/login")
    assert list(db.scalars(select(AuthIdentity.subject))) == []


SECURITY = "/dashboard/settings/security/"


def an_app(thief: TestClient) -> tuple[str, dict[str, Any]]:
    page = thief.get(f"{SECURITY}app").text
    draft = page.partition('name="draft" value="')[2].partition('"')[0]
    secret = page.partition("<code")[2].partition(">")[2].partition("<")[0].replace(" ", "").upper()
    return f"{SECURITY}app", {"draft": draft, "code": code(secret=secret)}


def a_token(_thief: TestClient) -> tuple[str, dict[str, Any]]:
    return "/dashboard/settings/tokens", {"name": "mine", "scopes": ["users:read", "users:write"]}


@pytest.mark.parametrize(
    ("form", "statement", "model"),
    [(an_app, "DELETE FROM credentials", Credential), (a_token, "INSERT INTO api_tokens", ApiToken)],
)
def test_nothing_is_added_in_a_session_that_has_ended(
    database: Database, db: Session, admin: TestClient, sign_in: SignIn, form: Any, statement: str, model: Any
) -> None:
    thief = sign_in("admin")
    where, sent = form(thief)
    rival = Rival(lambda: admin.post("/dashboard/settings/password", data=CHANGE).status_code)
    before: list[int] = []

    def first(connection: Connection) -> None:
        rival(connection)
        before.extend(rival.answers)  # none: the owner had to wait for us

    with overtaken(database.engine, statement, first) as tried:
        thief.post(where, data=sent)
    assert (rival.answer(), bool(tried)) == (303, True)
    assert not (before == [303] and db.scalar(select(func.count()).select_from(model)))
