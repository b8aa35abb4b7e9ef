"""Another e-mail, by every way in which an account can get one: the old mailbox opens nothing, and learns of it."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.context import Actor, Door
from backend.core.permissions import SUPPORT
from backend.database.crud.auth import OneTimeTokenCRUD
from backend.database.crud.staff import INVITE_LIFE
from backend.database.crud.undo import UndoConflictError, UndoCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import OneTimeToken
from backend.database.models.dispatches import BULK, Dispatch
from backend.database.models.history import ChangeSet
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import PASSWORD
from tests.crm.files import USERS, check, start, table, upload
from tests.crm.test_forgotten import link
from tests.crm.test_staff import NEW, again, hire
from tests.crm.test_takeovers import forget, path
from tests.doors import browser, sign_in
from tests.factories import make_user

OLD, OTHER = "olga@pupils.example", "other@pupils.example"
HISTORY = "/dashboard/history/"
Way = Callable[[TestClient, Session, User], None]


def by_page(admin: TestClient, db: Session, olga: User) -> None:
    sent = {"first_name": "Ольга", "email": OTHER, "is_active": "true"}
    assert admin.post(f"/dashboard/users/{olga.id}", data=sent).status_code == 303


def by_file(admin: TestClient, db: Session, olga: User) -> None:
    file = upload(admin, USERS, table(["telegram_id", "first_name", "email"], [olga.telegram_id, "Ольга", OTHER]))
    if "Changed" in check(admin, file):
        start(admin, file)


def by_row(admin: TestClient, db: Session, olga: User) -> None:
    """Past all that knows of people, as a new way might."""
    db.info["actor"] = Actor(Door.WEB, 1)
    again(db, olga).email = OTHER
    db.commit()


def by_statement(admin: TestClient, db: Session, olga: User) -> None:
    db.info["actor"] = Actor(Door.WEB, 1)
    assert UserCRUD(db).update_where(again(db, olga), email=OTHER, email_key=OTHER, email_verified_at=None)
    db.commit()


WAYS: list[Way] = [by_page, by_file, by_row, by_statement]


@pytest.fixture
def olga(db: Session) -> User:
    return make_user(db, first_name="Ольга", email=OLD, email_verified_at=clock.now(), password_hash="hash")


def told(db: Session) -> list[tuple[str | None, str]]:
    """Who was told, and what is said to be the new address."""
    found = select(Dispatch.address, Dispatch.params).where(Dispatch.method == "email_replaced").order_by(Dispatch.id)
    return [(row.address, row.params["values"]["email"]) for row in db.execute(found)]


def events(db: Session, user: User) -> list[int | None]:
    """By whom the e-mail was changed."""
    mine = SecurityEvent.kind == "authn_email_change", SecurityEvent.user_id == user.id
    return list(db.scalars(select(SecurityEvent.actor_id).where(*mine).order_by(SecurityEvent.id)))


def last_set(db: Session) -> int:
    return db.scalars(select(ChangeSet.id).order_by(ChangeSet.id.desc()).limit(1)).one()


def opens(app: FastAPI, reset: str) -> int:
    return browser(app).post(reset, data={"password": NEW, "repeat": NEW}).status_code


@pytest.mark.parametrize("way", WAYS)
def test_whatever_changes_an_address_ends_its_links_and_tells_it(
    app: FastAPI, admin: TestClient, db: Session, olga: User, way: Way
) -> None:
    forget(browser(app), OLD)
    reset = path(db, "reset")

    way(admin, db, olga)

    assert (again(db, olga).email, olga.email_verified_at) == (OTHER, None)
    assert (opens(app, reset), again(db, olga).password_hash) == (404, "hash")
    assert (told(db), events(db, olga)) == ([(OLD, OTHER)], [1])
    letters = db.execute(select(Dispatch.state, Dispatch.priority, Dispatch.params).order_by(Dispatch.id)).all()
    assert [(row.state, row.priority, "sealed" in row.params) for row in letters] == [
        ("cancelled", 0, False),
        ("pending", BULK, False),  # nobody waits for it: what somebody does leaves before
    ]
    way(admin, db, olga)
    assert (len(told(db)), len(events(db, olga))) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_an_undo_and_a_redo_end_the_links_as_well(
    app: FastAPI, admin: TestClient, db: Session, olga: User, way: Way
) -> None:
    way(admin, db, olga)
    forget(browser(app), OTHER)
    reset = path(db, "reset")

    assert admin.post(f"{HISTORY}{last_set(db)}/undo").status_code == 303

    assert (again(db, olga).email, opens(app, reset)) == (OLD, 404)
    assert (told(db), events(db, olga)) == ([(OLD, OTHER)], [1, 1])  # nobody had confirmed the other one
    forget(browser(app), OLD)
    reset = path(db, "reset")

    assert admin.post(f"{HISTORY}{last_set(db)}/undo").status_code == 303

    assert (again(db, olga).email, opens(app, reset), again(db, olga).password_hash) == (OTHER, 404, "hash")
    assert (told(db), events(db, olga)) == ([(OLD, OTHER)] * 2, [1, 1, 1])


def test_a_confirmed_address_ends_what_was_asked_from_the_old_one(app: FastAPI, admin: TestClient, db: Session) -> None:
    """Whoever reads the old mailbox asks for a password before its owner has left it."""
    anna = db.get_one(User, 1)
    anna.email, anna.email_verified_at = OLD, clock.now()
    db.commit()
    before = told(db), len(events(db, anna))
    admin.post("/dashboard/settings/profile", data={"first_name": "Анна", "email": OTHER, "timezone": "UTC"})
    forget(browser(app), OLD)
    reset, sign_in_link = path(db, "reset"), OneTimeTokenCRUD(db).issue(1, "sign_in", INVITE_LIFE)
    db.commit()

    assert browser(app).post(link(db, "verify")).status_code == 303

    assert (again(db, anna).email, opens(app, reset)) == (OTHER, 404)
    assert browser(app).post(f"/sign-in/{sign_in_link}").status_code == 404
    assert sign_in(browser(app), PASSWORD, OTHER).status_code == 303
    assert db.scalars(select(OneTimeToken.purpose).where(OneTimeToken.used_at.is_(None))).all() == []
    # The old one was told when the other was asked for; nobody else has done anything.
    assert (told(db), len(events(db, anna))) == (before[0], before[1] + 1)
    assert db.scalars(select(Dispatch.address).where(Dispatch.method == "email_changed")).all() == [OLD]


def test_an_invitation_in_a_mailbox_that_was_put_back_opens_nothing(
    app: FastAPI, database: Database, db: Session
) -> None:
    vera = hire(db, SUPPORT, "vera")
    vera.email = "right@school.example"
    db.commit()
    vera.email = "typo@stranger.example"
    db.commit()
    assert told(db) == [("right@school.example", "typo@stranger.example")]  # she works here
    secret = OneTimeTokenCRUD(db).issue(vera.id, "invite", INVITE_LIFE)
    db.commit()

    database.run(lambda session: UndoCRUD(session).undo(last_set(db)))

    assert (again(db, vera).email, again(db, vera).password_hash) == ("right@school.example", None)
    assert browser(app).post(f"/invite/{secret}", data={"password": NEW, "repeat": NEW}).status_code == 404
    assert len(told(db)) == 1  # the stranger learns nothing


def test_a_long_file_ends_many_links_in_few_statements(
    app: FastAPI, admin: TestClient, db: Session, database: Database, queries: list[str]
) -> None:
    people = [
        make_user(db, email=f"old{n}@pupils.example", email_verified_at=clock.now() if n % 2 else None)
        for n in range(20)
    ]
    reset = OneTimeTokenCRUD(db).issue(people[7].id, "reset", INVITE_LIFE)
    db.commit()

    def write(start: int) -> int:
        queries.clear()
        with database.transaction(Actor(Door.WEB, 1)) as session:
            for person in session.scalars(select(User).where(User.id.in_([person.id for person in people]))).all():
                person.email = f"new{start}-{person.id}@pupils.example"
            session.flush()
            return len([one for one in queries if not one.startswith("UPDATE users")])

    assert write(1) <= 12  # for each row its own UPDATE, for all of them the rest
    assert [address for address, _new in told(db)] == [f"old{n}@pupils.example" for n in range(1, 20, 2)]
    assert browser(app).get(f"/reset/{reset}").status_code == 404
    db.execute(update(User).values(email_verified_at=None))
    db.commit()
    write(2)
    assert len(told(db)) == 10
    assert len(db.scalars(select(SecurityEvent.id).where(SecurityEvent.kind == "authn_email_change")).all()) == 40


def test_an_undo_confirms_no_address_that_nobody_confirmed(database: Database, db: Session) -> None:
    """That one was confirmed comes back with that very one."""
    first, second = (make_user(db, email=f"a{n}@pupils.example") for n in (1, 2))
    first.email_verified_at = clock.now()
    db.commit()
    changed = []
    for number, person in enumerate((first, second), 1):
        person.email = f"b{number}@pupils.example"
        db.commit()
        changed.append(last_set(db))
    first.email = "c@pupils.example"
    second.email_verified_at = clock.now()
    db.commit()

    with pytest.raises(UndoConflictError):  # there is nothing left to take back
        database.run(lambda session: UndoCRUD(session).undo(changed[0], rest=True))
    database.run(lambda session: UndoCRUD(session).undo(changed[1], rest=True))

    found = [(again(db, person).email, again(db, person).email_verified_at) for person in (first, second)]
    assert found == [("c@pupils.example", None), ("a2@pupils.example", None)]
