"""The verbs of LessonCRUD that no route shows whole."""

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from backend.core.errors import ForbiddenError, InvalidError, NotFoundError
from backend.database.crud.lessons import CourseName, LessonCRUD
from backend.database.crud.revenue import Sales
from backend.database.schemas.lessons import LessonCreate, LessonForm, LessonUpdate
from tests.factories import make_course, make_lesson, make_purchase, make_user


def test_a_line_counts_what_was_paid_and_kept(db: Session) -> None:
    lesson = make_lesson(db, price=100)
    course = make_course(db, [lesson], title="Портрет")
    make_purchase(db, make_user(db), lesson)
    make_purchase(db, make_user(db), lesson, amount=60)
    make_purchase(db, make_user(db), lesson, is_test=True)
    make_purchase(db, make_user(db), lesson, status="pending")
    make_purchase(db, make_user(db), lesson, lesson_id=None, course_id=course.id, amount=90)

    line = LessonCRUD(db).row_of(lesson.id)

    assert (line.sales, line.courses) == (Sales(2, 160), (CourseName(course.id, "Портрет"),))
    assert (line.title, line.price) == ("Свет из окна", 100)
    with pytest.raises(NotFoundError, match="Lesson 99 no longer exists"):
        LessonCRUD(db).row_of(99)


def test_the_latest_buyers_come_first(db: Session) -> None:
    lesson = make_lesson(db)
    users = [make_user(db) for _n in range(12)]
    for user in users:
        make_purchase(db, user, lesson)

    assert [row.user_id for row in LessonCRUD(db).buyers(lesson.id)] == [u.id for u in reversed(users)][:10]


def test_content_is_for_the_entitled_only(db: Session) -> None:
    lesson, user = make_lesson(db, text_content="Do re mi"), make_user(db)

    with pytest.raises(ForbiddenError) as refused:
        LessonCRUD(db).content_for(user.id, lesson.id)
    make_purchase(db, user, lesson)

    assert refused.value.code == "not_entitled"
    assert LessonCRUD(db).content_for(user.id, lesson.id).text_content == "Do re mi"


def test_a_grant_opens_a_lesson(db: Session) -> None:
    lesson, user = make_lesson(db), make_user(db)
    make_purchase(db, user, lesson, amount=1, payment_id="grant:x")

    assert LessonCRUD(db).content_for(user.id, lesson.id).lesson_id == lesson.id


def test_the_form_of_another_video_names_a_file_that_is_there(db: Session) -> None:
    lesson = make_lesson(db, video_path="own.mp4")
    form = LessonForm(title="x", price=1, media_id=9)

    with pytest.raises(InvalidError) as refused:
        LessonCRUD(db).update(lesson.id, form)

    assert refused.value.fields == {"media_id": "This file is no longer here. Choose it again."}


def test_a_form_without_a_video_leaves_the_video(db: Session) -> None:
    lesson = make_lesson(db, video_path="own.mp4")

    LessonCRUD(db).update(lesson.id, LessonForm(title="x", price=1))
    assert lesson.video_path == "own.mp4"
    LessonCRUD(db).update(lesson.id, LessonForm(title="x", price=1, drop_video=True))
    assert lesson.video_path is None


@pytest.mark.parametrize(
    "values",
    [
        {"price": None},
        {"price": -1},
        {"title": ""},
        {"is_free": None},
        {"video_path": "a\nb"},
        {"id": 5},
    ],
)
def test_an_update_refuses_nonsense(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LessonUpdate.model_validate(values)


def test_a_lesson_costs_something_or_is_free() -> None:
    assert LessonCreate(title="x", is_free=True).price == 0
    assert LessonCreate(title="x", price=0).price == 0
    with pytest.raises(ValidationError, match="Fill in this field"):
        LessonCreate(title="x")
