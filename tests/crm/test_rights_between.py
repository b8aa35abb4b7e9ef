"""Rights where two kinds of records meet: what one may change must not show, or change, what one may not."""

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.core.permissions import AUTHOR, Permission
from backend.database import history
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.models.courses import CourseLesson
from backend.database.models.users import Role
from backend.database.schemas.lessons import LessonUpdate
from backend.database.session import Database
from tests.conftest import SignIn
from tests.crm.conftest import Reading
from tests.crm.test_field_rights import content
from tests.factories import make_course, make_lesson, make_purchase, make_ticket, make_user

P = Permission
LESSONS, COURSES, HISTORY = "/dashboard/lessons/", "/dashboard/courses/", "/dashboard/history/"
WRITES_LESSONS = P.LESSONS_READ, P.LESSONS_WRITE


def inside(db: Session, course_id: int) -> list[int]:
    db.rollback()
    held = select(CourseLesson.lesson_id).where(CourseLesson.course_id == course_id)
    return list(db.scalars(held.order_by(CourseLesson.position)))


def test_a_lesson_goes_into_a_course_by_those_who_may_change_the_course(
    reading: Reading, db: Session, database: Database
) -> None:
    course, lesson = make_course(db, title="Secret course"), make_lesson(db, title="Window light")
    asked = f"{LESSONS}bulk?verb=add_to_course&ids={lesson.id}"
    sent = {"verb": "add_to_course", "ids": str(lesson.id), "asked": "1", "course_id": str(course.id)}

    author = reading(*WRITES_LESSONS)
    assert "Add to a course" not in author.get(LESSONS).text
    assert "Put on sale" in author.get(LESSONS).text
    assert author.get(asked).status_code == 403
    assert author.post(f"{LESSONS}bulk", data=sent).status_code == 403
    assert "Add to a course" not in author.get("/dashboard/search?q=add+window").text
    assert inside(db, course.id) == []

    whole = reading(*WRITES_LESSONS, P.COURSES_READ, P.COURSES_WRITE)
    assert "Add to a course" in whole.get(LESSONS).text
    assert "Add to a course" in whole.get("/dashboard/search?q=add+window").text
    assert "Secret course" in whole.get(asked).text
    assert whole.post(f"{LESSONS}bulk", data=sent).status_code == 303
    assert inside(db, course.id) == [lesson.id]

    def rights(session: Session) -> list[set[str]]:
        jobs = JobCRUD(session)
        made = [jobs.start("lessons", verb, {}, [lesson.id], 1) for verb in ("add_to_course", "hide")]
        return [set(jobs.rights(job)) for job in made]

    assert database.run(rights) == [{"lessons:write", "courses:write"}, {"lessons:write"}]


def test_a_role_that_changes_records_sees_them(admin: TestClient, db: Session) -> None:
    boxes = ["lessons:write", "purchases:refund"]
    assert admin.post("/dashboard/settings/roles", data={"name": "Editor", "rights": boxes}).status_code == 303
    role = db.scalars(select(Role).where(Role.name == "Editor")).one()
    seen = ["dashboard:read", "lessons:read", "lessons:write", "profile:write", "purchases:read", "purchases:refund"]
    assert role.permissions == seen
    changed = {"name": "Editor", "rights": [*boxes, "tickets:write"], "was": ",".join(seen)}
    assert admin.post(f"/dashboard/settings/roles/{role.id}", data=changed).status_code == 303
    db.refresh(role)
    assert role.permissions == sorted([*seen, "tickets:read", "tickets:write"])


def test_settings_open_no_history_of_records_that_are_closed(reading: Reading, db: Session, database: Database) -> None:
    make_ticket(db, make_user(db), subject="Where is my lesson?")
    made = HistoryCRUD(db).of_record("support_tickets", 1)[0].change_set.id
    keeper = reading(P.HISTORY_READ, P.SETTINGS_WRITE, P.OPERATIONS_READ)

    assert keeper.get(f"{HISTORY}{made}").status_code == 404
    assert "Where is my lesson?" not in keeper.get(HISTORY).text
    database.run(lambda session: ApiTokenCRUD(session).issue("site", frozenset({"users:read"})))
    assert "API access token" in content(keeper.get(HISTORY).text)
    told = reading(P.HISTORY_READ, P.SETTINGS_WRITE, P.TICKETS_READ).get(HISTORY).text
    assert "Where is my lesson?" in told

    ids = [make_lesson(db, title="Hidden draft").id]
    job = database.run(lambda session: JobCRUD(session).start("lessons", "hide", {}, ids, 1).id)
    assert keeper.get(f"/dashboard/jobs/{job}").status_code == 404


