"""What should worry those who run the school reaches them, once, by the way that they have."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.context import Actor, Door
from backend.core.events import ALERT_WAYS, NEW_ADMIN, Event
from backend.core.permissions import ADMIN, AUTHOR
from backend.database import audit
from backend.database.crud import alerts
from backend.database.crud.alerts import AlertCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs.periodic import CHORES
from tests.conftest import make_settings

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
        ("olga@okno.example", "Использованный refresh-токен пришёл снова"),
        ("olga@okno.example", "Роль изменена"),
    ]
    assert found[0][2].startswith("Анна · ")
    assert found[0][2].endswith(" UTC · 203.0.113.9")
    assert "Админ" in found[1][2]


def test_the_school_chooses_what_is_told_and_how(
    database: Database, db: Session, happen: Happen, tmp_path: Path
) -> None:
    db.execute(update(User).where(User.id == 1).values(telegram_id=700, email="anna@okno.example"))
    with_bot = make_settings(database.url, tmp_path, telegram_bot_token="123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw")
    speaking = Database(database.url, settings=with_bot)
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


def test_the_chat_is_taken_where_there_is_no_e_mail_and_a_flood_is_cut(
    database: Database, db: Session, happen: Happen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    db.execute(update(User).where(User.id == 1).values(telegram_id=700))
    happen(Event.LOGIN_NEW_DEVICE, user_id=1)
    database.run(ALERT.work)
    assert db.scalars(select(Dispatch)).all() == []  # no bot, no e-mail: the page of events is left

    with_bot = make_settings(database.url, tmp_path, telegram_bot_token="123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw")
    monkeypatch.setattr(alerts, "MOST", 3)
    events = [happen(Event.LOGIN_FAIL_MAX, user_id=1) for _ in range(5)]
    speaking = Database(database.url, settings=with_bot)
    speaking.run(ALERT.work)
    speaking.dispose()
    rows = db.scalars(select(Dispatch).order_by(Dispatch.id)).all()
    assert [(row.channel, row.chat_id, row.dedupe_key) for row in rows] == [
        ("telegram", 700, f"alert:{event}:1:chat") for event in events[:3]
    ]
    assert rows[0].params["text"].splitlines()[0] == "Too many attempts to sign in"
    assert rows[0].params["text"].endswith(f"/dashboard/settings/audit/{events[0]}")
