"""Whatever ends a session before its time ends it for the next request, in every process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.permissions import MANAGER, SUPPORT
from backend.database.models.auth import AuthSession, Credential
from backend.database.models.users import User
from main import create_app
from tests.conftest import PASSWORD, SignIn
from tests.crm.test_forgotten import NEW
from tests.crm.test_forgotten import link as mailed
from tests.crm.test_staff import HERE as STAFF
from tests.crm.test_staff import hire, role_id
from tests.doors import browser, token_of
from tests.doors import sign_in as type_password
from tests.factories import save
from tests.figures import Figure
from tests.money.server import Server

HOME = "/dashboard/settings/"


@pytest.fixture
def elsewhere(settings: Settings, app: FastAPI) -> Iterator[FastAPI]:
    """A second process of the same school: an app of its own on the same database."""
    another = create_app(settings)
    yield another
    another.state.database.dispose()


@dataclass
class Signed:
    """Boris's browser, another one of his, and the admin's."""

    own: TestClient
    other: TestClient
    admin: TestClient
    boris: User
    db: Session

    def by_admin(self, tail: str, **sent: object) -> httpx2.Response:
        return self.admin.post(f"{STAFF}{self.boris.id}/{tail}", data=sent)

    def stored(self, **values: object) -> httpx2.Response:
        """As if another program had written it."""
        self.db.execute(update(User).where(User.id == self.boris.id).values(**values))
        return httpx2.Response(303)

    def revoked(self) -> httpx2.Response:
        secret = security.digest(self.own.cookies["lyceum"])
        session = self.db.scalars(select(AuthSession.id).where(AuthSession.token_hash == secret)).one()
        return self.other.post(f"/dashboard/settings/sessions/{session}/revoke")

    def reset(self) -> httpx2.Response:
        visitor = browser(self.own.app)  # type: ignore[arg-type] # the app that it was made with
        visitor.post("/forgot", data={"username": self.boris.login})
        return visitor.post(mailed(self.db, "reset"), data={"password": NEW, "repeat": NEW})

    def without_factor(self) -> httpx2.Response:
        save(self.db, Credential(user_id=self.boris.id, kind="totp", secret="sealed", confirmed_at=clock.now()))
        return self.by_admin("factors/remove")


@pytest.fixture
def enter(app: FastAPI, db: Session, admin: TestClient, sign_in: SignIn) -> Callable[[str], Signed]:
    def make(login: str) -> Signed:
        boris = hire(db, MANAGER, login, security.hash_password(PASSWORD))
        boris.email = f"{login}@school.example"
        db.commit()
        own = browser(app)
        assert type_password(own, login=login).status_code == 303
        own.headers["X-CSRF-Token"] = token_of(own.get(HOME))
        return Signed(own, sign_in(login), admin, boris, db)

    return make


def change_password(here: Signed) -> httpx2.Response:
    sent = {"current": PASSWORD, "password": NEW, "repeat": NEW}
    return here.own.post("/dashboard/settings/password", data=sent)


ALIVE = "sessions alive in the next request, also to another process"
# How a session ends before its time -> the door that ends it.
ENDS: dict[str, Callable[[Signed], httpx2.Response]] = {
    "logout": lambda here: here.own.post("/logout"),
    "login": lambda here: type_password(here.own, login=here.boris.login or ""),
    "password": change_password,
    "reset by link": Signed.reset,
    "revoked by oneself": Signed.revoked,
    "all others revoked": lambda here: here.other.post("/dashboard/settings/sessions/revoke"),
    "revoked by an admin": lambda here: here.by_admin("sign-out"),
    "turned off": lambda here: here.by_admin("switch", is_active="false"),
    "another role": lambda here: here.by_admin("role", role_id=role_id(here.db, SUPPORT)),
    "factor removed": Signed.without_factor,
    "is_active": lambda here: here.stored(is_active=False),
    "token_version": lambda here: here.stored(token_version=User.token_version + 1),
}


@pytest.mark.parametrize("how", ENDS)
def test_what_happens_to_the_account_holds_from_the_next_request_on(
    enter: Callable[[str], Signed], elsewhere: FastAPI, how: str, figure: Figure
) -> None:
    """In every process: the cookie as it was is tried at the other one, which has seen it before."""
    boris, thief = enter("boris"), browser(elsewhere, "203.0.113.9")
    thief.cookies.set("lyceum", boris.own.cookies["lyceum"], domain="127.0.0.1")
    assert thief.get(HOME).status_code == 200
    assert ENDS[how](boris).status_code == 303
    assert thief.get(HOME).status_code == 303
    figure("B8", ALIVE, 0, "0", 1)


@pytest.mark.slow
def test_it_holds_in_a_process_of_its_own(
    enter: Callable[[str], Signed], settings: Settings, tmp_path_factory: pytest.TempPathFactory, figure: Figure
) -> None:
    """The app of the test above shares this process's modules, and what they might remember."""
    server = Server(settings.database_url, tmp_path_factory.mktemp("data")).start().ready()
    try:
        for number, (how, end) in enumerate(ENDS.items()):
            boris = enter(f"boris-{number}")
            with httpx2.Client(base_url=server.url, cookies={"lyceum": boris.own.cookies["lyceum"]}) as thief:
                assert thief.get(HOME).status_code == 200, how
                assert end(boris).status_code == 303, how
                assert thief.get(HOME).status_code == 303, how
    finally:
        server.stop()
    figure("B8", ALIVE, 0, "0", len(ENDS))
