"""Coming in with Telegram: it vouches for the number that the bot knows a person by."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.elsewhere import TELEGRAM, providers
from backend.core.oauth import Elsewhere
from backend.core.permissions import STUDENT
from backend.database.crud.auth import OneTimeTokenCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthIdentity, AuthSession, Credential
from backend.database.models.users import User
from tests.conftest import make_settings
from tests.crm.test_elsewhere import HERE as ACCOUNTS
from tests.crm.test_elsewhere import browser, leave
from tests.provider import CLIENT, SECRET, Claims, FakeProvider

AWAY = "/login/with/telegram"
ANNA, BORIS = 4_294_967_297, 77  # as Telegram knows them; numbers need more than 32 bits


@pytest.fixture
def provider(app: FastAPI) -> Iterator[FakeProvider]:
    """Stands where oauth.telegram.org is."""
    settings = make_settings("sqlite://", Path(), telegram_client_id=CLIENT, telegram_client_secret=SECRET)
    with FakeProvider() as running:
        there = Elsewhere(replace(providers(settings)["telegram"], issuer=running.url))
        app.state.elsewhere = {"telegram": there}
        running.person = {"sub": "s-anna", "id": ANNA, "preferred_username": "anna"}
        yield running


@pytest.fixture
def anna(db: Session) -> User:
    user = db.scalars(select(User).where(User.login == "admin")).one()
    user.telegram_id = ANNA
    db.flush()
    return user


def come(app: FastAPI, provider: FakeProvider, **claims: object) -> int:
    """The answer to a new browser that comes back from Telegram with these claims; None leaves one out."""
    changed = {**provider.person, **claims}
    provider.claims = lambda honest: {k: v for k, v in {**honest, **changed}.items() if v is not None}
    visitor = browser(app)
    return visitor.get(provider.visit(leave(visitor, AWAY))).status_code


def whose(db: Session) -> list[int]:
    return list(db.scalars(select(AuthSession.user_id).order_by(AuthSession.id)))


def test_telegram_is_known_by_its_own_address(tmp_path: Path) -> None:
    settings = make_settings("sqlite://", tmp_path, telegram_client_id="123", telegram_client_secret=SECRET)
    found = providers(settings)["telegram"]
    assert (found.issuer, found.scope, found.is_telegram) == (TELEGRAM, "openid profile", True)
    assert found.allows("https://oauth.telegram.org/token")
    assert not found.allows("https://api.telegram.org/")


def test_staff_whom_the_bot_knows_come_in_and_stay_linked(
    app: FastAPI, provider: FakeProvider, anna: User, db: Session
) -> None:
    visitor = browser(app)
    came = visitor.get(provider.visit(leave(visitor, AWAY, next="/dashboard/tickets/")))
    assert (came.status_code, came.headers["location"]) == (303, "/dashboard/tickets/")
    assert visitor.get("/dashboard/").status_code == 200
    kept = db.scalars(select(AuthIdentity)).one()
    known = kept.user_id, kept.provider, kept.issuer, kept.subject, kept.name
    assert known == (anna.id, "telegram", provider.url, "s-anna", "anna")
    kinds = select(SecurityEvent.kind).where(SecurityEvent.user_id == anna.id).order_by(SecurityEvent.id)
    assert list(db.scalars(kinds)) == ["authn_identity_linked", "authn_login_success"]

    # From now on the link decides, whatever number comes along; and nobody else is linked by it.
    UserCRUD(db).create_staff(login="boris", password_hash=None, role="Менеджер").telegram_id = BORIS
    db.flush()
    assert come(app, provider, id=BORIS) == 303
    assert come(app, provider, id=None) == 303
    assert set(whose(db)) == {anna.id}


def test_a_number_that_telegram_does_not_say_lets_nobody_in(
    app: FastAPI, provider: FakeProvider, anna: User, db: Session
) -> None:
    attacks: dict[str, tuple[Claims, int]] = {
        "no number": ({"id": None}, 403),
        "as text": ({"id": str(ANNA)}, 403),
        "as a fraction": ({"id": float(ANNA)}, 403),
        "true": ({"id": True}, 403),
        "as a list": ({"id": [ANNA]}, 403),
        "beyond 64 bits": ({"id": 2**64 + ANNA}, 403),
        "below zero": ({"id": -ANNA}, 403),
        "another's number": ({"sub": "s-eve", "id": BORIS}, 403),
        "the number as the subject": ({"sub": str(ANNA), "id": BORIS}, 403),
        "another issuer": ({"iss": "https://evil.example"}, 400),
        "another bot's token": ({"aud": "999"}, 400),
        "another trip": ({"nonce": "another"}, 400),
    }
    assert anna.telegram_id == ANNA
    let_in = {}
    for name, (claims, refused) in attacks.items():
        if (status := come(app, provider, **claims)) != refused:
            let_in[name] = status
    assert let_in == {}
    assert (whose(db), db.scalars(select(AuthIdentity)).all()) == ([], [])


def test_students_closed_accounts_and_second_factors(
    app: FastAPI, provider: FakeProvider, anna: User, db: Session
) -> None:
    role, student = anna.role_id, UserCRUD(db).role_named(STUDENT).id
    anna.role_id = student
    db.flush()
    assert come(app, provider) == 403
    anna.role_id, anna.is_active = role, False
    db.flush()
    assert come(app, provider) == 403
    assert (whose(db), db.scalars(select(AuthIdentity)).all()) == ([], [])

    anna.is_active = True
    db.add(Credential(user_id=anna.id, kind="totp", secret="sealed", confirmed_at=clock.now()))
    db.flush()
    assert come(app, provider) == 303
    assert db.scalars(select(AuthSession.level)).all() == ["pending"]
    anna.is_active = False  # a link that stands opens nothing either, nor does it give way to the number
    db.flush()
    assert come(app, provider) == 403


def test_a_number_vouches_for_nobody_at_any_other_service(
    app: FastAPI, provider: FakeProvider, anna: User, db: Session
) -> None:
    there = app.state.elsewhere["telegram"].provider
    app.state.elsewhere = {"telegram": Elsewhere(replace(there, is_telegram=False))}
    assert come(app, provider) == 403
    assert whose(db) == []
    assert anna.telegram_id == ANNA


def test_an_account_that_was_unlinked_comes_in_no_more_until_its_owner_links_it_again(
    app: FastAPI, provider: FakeProvider, anna: User, admin: TestClient, db: Session
) -> None:
    """Whoever holds the Telegram account, a lost phone, would else come back by the number."""
    assert come(app, provider) == 303
    linked = db.scalars(select(AuthIdentity.id)).one()
    assert admin.post(f"{ACCOUNTS}{linked}/unlink").status_code == 303
    assert [come(app, provider) for _ in range(2)] == [403, 403]
    assert list(db.scalars(select(AuthIdentity.id))) == []
    assert come(app, provider, sub="another") == 303  # another account is another matter
    assert list(db.scalars(select(AuthIdentity.subject))) == ["another"]

    provider.claims = lambda honest: {**honest, **provider.person}
    assert admin.get(provider.visit(leave(admin, f"{ACCOUNTS}telegram/link"))).status_code == 303
    assert list(db.scalars(select(AuthIdentity.subject).order_by(AuthIdentity.id))) == ["another", "s-anna"]
    assert come(app, provider) == 303
    db.execute(delete(AuthIdentity).where(AuthIdentity.subject == "s-anna"))  # nothing is noted of it any more
    db.flush()
    assert come(app, provider) == 303


def test_what_a_person_unlinked_is_not_forgotten_with_what_expires(
    app: FastAPI, provider: FakeProvider, anna: User, admin: TestClient, db: Session
) -> None:
    assert come(app, provider) == 303
    assert admin.post(f"{ACCOUNTS}{db.scalars(select(AuthIdentity.id)).one()}/unlink").status_code == 303
    OneTimeTokenCRUD(db).purge(clock.now() + timedelta(days=4000))
    db.commit()
    assert come(app, provider) == 403
