"""Tags on the pages: a student's card, the list's filter and its verbs."""

from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import SUPPORT
from backend.database.models.tags import LessonTag, Tag, UserTag
from tests.conftest import SignIn
from tests.factories import make_lesson, make_user


def test_a_student_gets_a_tag_and_loses_it(admin: TestClient, db: Session) -> None:
    page = f"/dashboard/users/{make_user(db).id}"

    put = admin.post(f"{page}/tags", data={"tag": "<b>VIP</b>"})
    shown = admin.get(page).text
    taken = admin.post(f"{page}/untag", data={"tag": "<b>vip</b>"})

    assert (put.status_code, put.headers["location"], taken.status_code) == (303, page, 303)
    assert "&lt;b&gt;VIP&lt;/b&gt;" in shown
    assert "Tag added" in shown
    assert "tag added" in shown  # in the history
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


def test_lists_tag_many_and_are_filtered_by_it(admin: TestClient, db: Session) -> None:
    ids = [make_lesson(db, title=f"Lesson {number}").id for number in range(3)]
    sent = {"verb": "tag", "ids": ",".join(map(str, ids[:2])), "asked": "1", "tag": "new"}

    answer = admin.post("/dashboard/lessons/bulk", data=sent)
    shown = admin.get("/dashboard/lessons/?tag=1").text

    assert answer.status_code == 303
    assert list(db.scalars(select(LessonTag.row_id).order_by(LessonTag.row_id))) == ids[:2]
    assert [f"Lesson {number}" in shown for number in range(3)] == [True, True, False]
