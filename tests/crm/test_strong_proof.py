"""What opens an account asks for its second factor, nobody is asked for what they do not have, and a way in is left."""

from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.context import ANONYMOUS, Principal
from backend.core.ways import Ways, ways_of
from backend.database.crud.credentials import CredentialCRUD
from backend.database.models.auth import AuthIdentity, AuthSession, Credential
from backend.database.models.users import User
from backend.database.session import Database
from tests.access import PAGES, everything
from tests.codes import code, give_app, pending
from tests.conftest import PASSWORD, SignIn
from tests.crm.test_confirm import CONFIRM, age, asks
from tests.crm.test_elsewhere import leave, provider, running
from tests.crm.test_forged_passkeys import Key, question, visitor
from tests.doors import sign_in, token_of
from tests.provider import FakeProvider

__all__ = ["provider", "running"]  # fixtures
SECURITY = "/dashboard/settings/security/"
NEW = {"current": PASSWORD, "password": "a long new password", "repeat": "a long new password"}
OTHER_EMAIL = {"first_name": "Анна", "email": "anna@new.example", "timezone": "UTC"}


def confirm(client: TestClient, **sent: str) -> int:
    return client.post(CONFIRM, data={"next": SECURITY, **sent}).status_code


def passkey(db: Session, user_id: int = 1) -> Credential:
    row = Key().row(user_id)
    db.add(row)
    db.commit()
    return row


def test_a_password_alone_opens_no_page_that_touches_the_ways_in(
    admin: TestClient, db: Session, settings: Settings
) -> None:
    codes, ids = give_app(db, settings), everything(db)
    strong = [rule for rule in PAGES if rule.proof == "!!"]
    assert len(strong) >= 11
    assert confirm(admin, password=PASSWORD) == 303
    assert admin.get("/dashboard/users/export.csv").status_code == 200
    assert [rule.name for rule in strong if not asks(admin.request(rule.method, rule.address(ids)))] == []
    assert asks(admin.post("/dashboard/settings/profile", data=OTHER_EMAIL))
    assert asks(admin.post("/dashboard/settings/password", data=NEW))
    assert confirm(admin, code=codes[0], strong="true") == 303
    assert [rule.name for rule in strong if asks(admin.request(rule.method, rule.address(ids)))] == []
    assert not asks(admin.post("/dashboard/settings/profile", data=OTHER_EMAIL))
    assert not asks(admin.post("/dashboard/settings/password", data=NEW))


def test_the_last_factor_is_not_removed_by_a_password_but_by_its_code(
    admin: TestClient, db: Session, settings: Settings
) -> None:
    give_app(db, settings)
    app_id = CredentialCRUD(db).of(1).app.id  # type: ignore[union-attr] # it was given
    remove = f"{SECURITY}factors/{app_id}/remove"
    late = admin.post(remove, headers={"Referer": f"http://127.0.0.1:8000{SECURITY}"}).headers["location"]
    assert late == f"{CONFIRM}?next=%2Fdashboard%2Fsettings%2Fsecurity%2F&strong=true"
    page = admin.get(late).text
    assert ('name="strong" value="true"' in page, 'name="password"' in page) == (True, False)
    refused = admin.post(CONFIRM, data={"password": PASSWORD, "next": SECURITY, "strong": "true"})
    assert (refused.status_code, "a password is not enough" in refused.text) == (422, True)
    assert asks(admin.post(remove))
    assert confirm(admin, code=code(), strong="true") == 303
    assert admin.post(remove).headers["location"] == SECURITY
    assert CredentialCRUD(db).of(1).present is False


@pytest.mark.parametrize("minutes", [14, 16])
def test_a_strong_proof_lasts_for_fifteen_minutes(
    admin: TestClient, db: Session, settings: Settings, minutes: int
) -> None:
    codes = give_app(db, settings)
    assert confirm(admin, code=codes[0]) == 303
    db.scalars(select(AuthSession)).one().strong_at = clock.now() - timedelta(minutes=minutes)
    db.commit()
    assert asks(admin.get(f"{SECURITY}app")) is (minutes > 15)
    assert confirm(admin, password=PASSWORD) == 303
    assert asks(admin.get(f"{SECURITY}app")) is (minutes > 15)


