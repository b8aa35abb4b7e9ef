"""What an undo and a verb on many rows leave alone: erased people, and texts that an erasure has taken."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.core.errors import ConflictError
from backend.database import personal
from backend.database.crud.tags import TagCRUD
from backend.database.crud.undo import Outcome, UndoCRUD
from backend.database.crud.users import StudentCRUD, UserCRUD
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.tags import Tag, UserTag
from backend.database.models.users import User
from backend.database.models.views import SavedView
from backend.database.schemas.tags import TagName
from backend.database.session import Database
from backend.database.verbs import apply
from tests.factories import make_lesson, make_user, make_view, save

ERASED = "Personal data has been erased: there is nothing to restore."
ALREADY = "This person's data has already been erased."


def erase(database: Database, user_id: int) -> None:
    database.run(lambda session: personal.Eraser(session).erase(user_id), Actor(Door.CLI))


def done(database: Database, db: Session, act: Callable[[Session], object]) -> int:
    """The number of what it changed."""
    database.run(act, Actor(Door.WEB))
    db.expire_all()
    return db.scalars(select(ChangeSet.id).order_by(ChangeSet.id.desc())).first() or 0


def undo(database: Database, change_set_id: int) -> Outcome:
    return database.run(lambda session: UndoCRUD(session).undo(change_set_id, rest=True))


def setting(model: type[Any], row_id: int, **values: object) -> Callable[[Session], object]:
    def act(session: Session) -> None:
        for name, value in values.items():
            setattr(session.get_one(model, row_id), name, value)

    return act


def verb(name: str, ids: list[int], tag: str = "") -> Callable[[Session], Any]:
    given = TagName(tag=tag) if tag else None
    return lambda session: apply(StudentCRUD(session), StudentCRUD.verbs[name], ids, given)


# -- undo


def test_tags_of_an_erased_person_leave_the_history(database: Database, db: Session) -> None:
    student, other = make_user(db), make_user(db)
    done(database, db, verb("tag", [student.id], "Debtor"))
    done(database, db, verb("tag", [student.id, other.id], "VIP"))
    done(database, db, verb("untag", [student.id], "Debtor"))
    number = student.id
    erase(database, number)
    db.expire_all()
    told = db.scalars(
        select(Change).where(Change.entity == "user_tags", Change.root_id == number).order_by(Change.id)
    ).all()
    assert [(change.op, (change.before | change.after)["tag_id"]) for change in told] == [
        ("create", None),
        ("create", None),
        ("delete", None),
    ]
    vip = db.scalars(select(Tag)).one()  # nobody else carried the other one
    kept = db.scalars(select(Change).where(Change.entity == "user_tags", Change.root_id == other.id)).one()
    assert (vip.name, kept.after["tag_id"]) == ("VIP", vip.id)


def test_a_tag_that_was_removed_comes_back_to_those_alone_who_are_known(database: Database, db: Session) -> None:
    erased, other = make_user(db).id, make_user(db).id
    done(database, db, verb("tag", [erased, other], "VIP"))
    at = done(database, db, verb("untag", [erased, other], "VIP"))
    done(database, db, verb("tag", [make_user(db).id], "VIP"))
    erase(database, erased)
    outcome = undo(database, at)
    clashes = [(clash.entity, clash.root_id, clash.why) for clash in outcome.clashes]
    assert (outcome.done, clashes) == (1, [("user_tags", erased, ERASED)])
    db.expire_all()
    assert db.scalars(select(UserTag.row_id).where(UserTag.row_id.in_([erased, other]))).all() == [other]


def test_no_undo_switches_an_erased_person_on(database: Database, db: Session) -> None:
    erased, other = make_user(db).id, make_user(db).id
    at = done(database, db, verb("close_access", [erased, other]))
    erase(database, erased)
    outcome = undo(database, at)
    assert (outcome.done, [(clash.root_id, clash.why) for clash in outcome.clashes]) == (1, [(erased, ERASED)])
    db.expire_all()
    assert (db.get_one(User, erased).is_active, db.get_one(User, other).is_active) == (False, True)


def test_tags_of_a_deleted_and_erased_person_stay_away(database: Database, db: Session) -> None:
    student = make_user(db).id
    done(database, db, verb("tag", [student], "VIP"))
    at = done(database, db, lambda session: UserCRUD(session).delete(student))
    erase(database, student)
    with pytest.raises(ConflictError, match=ERASED):
        undo(database, at)
    assert db.scalars(select(UserTag.id)).all() == []


# -- texts that named the person


@pytest.mark.parametrize("kind", ["lesson", "view"])
def test_the_mark_of_an_erasure_is_put_over_no_text(database: Database, db: Session, kind: str) -> None:
    student = make_user(db, username="maria_k", email="maria@example.org")
    row: Any = (
        make_lesson(db, text_content="A long text. Ask @maria_k.")
        if kind == "lesson"
        else make_view(db, query="q=%40maria_k")
    )
    model, name = (Lesson, "text_content") if kind == "lesson" else (SavedView, "query")
    after = "A long text." if kind == "lesson" else "q=light"
    at = done(database, db, setting(model, row.id, **{name: after}))
    erase(database, student.id)
    with pytest.raises(ConflictError, match=ERASED):
        undo(database, at)
    db.expire_all()
    assert getattr(db.get_one(model, row.id), name) == after


def test_the_other_fields_of_such_a_change_come_back(database: Database, db: Session) -> None:
    student, lesson = make_user(db, username="maria_k"), make_lesson(db, text_content="Ask @maria_k.", price=10)
    at = done(database, db, setting(Lesson, lesson.id, text_content="Ask.", price=20))
    erase(database, student.id)
    outcome = undo(database, at)
    assert [(clash.name, clash.now, clash.why) for clash in outcome.clashes] == [("text_content", "Ask.", ERASED)]
    db.expire_all()
    assert (lesson.text_content, lesson.price) == ("Ask.", 10)


def test_a_deleted_lesson_without_its_text_stays_away(database: Database, db: Session) -> None:
    student, lesson = make_user(db, username="maria_k"), make_lesson(db, text_content="Ask @maria_k.")
    at = done(database, db, lambda session: session.delete(session.get_one(Lesson, lesson.id)))
    erase(database, student.id)
    with pytest.raises(ConflictError, match=ERASED):
        undo(database, at)
    assert db.scalars(select(Lesson.id)).all() == []


# -- verbs


@pytest.mark.parametrize(("name", "tag"), [("open_access", ""), ("close_access", ""), ("tag", "VIP"), ("untag", "VIP")])
def test_verbs_on_many_refuse_the_erased(database: Database, db: Session, name: str, tag: str) -> None:
    erased, other = make_user(db, is_active=name != "open_access"), make_user(db, is_active=name != "open_access")
    number = erased.id
    if name == "untag":
        done(database, db, verb("tag", [other.id], tag))
    erase(database, number)
    if name == "untag":  # as older versions let it happen
        save(db, UserTag(row_id=number, tag_id=db.scalars(select(Tag.id)).one()))
    outcome = database.run(verb(name, [number, other.id], tag))
    assert (outcome.done, outcome.same, outcome.errors) == (1, 0, [(number, ALREADY)])
    db.expire_all()
    assert db.get_one(User, number).is_active is False
    assert db.get_one(User, other.id).is_active is (name != "close_access")
    carried = TagCRUD(db).of("users", [number, other.id])
    assert carried == {"tag": {other.id: ["VIP"]}, "untag": {number: ["VIP"]}}.get(name, {})
