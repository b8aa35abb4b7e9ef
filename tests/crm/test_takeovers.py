"""What somebody with a few rights, or with a stolen session, tries in order to get an account that is not theirs."""

import re
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.permissions import ADMIN, SUPPORT, SYSTEM_ROLES, Permission
from backend.database.crud.letters import LetterCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, RateBucket
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import Role, User
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import one
from tests.crm.test_confirm import asks
from tests.crm.test_staff import HERE, NEW, again, hire, invited, lead, role_id
from tests.doors import browser, sign_in, token_of
from tests.factories import make_user, save

EMAIL = "admin@school.example"
PROFILE = {"first_name": "Анна", "timezone": "UTC"}


@pytest.fixture
def anna(db: Session) -> User:
    user = db.get_one(User, 1)
    user.email, user.email_verified_at = EMAIL, clock.now()
    db.commit()
    return user


@pytest.fixture
def reader(sign_in: SignIn, db: Session) -> TestClient:
    """Whoever hands out the letters of a school without e-mail, and may do little else."""
    rights = SYSTEM_ROLES[SUPPORT] | {Permission.OPERATIONS_READ, Permission.SETTINGS_WRITE}
    save(db, Role(name="Reader", permissions=sorted(rights)))
    hire(db, "Reader", "reader")
    client = sign_in("reader")
    client.headers["Accept-Language"] = "en"
    return client


def letter(db: Session, kind: str) -> Dispatch:
    statement = select(Dispatch).where(Dispatch.method == kind).order_by(Dispatch.id.desc()).limit(1)
    return db.scalars(statement, execution_options={"populate_existing": True}).one()


def path(db: Session, kind: str) -> str:
    """The path of the link in the last letter of this kind."""
    written = LetterCRUD(db).letter(letter(db, kind))
    assert written is not None
    return re.findall(r"http://127\.0\.0\.1:8000(/\S+)\n", written.text)[0]


def forget(client: TestClient, who: str) -> None:
    client.headers["X-CSRF-Token"] = token_of(client.get("/forgot"))
    assert client.post("/forgot", data={"username": who}).status_code == 303


def tries(client: TestClient, field: str, value: str, times: int) -> list[int]:
    return [client.post("/dashboard/confirm/", data={field: value}).status_code for _ in range(times)]


# -- letters that wait in the outbox


@pytest.mark.parametrize("kind", ["reset", "invite", "verify"])
def test_a_letter_to_someone_with_more_rights_opens_for_nobody_with_less(
    app: FastAPI, anna: User, admin: TestClient, reader: TestClient, db: Session, kind: str
) -> None:
    if kind == "reset":
        forget(browser(app), EMAIL)
    elif kind == "invite":
        invited(admin, db, email="new@school.example", role_id=role_id(db, ADMIN))
    else:
        admin.post("/dashboard/settings/profile", data=PROFILE | {"email": "new@school.example"})
    row = letter(db, kind)
    page = f"/dashboard/outbox/letters/{row.id}"

    shown, refused = reader.get(page), reader.post(page)

    assert (shown.status_code, "Show the link" in shown.text) == (200, False)
    assert "someone who may do more than you" in shown.text
    assert (refused.status_code, path(db, kind) in refused.text) == (403, False)
    assert db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sensitive_read_letter")).all() == []
    opened = admin.post(page)
    assert (opened.status_code, path(db, kind) in opened.text) == (200, True)


def test_letters_to_those_who_may_no_more_are_handed_out(
    app: FastAPI, admin: TestClient, reader: TestClient, db: Session
) -> None:
    student = make_user(db, email="olga@pupils.example", email_verified_at=clock.now(), password_hash="hash")
    forget(browser(app), student.email or "")
    reset = letter(db, "reset").id
    invited(admin, db, email="support@school.example", role_id=role_id(db, SUPPORT))
    for kind, number in (("reset", reset), ("invite", letter(db, "invite").id)):
        page = f"/dashboard/outbox/letters/{number}"
        assert "Show the link" in reader.get(page).text
        assert path(db, kind) in reader.post(page).text
    # What the reader may do is asked when they ask, not when their page was drawn.
    db.execute(update(Role).where(Role.name == "Reader").values(permissions=[Permission.OPERATIONS_READ]))
    assert reader.post(page).status_code == 403


# -- the throttle before a proof


def stale(db: Session, user_id: int) -> None:
    long_ago = clock.now() - timedelta(hours=1)
    db.execute(update(AuthSession).where(AuthSession.user_id == user_id).values(confirmed_at=long_ago))