def test_both_steps_at_the_door_are_a_strong_proof_and_a_trusted_device_is_none(
    app: FastAPI, db: Session, settings: Settings
) -> None:
    give_app(db, settings)
    person = pending(app)
    token = token_of(person.get("/login/second"))
    sent = {"code": code(), "trust": "true", "csrf_token": token}
    assert person.post("/login/second", data=sent).status_code == 303
    assert not asks(person.get(f"{SECURITY}app"))
    del person.cookies["lyceum"]
    person.headers["X-CSRF-Token"] = token_of(person.get("/login"))
    assert sign_in(person).headers["location"] == "/dashboard/"
    assert asks(person.get(f"{SECURITY}app"))


def test_a_passkey_is_a_strong_proof_and_one_that_was_set_up_just_now_too(app: FastAPI, db: Session) -> None:
    key = Key()
    db.add(key.row(1))
    db.commit()
    person = visitor(app)
    challenge, ticket = question(person)
    assert person.post("/login/passkey", data={"ticket": ticket, "answer": key.answer(challenge)}).status_code == 303
    assert not asks(person.get(f"{SECURITY}app"))
    age_strong(db)
    assert asks(person.get(f"{SECURITY}app"))
    person.headers["X-CSRF-Token"] = token_of(person.get(SECURITY))
    challenge, ticket = question(person, f"{CONFIRM}?strong=true&next={SECURITY}")
    sent = {"ticket": ticket, "answer": key.answer(challenge, count=7), "strong": "true", "next": SECURITY}
    assert person.post(f"{CONFIRM}passkey", data=sent).headers["location"] == SECURITY
    assert not asks(person.get(f"{SECURITY}app"))


def age_strong(db: Session) -> None:
    for session in db.scalars(select(AuthSession)):
        session.strong_at = clock.now() - timedelta(minutes=16)
    db.commit()


def test_whoever_sets_up_a_factor_is_not_asked_for_it_at_once(admin: TestClient, db: Session) -> None:
    page = admin.get(f"{SECURITY}app").text
    draft = page.partition('name="draft" value="')[2].partition('"')[0]
    secret = page.partition("<code")[2].partition(">")[2].partition("<")[0].replace(" ", "").upper()
    made = admin.post(f"{SECURITY}app", data={"draft": draft, "code": code(secret=secret)})
    assert (made.status_code, CredentialCRUD(db).of(1).present) == (200, True)
    assert not asks(admin.post(f"{SECURITY}codes"))


def test_the_form_of_a_password_waits_for_the_proof_that_it_needs(
    admin: TestClient, staff: SignIn, db: Session, settings: Settings
) -> None:
    """Nobody types two passwords into a form that will be refused."""
    assert 'name="repeat"' in admin.get("/dashboard/settings/").text
    codes = give_app(db, settings)
    waits = admin.get("/dashboard/settings/").text
    assert (
        'name="repeat"' in waits,
        "/dashboard/confirm/?next=%2Fdashboard%2Fsettings%2F&amp;strong=true" in waits,
    ) == (
        False,
        True,
    )
    assert confirm(admin, code=codes[0]) == 303
    assert 'name="repeat"' in admin.get("/dashboard/settings/").text
    person = staff("Поддержка")
    assert 'name="repeat"' in person.get("/dashboard/settings/").text
    age(db)
    assert 'name="repeat"' not in person.get("/dashboard/settings/").text


