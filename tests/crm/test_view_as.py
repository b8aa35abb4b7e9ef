"""“View as”: the school through someone else's eyes, recorded, read-only unless asked for, and never for long."""

from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.permissions import MANAGER, SUPPORT
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession
from backend.database.models.history import ChangeSet
from backend.database.models.users import Role, User
from tests.access import PAGES, everything
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import english_admin, errors, one, words
from tests.crm.test_staff import HERE, hire, kinds, lead, role_id
from tests.doors import browser, token_of
from tests.doors import sign_in as door
from tests.factories import make_user

REASON = "Checks what a manager sees"


def look(admin: TestClient, person: User, **more: str) -> TestClient:
    """The admin's browser, looking through a person's eyes; the new session's form token is in its headers."""
    answer = admin.post(f"{HERE}{person.id}/view", data={"reason": REASON, **more})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
    keep(admin, answer)
    admin.headers["X-CSRF-Token"] = token_of(admin.get("/dashboard/users/"))
    return admin


def keep(browser: TestClient, answer: httpx2.Response) -> None:
    """The new cookie in the place of the old one: those of the tests have another scope, so both would be sent."""
    secret = answer.cookies["lyceum"]
    browser.cookies.clear()
    browser.cookies.set("lyceum", secret)


def test_a_view_shows_what_the_person_sees_and_changes_nothing(sign_in: SignIn, db: Session) -> None:
    admin, boris, student = english_admin(sign_in, db), hire(db, MANAGER, "boris"), make_user(db)
    boris.ui_language = "en"
    db.commit()
    before = admin.cookies["lyceum"]
    for reason in ("", "  "):
        refused = admin.post(f"{HERE}{boris.id}/view", data={"reason": reason})
        assert (refused.status_code, errors(refused.text)) == (422, {"reason": "Fill in this field."})

    look(admin, boris)

    page = admin.get("/dashboard/users/").text
    assert words(one(page, ".ly-banner.is-warn span")) == "Анна, you are viewing as Boris. View only."
    assert admin.get("/dashboard/outbox/").status_code == 403  # not the person's to see
    edit = {"first_name": "Мария", "last_name": "", "username": "", "email": ""}
    refused = admin.post(f"/dashboard/users/{student.id}", data=edit)
    assert (refused.status_code, "nothing was changed" in refused.text) == (403, True)
    assert db.scalars(select(ChangeSet).where(ChangeSet.impersonator_id.is_not(None))).all() == []

    answer = admin.post("/dashboard/return")
    assert answer.headers["location"] == f"{HERE}{boris.id}"
    keep(admin, answer)
    assert admin.get(f"{HERE}{boris.id}").status_code == 200
    assert "is-warn" not in admin.get("/dashboard/").text
    assert admin.cookies["lyceum"] != before  # a new session id, the old one is dead
    admin.cookies.clear()
    admin.cookies.set("lyceum", before)
    assert admin.get("/dashboard/").status_code == 303
    session = db.scalars(select(AuthSession).where(AuthSession.impersonator_id == 1)).one()
    assert (session.reason, session.read_only, session.revoked_at is None) == (REASON, True, False)
    looked = select(SecurityEvent).where(SecurityEvent.kind.startswith("authn_impersonat")).order_by(SecurityEvent.id)
    events = db.scalars(looked).all()
    assert [(e.kind, e.user_id, e.actor_id, e.impersonator_id) for e in events] == [
        ("authn_impersonated", boris.id, 1, None),
        ("authn_impersonation_ended", boris.id, boris.id, 1),
    ]


def test_a_look_is_no_device_of_the_person(sign_in: SignIn, app: FastAPI, db: Session) -> None:
    admin, boris = english_admin(sign_in, db), hire(db, MANAGER, "boris", security.hash_password(PASSWORD))
    boris.ui_language = "en"
    db.commit()
    admin.headers["User-Agent"] = "Thief/1.0"
    look(admin, boris)

    def entry(client: TestClient, agent: str) -> str:
        client.headers["User-Agent"] = agent
        assert door(client, login="boris").status_code == 303
        db.rollback()
        return kinds(db)[-1]

    own = browser(app, "192.0.2.10")
    assert entry(own, "Own/1.0") == "authn_login_success"  # the first of their own
    assert entry(browser(app, "testclient"), "Thief/1.0") == "authn_login_new_device"

    answer = own.get("/dashboard/settings/security/")
    page, session = answer.text, db.scalars(select(AuthSession).where(AuthSession.impersonator_id == 1)).one()
    told = words(one(page, f"#session-{session.id}"))
    assert told.startswith(f"Анна Viewing as you {REASON} · signed in ")
    assert ("Thief" in told, page.count("Viewing as you")) == (False, 1)
    assert "2 devices are signed in" in own.get("/dashboard/settings/").text
    own.headers["X-CSRF-Token"] = token_of(answer)
    assert own.post(f"/dashboard/settings/sessions/{session.id}/revoke").status_code == 303
    assert "Viewing as you" not in own.get("/dashboard/settings/security/").text


def test_what_is_changed_stands_under_both_names(sign_in: SignIn, db: Session) -> None:
    admin, boris, student = english_admin(sign_in, db), hire(db, MANAGER, "boris"), make_user(db)
    look(admin, boris, write="true")
    assert admin.post(f"/dashboard/users/{student.id}/toggle", data={"is_active": ""}).status_code == 303
    made = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc())).first()
    assert made is not None
    assert (made.actor_id, made.impersonator_id) == (boris.id, 1)
    keep(admin, admin.post("/dashboard/return"))
    for path in ("/dashboard/history/", f"/dashboard/history/{made.id}", f"/dashboard/users/{student.id}"):
        assert "Анна as Boris" in admin.get(path).text, path