@pytest.mark.parametrize("field", ["code", "password"])
def test_nobody_takes_the_throttle_off_their_own_proof(own: TestClient, db: Session, field: str) -> None:
    stale(db, 1)
    limit = 6 if field == "password" else 5
    assert tries(own, field, "000000", limit)[-1] == (429 if field == "password" else 422)
    assert asks(own.post(f"{HERE}1/unlock"))
    assert tries(own, field, "000000", 1) == [429]
    db.execute(update(AuthSession).values(confirmed_at=clock.now()))
    assert own.post(f"{HERE}1/unlock").status_code == 403
    assert tries(own, field, "000000", 1) == [429]


def test_a_lock_is_lifted_by_whoever_may_do_as_much(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    hire(db, lead(db), "head")
    head, boris = sign_in("head"), hire(db, SUPPORT, "boris")
    head.headers["Accept-Language"] = "en"
    for user_id in (1, boris.id):
        save(db, RateBucket(key=f"login:{user_id}:", count=5, expires_at=clock.now() + timedelta(minutes=9)))
    assert "Too many attempts" in head.get(f"{HERE}1").text
    assert "Lift the lock" not in head.get(f"{HERE}1").text
    assert head.post(f"{HERE}1/unlock").status_code == 403
    assert "Lift the lock" in head.get(f"{HERE}{boris.id}").text
    assert head.post(f"{HERE}{boris.id}/unlock").status_code == 303
    assert db.scalars(select(RateBucket.key).where(RateBucket.key.startswith("login:"))).all() == ["login:1:"]
    stale(db, 1)
    assert asks(admin.post(f"{HERE}{boris.id}/unlock"))


# -- what a thief has begun ends with the password


def test_another_email_that_a_thief_asked_for_ends_with_the_password(
    app: FastAPI, anna: User, own: TestClient, db: Session
) -> None:
    own.post("/dashboard/settings/profile", data=PROFILE | {"email": "evil@thief.example"})
    forget(browser(app), EMAIL)
    confirm, reset = path(db, "verify"), path(db, "reset")
    assert [browser(app).get(address).status_code for address in (confirm, reset)] == [200, 200]

    changed = {"current": PASSWORD, "password": NEW, "repeat": NEW}
    assert own.post("/dashboard/settings/password", data=changed).status_code == 303

    assert "the e-mail does not become evil@thief.example" in own.get("/dashboard/settings/").text
    assert "evil@thief.example" not in own.get("/dashboard/settings/").text
    assert [browser(app).get(address).status_code for address in (confirm, reset)] == [404, 404]
    assert browser(app).post(confirm).status_code == 404
    assert again(db, anna).email == EMAIL
    assert [letter(db, kind).state for kind in ("verify", "reset", "email_changed")] == ["cancelled"] * 2 + ["pending"]
    assert "sealed" not in letter(db, "verify").params


def test_a_forgotten_password_ends_what_else_was_under_way(
    app: FastAPI, anna: User, admin: TestClient, db: Session
) -> None:
    other = hire(db, ADMIN, "other")
    admin.post("/dashboard/settings/profile", data=PROFILE | {"email": "evil@thief.example"})
    link = one(browser_of(app, other, db).post(f"{HERE}1/link").text, "#new-link").attributes["value"] or ""
    enter = link.partition(":8000")[2]
    forget(browser(app), EMAIL)
    confirm = path(db, "verify")
    assert browser(app).post(path(db, "reset"), data={"password": NEW, "repeat": NEW}).status_code == 303
    assert [browser(app).get(address).status_code for address in (confirm, enter)] == [404, 404]
    assert (again(db, anna).email, letter(db, "verify").state) == (EMAIL, "cancelled")


def browser_of(app: FastAPI, user: User, db: Session) -> TestClient:
    user.password_hash = security.hash_password(PASSWORD)
    db.commit()
    client = browser(app)
    sign_in(client, login=user.login or "")
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/settings/"))
    return client


def test_an_email_that_waits_is_called_off(app: FastAPI, anna: User, admin: TestClient, db: Session) -> None:
    admin.headers["Accept-Language"] = "en"
    assert "Cancel this change" not in admin.get("/dashboard/settings/").text
    admin.post("/dashboard/settings/profile", data=PROFILE | {"email": "evil@thief.example"})
    confirm = path(db, "verify")
    assert "Cancel this change" in admin.get("/dashboard/settings/").text
    done = admin.post("/dashboard/settings/email/cancel")
    assert (done.status_code, done.headers["location"]) == (303, "/dashboard/settings/")
    page = admin.get("/dashboard/settings/").text
    assert ("The e-mail stays as it is" in page, "evil@thief.example" in page) == (True, False)
    assert (browser(app).get(confirm).status_code, letter(db, "verify").state) == (404, "cancelled")
    assert again(db, anna).email == EMAIL
