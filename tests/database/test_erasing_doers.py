"""Whose an address and a browser are: of who was at the keyboard, not of the person whose eyes they looked through."""

import json

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.core.permissions import ADMIN
from backend.database import audit, personal
from backend.database.chain.sealing import seal
from backend.database.chain.verifying import verify
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession
from backend.database.models.history import ChangeSet
from backend.database.models.jobs import Job
from backend.database.models.users import User
from backend.database.session import Database
from tests.database.test_personal import erase, holding
from tests.factories import make_lesson, make_user, save

IP, AGENT = "203.0.113.77", "ZqxBrowser/7"


@pytest.fixture
def student(db: Session) -> User:
    return make_user(db, telegram_id=700000111)


@pytest.fixture
def petrova(database: Database, db: Session, student: User) -> User:
    """Of the staff: worked under her own name, and through the eyes of a student and of a colleague."""
    found = StaffCRUD(db).create_staff(login="petrova", password_hash=None, role=ADMIN, first_name="Petrova")
    db.commit()
    lesson, me = make_lesson(db).id, found.id
    through = Actor(Door.WEB, student.id, impersonator_id=me, ip=IP)
    with database.transaction(through) as session:
        session.get_one(User, student.id).last_name = "X"
        audit.note(session, Event.EXPORTED, user_agent=AGENT, what="x")
    with database.transaction(Actor(Door.WEB, me, ip=IP)) as session:
        audit.note(session, Event.USER_DISABLED, user_id=student.id, user_agent=AGENT)
        JobCRUD(session).start("lessons", "hide", {}, [lesson], me)
    with database.transaction(Actor(Door.WEB, 1, impersonator_id=me, ip=IP)) as session:
        JobCRUD(session).start("lessons", "hide", {}, [lesson], 1)
    session = {"kind": "cookie", "token_version": 1, "expires_at": clock.now(), "ip": IP, "user_agent": AGENT}
    save(db, AuthSession(user_id=student.id, impersonator_id=me, token_hash="h", reason="suspected", **session))
    return found


def test_whoever_looked_through_other_eyes_leaves_no_address(
    database: Database, settings: Settings, db: Session, petrova: User
) -> None:
    seal(database, settings)
    everywhere = {"change_sets", "jobs", "security_events", "sessions"}
    assert holding(db, IP, AGENT) == everywhere
    petrova.is_active = False
    db.commit()
    erase(database, petrova.id)
    assert holding(db, IP, AGENT) == set()
    assert verify(database, settings).problem is None


def test_who_looked_through_the_eyes_of_an_erased_student_stays_known(
    database: Database, db: Session, student: User, petrova: User
) -> None:
    erase(database, student.id)
    through = ChangeSet.impersonator_id == petrova.id, ChangeSet.actor_id == student.id
    assert db.scalars(select(ChangeSet.ip).where(*through)).all() == [IP]
    events = select(SecurityEvent.kind, SecurityEvent.ip, SecurityEvent.user_agent, SecurityEvent.data)
    assert [tuple(row) for row in db.execute(events.where(SecurityEvent.ip == IP).order_by(SecurityEvent.id))] == [
        ("sensitive_read", IP, AGENT, {}),
        ("user_disabled", IP, AGENT, {}),
    ]


def test_an_address_of_a_job_is_of_who_looked(database: Database, db: Session, petrova: User) -> None:
    db.get_one(User, 1).is_active = False
    db.commit()
    erase(database, 1)
    assert db.scalars(select(Job.ip)).all() == [IP, IP]


def test_the_copy_tells_what_the_staff_did_and_not_who_and_from_where(
    database: Database, db: Session, student: User, petrova: User
) -> None:
    own = {"kind": "authn_login_fail", "user_id": student.id, "door": "web", "ip": "192.0.2.5", "user_agent": "Own"}
    save(db, SecurityEvent(**own), SecurityEvent(actor_id=student.id, **own))
    number, other = student.id, petrova.id
    copy = database.run(lambda session: personal.dossier(session, number), Actor(Door.CLI))
    assert IP not in json.dumps(copy)
    assert AGENT not in json.dumps(copy)
    assert "sessions" not in copy
    read, disabled, *mine, _copied = copy["security_events"]
    assert [read["kind"], disabled["kind"]] == ["sensitive_read", "user_disabled"]
    assert not {"actor_id", "impersonator_id", "ip", "user_agent"} & {*read, *disabled}
    assert [(row["actor_id"], row["ip"], row["user_agent"]) for row in mine] == [
        (None, "192.0.2.5", "Own"),
        (number, "192.0.2.5", "Own"),
    ]
    hers = database.run(lambda session: personal.dossier(session, other), Actor(Door.CLI))
    assert [row["reason"] for row in hers["sessions"]] == ["suspected"]
    assert [row["ip"] for row in hers["jobs"]] == [IP, IP]
    assert [row["ip"] for row in hers["security_events"] if row["actor_id"] == number] == [IP]
