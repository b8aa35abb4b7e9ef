"""Erasing by what the history still knows: former names, and people who were deleted."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.errors import ConflictError, NotFoundError
from backend.database.chain.sealing import seal
from backend.database.chain.verifying import verify
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import ChangeSet
from backend.database.models.tags import Tag, UserTag
from backend.database.models.users import User
from backend.database.models.views import SavedView
from backend.database.personal.traces import gone
from backend.database.session import Database
from tests.database.test_personal import CANARY, erase, holding
from tests.factories import make_user, make_view, save


def test_what_is_another_persons_by_now_is_left_alone(database: Database, db: Session) -> None:
    """A name in Telegram, an address and a number go to the next one; the erased person had them before."""
    first = make_user(db, username="masha", email="masha@example.org", telegram_id=700000111)
    first.username, first.email, first.telegram_id = "maria", "maria@example.org", 700000222
    db.commit()
    make_user(db, username="Masha", email="Masha@example.org", telegram_id=700000111)
    letter = {"channel": "email", "method": "register", "params": {"values": {"name": "x"}}}
    save(
        db,
        Dispatch(dedupe_key="theirs", address="masha@example.org", **letter),
        Dispatch(dedupe_key="former", address="maria@example.org", **letter),
        Dispatch(dedupe_key="chat", chat_id=700000111, method="sendMessage", params={}),
        make_view(db, name="one", query="q=%40masha"),
        make_view(db, name="two", query="q=%40maria"),
    )
    erase(database, first.id)
    db.expire_all()
    assert set(db.scalars(select(Dispatch.dedupe_key))) == {"theirs", "chat"}
    assert {view.name: view.query for view in db.scalars(select(SavedView))} == {"one": "q=%40masha", "two": ""}


def deleted(database: Database, db: Session, **about: Any) -> User:
    """A student with a tag of their own whom somebody has deleted."""
    student = make_user(db, first_name="Мария", last_name=CANARY, username=f"{CANARY}_m", **about)
    tag = Tag(name=CANARY, name_key=CANARY)
    save(db, tag)
    event = SecurityEvent(kind="authn_login_success", user_id=student.id, door="web", ip=CANARY)
    save(db, UserTag(row_id=student.id, tag_id=tag.id), event)
    database.run(lambda session: UserCRUD(session).delete(student.id), Actor(Door.CLI))
    return student


def last_set(db: Session) -> int:
    return db.scalars(select(func.max(ChangeSet.id))).one()


def test_a_deleted_student_is_erased_from_the_history(database: Database, settings: Settings, db: Session) -> None:
    number = deleted(database, db, email=f"{CANARY}@example.org").id
    at = last_set(db)
    seal(database, settings)
    assert holding(db, CANARY) == {"changes", "tags", "security_events"}
    found = gone(db, number)
    assert found is not None
    assert (found.name, found.erased_at) == (f"Мария {CANARY}", None)
    erase(database, number)
    db.expire_all()
    assert holding(db, CANARY, "Мария") == set()
    assert verify(database, settings).problem is None
    assert db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id.desc())).first() == "sensitive_delete"
    with pytest.raises(ConflictError, match="there is nothing to restore"):
        database.run(lambda session: UndoCRUD(session).undo(at, rest=True))
    with pytest.raises(ConflictError, match="already been erased"):
        erase(database, number)
    with pytest.raises(NotFoundError):
        erase(database, number + 1)


def test_the_deletion_of_others_is_undone_beside_an_erased_one(database: Database, db: Session) -> None:
    """Nothing is lost by deleting alone: an undo brings the person back whole, and then they stand."""
    both = [make_user(db, first_name=name).id for name in ("Мария", "Пётр")]

    def delete(session: Session) -> None:
        for number in both:
            UserCRUD(session).delete(number)

    database.run(delete)
    at = last_set(db)
    erase(database, both[0])
    outcome = database.run(lambda session: UndoCRUD(session).undo(at, rest=True))
    assert [(clash.entity_id, clash.why) for clash in outcome.clashes] == [
        (both[0], "Personal data has been erased: there is nothing to restore.")
    ]
    db.expire_all()
    assert [user.first_name for user in db.scalars(select(User).where(User.id > 1))] == ["Пётр"]
    assert gone(db, both[1]) is None
