"""Undo on the pages: only for those who may change the record, never over somebody else's work."""

import re

from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, SUPPORT
from backend.database.crud.history import HistoryCRUD
from backend.database.models.lessons import Lesson
from tests.conftest import SignIn
from tests.crm.pages import told, words
from tests.factories import make_course, make_lesson, make_purchase, make_ticket, make_user


def last(db: Session, table: str, row_id: int) -> str:
    return f"/dashboard/history/{HistoryCRUD(db).of_record(table, row_id)[0].change_set.id}/undo"


def titles(db: Session) -> list[str]:
    db.expire_all()
    return [lesson.title for lesson in db.query(Lesson)]


def test_whoever_may_not_change_a_record_does_not_undo_either(staff: SignIn, admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Before")
    lesson.title = "After"
    db.flush()
    url = last(db, "lessons", lesson.id)

    assert staff(SUPPORT).post(url).status_code == 403
    assert titles(db) == ["After"]
    assert staff(AUTHOR).post(url, data={"next": "https://evil.example"}).headers["location"] == "/dashboard/"
    assert titles(db) == ["Before"]
    assert admin.post(url).status_code == 409


def test_money_has_no_undo_and_nothing_has_none(admin: TestClient, db: Session) -> None:
    purchase = make_purchase(db, make_user(db), make_lesson(db))

    assert admin.post(last(db, "purchases", purchase.id)).status_code == 403
    assert admin.post("/dashboard/history/99999/undo").status_code == 404
    assert admin.post("/dashboard/history/0/undo").status_code == 422


def test_undo_on_a_record_names_its_change_by_a_readable_date(admin: TestClient, db: Session) -> None:
    """It is told to screen readers, in the reader's own words and time."""
    lesson = make_lesson(db, title="Before")
    lesson.title = "After"
    db.commit()

    page = HTMLParser(admin.get(f"/dashboard/lessons/{lesson.id}", headers={"Accept-Language": "en"}).text)

    hidden = [words(found) for found in page.css("#record-history button .visually-hidden")]
    assert hidden
    assert all(re.fullmatch(r"change from \d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d", text) for text in hidden), hidden


def test_what_was_deleted_since_is_said(admin: TestClient, db: Session) -> None:
    lesson_id = make_lesson(db).id
    admin.post(f"/dashboard/lessons/{lesson_id}/toggle", data={"is_active": ""})
    hidden = last(db, "lessons", lesson_id)
    admin.post(f"/dashboard/lessons/{lesson_id}/delete")

    answer = admin.post(hidden, headers={"Accept-Language": "en"})

    assert (answer.status_code, "has been deleted since" in answer.text) == (409, True)
    assert titles(db) == []


def test_a_record_tells_whom_it_was_given_to_and_what_came_into_it(admin: TestClient, db: Session) -> None:
    """By their names, not by their numbers."""
    lesson, course = make_lesson(db, title="Свет из окна"), make_course(db, [make_lesson(db, title="Лицо в тени")])
    ticket = make_ticket(db, make_user(db))
    admin.post(f"/dashboard/courses/{course.id}/lessons", data={"lesson_id": lesson.id})
    admin.post(f"/dashboard/courses/{course.id}/lessons/{lesson.id}/remove")
    admin.post(f"/dashboard/tickets/{ticket.id}/assign", data={"assignee_id": 1})
    assert told(admin.get(f"/dashboard/courses/{course.id}").text) == [*["LessonСвет из окна"] * 2, "LessonЛицо в тени"]
    assert told(admin.get(f"/dashboard/tickets/{ticket.id}/history").text) == ["Assigneeempty Анна"]
