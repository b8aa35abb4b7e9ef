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
    assert "more permissions than you" in shown.text
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
    assert "Unlock account" not in head.get(f"{HERE}1").text
    assert head.post(f"{HERE}1/unlock").status_code == 403
    assert "Unlock account" in head.get(f"{HERE}{boris.id}").text
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

    assert "the email change to evil@thief.example is cancelled" in own.get("/dashboard/settings/").text
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
    assert ("Email change cancelled" in page, "evil@thief.example" in page) == (True, False)
    assert (browser(app).get(confirm).status_code, letter(db, "verify").state) == (404, "cancelled")
    assert again(db, anna).email == EMAIL


def test_signing_a_person_out_everywhere_ends_what_was_asked_for_there(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    boris = hire(db, SUPPORT, "boris")
    sign_in("boris").post("/dashboard/settings/profile", data=PROFILE | {"email": "evil@thief.example"})
    confirm = path(db, "verify")
    admin.post(f"{HERE}{boris.id}/sign-out")
    assert browser(app).post(confirm).status_code == 404
    assert again(db, boris).email is None


# -- an e-mail that others write


def fields(person: User, email: str) -> dict[str, str]:
    return {"first_name": person.first_name, "email": email, "version": str(person.version)}


def test_an_invitation_to_a_mistyped_address_goes_to_the_right_one_alone(
    app: FastAPI, admin: TestClient, db: Session
) -> None:
    vera, wrong = invited(admin, db, email="typo@stranger.example", role_id=role_id(db, ADMIN))
    first = letter(db, "invite")

    answer = admin.post(f"{HERE}{vera.id}", data=fields(vera, "right@school.example"))

    right = (one(answer.text, "#new-link").attributes["value"] or "").partition(":8000")[2]
    assert (answer.status_code, right, right == wrong) == (201, path(db, "invite"), False)
    assert browser(app).post(wrong, data={"password": NEW, "repeat": NEW}).status_code == 404
    assert (again(db, vera).password_hash, browser(app).get(right).status_code) == (None, 200)
    db.refresh(first)
    assert (first.state, "sealed" in first.params) == ("cancelled", False)
    assert letter(db, "invite").address == "right@school.example"
    # The stranger learns nothing of where it went.
    assert db.scalars(select(Dispatch.method).order_by(Dispatch.id)).all() == ["invite", "invite"]
    late = admin.post(f"{HERE}{vera.id}", data=fields(again(db, vera), "right@school.example") | {"login": "vera"})
    assert (late.status_code, browser(app).get(right).status_code) == (303, 200)


def test_another_role_comes_with_another_invitation(app: FastAPI, admin: TestClient, db: Session) -> None:
    """Whoever could read the first letter may do less than the role that the person has now."""
    vera, old = invited(admin, db, email="vera@school.example", role_id=role_id(db, SUPPORT))
    answer = admin.post(f"{HERE}{vera.id}/role", data={"role_id": role_id(db, ADMIN)})
    new = (one(answer.text, "#new-link").attributes["value"] or "").partition(":8000")[2]
    assert (answer.status_code, new) == (201, path(db, "invite"))
    assert [browser(app).get(address).status_code for address in (old, new)] == [404, 200]
    assert letter(db, "invite").params["values"]["role"] == "Admin"


def test_the_old_address_learns_that_the_staff_changed_it(admin: TestClient, db: Session) -> None:
    boris = hire(db, SUPPORT, "boris", "hash")
    boris.email = "boris@school.example"
    db.commit()
    assert admin.post(f"{HERE}{boris.id}", data=fields(boris, "evil@thief.example")).status_code == 303
    told = letter(db, "email_replaced")
    assert (told.address, told.user_id, told.params["values"]) == (
        "boris@school.example",
        boris.id,
        {"name": "Boris", "who": "Анна", "email": "evil@thief.example", "school": "Lyceum"},
    )
    written = LetterCRUD(db).letter(told)
    assert written is not None
    assert "The new email is evil@thief.example." in written.text
    admin.post(f"{HERE}{boris.id}", data=fields(again(db, boris), "") | {"login": "boris"})
    gone = LetterCRUD(db).letter(letter(db, "email_replaced"))
    assert gone is not None
    assert (
        "The new email is" in gone.text,
        "Анна changed your account&#39;s email" in gone.text or "Анна changed your account's email" in gone.text,
    ) == (False, True)
    assert letter(db, "email_replaced").address == "evil@thief.example"


def test_the_old_address_of_a_student_learns_it_as_well(app: FastAPI, admin: TestClient, db: Session) -> None:
    olga = make_user(db, email="olga@pupils.example", email_verified_at=clock.now())
    forget(browser(app), "olga@pupils.example")
    reset = path(db, "reset")
    sent = {"first_name": "Ольга", "email": "other@pupils.example", "is_active": "true"}
    admin.post(f"/dashboard/users/{olga.id}", data=sent)
    assert letter(db, "email_replaced").address == "olga@pupils.example"
    assert browser(app).get(reset).status_code == 404
    admin.post(f"/dashboard/users/{olga.id}", data=sent | {"email": "third@pupils.example"})  # nobody confirmed it
    assert db.scalars(select(Dispatch.method).where(Dispatch.method == "email_replaced")).all() == ["email_replaced"]


def test_an_address_that_anyone_else_writes_is_not_confirmed(db: Session) -> None:
    """By whatever way it comes: a file, a cell, an undo."""
    olga = make_user(db, email="olga@pupils.example", email_verified_at=clock.now())
    olga.email = "Olga@Pupils.example"
    db.commit()
    assert olga.email_verified_at is not None
    olga.email = "evil@thief.example"
    db.commit()
    assert olga.email_verified_at is None


# -- a lock that stands before a proof


def test_a_lock_of_the_proof_is_shown(own: TestClient, sign_in: SignIn, db: Session) -> None:
    other = hire(db, ADMIN, "other")
    looks = sign_in("other")
    looks.headers["Accept-Language"] = "en"
    tries(own, "password", "wrong", 6)
    page = looks.get(f"{HERE}1").text
    assert ("Too many attempts" in page, "Unlock account" in page) == (True, True)
    assert "Too many attempts" not in looks.get(f"{HERE}{other.id}").text
    assert looks.post(f"{HERE}1/unlock").status_code == 303
    assert tries(own, "password", PASSWORD, 1) == [303]