def test_what_others_did_is_undone_by_those_alone_who_may_read_it(
    reading: Reading, db: Session, database: Database
) -> None:
    lesson = make_lesson(db, title="Dawn")
    author = reading(*WRITES_LESSONS)

    def rename(session: Session) -> int:
        LessonCRUD(session).update(lesson.id, LessonUpdate(title="Noon"))
        return history.change_set_id(session) or 0

    others = database.run(rename, Actor(Door.WEB, 1))
    assert author.post(f"{HISTORY}{others}/undo").status_code == 403
    answer = author.post(f"{LESSONS}{lesson.id}/toggle", data={"is_active": ""})
    assert answer.status_code == 303
    own = HistoryCRUD(db).of_record("lessons", lesson.id)[0].change_set.id
    assert own != others
    assert author.post(f"{HISTORY}{own}/undo").status_code == 303
    assert reading(*WRITES_LESSONS, P.HISTORY_READ).post(f"{HISTORY}{others}/undo").status_code == 303
    db.refresh(lesson)
    assert (lesson.title, lesson.is_active) == ("Dawn", True)


def test_a_refused_deletion_names_no_sales_and_no_courses(staff: SignIn, reading: Reading, db: Session) -> None:
    sold, held = make_lesson(db), make_lesson(db)
    for _time in range(3):
        make_purchase(db, make_user(db), sold)
    make_course(db, [held], title="Secret course")
    author = staff(AUTHOR)
    refused = author.post(f"{LESSONS}{sold.id}/delete", headers={"Accept-Language": "en"})
    assert "It was sold and cannot be deleted." in refused.text
    refused = reading(*WRITES_LESSONS).post(f"{LESSONS}{held.id}/delete")
    assert ("in 1 course." in refused.text, "Secret course" in refused.text) == (True, False)


def test_a_lesson_names_its_courses_to_those_who_may_see_them(reading: Reading, db: Session) -> None:
    lesson = make_lesson(db)
    make_course(db, [lesson], title="Secret course")
    for rights, known in (((P.LESSONS_READ,), False), ((P.LESSONS_READ, P.COURSES_READ), True)):
        reader = reading(*rights)
        for tail in ("", "?cols=courses", "export.csv?cols=courses", str(lesson.id)):
            assert ("Secret course" in reader.get(LESSONS + tail).text) == known, (tail, known)


def test_a_course_offers_lessons_to_those_who_may_see_them(reading: Reading, db: Session) -> None:
    course, lesson = make_course(db), make_lesson(db, title="Hidden draft", is_active=False)
    closed = reading(P.COURSES_READ, P.COURSES_WRITE)
    assert "Hidden draft" not in closed.get(f"{COURSES}{course.id}").text
    sent = {"lesson_id": str(lesson.id)}
    assert closed.post(f"{COURSES}{course.id}/lessons", data=sent).status_code == 403
    opened = reading(P.COURSES_READ, P.COURSES_WRITE, P.LESSONS_READ)
    assert "Hidden draft" in opened.get(f"{COURSES}{course.id}").text
    assert opened.post(f"{COURSES}{course.id}/lessons", data=sent).status_code == 303
    assert inside(db, course.id) == [lesson.id]


@pytest.mark.parametrize("kind", ["lesson", "course"])
def test_what_is_given_by_hand_is_chosen_from_what_one_sees(reading: Reading, db: Session, kind: str) -> None:
    student = make_user(db)
    make_lesson(db, title="A lesson")
    make_course(db, title="A course")
    giver = reading(P.USERS_READ, P.PURCHASES_READ, P.PURCHASES_GRANT, Permission(f"{kind}s:read"))
    page = HTMLParser(giver.get(f"/dashboard/users/{student.id}/grant").text)
    offered = [
        option.text(strip=True) for option in page.css("select[name=thing] option") if option.attributes["value"]
    ]
    assert offered == [f"A {kind}"]
