"""The order of lessons in a course: by buttons, by dragging, and back by undo."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, one
from tests.factories import make_course, make_lesson

URL = "/dashboard/courses/"
FORM = {
    "title": "Портрет",
    "description": "",
    "total_price": "300",
    "discount_price": "250",
    "is_active": "true",
}


@pytest.fixture
def admin(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


@pytest.fixture
def lessons(db: Session) -> list[Lesson]:
    return [make_lesson(db, title=title, price=100) for title in ("Арка", "Берег", "Волна")]


@pytest.fixture
def course(db: Session, lessons: list[Lesson]) -> Course:
    return make_course(db, lessons, total_price=300, discount_price=210)


def order(page: str) -> list[str]:
    return [link.text() for link in HTMLParser(page).css("#course-order li[data-id] a")]


def stored(db: Session, course_id: int) -> list[tuple[int, int]]:
    statement = select(CourseLesson.lesson_id, CourseLesson.position).where(CourseLesson.course_id == course_id)
    return [(row.lesson_id, row.position) for row in db.execute(statement.order_by(CourseLesson.position))]


def test_buttons_move_a_lesson(admin: TestClient, db: Session, course: Course, lessons: list[Lesson]) -> None:
    a, b, c = (lesson.id for lesson in lessons)
    url = f"{URL}{course.id}/lessons"

    answer = admin.post(f"{url}/{c}/move", data={"by": "-1"}, headers=PARTIAL)

    assert order(answer.text) == ["Арка", "Волна", "Берег"]
    assert one(answer.text, "[data-toast] p").text() == "“Волна” is now lesson 2"
    assert stored(db, course.id) == [(a, 1), (c, 2), (b, 3)]
    assert admin.post(f"{url}/{a}/move", data={"by": "1"}).headers["location"] == f"{URL}{course.id}"
    assert stored(db, course.id) == [(c, 1), (a, 2), (b, 3)]


@pytest.mark.parametrize("by", ["-1", "0", "", "x"])
def test_a_move_to_nowhere_changes_nothing(
    admin: TestClient, db: Session, course: Course, lessons: list[Lesson], by: str
) -> None:
    before = stored(db, course.id)

    answer = admin.post(f"{URL}{course.id}/lessons/{lessons[0].id}/move", data={"by": by}, headers=PARTIAL)

    assert (answer.status_code, stored(db, course.id)) == (200, before)
    assert HTMLParser(answer.text).css("[data-toast]") == []


def test_a_dropped_lesson_takes_its_place(
    admin: TestClient, db: Session, course: Course, lessons: list[Lesson]
) -> None:
    a, b, c = (lesson.id for lesson in lessons)

    answer = admin.post(f"{URL}{course.id}/order", data={"id": str(c), "position": "1"}, headers=PARTIAL)

    assert order(answer.text) == ["Волна", "Арка", "Берег"]
    assert answer.text.strip().startswith('<ol class="ly-sort" id="course-order"')
    assert stored(db, course.id) == [(c, 1), (a, 2), (b, 3)]
    assert admin.post(f"{URL}{course.id}/order", data={"id": str(c), "position": "99"}).status_code == 303
    assert stored(db, course.id) == [(a, 1), (b, 2), (c, 3)]


@pytest.mark.parametrize("sent", [{}, {"id": "1"}, {"id": "1", "position": "0"}, {"id": "x", "position": "1"}])
def test_a_broken_drop_is_a_422(admin: TestClient, course: Course, sent: dict[str, str]) -> None:
    assert admin.post(f"{URL}{course.id}/order", data=sent).status_code == 422


def test_a_lesson_that_is_not_there_moves_nothing(admin: TestClient, db: Session, course: Course) -> None:
    before = stored(db, course.id)

    assert admin.post(f"{URL}{course.id}/order", data={"id": "999", "position": "1"}).status_code == 303
    assert admin.post(f"{URL}{course.id}/lessons/999/move", data={"by": "1"}).status_code == 303
    assert admin.post(f"{URL}{course.id}/lessons/999/remove").status_code == 303
    assert stored(db, course.id) == before


def test_adds_and_takes_out(admin: TestClient, db: Session, course: Course, lessons: list[Lesson]) -> None:
    a, b, c = (lesson.id for lesson in lessons)
    extra = make_lesson(db, title="Гора")

    page = admin.get(f"{URL}{course.id}").text
    options = [(node.attributes["value"], node.text()) for node in HTMLParser(page).css("#add-lesson option")]
    assert options == [("", "Choose a lesson"), (str(extra.id), "Гора")]
    added = admin.post(f"{URL}{course.id}/lessons", data={"lesson_id": str(extra.id)}, headers=PARTIAL)
    assert order(added.text) == ["Арка", "Берег", "Волна", "Гора"]
    removed = admin.post(f"{URL}{course.id}/lessons/{b}/remove", headers=PARTIAL)
    assert order(removed.text) == ["Арка", "Волна", "Гора"]
    assert stored(db, course.id) == [(a, 1), (c, 2), (extra.id, 3)]


def test_what_cannot_be_added(admin: TestClient, db: Session, course: Course, lessons: list[Lesson]) -> None:
    before, url = stored(db, course.id), f"{URL}{course.id}/lessons"

    assert admin.post(url, data={"lesson_id": str(lessons[0].id)}, headers=PARTIAL).status_code == 422
    assert admin.post(url, data={"lesson_id": "999"}, headers=PARTIAL).status_code == 422
    nothing = admin.post(url, data={"lesson_id": ""}, headers=PARTIAL)
    assert one(nothing.text, "[data-toast] p").text() == "Choose a lesson to add."
    assert stored(db, course.id) == before


@pytest.mark.parametrize("verb", ["move", "remove", "add"])
def test_an_undo_brings_the_order_back(
    admin: TestClient, db: Session, course: Course, lessons: list[Lesson], verb: str
) -> None:
    before, url = stored(db, course.id), f"{URL}{course.id}/lessons"
    extra = make_lesson(db)
    calls: dict[str, Any] = {
        "move": (f"{URL}{course.id}/order", {"id": str(lessons[2].id), "position": "1"}),
        "remove": (f"{url}/{lessons[0].id}/remove", {}),
        "add": (url, {"lesson_id": str(extra.id)}),
    }

    answer = admin.post(calls[verb][0], data=calls[verb][1], headers=PARTIAL)
    changed = stored(db, course.id)
    undone = admin.post(one(answer.text, "[data-toast] form").attributes["action"] or "")

    assert undone.status_code == 303
    assert changed != before
    assert stored(db, course.id) == before
    # And the undo can be undone.
    redo = one(admin.get(URL).text, "[data-toast] form").attributes["action"]
    assert admin.post(redo or "").status_code == 303
    assert stored(db, course.id) == changed
