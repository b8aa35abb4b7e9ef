"""Who was invited and never came in, and that the school knows it until they do, whatever becomes of their links."""

from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import ADMIN, SUPPORT, SYSTEM_ROLES, Permission
from backend.core.security import hash_password
from backend.database.crud.roles import joined
from backend.database.models.auth import OneTimeToken
from backend.database.models.users import Role, User
from backend.database.session import Database
from backend.jobs.periodic import purge
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import english_admin, one, words
from tests.crm.test_staff import HERE, NEW, hire, invited, role_id
from tests.crm.test_takeovers import forget, letter, path
from tests.doors import browser
from tests.doors import sign_in as enter
from tests.factories import make_user, save

LATER = timedelta(days=8, minutes=1)  # seven of the invitation, one until the chore might take it


@pytest.fixture
def vera(app: FastAPI, sign_in: SignIn, db: Session) -> User:
    """A student who signed in once, was taken into the staff as an administrator, and has not accepted."""
    confirmed = {"email": "vera@pupils.example", "email_verified_at": clock.now()}
    made = make_user(db, password_hash=hash_password(PASSWORD), **confirmed)
    assert enter(browser(app), login="vera@pupils.example").status_code == 303
    taken = english_admin(sign_in, db).post(f"{HERE}{made.id}/take-in", data={"role_id": role_id(db, ADMIN)})
    assert taken.status_code == 201
    return made


def test_a_forgotten_password_is_no_way_past_an_invitation_that_lapsed(
    app: FastAPI, vera: User, sign_in: SignIn, db: Session, database: Database
) -> None:
    with time_machine.travel(clock.now() + LATER):
        database.run(purge)
        browser(app, "203.0.113.9").post("/forgot", data={"username": "vera@pupils.example"})
        assert list(db.scalars(select(OneTimeToken.purpose))) == ["invite"]
        admin = english_admin(sign_in, db)
        assert words(one(admin.get(HERE).text, f"#person-{vera.id}").css("td")[2]) == "Invited"
        assert admin.post(f"{HERE}{vera.id}/link").status_code == 409
        assert admin.post(f"{HERE}{vera.id}/invite").status_code == 201


def test_nor_after_the_account_was_switched_off_and_on(app: FastAPI, vera: User, sign_in: SignIn, db: Session) -> None:
    admin, old = english_admin(sign_in, db), path(db, "invite")
    for on in ("", "true"):
        assert admin.post(f"{HERE}{vera.id}/switch", data={"is_active": on}).status_code == 303
    guest = browser(app, "203.0.113.9")
    assert guest.post(old, data={"login": "vera", "password": NEW, "repeat": NEW}).status_code == 404
    guest.post("/forgot", data={"username": "vera@pupils.example"})
    assert list(db.scalars(select(OneTimeToken.purpose))) == ["invite"]
    made = admin.post(f"{HERE}{vera.id}/invite")
    link = (one(made.text, "#new-link").attributes["value"] or "").partition(":8000")[2]
    assert guest.post(link, data={"login": "vera", "password": NEW, "repeat": NEW}).status_code == 303
    assert list(db.scalars(select(OneTimeToken.id).where(OneTimeToken.used_at.is_(None)))) == []  # she came in


@pytest.mark.parametrize("kind", ["invite", "reset"])
def test_a_link_that_was_handed_out_does_not_grow_with_the_role(
    app: FastAPI, sign_in: SignIn, db: Session, kind: str
) -> None:
    """Eve may read the letter to who may no more than she; then the role gets a right that she lacks."""
    admin, rights = english_admin(sign_in, db), sorted(SYSTEM_ROLES[SUPPORT])
    save(db, Role(name="Desk", permissions=rights))
    save(db, Role(name="Reader", permissions=sorted({*rights, Permission.OPERATIONS_READ, Permission.SETTINGS_WRITE})))
    hire(db, "Reader", "eve")
    eve, desk = sign_in("eve"), role_id(db, "Desk")
    if kind == "invite":
        invited(admin, db, email="vera@school.example", role_id=desk)
    else:
        vera = hire(db, "Desk", "vera", hash_password(PASSWORD))
        vera.email, vera.seen_at = "vera@school.example", clock.now()
        db.commit()
        forget(browser(app), "vera")
    link = path(db, kind)
    assert link in eve.post(f"/dashboard/outbox/letters/{letter(db, kind).id}").text
    more = {"name": "Desk", "rights": [*rights, Permission.STAFF_WRITE.value], "was": joined(frozenset(rights))}
    assert admin.post(f"/dashboard/settings/roles/{desk}", data=more).status_code == 303
    thief = browser(app, "203.0.113.9")
    sent = {"password": NEW, "repeat": NEW, **({"login": "vera"} if kind == "invite" else {})}
    assert thief.post(link, data=sent).status_code == 404
