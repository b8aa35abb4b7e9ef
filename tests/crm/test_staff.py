"""The people who run the school: inviting them, their rights, helping them in and out."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.errors import AppError, ConflictError, ForbiddenError
from backend.core.permissions import ADMIN, MANAGER, SUPPORT, SYSTEM_ROLES, Permission
from backend.database.crud.auth import SIGN_IN, OneTimeTokenCRUD
from backend.database.crud.links import INVITE
from backend.database.crud.staff import StaffCRUD, has_login
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, Credential, OneTimeToken, RateBucket
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import ChangeSet
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import english_admin, errors, one, words
from tests.doors import browser, sign_in
from tests.factories import make_user, save

HERE = "/dashboard/settings/staff/"
NEW = "tulip-kettle-orbit"
Guarded = Callable[[StaffCRUD, int, int], object]


def role_id(db: Session, name: str) -> int:
    return db.scalars(select(Role.id).where(Role.name == name)).one()


def hire(db: Session, role: str, login: str, password: str | None = None) -> User:
    found = UserCRUD(db).create_staff(login=login, password_hash=password, role=role, first_name=login.title())
    db.commit()
    return found


def lead(db: Session) -> str:
    """A role that may change staff but not everything: what a head of support holds."""
    rights = SYSTEM_ROLES[SUPPORT] | {Permission.STAFF_WRITE, Permission.ROLES_WRITE, Permission.USERS_WRITE}
    save(db, Role(name="Lead", permissions=sorted(rights)))
    return "Lead"


def kinds(db: Session) -> list[str]:
    return list(db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)))


def again(db: Session, user: User) -> User:
    db.expire_all()
    return db.get_one(User, user.id)


# -- the list


def test_the_list_shows_everyone_but_the_students(sign_in: SignIn, db: Session) -> None:
    admin = english_admin(sign_in, db)
    boris = hire(db, MANAGER, "boris")
    make_user(db, first_name="Ученица")
    save(db, Credential(user_id=boris.id, kind="totp", confirmed_at=clock.now()))
    save(db, RateBucket(key=f"login:{boris.id}:", count=5, expires_at=clock.now() + timedelta(minutes=5)))

    page = admin.get(HERE)

    assert "Ученица" not in page.text
    cells = [words(cell) for cell in one(page.text, f"#person-{boris.id}").css("td")]
    assert cells[1:] == ["Manager", "Too many attempts", "Yes", "–", *cells[5:]]
    assert f'href="{HERE}"' in admin.get("/dashboard/").text
    assert "Boris" not in admin.get(HERE, params={"factor": "no"}).text
    assert "Boris" in admin.get(HERE, params={"role_id": boris.role_id, "state": "active", "q": "bori"}).text
    assert "Boris" not in admin.get(HERE, params={"state": "invited"}).text


def test_a_longer_list_asks_no_more(admin: TestClient, db: Session, queries: list[str]) -> None:
    admin.get(HERE)
    queries.clear()
    admin.get(HERE)
    few = len(queries)
    for number in range(3):
        hire(db, MANAGER, f"person{number}")
    queries.clear()
    admin.get(HERE)
    assert len(queries) == few


# -- invitations


def invited(admin: TestClient, db: Session, **fields: object) -> tuple[User, str]:
    sent = {"first_name": "Вера", "last_name": "Орлова", "email": "", "role_id": role_id(db, MANAGER), **fields}
    answer = admin.post(HERE, data=sent)
    assert answer.status_code == 201, answer.text
    link = one(answer.text, "#new-link").attributes["value"] or ""
    return db.scalars(select(User).order_by(User.id.desc())).first(), link.partition(":8000")[2]  # type: ignore[return-value] # there is one


def test_an_invitation_lets_a_person_in_once(app: FastAPI, admin: TestClient, db: Session) -> None:
    person, address = invited(admin, db)
    assert (person.password_hash, has_login(person.login)) == (None, False)
    guest = browser(app)
    assert "Welcome, Вера" in guest.get(address).text

    for login in ("two words", "ADMIN", ""):
        refused = guest.post(address, data={"login": login, "password": NEW, "repeat": NEW})
        assert (refused.status_code, list(errors(refused.text))) == (422, ["login"])
    refused = guest.post(address, data={"login": "vera", "password": "short", "repeat": "short"})
    assert errors(refused.text) == {"password": "At least 12 characters."}
    assert 'value="vera"' in refused.text
    refused = guest.post(address, data={"login": "vera", "password": NEW, "repeat": NEW + "x"})
    assert errors(refused.text) == {"repeat": "The passwords do not match."}

    entered = guest.post(address, data={"login": "vera", "password": NEW, "repeat": NEW})
    assert (entered.status_code, guest.get("/dashboard/").status_code) == (303, 200)
    assert again(db, person).login == "vera"
    assert sign_in(browser(app), NEW, "vera").status_code == 303
    assert browser(app).get(address).status_code == 404
    late = browser(app).post(address, data={"login": "vera2", "password": NEW, "repeat": NEW})
    assert late.status_code == 404
    assert [kind for kind in kinds(db) if kind.startswith("user_")] == ["user_invited", "user_created"]


def test_an_invited_email_is_enough_to_sign_in_with(app: FastAPI, admin: TestClient, db: Session) -> None:
    person, address = invited(admin, db, email="Vera@example.org")
    assert browser(app).post(address, data={"login": "", "password": NEW, "repeat": NEW}).status_code == 303
    assert sign_in(browser(app), NEW, "vera@example.org").status_code == 303
    assert (again(db, person).login, again(db, person).email_verified_at) == (None, None)
    letter = db.scalars(select(Dispatch)).one()
    values = letter.params["values"]
    assert (letter.method, letter.address, letter.user_id) == ("invite", "Vera@example.org", person.id)
    assert (values["inviter"], values["name"], values["role"]) == ("Анна", "Вера", "Manager")
    assert address not in str(letter.params)
    taken = admin.post(HERE, data={"first_name": "Х", "email": "VERA@example.org", "role_id": person.role_id})
    assert errors(taken.text) == {"email": "This email is already in use."}
    assert errors(admin.post(HERE, data={"first_name": ""}).text) == {
        "first_name": "Fill in this field.",
        "role_id": "Fill in this field.",
    }


def test_a_new_invitation_ends_the_old_one_and_both_end_with_a_week(
    app: FastAPI, admin: TestClient, db: Session
) -> None:
    person, old = invited(admin, db)
    answer = admin.post(f"{HERE}{person.id}/invite")
    new = (one(answer.text, "#new-link").attributes["value"] or "").partition(":8000")[2]
    assert (answer.status_code, browser(app).get(old).status_code, browser(app).get(new).status_code) == (201, 404, 200)
    with time_machine.travel(clock.now() + timedelta(days=7, minutes=1)):
        assert browser(app).get(new).status_code == 404
    admin.post(f"{HERE}{person.id}/switch", data={"is_active": ""})
    assert browser(app).get(new).status_code == 404
    assert admin.post(f"{HERE}{person.id}/invite").status_code == 409


def test_a_form_sent_twice_or_fifty_times_at_once_invites_one_person(admin: TestClient, db: Session) -> None:
    page = admin.get(f"{HERE}new").text
    sent = {
        "first_name": "Вера",
        "role_id": role_id(db, MANAGER),
        "ticket": one(page, "[name=ticket]").attributes["value"],
    }
    first = admin.post(HERE, data=sent)
    vera = db.scalars(select(User).where(User.first_name == "Вера")).one()
    assert (first.status_code, "/invite/" in first.text) == (201, True)
    again_sent = admin.post(HERE, data=sent)  # a reload
    assert (again_sent.status_code, again_sent.headers["location"]) == (303, f"{HERE}{vera.id}")
    assert "already invited" in admin.get(f"{HERE}{vera.id}").text

    olga = {**sent, "first_name": "Ольга", "email": "olga@school.example", "ticket": "one-form-of-olgas"}
    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: admin.post(HERE, data=olga).status_code, range(50)))
    assert sorted(statuses) == [201] + [303] * 49
    assert len(db.scalars(select(User).where(User.first_name == "Ольга")).all()) == 1
    assert len(db.scalars(select(Dispatch)).all()) == 1
    # A refused form leaves its ticket unused, and another form is another person.
    refused = admin.post(HERE, data={**olga, "ticket": "another-form"})
    assert (refused.status_code, list(errors(refused.text))) == (422, ["email"])
    assert admin.post(HERE, data={**olga, "email": "", "ticket": "another-form"}).status_code == 201
    assert admin.post(HERE, data={**sent, "ticket": "no spaces"}).status_code == 422


def test_fifty_at_once_accept_one_invitation_once(database: Database, db: Session) -> None:
    secret = OneTimeTokenCRUD(db).issue(hire(db, MANAGER, "vera").id, INVITE, timedelta(days=7))
    db.commit()

    def accept(number: int) -> bool:
        try:
            database.run(lambda session: StaffCRUD(session).accept(secret, f"vera{number}", f"hash {number}"))
        except AppError:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(accept, range(50))) == 1


# -- roles and accounts


def test_a_change_of_role_ends_every_session(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    boris = hire(db, SUPPORT, "boris")
    theirs = sign_in("boris")
    assert theirs.get("/dashboard/").status_code == 200

    answer = admin.post(f"{HERE}{boris.id}/role", data={"role_id": role_id(db, MANAGER)})

    assert answer.headers["location"] == f"{HERE}{boris.id}"
    assert theirs.get("/dashboard/").status_code == 303
    assert again(db, boris).role_id == role_id(db, MANAGER)
    event = db.scalars(select(SecurityEvent)).one()
    assert (event.kind, event.user_id, event.actor_id) == ("authz_role_change", boris.id, 1)
    assert event.data == {"before": SUPPORT, "after": MANAGER}
    assert db.scalars(select(ChangeSet.label).order_by(ChangeSet.id.desc())).first() == "role"
    admin.post(f"{HERE}{boris.id}/role", data={"role_id": role_id(db, MANAGER)})
    assert len(kinds(db)) == 1
    for wrong in ("", "999999", str(role_id(db, "Ученик"))):
        refused = admin.post(f"{HERE}{boris.id}/role", data={"role_id": wrong})
        assert (refused.status_code in (404, 422), list(errors(refused.text))) == (True, ["role_id"])


def test_a_switched_off_account_is_out_at_once_with_all_its_links(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    boris = hire(db, SUPPORT, "boris", security.hash_password(PASSWORD))
    theirs = sign_in("boris")
    link = (one(admin.post(f"{HERE}{boris.id}/link").text, "#new-link").attributes["value"] or "").partition(":8000")[2]
    assert browser(app).get(link).status_code == 200

    admin.post(f"{HERE}{boris.id}/switch", data={"is_active": ""})

    assert theirs.get("/dashboard/").status_code == 303
    admin.post(f"{HERE}{boris.id}/switch", data={"is_active": "true"})
    assert theirs.get("/dashboard/").status_code == 303
    assert browser(app).get(link).status_code == 404
    assert sign_in("boris").get("/dashboard/").status_code == 200
    assert kinds(db) == ["authn_link_created", "user_disabled", "user_enabled"]


def test_a_lost_factor_is_removed_with_all_sessions(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    boris = hire(db, SUPPORT, "boris")
    theirs = sign_in("boris")
    assert admin.post(f"{HERE}{boris.id}/factors/remove").status_code == 409
    for kind in ("totp", "passkey", "recovery", "recovery"):
        save(db, Credential(user_id=boris.id, kind=kind, confirmed_at=clock.now()))
    assert "Remove the second factor" in admin.get(f"{HERE}{boris.id}").text
    admin.post(f"{HERE}{boris.id}/factors/remove")
    assert db.scalar(select(func.count()).select_from(Credential)) == 0
    assert theirs.get("/dashboard/").status_code == 303
    event = db.scalars(select(SecurityEvent)).one()
    assert (event.kind, event.data) == ("authn_factor_removed", {"kinds": ["passkey", "recovery", "totp"]})


def test_devices_are_signed_out_and_a_lock_is_lifted(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    boris = hire(db, SUPPORT, "boris", security.hash_password(PASSWORD))
    theirs = sign_in("boris")
    admin.post(f"{HERE}{boris.id}/sign-out")
    assert theirs.get("/dashboard/").status_code == 303
    assert db.scalars(select(AuthSession.revoked_at).where(AuthSession.user_id == boris.id)).one() is not None
    save(db, RateBucket(key=f"login:{boris.id}:", count=5, expires_at=clock.now() + timedelta(minutes=9)))
    assert enter(app).status_code == 429
    admin.post(f"{HERE}{boris.id}/unlock")
    assert enter(app).status_code == 303
    assert "authn_login_lock_lifted" in kinds(db)


def enter(app: FastAPI) -> object:
    return sign_in(browser(app), login="boris")


def test_an_account_is_corrected(admin: TestClient, db: Session) -> None:
    boris = hire(db, SUPPORT, "boris")
    boris.email, boris.email_verified_at = "boris@example.org", clock.now()
    db.commit()
    OneTimeTokenCRUD(db).issue(boris.id, SIGN_IN, timedelta(minutes=15))
    db.commit()
    form = {"first_name": "Борис", "last_name": "Лосев", "login": "Boris", "email": "new@example.org"}
    assert 'value="boris@example.org"' in admin.get(f"{HERE}{boris.id}/edit").text

    assert admin.post(f"{HERE}{boris.id}", data=form | {"version": str(boris.version)}).status_code == 303

    found = again(db, boris)
    assert (found.name, found.login, found.email, found.email_verified_at) == (
        "Борис Лосев", "Boris", "new@example.org", None,
    )  # fmt: skip
    assert db.scalars(select(OneTimeToken)).all() == []
    assert admin.post(f"{HERE}{boris.id}", data=form | {"version": "1"}).status_code == 409
    now = {"version": str(found.version)}
    assert errors(admin.post(f"{HERE}{boris.id}", data=form | now | {"login": "admin"}).text) == {
        "login": "This login is taken."
    }
    hire(db, SUPPORT, "other").email = "other@example.org"
    db.commit()
    assert errors(admin.post(f"{HERE}{boris.id}", data=form | now | {"email": "Other@example.org"}).text) == {
        "email": "This email is already in use."
    }


# -- nobody gives away or takes what they lack

VERBS: dict[str, Guarded] = {
    "role": lambda staff, user, by: staff.set_role(user, role_id(staff.session, SUPPORT), by),
    "switch": lambda staff, user, by: staff.switch(user, False, by),
    "sign_out": lambda staff, user, by: staff.sign_out_everywhere(user, by),
    "link": lambda staff, user, by: staff.make_link(user, by),
    "invite": lambda staff, user, by: staff.invite_again(user, by),
    "factors": lambda staff, user, by: staff.remove_factors(user, by),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_guard_stands_before_every_verb(database: Database, db: Session, verb: str) -> None:
    head = hire(db, lead(db), "head")
    for target in (1, hire(db, MANAGER, "boris").id, head.id):  # more rights, other rights, oneself
        with pytest.raises(ForbiddenError):
            database.run(lambda session, user=target: VERBS[verb](StaffCRUD(session), user, head.id))
    support = hire(db, SUPPORT, "support")
    with pytest.raises(ForbiddenError):  # without the right to change staff at all
        database.run(lambda session: VERBS[verb](StaffCRUD(session), hire(db, SUPPORT, "x").id, support.id))
    head.is_active = False
    db.commit()
    with pytest.raises(ForbiddenError):  # switched off since the request came in
        database.run(lambda session: VERBS[verb](StaffCRUD(session), support.id, head.id))
    assert kinds(db) == []


def test_a_page_offers_only_what_one_may(sign_in: SignIn, db: Session) -> None:
    hire(db, lead(db), "head")
    head, support = sign_in("head"), hire(db, SUPPORT, "support")
    head.headers["Accept-Language"] = "en"
    choices = one(head.get(f"{HERE}new").text, "#role_id").css("option")
    assert [option.text() for option in choices] == ["Choose", "Support", "Lead"]
    assert "Turn off" in head.get(f"{HERE}{support.id}").text
    page = head.get(f"{HERE}1").text
    assert "Turn off" not in page
    assert "This person has permissions you do not have" in page
    for role in (ADMIN, MANAGER):
        sent = {"first_name": "X", "role_id": role_id(db, role)}
        assert head.post(HERE, data=sent).status_code == 403
        answer = head.post(f"{HERE}{support.id}/role", data={"role_id": role_id(db, role)})
        assert (answer.status_code, again(db, support).role_id) == (403, role_id(db, SUPPORT))


def test_the_last_admin_stays(admin: TestClient, db: Session) -> None:
    head = hire(db, ADMIN, "second")  # invited, but with no way in yet
    other = hire(db, ADMIN, "third", "hash")
    for user in (1, head.id):
        with pytest.raises(ForbiddenError):
            StaffCRUD(db).switch(user, False, user)
    assert admin.post(f"{HERE}{other.id}/switch", data={"is_active": ""}).status_code == 303
    with pytest.raises(ConflictError) as refused:
        StaffCRUD(db).switch(1, False, head.id)
    assert refused.value.code == "last_admin"
    with pytest.raises(ConflictError):
        StaffCRUD(db).set_role(1, role_id(db, MANAGER), head.id)


@pytest.mark.parametrize("demoting", [False, True])
def test_admins_who_remove_each_other_at_once_leave_one(database: Database, db: Session, *, demoting: bool) -> None:
    """Twelve of them, each against the next, all in the same moment: what is left can run the school."""
    people = [hire(db, ADMIN, f"admin{number}", "hash").id for number in range(12)]
    db.get_one(User, 1).password_hash = None
    db.commit()
    manager, start = role_id(db, MANAGER), Barrier(12)

    def remove(at: int) -> None:
        start.wait()

        def work(session: Session) -> None:
            staff, target = StaffCRUD(session), people[(at + 1) % 12]
            if demoting:
                staff.set_role(target, manager, people[at])
            else:
                staff.switch(target, False, people[at])

        with contextlib.suppress(ForbiddenError, ConflictError):
            database.run(work)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(remove, range(12)))
    left = select(func.count()).where(User.id.in_(people), User.is_active, User.role_id == role_id(db, ADMIN))
    db.expire_all()
    standing = db.scalar(left)
    assert standing is not None
    assert 1 <= standing < 12
