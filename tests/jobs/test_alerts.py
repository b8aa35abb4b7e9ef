"""What should worry those who run the school reaches them, once, by the way that they have."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.context import Actor, Door
from backend.core.events import ALERT_WAYS, NEW_ADMIN, Event
from backend.core.permissions import ADMIN, AUTHOR, SYSTEM_ROLES, Permission
from backend.database import audit
from backend.database.crud.alerts import AlertCRUD
from backend.database.crud.roles import RoleCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import Role, User
from backend.database.schemas.staff import RoleForm
from backend.database.session import Database
from backend.jobs.periodic import CHORES
from tests.conftest import make_settings
from tests.factories import make_user, save

BOT = {"telegram_bot_token": "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"}
MAIL = {"smtp_url": "smtps://school:pass@mail.example", "mail_from": "school@school.example"}
ALERT = next(chore for chore in CHORES if chore.name == "alert")
Happen = Callable[..., int]


@pytest.fixture
def happen(database: Database, db: Session) -> Happen:
    """An event, long enough ago to be looked at."""
    database.run(ALERT.work)  # from now on

    def note(kind: Event, **data: object) -> int:
        actor = Actor(Door.WEB, 1, None, "203.0.113.9")
        database.run(lambda session: audit.note(session, kind, **data), actor)  # type: ignore[arg-type] # JSON values
        db.execute(update(SecurityEvent).values(at=clock.now() - timedelta(minutes=1)))
        return db.scalars(select(SecurityEvent.id).order_by(SecurityEvent.id.desc())).first() or 0

    return note


def event_of(row: Dispatch) -> int:
    """The number of the event that a message tells of, from its key: [letter:]alert:EVENT:PERSON[:chat]."""
    return int(str(row.dedupe_key).partition("alert:")[2].partition(":")[0])


def told(db: Session) -> list[tuple[str | None, str, str]]:
    """(recipient, what, details) of every letter."""
    rows = db.scalars(select(Dispatch).order_by(Dispatch.id)).all()
    return [(row.address, row.params["values"]["what"], row.params["values"]["details"]) for row in rows]


def test_owners_are_told_of_what_worries_once_and_in_their_language(
    database: Database, db: Session, happen: Happen
) -> None:
    with database.transaction() as session:
        users = UserCRUD(session)
        olga = users.create_staff(login="olga", password_hash=None, role=ADMIN, first_name="Ольга")
        olga.email, olga.ui_language = "olga@okno.example", "ru"
        users.create_staff(login="vera", password_hash=None, role=AUTHOR, first_name="Вера").email = "vera@okno.example"
    happen(Event.LOGIN_SUCCESS, user_id=1)
    happen(Event.TOKEN_REUSE, user_id=1)
    happen(Event.ROLE_CHANGED, user_id=1, before=AUTHOR, after=AUTHOR)
    happen(Event.ROLE_CHANGED, user_id=1, before=AUTHOR, after=ADMIN)
    for _ in range(2):
        while database.run(ALERT.work):
            pass
    found = told(db)
    assert [(to, what) for to, what, _details in found] == [
        ("olga@okno.example", "Токен обновления использован повторно"),
        ("olga@okno.example", "Роль изменена"),
    ]
    assert found[0][2].startswith("Анна · ")
    assert found[0][2].endswith(" UTC · 203.0.113.9")
    assert "Админ" in found[1][2]


def test_the_school_chooses_what_is_told_and_how(
    database: Database, db: Session, happen: Happen, tmp_path: Path
) -> None:
    db.execute(update(User).where(User.id == 1).values(telegram_id=700, email="anna@okno.example"))
    speaking = Database(database.url, settings=make_settings(database.url, tmp_path, **BOT, **MAIL))
    told: dict[str, list[tuple[str, str]]] = {}
    for way in ALERT_WAYS:
        speaking.run(lambda session, way=way: AlertCRUD(session).choose([NEW_ADMIN], way))  # type: ignore[misc] # bound now
        happen(Event.FACTOR_REMOVED, user_id=1)
        happen(Event.USER_CREATED, user_id=1, role=AUTHOR)
        happen(Event.USER_CREATED, user_id=1, role=ADMIN)
        db.execute(delete(Dispatch))
        speaking.run(ALERT.work)
        kinds = dict(db.execute(select(SecurityEvent.id, SecurityEvent.kind)).all())
        rows = db.scalars(select(Dispatch).order_by(Dispatch.id)).all()
        told[way] = [(row.channel, kinds[event_of(row)]) for row in rows]
    speaking.dispose()
    changed, made = "sys_alerts_changed", "user_created"
    assert told == {
        "first": [("email", changed), ("email", made)],
        "email": [("email", changed), ("email", made)],
        "chat": [("telegram", changed), ("telegram", made)],
        "both": [("email", changed), ("telegram", changed), ("email", made), ("telegram", made)],
    }


@pytest.mark.parametrize(
    ("way", "channels", "person", "taken"),
    [
        ("chat", MAIL, {"email": "anna@okno.example"}, "email"),  # no bot
        ("email", BOT | MAIL, {"telegram_id": 700}, "telegram"),  # nobody has an e-mail
        ("email", BOT, {"telegram_id": 700}, "telegram"),
    ],
)
def test_a_way_that_reaches_nobody_hides_no_change_of_the_choice(
    database: Database,
    db: Session,
    happen: Happen,
    tmp_path: Path,
    way: str,
    channels: dict[str, str],
    person: dict[str, object],
    taken: str,
) -> None:
    db.execute(update(User).where(User.id == 1).values(person))
    speaking = Database(database.url, settings=make_settings(database.url, tmp_path, **channels))
    speaking.run(lambda session: AlertCRUD(session).choose([NEW_ADMIN], way))
    happen(Event.USER_CREATED, user_id=1, role=ADMIN)
    speaking.run(ALERT.work)
    speaking.dispose()
    kinds = dict(db.execute(select(SecurityEvent.id, SecurityEvent.kind)).all())
    rows = db.scalars(select(Dispatch).order_by(Dispatch.id)).all()
    assert [(row.channel, kinds[event_of(row)]) for row in rows] == [(taken, "sys_alerts_changed")]


@pytest.mark.parametrize(
    "case",
    [
        ({}, None, []),  # the page of events is left
        ({}, "anna@okno.example", ["email"]),  # it waits on the outbox page
        (BOT, None, ["telegram"]),
        (BOT, "anna@okno.example", ["telegram"]),  # a letter would only wait
        (BOT | MAIL, "anna@okno.example", ["email"]),
    ],
)
def test_the_chat_is_taken_where_no_e_mail_would_come(
    database: Database, db: Session, happen: Happen, tmp_path: Path, case: tuple[dict[str, str], str | None, list[str]]
) -> None:
    channels, email, taken = case
    db.execute(update(User).where(User.id == 1).values(telegram_id=700, email=email))
    event = happen(Event.LOGIN_NEW_DEVICE, user_id=1)
    speaking = Database(database.url, settings=make_settings(database.url, tmp_path, **channels))
    speaking.run(ALERT.work)
    speaking.dispose()
    rows = db.scalars(select(Dispatch)).all()
    assert [row.channel for row in rows] == taken
    if taken == ["telegram"]:
        assert (rows[0].chat_id, rows[0].dedupe_key) == (700, f"alert:{event}:1:chat")
        assert rows[0].params["text"].splitlines()[0] == "Signed in on a new device"
        assert rows[0].params["text"].endswith(f"/dashboard/settings/audit/{event}")


def test_a_flood_covers_nothing_and_is_counted(database: Database, db: Session, happen: Happen) -> None:
    db.execute(update(User).where(User.id == 1).values(email="anna@okno.example", ui_language="en"))
    flood = [happen(Event.LOGIN_FAIL_MAX, user_id=999, limit="account") for _ in range(24)]  # nobody's login
    student = make_user(db)
    flood += [happen(Event.LOGIN_FAIL_MAX, user_id=student.id, limit="account")]
    dear = [
        happen(Event.LOGIN_FAIL_MAX, user_id=999, limit="everyone"),
        happen(Event.LOGIN_FAIL_MAX, user_id=1, limit="account"),
        happen(Event.TOKEN_REUSE, user_id=1),
        happen(Event.LOGIN_NEW_DEVICE, user_id=1),
    ]
    dear += [happen(Event.ROLE_CHANGED, user_id=1, before=AUTHOR, after=ADMIN) for _ in range(22)]
    while database.run(ALERT.work):
        pass
    rows = db.scalars(select(Dispatch).order_by(Dispatch.id)).all()
    assert [event_of(row) for row in rows] == flood[:20] + dear

    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        for _ in range(3):
            database.run(ALERT.work)
        db.rollback()
        _to, what, details = told(db)[-1]
        assert (len(told(db)), what) == (len(rows) + 1, "Too many sign-in attempts")
        assert details.startswith("5 more in the hour from ")
        assert "Анна" not in details
        happen(Event.LOGIN_FAIL_MAX, user_id=999, limit="account")
        database.run(ALERT.work)
        db.rollback()
        assert len(told(db)) == len(rows) + 2  # a new hour


# -- who is an administrator


def role(db: Session, name: str, *rights: Permission) -> Role:
    made = Role(name=name, permissions=sorted(SYSTEM_ROLES[AUTHOR] | set(rights)))
    save(db, made)
    return made


def test_a_copy_of_the_administrators_role_is_told_of_whatever_it_is_called_later(
    database: Database, db: Session, happen: Happen
) -> None:
    db.execute(update(User).where(User.id == 1).values(email="anna@okno.example", ui_language="en"))
    owner, plain = role(db, "Owner2", Permission.TOKENS_WRITE), role(db, "Writer")
    boris = UserCRUD(db).create_staff(login="boris", password_hash="x", role=AUTHOR, first_name="Boris")
    db.commit()
    for role_id in (plain.id, owner.id):
        database.run(lambda session, to=role_id: StaffCRUD(session).set_role(boris.id, to, 1))  # type: ignore[misc] # bound now
    form = RoleForm(name="Renamed", rights=[Permission.DASHBOARD_READ])
    database.run(lambda session: RoleCRUD(session).change(owner.id, form, 1))
    form = RoleForm(name="Writer", rights=[Permission.DASHBOARD_READ, Permission.STAFF_WRITE])
    database.run(lambda session: RoleCRUD(session).change(plain.id, form, 1), Actor(Door.WEB, 1))
    db.execute(update(SecurityEvent).values(at=clock.now() - timedelta(minutes=1)))
    db.commit()
    database.run(ALERT.work)
    db.rollback()
    assert [(what, details.split(" · ")[:2]) for _to, what, details in told(db)] == [
        ("A person's role was changed", ["Boris", "Owner2"]),
        ("A role's permissions were changed", ["Анна", "Writer"]),
    ]


def test_whoever_runs_the_school_and_may_see_the_events_is_told(
    database: Database, db: Session, happen: Happen
) -> None:
    role(db, "Owner2", Permission.SETTINGS_WRITE, Permission.AUDIT_READ)
    role(db, "Personnel", Permission.STAFF_WRITE)
    role(db, "Watcher", Permission.AUDIT_READ)
    for number, name in enumerate(("Owner2", "Personnel", "Watcher")):
        made = UserCRUD(db).create_staff(login=f"p{number}", password_hash=None, role=name, first_name=name)
        made.email = f"{name}@okno.example"
    db.commit()
    happen(Event.TOKEN_REUSE, user_id=1)
    database.run(ALERT.work)
    db.rollback()
    assert [to for to, _what, _details in told(db)] == ["Owner2@okno.example"]


def test_a_chain_that_begins_over_older_history_is_told_whatever_was_chosen(
    database: Database, db: Session, happen: Happen
) -> None:
    db.execute(update(User).where(User.id == 1).values(email="anna@okno.example", ui_language="en"))
    database.run(lambda session: AlertCRUD(session).choose([], "email"))
    happen(Event.AUDIT_STARTED)
    happen(Event.AUDIT_STARTED, older_at="2025-11-21T10:00:00+00:00")
    db.execute(delete(Dispatch))
    database.run(ALERT.work)
    [(to, what, details)] = [line for line in told(db) if "chain" in line[1]]
    assert (to, what) == ("anna@okno.example", "The history chain was started")
    assert " · over history that was already there · " in details


def test_an_administrator_who_is_turned_on_again_is_told_of(database: Database, db: Session, happen: Happen) -> None:
    """A stolen session would rather wake an old account than invite."""
    with database.transaction() as session:
        users = UserCRUD(session)
        users.create_staff(login="olga", password_hash=None, role=ADMIN, first_name="Olga").email = "o@okno.example"
        old = [
            users.create_staff(login=role, password_hash="x", role=role, first_name=role) for role in (ADMIN, AUTHOR)
        ]
        for person in old:
            person.is_active = False
        ids = [person.id for person in old]
    for user_id in ids:
        database.run(lambda session, user_id=user_id: StaffCRUD(session).switch(user_id, True, 1), Actor(Door.WEB, 1))
    db.execute(update(SecurityEvent).values(at=clock.now() - timedelta(minutes=1)))
    database.run(ALERT.work)
    assert [to for to, _what, _details in told(db)] == ["o@okno.example"]
