"""Every write leaves its history, and an undo restores without overwriting anyone."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session, selectinload

from backend.core.context import Actor, Door
from backend.core.errors import ConflictError
from backend.database import history
from backend.database.crud.history import HistoryCRUD
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.session import Database
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user


def last_change_set(db: Session, root: str, root_id: int) -> int:
    return HistoryCRUD(db).of_record(root, root_id)[0].change_set.id


def test_an_update_keeps_what_changed_and_who_did_it(database: Database, db: Session) -> None:
    lesson, anna = make_lesson(db, title="Scales", price=50), make_user(db)
    db.rollback()

    with database.transaction(Actor(Door.WEB, anna.id, ip="127.0.0.1")) as session:
        session.get_one(Lesson, lesson.id).price = 70

    entry = HistoryCRUD(db).of_record("lessons", lesson.id)[0]
    assert [(c.op, c.before, c.after) for c in entry.changes] == [("update", {"price": 50}, {"price": 70})]
    assert (entry.change_set.door, entry.change_set.actor and entry.change_set.actor.id) == ("web", anna.id)


def test_undo_of_a_delete_restores_the_row_its_id_and_its_children(database: Database, db: Session) -> None:
    course = make_course(db, [make_lesson(db), make_lesson(db)])
    ids = [(link.id, link.lesson_id, link.position) for link in course.course_lessons]
    course_id, created = course.id, course.created_at
    db.rollback()
    with database.transaction() as session:
        loaded = session.get_one(Course, course_id, options=[selectinload(Course.course_lessons)])
        session.delete(loaded)
    deletion = last_change_set(db, "courses", course_id)
    db.rollback()

    database.run(lambda session: HistoryCRUD(session).undo(deletion))

    back = db.get_one(Course, course_id, options=[selectinload(Course.course_lessons)], populate_existing=True)
    assert [(link.id, link.lesson_id, link.position) for link in back.course_lessons] == ids
    assert (back.title, back.created_at) == ("Портрет", created)


def test_undo_of_an_undo_is_a_redo(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=50)
    db.rollback()
    with database.transaction() as session:
        session.get_one(Lesson, lesson.id).price = 70
    edit = last_change_set(db, "lessons", lesson.id)
    db.rollback()
    database.run(lambda session: HistoryCRUD(session).undo(edit))
    undo = last_change_set(db, "lessons", lesson.id)
    db.rollback()
    assert undo != edit
    db.refresh(lesson)
    assert lesson.price == 50
    db.rollback()

    database.run(lambda session: HistoryCRUD(session).undo(undo))

    db.refresh(lesson)
    assert lesson.price == 70


def test_undo_overwrites_nobody(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=50)
    db.rollback()
    for price in (70, 90):
        with database.transaction() as session:
            session.get_one(Lesson, lesson.id).price = price
    first = HistoryCRUD(db).of_record("lessons", lesson.id)[1].change_set.id
    db.rollback()

    with pytest.raises(ConflictError) as refused:
        database.run(lambda session: HistoryCRUD(session).undo(first))

    assert (refused.value.code, refused.value.fields) == ("changed_since", {"price": "90"})
    db.refresh(lesson)
    assert lesson.price == 90


def test_undo_works_once(database: Database, db: Session) -> None:
    promo = make_promo(db, code="Весна", expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    db.rollback()
    with database.transaction() as session:
        session.delete(session.get_one(PromoCode, promo.id))
    deletion = last_change_set(db, "promo_codes", promo.id)
    db.rollback()

    database.run(lambda session: HistoryCRUD(session).undo(deletion))

    back = db.get_one(PromoCode, promo.id, populate_existing=True)
    assert (back.code, back.code_key, back.expires_at) == ("Весна", "весна", datetime(2027, 1, 1, tzinfo=UTC))
    db.rollback()
    with pytest.raises(ConflictError, match="undone already"):
        database.run(lambda session: HistoryCRUD(session).undo(deletion))


def test_money_is_not_undone(database: Database, db: Session) -> None:
    purchase = make_purchase(db, make_user(db), make_lesson(db))
    sale = last_change_set(db, "purchases", purchase.id)
    db.rollback()

    with pytest.raises(ConflictError) as refused:
        database.run(lambda session: HistoryCRUD(session).undo(sale))

    assert refused.value.code == "not_undoable"


def test_an_unchanged_flush_leaves_no_change_set(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=50)
    db.rollback()

    with database.transaction() as session:
        session.get_one(Lesson, lesson.id).price = 50
        assert history.change_set_id(session) is None


def test_a_savepoint_does_not_split_the_change_set(database: Database, db: Session) -> None:
    first, second = make_lesson(db), make_lesson(db)

    with database.transaction() as session:
        session.get_one(Lesson, first.id).price = 1
        with session.begin_nested():
            session.get_one(Lesson, second.id).price = 2

    assert last_change_set(db, "lessons", first.id) == last_change_set(db, "lessons", second.id)