@pytest.mark.parametrize("write", [False, True])
def test_what_is_the_persons_own_stays_closed(sign_in: SignIn, db: Session, *, write: bool) -> None:
    """Every route: settings, factors, tokens, the staff and all that asks for a proof, even to look at."""
    ids, boris = everything(db), hire(db, "Админ", "boris")
    admin = look(english_admin(sign_in, db), boris, **({"write": "true"} if write else {}))
    out = {"/logout", "/dashboard/return"}
    closed = [rule for rule in PAGES if rule.path.startswith(("/dashboard/settings/", "/dashboard/confirm/"))]
    outside = [rule for rule in PAGES if rule.writes and not rule.path.startswith("/dashboard/")]
    others = [] if write else [rule for rule in PAGES if rule.writes]
    for rule in (*closed, *outside, *others):
        if rule.path not in out:
            assert admin.request(rule.method, rule.address(ids)).status_code == 403, rule.name


def test_no_file_of_people_is_taken_through_someone_elses_eyes(sign_in: SignIn, db: Session) -> None:
    """Neither the list as a file nor chosen rows: nobody is there who could prove who they are."""
    student, boris = make_user(db), hire(db, MANAGER, "boris")
    admin = look(english_admin(sign_in, db), boris, write="true")
    assert admin.get("/dashboard/users/export.csv").status_code == 403
    chosen = admin.post("/dashboard/users/bulk", data={"verb": "export", "ids": [str(student.id)]})
    assert (chosen.status_code, "while viewing as someone else" in chosen.text) == (403, True)
    keep(admin, admin.post("/dashboard/return"))
    admin.headers["X-CSRF-Token"] = token_of(admin.get("/dashboard/users/"))
    own = admin.post("/dashboard/users/bulk", data={"verb": "export", "ids": [str(student.id)]})
    assert (own.status_code, own.headers["content-type"]) == (200, "text/csv; charset=utf-8")


def take_right(db: Session, right: str) -> None:
    """From the role of the one who looks, without ending their session as the page of roles does."""
    role = db.get_one(Role, db.get_one(User, 1).role_id)
    role.permissions = [held for held in role.permissions if held != right]


ENDS: dict[str, Callable[[Session, User], object]] = {
    "the own session ends": lambda db, _boris: SessionCRUD(db).revoke_all(1),
    "the own account is turned off": lambda db, _boris: setattr(db.get_one(User, 1), "is_active", False),
    "the own role changes": lambda db, _boris: setattr(db.get_one(User, 1), "token_version", 2),
    "the own rights end": lambda db, _boris: setattr(db.get_one(User, 1), "role_id", role_id(db, SUPPORT)),
    "the own right to look ends": lambda db, _boris: take_right(db, "staff:write"),
    "the own hours end": lambda db, _boris: db.execute(
        update(AuthSession).where(AuthSession.impersonator_id.is_(None)).values(expires_at=clock.now())
    ),
    "the person signs out everywhere": lambda db, boris: SessionCRUD(db).revoke_all(boris.id),
    "the person is turned off": lambda db, boris: StaffCRUD(db).switch(boris.id, False, 1),
    "the person's role changes": lambda db, boris: StaffCRUD(db).set_role(boris.id, role_id(db, SUPPORT), 1),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_view_dies_with_what_it_hangs_on(sign_in: SignIn, db: Session, end: str) -> None:
    boris = hire(db, MANAGER, "boris")
    admin = look(english_admin(sign_in, db), boris)
    assert admin.get("/dashboard/").status_code == 200
    ENDS[end](db, boris)
    db.commit()
    assert admin.get("/dashboard/").status_code == 303


def test_a_view_lasts_an_hour_and_leaves_by_one_door(app: FastAPI, sign_in: SignIn, db: Session) -> None:
    boris = hire(db, MANAGER, "boris")
    admin = look(english_admin(sign_in, db), boris)
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        assert admin.get("/dashboard/").status_code == 303
    second = look(english_admin(sign_in, db), boris)
    secret, own = second.cookies["lyceum"], db.scalars(select(AuthSession.parent_id).order_by(AuthSession.id.desc()))
    parent = own.first()
    assert second.post("/logout").status_code == 303
    assert parent is not None
    assert db.scalars(select(AuthSession.revoked_at).where(AuthSession.id == parent)).one() is not None
    second.cookies.clear()
    second.cookies.set("lyceum", secret)
    assert second.get("/dashboard/").status_code == 303
    assert kinds(db).count("authn_impersonation_ended") == 1
    # Without a view there is nothing to return from.
    assert english_admin(sign_in, db).post("/dashboard/return").headers["location"] == "/dashboard/"


def test_nobody_looks_through_the_eyes_of_who_may_more(sign_in: SignIn, db: Session) -> None:
    hire(db, lead(db), "head")
    head, boris = sign_in("head"), hire(db, MANAGER, "boris")
    sent = {"reason": REASON}
    for user in (1, boris.id, db.scalars(select(User.id).where(User.login == "head")).one()):
        assert head.post(f"{HERE}{user}/view", data=sent).status_code == 403
    off = hire(db, SUPPORT, "off")
    off.is_active = False
    db.commit()
    assert head.post(f"{HERE}{off.id}/view", data=sent).status_code == 409
    assert head.post(f"{HERE}{make_user(db).id}/view", data=sent).status_code == 404
    support = hire(db, SUPPORT, "support")
    look(head, support)
    # A right that the looker loses is lost in the view in the same moment.
    assert head.get("/dashboard/tickets/").status_code == 200
    role = db.scalars(select(Role).where(Role.name == "Lead")).one()
    role.permissions = [right for right in role.permissions if right != "tickets:read"]
    db.commit()
    assert head.get("/dashboard/tickets/").status_code == 403
