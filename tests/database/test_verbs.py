"""Verbs on many rows: done, already so or refused, each row by itself, one change set for all."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.core.i18n import current_language
from backend.core.text import current_timezone
from backend.core.wording import LABELS
from backend.database.crud.registry import TABLES
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from backend.database.schemas.lessons import PricePercent, ToCourse
from backend.database.schemas.promo_codes import PromoCodeEnd
from backend.database.session import Database
from backend.database.verbs import Outcome, Verb, apply
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user


def bulk(database: Database, table: str, verb: str, ids: Sequence[int], given: Any = None) -> Outcome:
    with database.transaction(Actor(Door.WEB)) as session:
        crud = TABLES[table](session)
        return apply(crud, crud.verbs[verb], ids, given)


def last_set(db: Session) -> tuple[str, list[Change]]:
    found = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc()).limit(1)).one()
    changes = db.scalars(select(Change).where(Change.change_set_id == found.id).order_by(Change.id))
    return found.label, list(changes)


def test_columns_are_set_in_one_change_set_that_can_be_undone(db: Session, database: Database) -> None:
    lessons = [make_lesson(db, price=price) for price in (100, 199, 0)]

    outcome = bulk(database, "lessons", "change_price", [row.id for row in lessons], PricePercent(percent=-10))

    assert (outcome.done, outcome.same, outcome.errors) == (2, 1, [])
    assert list(db.execute(select(Lesson.price, Lesson.version).order_by(Lesson.id))) == [(90, 2), (179, 2), (0, 1)]
    label, changes = last_set(db)
    assert label == "change_price"
    assert [(row.entity, row.entity_id, row.root, row.root_id, row.op, row.before, row.after) for row in changes] == [
        ("lessons", lessons[0].id, "lessons", lessons[0].id, "update", {"price": 100}, {"price": 90}),
        ("lessons", lessons[1].id, "lessons", lessons[1].id, "update", {"price": 199}, {"price": 179}),
    ]
    with database.transaction(Actor(Door.WEB)) as session:
        UndoCRUD(session).undo(changes[0].change_set_id)
    assert list(db.scalars(select(Lesson.price).order_by(Lesson.id))) == [100, 199, 0]


def test_a_refused_row_leaves_the_others_alone(db: Session, database: Database) -> None:
    sold, first, second = make_lesson(db), make_lesson(db), make_lesson(db)
    make_purchase(db, make_user(db), sold)
    asks_in_russian = current_language.set("ru")

    outcome = bulk(database, "lessons", "delete", [second.id, sold.id, first.id, 999, first.id])

    current_language.reset(asks_in_russian)
    assert (outcome.done, outcome.same) == (2, 0)
    assert outcome.errors == [
        (sold.id, "Это уже купили, поэтому удалить нельзя. Лучше скройте: у купивших доступ останется."),
        (999, "Урока 999 здесь больше нет."),
    ]
    assert list(db.scalars(select(Lesson.id))) == [sold.id]
    assert [(row.op, row.entity_id) for row in last_set(db)[1]] == [("delete", first.id), ("delete", second.id)]


def test_nothing_changed_leaves_no_change_set(db: Session, database: Database) -> None:
    lesson = make_lesson(db, is_active=True)
    make_purchase(db, make_user(db), lesson)
    before = db.scalars(select(ChangeSet.id)).all()

    assert bulk(database, "lessons", "put_on_sale", [lesson.id]).same == 1
    assert bulk(database, "lessons", "delete", [lesson.id]).errors != []

    assert db.scalars(select(ChangeSet.id)).all() == before


def test_the_slow_way_knows_what_was_so_already(db: Session, database: Database) -> None:
    inside, outside = make_lesson(db), make_lesson(db)
    course = make_course(db, [inside])

    outcome = bulk(database, "lessons", "add_to_course", [inside.id, outside.id], ToCourse(course_id=course.id))
    lost = bulk(database, "lessons", "add_to_course", [inside.id], ToCourse(course_id=999))

    assert (outcome.done, outcome.same, outcome.errors) == (1, 1, [])
    places = select(CourseLesson.lesson_id, CourseLesson.position).order_by(CourseLesson.position)
    assert list(db.execute(places)) == [(inside.id, 1), (outside.id, 2)]
    assert lost.errors == [(inside.id, "Course 999 no longer exists.")]


def test_a_field_says_why(db: Session, database: Database) -> None:
    lesson, dear = make_lesson(db, price=100), make_lesson(db, price=900_000)

    outcome = bulk(database, "lessons", "change_price", [lesson.id, dear.id], PricePercent(percent=50))

    assert (outcome.done, outcome.errors) == (
        1,
        [(dear.id, "The price would be 1350000 Stars; the maximum is 1000000.")],
    )
    with pytest.raises(ValidationError):
        PricePercent(percent=-100)


def test_what_costs_something_never_becomes_free(db: Session, database: Database) -> None:
    lesson = make_lesson(db, price=3)

    bulk(database, "lessons", "change_price", [lesson.id], PricePercent(percent=-99))

    assert db.scalars(select(Lesson.price)).all() == [1]


def test_both_prices_of_a_course_change(db: Session, database: Database) -> None:
    course = make_course(db, total_price=300, discount_price=200)
    plain = make_course(db, total_price=100)

    bulk(database, "courses", "change_price", [course.id, plain.id], PricePercent(percent=10))
    bulk(database, "courses", "hide", [course.id])

    columns = select(Course.total_price, Course.discount_price, Course.is_active).order_by(Course.id)
    assert list(db.execute(columns)) == [(330, 220, False), (110, None, True)]


def test_codes_end_on_the_clock_of_whoever_asks(db: Session, database: Database) -> None:
    promo = make_promo(db)
    in_moscow = current_timezone.set("Europe/Moscow")
    end = PromoCodeEnd.model_validate({"expires_at": "2027-01-01T00:00"})
    current_timezone.reset(in_moscow)

    bulk(database, "promo_codes", "set_end", [promo.id], end)

    assert db.scalars(select(PromoCode.expires_at)).all() == [datetime(2026, 12, 31, 21, tzinfo=UTC)]
    assert last_set(db)[1][0].after == {"expires_at": "2026-12-31T21:00:00+00:00"}
    assert PromoCodeEnd.model_validate(end.model_dump(mode="json")) == end
    assert PromoCodeEnd.model_validate({"expires_at": ""}).expires_at is None
    with pytest.raises(ValidationError):
        PromoCodeEnd.model_validate({"expires_at": "some day"})
    bulk(database, "promo_codes", "set_end", [promo.id], PromoCodeEnd())
    assert db.scalars(select(PromoCode.expires_at)).all() == [None]


def test_verbs_on_students_leave_staff_alone(db: Session, database: Database) -> None:
    student, staff = make_user(db), UserCRUD(db).find_by_login("admin")
    assert staff is not None

    closed = bulk(database, "users", "close_access", [student.id, staff.id])
    deleted = bulk(database, "users", "delete", [staff.id])

    assert (closed.done, [row_id for row_id, _why in closed.errors]) == (1, [staff.id])
    assert [row_id for row_id, _why in deleted.errors] == [staff.id]
    assert dict(db.execute(select(User.id, User.is_active)).all()) == {student.id: False, staff.id: True}


def test_rows_that_were_read_are_read_anew(db: Session, database: Database) -> None:
    made = make_lesson(db)
    with database.transaction(Actor(Door.WEB)) as session:
        crud = TABLES["lessons"](session)
        lesson = crud.get_by_id(made.id)
        apply(crud, crud.verbs["hide"], [made.id])
        assert (lesson.is_active, lesson.version) == (False, 2)
        lesson.title = "Тень"
    assert db.execute(select(Lesson.title, Lesson.version)).one() == ("Тень", 3)


def test_a_constraint_sends_each_row_by_itself(db: Session, database: Database) -> None:
    good, bad = make_lesson(db, price=5), make_lesson(db, price=1)
    verb = Verb(
        "cut",
        lambda crud, row_id, _given: crud.assign(row := crud.get_by_id(row_id), {"price": row.price - 3}),
        values=lambda row, _given: {"price": row.price - 3},
        needs=("price",),
    )
    with database.transaction(Actor(Door.WEB)) as session:
        outcome = apply(TABLES["lessons"](session), verb, [good.id, bad.id])

    assert (outcome.done, [row_id for row_id, _why in outcome.errors]) == (1, [bad.id])
    assert list(db.scalars(select(Lesson.price).order_by(Lesson.id))) == [2, 1]


def test_every_verb_has_its_words_in_the_history() -> None:
    assert {name for crud in TABLES.values() for name in crud.verbs} <= LABELS.keys()


def test_codes_are_switched_off_and_on_again(db: Session, database: Database) -> None:
    codes = [make_promo(db, code="ON"), make_promo(db, code="OFF", is_active=False)]
    for verb, done in (("switch_off", False), ("switch_on", True)):
        bulk(database, "promo_codes", verb, [code.id for code in codes])
        assert list(db.scalars(select(PromoCode.is_active))) == [done] * 2
