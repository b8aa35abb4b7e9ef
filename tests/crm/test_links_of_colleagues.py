"""Links that colleagues make for each other: for whom, as long as who may do what; and what signing out ends."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.permissions import ADMIN, MANAGER, SUPPORT
from backend.database.crud.auth import SIGN_IN, OneTimeTokenCRUD
from backend.database.crud.credentials import TrustedDeviceCRUD
from backend.database.crud.links import INVITE, VERIFY
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, OneTimeToken
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.codes import code, give_app
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import english_admin
from tests.crm.test_staff import HERE, NEW, hire, invited, lead, role_id
from tests.database.rivals import overtaken
from tests.doors import browser, token_of
from tests.doors import sign_in as enter

SETTINGS = "/dashboard/settings/"
FIVE = timedelta(minutes=5)


def test_who_has_come_in_without_a_password_is_not_invited_again(admin: TestClient, db: Session) -> None:
    """By Telegram or another account: an invitation would let whoever has the link into their account."""
    boris = hire(db, ADMIN, "boris")
    assert admin.post(f"{HERE}{boris.id}/invite").status_code == 201
    boris.seen_at = clock.now()  # a student once, who is invited to the staff and has not come in since
    db.commit()
    assert admin.post(f"{HERE}{boris.id}/invite").status_code == 201
    db.execute(delete(OneTimeToken))
    db.commit()
    refused = admin.post(f"{HERE}{boris.id}/invite")
    assert (refused.status_code, "/invite/" in refused.text) == (409, False)
    assert list(db.scalars(select(OneTimeToken.purpose))) == []


def test_an_invitation_ends_when_the_person_comes_in_another_way(app: FastAPI, admin: TestClient, db: Session) -> None:
    person, address = invited(admin, db)
    secret = OneTimeTokenCRUD(db).issue(person.id, SIGN_IN, FIVE)
    db.commit()
    assert browser(app).post(f"/enter/{secret}").status_code == 303
    assert browser(app).get(address).status_code == 404
    assert admin.post(f"{HERE}{person.id}/invite").status_code == 409
    assert admin.post(f"{HERE}{person.id}/link").status_code == 201


# -- who answers for a link


@pytest.fixture
def eve(db: Session) -> User:
    return hire(db, lead(db), "eve", security.hash_password(PASSWORD))


def switched_off(admin: TestClient, _db: Session, eve: User) -> int:
    return admin.post(f"{HERE}{eve.id}/switch", data={"is_active": ""}).status_code


def demoted(admin: TestClient, db: Session, eve: User) -> int:
    return admin.post(f"{HERE}{eve.id}/role", data={"role_id": role_id(db, MANAGER)}).status_code


def role_cut(_admin: TestClient, db: Session, _eve: User) -> int:
    """Less than what the person whom she invited may do."""
    role = db.scalars(select(Role).where(Role.name == "Lead")).one()
    role.permissions = [right for right in role.permissions if right not in ("tickets:write", "tickets:read")]
    db.commit()
    return 303


def deleted(_admin: TestClient, db: Session, eve: User) -> int:
    db.delete(eve)
    db.commit()
    return 303


def nothing(_admin: TestClient, _db: Session, _eve: User) -> int:
    return 303


@pytest.mark.parametrize(
    ("loss", "works"),
    [(nothing, True), (switched_off, False), (demoted, False), (role_cut, False), (deleted, False)],
)
def test_a_link_works_as_long_as_who_made_it_could_make_it(
    app: FastAPI,
    admin: TestClient,
    sign_in: SignIn,
    db: Session,
    eve: User,
    loss: Callable[[TestClient, Session, User], int],
    works: bool,
) -> None:
    boris = hire(db, SUPPORT, "boris", security.hash_password(PASSWORD))
    hers = sign_in("eve")
    _person, address = invited(hers, db, role_id=role_id(db, SUPPORT))
    found = re.search(r"/enter/[\w-]+", hers.post(f"{HERE}{boris.id}/link").text)
    assert found is not None
    assert loss(admin, db, eve) == 303
    before = db.scalars(select(AuthSession.id)).all()
    assert browser(app).get(address).status_code == (200 if works else 404)
    sent = {"login": "vera", "password": NEW, "repeat": NEW}
    assert browser(app).post(address, data=sent).status_code == (303 if works else 404)
    assert browser(app).get(found[0]).status_code == (200 if works else 404)
    assert browser(app).post(found[0]).status_code == (303 if works else 404)
    db.rollback()
    assert len(db.scalars(select(AuthSession.id)).all()) == len(before) + (2 if works else 0)


def test_a_link_of_the_command_line_needs_nobody_who_answers_for_it(app: FastAPI, db: Session) -> None:
    boris = hire(db, SUPPORT, "boris")
    secrets = [OneTimeTokenCRUD(db).issue(boris.id, purpose, FIVE) for purpose in (SIGN_IN, INVITE)]
    db.commit()
    assert browser(app).get(f"/invite/{secrets[1]}").status_code == 200
    assert browser(app).post(f"/enter/{secrets[0]}").status_code == 303


# -- what signing out ends


@pytest.mark.parametrize("which", ["one", "others"])
def test_who_is_signed_out_confirms_no_email_any_more(app: FastAPI, sign_in: SignIn, db: Session, which: str) -> None:
    own, thief = english_admin(sign_in, db), sign_in("admin")
    asked = {"first_name": "Анна", "email": "evil@thief.example", "timezone": "UTC"}
    assert thief.post(f"{SETTINGS}profile", data=asked).status_code == 303
    link = db.scalars(select(OneTimeToken).where(OneTimeToken.purpose == VERIFY)).one()
    link.token_hash = security.digest("known")
    db.commit()
    last = db.scalars(select(AuthSession.id).order_by(AuthSession.id.desc())).first()
    path, begin = {
        "one": (f"{SETTINGS}sessions/{last}/revoke", "That device is signed out"),
        "others": (f"{SETTINGS}sessions/revoke", "All other devices are signed out"),
    }[which]
    assert own.post(path).status_code == 303
    told = own.get(f"{SETTINGS}security/").text
    assert f"{begin}, and the email change to evil@thief.example is cancelled" in told
    assert browser(app).post("/confirm/known").status_code == 404
    assert db.scalars(select(OneTimeToken.id)).all() == []
    # Nothing waits: nothing is said of it.
    assert own.post(f"{SETTINGS}sessions/revoke").status_code == 303
    told = own.get(f"{SETTINGS}security/").text
    assert ("All other devices are signed out" in told, "is cancelled" in told) == (True, False)


def test_who_is_signed_out_everywhere_is_asked_for_the_second_factor_again(
    app: FastAPI, db: Session, settings: Settings, sign_in: SignIn
) -> None:
    boris = hire(db, SUPPORT, "boris", security.hash_password(PASSWORD))
    give_app(db, settings, "boris")
    laptop = browser(app)
    enter(laptop, login="boris")
    laptop.headers["X-CSRF-Token"] = token_of(laptop.get("/login/second"))
    assert laptop.post("/login/second", data={"code": code(), "trust": "true"}).status_code == 303
    assert len(TrustedDeviceCRUD(db).of(boris.id)) == 1
    assert sign_in("admin").post(f"{HERE}{boris.id}/sign-out").status_code == 303
    assert TrustedDeviceCRUD(db).of(boris.id) == []
    stolen = browser(app, "203.0.113.50")
    stolen.cookies.set("lyceum_device", laptop.cookies["lyceum_device"])
    assert enter(stolen, login="boris").headers["location"].startswith("/login/second")


@pytest.mark.parametrize("which", ["one", "others"])
def test_a_device_that_its_owner_signs_out_is_asked_for_the_second_factor_again(
    app: FastAPI, db: Session, settings: Settings, which: str
) -> None:
    """As of a laptop that is stolen: whoever has it may know the password as well."""
    recovery = give_app(db, settings)
    laptop, phone = browser(app), browser(app, "203.0.113.9")
    for client, sent in ((laptop, {"code": code(), "trust": "true"}), (phone, {"code": recovery[0]})):
        enter(client)
        client.headers["X-CSRF-Token"] = token_of(client.get("/login/second"))
        assert client.post("/login/second", data=sent).status_code == 303
        client.headers["X-CSRF-Token"] = token_of(client.get(SETTINGS))
    assert [len(TrustedDeviceCRUD(db).of(1)), ended_trust(db)] == [1, 0]
    its = AuthSession.ip == "198.51.100.1", AuthSession.level == "full"
    first = db.scalars(select(AuthSession.id).where(*its)).one()
    db.commit()
    path = {"one": f"sessions/{first}/revoke", "others": "sessions/revoke"}[which]
    assert phone.post(f"{SETTINGS}{path}").status_code == 303
    assert [len(TrustedDeviceCRUD(db).of(1)), ended_trust(db)] == [0, 1]
    db.commit()
    stolen = browser(app, "203.0.113.50")
    stolen.cookies.set("lyceum_device", laptop.cookies["lyceum_device"])
    assert enter(stolen).headers["location"].startswith("/login/second")
    # Nothing is trusted any more: nothing more is told of it.
    assert phone.post(f"{SETTINGS}sessions/revoke").status_code == 303
    assert ended_trust(db) == 1


def ended_trust(db: Session) -> int:
    db.rollback()
    return len(db.scalars(select(SecurityEvent.id).where(SecurityEvent.kind == "authn_trust_ended")).all())


def test_a_link_that_two_use_at_once_lets_one_in(app: FastAPI, database: Database, db: Session) -> None:
    secret = OneTimeTokenCRUD(db).issue(1, SIGN_IN, FIVE)
    db.commit()

    def first(connection: Connection) -> None:
        connection.execute(update(OneTimeToken).values(used_at=clock.now()))

    with overtaken(database.engine, "UPDATE one_time_tokens", first) as tried:
        assert browser(app).post(f"/enter/{secret}").status_code == 404
    assert len(tried) == 1
    assert db.scalars(select(AuthSession.id)).all() == []