def test_whoever_has_nothing_to_prove_it_with_signs_in_again(staff: SignIn, db: Session) -> None:
    person = staff("Поддержка")
    age(db)
    page = person.get(f"{CONFIRM}?next=/dashboard/settings/")
    assert ('name="password"' in page.text, 'name="code"' in page.text) == (False, False)
    again = "/login?next=%2Fdashboard%2Fsettings%2F&amp;again=true"
    assert f'href="{again}"' in page.text
    assert "set a password by email" in page.text
    door = person.get(again.replace("&amp;", "&"))
    assert (door.status_code, 'name="next" value="/dashboard/settings/"' in door.text) == (200, True)
    assert person.get("/login").status_code == 303
    late = person.post("/dashboard/settings/profile", data=OTHER_EMAIL)
    assert ("fill in the form again" in late.text, "Your input is saved" in late.text) == (True, False)


@pytest.mark.usefixtures("admin")
def test_whoever_is_nobody_here_has_no_way_to_prove_it(
    database: Database, settings: Settings, queries: list[str]
) -> None:
    """A token without an owner has the ways of nobody, not of everybody."""
    for nobody in (ANONYMOUS, Principal(kind="token", token_id=1)):
        assert ways_of(database, settings, nobody) == Ways()
    assert queries == []
    assert ways_of(database, settings, Principal(kind="session", user_id=1)).password is True


def test_a_linked_service_that_is_set_up_is_a_proof(
    staff: SignIn, db: Session, app: FastAPI, provider: FakeProvider
) -> None:
    person = staff("Поддержка")
    user = db.scalars(select(User).order_by(User.id.desc())).first()
    assert user is not None
    db.add(AuthIdentity(user_id=user.id, provider="google", issuer="https://accounts.google.com", subject="42"))
    db.commit()
    age(db)
    assert "Sign in with" not in person.get(CONFIRM).text  # Google is not set up here
    db.add(AuthIdentity(user_id=user.id, provider="oidc", issuer=provider.url, subject="42"))
    db.commit()
    assert "Sign in with School ID" in person.get(CONFIRM).text
    back = person.get(provider.visit(leave(person, next=f"{SECURITY}app")))
    assert back.headers["location"] == f"{SECURITY}app"
    assert not asks(person.get(f"{SECURITY}app"))


def test_a_step_offers_what_the_person_has_and_nothing_else(admin: TestClient, db: Session) -> None:
    """A passkey without its site, recovery codes only, neither: a password still proves what it can prove."""
    passkey(db)
    strong = f"{CONFIRM}?strong=true"
    assert ('name="code"' in admin.get(strong).text, 'name="password"' in admin.get(strong).text) == (False, False)
    assert "Ask an administrator to remove them" in admin.get(strong).text
    assert 'name="password"' in admin.get(CONFIRM).text
    CredentialCRUD(db).renew_codes(1)
    db.commit()
    page = admin.get(strong).text
    assert ("Recovery code" in page, "Code from the app" in page, "Ask an administrator" in page) == (
        True,
        False,
        False,
    )
    assert 'name="password"' not in page


def test_the_only_passkey_of_a_person_without_a_password_stays(staff: SignIn, db: Session, app: FastAPI) -> None:
    person = staff("Поддержка")
    user = db.scalars(select(User).order_by(User.id.desc())).first()
    assert user is not None
    key = passkey(db, user.id)
    db.add(AuthIdentity(user_id=user.id, provider="oidc", issuer="https://id.school.example", subject="42"))
    for session in db.scalars(select(AuthSession)):
        session.strong_at = clock.now()
    db.commit()
    remove = f"{SECURITY}factors/{key.id}/remove"
    refused = person.post(remove)
    assert (refused.status_code, "This is your only way to sign in." in refused.text) == (409, True)
    assert CredentialCRUD(db).of(user.id).present is True
    other = passkey(db, user.id)
    assert person.post(remove).status_code == 303
    linked = db.scalars(select(AuthIdentity.id)).one()
    object.__setattr__(app.state.settings, "oidc_client_id", "school")
    assert person.post(f"{SECURITY}factors/{other.id}/remove").status_code == 303
    assert person.post(f"/dashboard/settings/accounts/{linked}/unlink").status_code == 409
