"""Tags on the pages: a student's card, the list's filter and its verbs."""

import csv

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import SUPPORT, Permission
from backend.database.crud.tags import TagCRUD
from backend.database.models.tags import LessonTag, Tag, UserTag
from backend.database.personal import Eraser
from backend.database.session import Database
from tests.conftest import SignIn
from tests.crm.conftest import Reading
from tests.crm.pages import told
from tests.factories import make_lesson, make_user


def test_a_student_gets_a_tag_and_loses_it(admin: TestClient, db: Session) -> None:
    page = f"/dashboard/users/{make_user(db).id}"

    put = admin.post(f"{page}/tags", data={"tag": "<b>VIP</b>"})
    shown = admin.get(page).text
    taken = admin.post(f"{page}/untag", data={"tag": "<b>vip</b>"})

    assert (put.status_code, put.headers["location"], taken.status_code) == (303, page, 303)
    assert "&lt;b&gt;VIP&lt;/b&gt;" in shown
    assert "Tag added" in shown
    assert '<b class="ly-strong">Tag added</b>' in shown  # in the history
    assert told(shown) == ["Tag<b>VIP</b>"]
    assert told(admin.get(page).text) == ["Tag<b>VIP</b>"] * 2
    assert db.scalars(select(UserTag.id)).all() == []
    assert "&lt;b&gt;VIP&lt;/b&gt;</span><button" not in admin.get(page).text


def test_a_tag_needs_a_word_and_a_student(admin: TestClient, db: Session) -> None:
    page = f"/dashboard/users/{make_user(db).id}"
    assert admin.post(f"{page}/tags", data={"tag": " "}).status_code == 400
    assert admin.post(f"{page}/tags", data={"tag": "x" * 51}).status_code == 400
    assert admin.post("/dashboard/users/1/tags", data={"tag": "x"}).status_code == 404  # staff
    assert db.scalars(select(Tag.id)).all() == []


def test_whoever_may_not_write_sees_tags_only(admin: TestClient, staff: SignIn, db: Session) -> None:
    page = f"/dashboard/users/{make_user(db).id}"
    support = staff(SUPPORT)
    assert 'aria-labelledby="tags"' not in support.get(page).text
    admin.post(f"{page}/tags", data={"tag": "VIP"})
    shown = support.get(page).text
    assert "VIP" in shown
    assert f'action="{page}/untag"' not in shown


def test_a_lesson_gets_a_tag_on_its_page_and_loses_it(admin: TestClient, staff: SignIn, db: Session) -> None:
    page = f"/dashboard/lessons/{make_lesson(db).id}"
    known = '<datalist id="known-tags"><option value="Свет"></option></datalist>'

    put = admin.post(f"{page}/tags", data={"tag": "Свет"})
    shown = admin.get(page).text
    support = staff(SUPPORT)
    refused, read = support.post(f"{page}/untag", data={"tag": "свет"}), support.get(page).text
    taken = admin.post(f"{page}/untag", data={"tag": "свет"})

    assert (put.status_code, put.headers["location"], refused.status_code, taken.status_code) == (303, page, 403, 303)
    assert ('<span class="ly-cut">Свет</span>' in shown, known in shown) == (True, True)
    assert ('<span class="ly-cut">Свет</span>' in read, f'action="{page}/untag"' in read) == (True, False)
    assert db.scalars(select(LessonTag.id)).all() == []


@pytest.mark.parametrize("key", ["users", "lessons"])
def test_rows_and_files_show_their_tags_in_order(admin: TestClient, db: Session, key: str) -> None:
    rows = [make_user(db, first_name="Анна") if key == "users" else make_lesson(db) for _ in range(2)]
    url = f"/dashboard/{key}/"
    assert "ly-tag" not in admin.get(url).text
    for tag in ("б & в", "А", "я", "г"):
        admin.post(f"{url}{rows[0].id}/tags", data={"tag": tag})

    shown = admin.get(url).text
    told = csv.DictReader(admin.get(f"{url}export.csv").content.decode("utf-8-sig").splitlines())

    chips = [f'<span class="ly-tag">{tag}</span>' for tag in ("А", "б &amp; в", "г")]
    assert f"{' '.join(chips)} +1" in shown
    assert shown.count("ly-tag") == 3
    assert {int(row["id"]): row["tags"] for row in told} == {rows[0].id: "А, б & в, г, я", rows[1].id: ""}


def test_a_verb_offers_the_tags_that_there_are(admin: TestClient, db: Session) -> None:
    user = make_user(db)
    admin.post(f"/dashboard/users/{user.id}/tags", data={"tag": "VIP"})
    asked = admin.post("/dashboard/users/bulk", data={"verb": "untag", "ids": str(user.id)}).text
    assert '<datalist id="tag-offers"><option value="VIP"></option></datalist>' in asked
    assert 'list="tag-offers"' in asked


def test_tags_of_students_are_not_told_to_who_sees_lessons_alone(
    admin: TestClient, reading: Reading, db: Session
) -> None:
    student, lesson = make_user(db), make_lesson(db)
    admin.post(f"/dashboard/users/{student.id}/tags", data={"tag": "Debtor"})
    admin.post(f"/dashboard/lessons/{lesson.id}/tags", data={"tag": "Light"})
    debtor = db.scalars(select(Tag.id).where(Tag.name == "Debtor")).one()
    author, page = reading(Permission.LESSONS_READ, Permission.LESSONS_WRITE), f"/dashboard/lessons/{lesson.id}"
    paths = (f"/dashboard/lessons/bulk?verb=tag&ids={lesson.id}", page, f"/dashboard/lessons/?tag={debtor}")
    shown = [author.get(path).text for path in paths]
    assert ["Debtor" in text for text in shown] == [False, False, False]
    assert ['<option value="Light">' in text for text in shown] == [True, True, False]
    assert author.post(f"{page}/tags", data={"tag": "New"}).status_code == 303
    assert TagCRUD(db).of("lessons", [lesson.id]) == {lesson.id: ["Light", "New"]}
    asked = admin.get(f"/dashboard/users/bulk?verb=tag&ids={student.id}").text
    assert ('<option value="Debtor">' in asked, '"Light"' in asked) == (True, False)


@pytest.mark.parametrize("act", ["tags", "untag"])
def test_an_erased_student_gets_no_tag_and_loses_none(
    admin: TestClient, db: Session, database: Database, act: str
) -> None:
    student = make_user(db)
    database.run(lambda session: Eraser(session).erase(student.id))
    page = f"/dashboard/users/{student.id}"
    answer = admin.post(f"{page}/{act}", data={"tag": "VIP"}, headers={"Accept-Language": "en"})
    assert (answer.status_code, "data has already been erased" in answer.text) == (409, True)
    db.expire_all()
    assert db.scalars(select(UserTag.id)).all() == []
    assert f'action="{page}/tags"' not in admin.get(page).text


def test_lists_tag_many_and_are_filtered_by_it(admin: TestClient, db: Session) -> None:
    ids = [make_lesson(db, title=f"Lesson {number}").id for number in range(3)]
    sent = {"verb": "tag", "ids": ",".join(map(str, ids[:2])), "asked": "1", "tag": "new"}

    answer = admin.post("/dashboard/lessons/bulk", data=sent)
    shown = admin.get("/dashboard/lessons/?tag=1").text

    assert answer.status_code == 303
    assert list(db.scalars(select(LessonTag.row_id).order_by(LessonTag.row_id))) == ids[:2]
    assert [f"Lesson {number}" in shown for number in range(3)] == [True, True, False]
