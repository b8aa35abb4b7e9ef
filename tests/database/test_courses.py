"""The order of lessons: places from 1 without gaps, and an undo brings any order back."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.errors import ConflictError, InvalidError
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.models.courses import CourseLesson
from backend.database.session import Database
from tests.factories import make_course, make_lesson

Verb = Callable[[CourseCRUD, int, list[int]], object]


def stored(session: Session, course_id: int) -> list[tuple[int, int]]:
    statement = select(CourseLesson.lesson_id, CourseLesson.position).where(CourseLesson.course_id == course_id)
    return [(row.lesson_id, row.position) for row in session.execute(statement.order_by(CourseLesson.position))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=st.lists(st.lists(st.integers(0, 4), unique=True), min_size=1, max_size=4))
def test_any_order_follows_any_other_and_is_undone(database: Database, db: Session, orders: list[list[int]]) -> None:
    lessons = [make_lesson(db).id for _n in range(5)]
    course_id = make_course(db, []).id
    db.rollback()
    before: list[tuple[int, int]] = []
    for order in orders:
        ids = [lessons[at] for at in order]
        database.run(lambda session, ids=ids: CourseCRUD(session).arrange(course_id, ids))  # type: ignore[misc] # bound now
        with database.read() as session:
            after = stored(session, course_id)
            last = HistoryCRUD(session).of_record("courses", course_id)[0].change_set.id
        assert after == list(zip(ids, range(1, len(ids) + 1), strict=True))
        if after != before:
            for wanted in (before, after):
                database.run(lambda session, last=last: UndoCRUD(session).undo(last))  # type: ignore[misc] # bound now
                with database.read() as session:
                    assert stored(session, course_id) == wanted
                    last = HistoryCRUD(session).of_record("courses", course_id)[0].change_set.id
        before = after


def test_an_order_made_from_an_older_one_is_refused(db: Session) -> None:
    a, b = make_lesson(db).id, make_lesson(db).id
    course = make_course(db, [])
    courses = CourseCRUD(db)
    courses.arrange(course.id, [a, b], version=1)

    with pytest.raises(ConflictError) as refused:
        courses.arrange(course.id, [b, a], version=1)

    assert (refused.value.code, course.version) == ("stale", 2)


def test_a_course_holds_so_many_lessons(db: Session) -> None:
    course = make_course(db, [])

    with pytest.raises(InvalidError) as refused:
        CourseCRUD(db).arrange(course.id, list(range(1, 202)))

    assert refused.value.fields == {"lesson_ids": "A course holds at most 200 lessons."}


def test_what_a_course_saves(db: Session) -> None:
    lessons = [
        make_lesson(db, price=200),
        make_lesson(db, price=100),
        make_lesson(db, price=50, is_free=True),
    ]
    course = make_course(db, lessons, total_price=250, discount_price=210)

    view = CourseCRUD(db).view(course.id)

    assert (view.apart, view.asked_price, [place.position for place in view.lessons]) == (
        300,
        210,
        [1, 2, 3],
    )
