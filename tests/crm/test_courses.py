"""Courses in the dashboard: list, record, form, conflict, delete with undo."""

import re

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, SUPPORT
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, one, same, words
from tests.factories import make_course, make_lesson, make_purchase, make_user

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


# -- list


def test_a_row_shows_lessons_price_sales_and_revenue(
    admin: TestClient, db: Session, course: Course, lessons: list[Lesson]
) -> None:
    make_purchase(db, make_user(db), lessons[0], lesson_id=None, course_id=course.id, amount=210)
    make_purchase(db, make_user(db), lessons[0], lesson_id=None, course_id=course.id, amount=210, is_test=True)

    cells = [words(cell) for cell in one(admin.get(URL).text, f"#course-{course.id}").css("td")]

    assert cells[:5] == ["Портрет 3 lessons", "On sale", "300 210 ★On sale", "1", "210 ★"]


def test_filters_search_and_sort(admin: TestClient, db: Session) -> None:
    for title, price, active in (("Ёлка", 300, True), ("арка", 100, False), ("Берег", 200, True)):
        make_course(db, title=title, total_price=price, is_active=active)

    def titles(query: str) -> list[str]:
        return [link.text() for link in HTMLParser(admin.get(URL + query).text).css("#list-rows td:first-child a")]

    assert titles("?sort=title") == ["арка", "Берег", "Ёлка"]
    assert titles("?sort=-total_price") == ["Ёлка", "Берег", "арка"]
    assert titles("?is_active=false") == ["арка"]
    assert titles("?q=елк") == ["Ёлка"]


def test_the_number_of_queries_does_not_follow_the_rows(
    admin: TestClient, db: Session, lessons: list[Lesson], queries: list[str]
) -> None:
    def count(url: str) -> int:
        admin.get(url)
        queries.clear()
        assert admin.get(url).status_code == 200
        return len(queries)

    def course() -> Course:
        made = make_course(db, lessons)
        make_purchase(db, make_user(db), lessons[0], lesson_id=None, course_id=made.id)
        return made

    record = f"{URL}{course().id}"
    one_row = count(URL), count(record)
    course(), course()

    # The session, then: count, rows, sales, lessons; the course, its lessons, the column (4),
    # its sales, buyers, bot, what may be added, who holds it, history (4).
    assert one_row == (count(URL), count(record)) == (4, 15)


def test_the_fragment_is_a_part_of_the_page(admin: TestClient, course: Course) -> None:
    page, fragment = admin.get(URL), admin.get(URL, headers=PARTIAL)

    body = re.sub(r"^<hx-partial.*?</hx-partial>", "", fragment.text.strip()).strip()
    assert len(body) > 1000
    assert same(body) in same(page.text)


def test_csv_holds_the_filtered_list(admin: TestClient, db: Session, course: Course) -> None:
    make_course(db, title="@Hidden", is_active=False)

    lines = admin.get(URL + "export.csv?sort=title").content.decode("utf-8-sig").splitlines()

    assert lines[0] == "id,title,total_price,discount_price,is_active,lessons,sales,revenue,created_at,updated_at"
    assert [line.rsplit(",", 2)[0] for line in lines[1:]] == [
        f"{course.id + 1},'@Hidden,300,,0,0,0,0",
        f"{course.id},Портрет,300,210,1,3,0,0",
    ]


# -- record


def test_the_record_shows_the_order_the_gain_the_buyers_and_the_link(
    admin: TestClient, db: Session, course: Course, lessons: list[Lesson]
) -> None:
    user = make_user(db)
    make_purchase(db, user, lessons[0], lesson_id=None, course_id=course.id, amount=210)

    page = admin.get(f"{URL}{course.id}").text

    assert order(page) == ["Арка", "Берег", "Волна"]
    assert "Separately 300 ★, as a course 210 ★: saves 30%." in words(one(page, "section .ly-head p")).replace(
        "\xa0", " "
    )
    assert one(page, "#deep-link-value").attributes["value"] == f"/start course_{course.id}"
    assert one(page, "section[aria-labelledby=buyers] tbody a").attributes["href"] == f"/dashboard/users/{user.id}"
    assert "1 student has this course and sees a new order at once." in page
    assert words(one(page, ".ly-pick a[aria-current=true]")) == "Портрет 210 ★ 3 lessons · 1 sale"


def test_creates_a_course_and_can_undo_it(admin: TestClient, db: Session) -> None:
    answer = admin.post(URL, data=FORM)

    made = db.scalars(select(Course)).one()
    assert (answer.status_code, answer.headers["location"]) == (303, f"{URL}{made.id}")
    assert (made.title, made.total_price, made.discount_price) == ("Портрет", 300, 250)
    undo = one(admin.get(answer.headers["location"]).text, "[data-toast] form").attributes["action"]
    admin.post(undo or "")
    db.expire_all()
    assert db.scalars(select(Course)).all() == []


def test_the_discount_is_judged_at_its_field(admin: TestClient, db: Session, course: Course) -> None:
    sent = FORM | {"total_price": "100", "discount_price": "101"}

    for url in (URL, f"{URL}{course.id}"):
        answer = admin.post(url, data=sent, headers=PARTIAL)
        assert answer.status_code == 422
        assert words(one(answer.text, "#discount_price-error")) == "The discounted price is higher than the full price."
        assert one(answer.text, "#discount_price").attributes["value"] == "101"


def test_an_empty_discount_takes_it_off(admin: TestClient, db: Session, course: Course) -> None:
    assert admin.post(f"{URL}{course.id}", data=FORM | {"discount_price": ""}).status_code == 303
    db.refresh(course)
    assert course.discount_price is None


def test_a_stale_form_shows_both_values(admin: TestClient, db: Session, course: Course) -> None:
    url = f"{URL}{course.id}"
    admin.post(url, data=FORM | {"title": "Их"})

    answer = admin.post(url, data=FORM | {"title": "Моё", "version": "1"}, headers=PARTIAL)

    assert answer.status_code == 409
    pair = [
        (node.attributes["value"], "checked" in node.attributes) for node in HTMLParser(answer.text).css("[name=title]")
    ]
    assert pair == [("Моё", True), ("Их", False)]
    db.refresh(course)
    assert course.title == "Их"


def test_the_preview_asks_the_discounted_price(admin: TestClient) -> None:
    page = admin.post(URL + "preview", data={"title": "x", "total_price": "300", "discount_price": "210"}).text

    assert words(one(page, ".is-pay")) == "Pay ★ 210"


def test_toggle_and_delete_with_undo(admin: TestClient, db: Session, course: Course) -> None:
    before, course_id = stored(db, course.id), course.id
    assert admin.post(f"{URL}{course_id}/toggle", data={"is_active": ""}).status_code == 303
    assert "Hidden" in one(admin.get(URL).text, f"#course-{course_id}").text()

    answer = admin.post(f"{URL}{course_id}/delete")
    db.expunge_all()
    assert (answer.status_code, db.get(Course, course_id), stored(db, course_id)) == (303, None, [])
    admin.post(one(admin.get(URL).text, "[data-toast] form").attributes["action"] or "")
    assert (db.get_one(Course, course_id).is_active, stored(db, course_id)) == (False, before)


def test_what_was_sold_is_not_deleted(admin: TestClient, db: Session, course: Course, lessons: list[Lesson]) -> None:
    make_purchase(db, make_user(db), lessons[0], lesson_id=None, course_id=course.id)

    assert admin.post(f"{URL}{course.id}/delete", headers=PARTIAL).status_code == 409


def test_who_may_what(staff: SignIn, db: Session, course: Course, lessons: list[Lesson]) -> None:
    url = f"{URL}{course.id}"
    support, author = staff(SUPPORT), staff(AUTHOR)
    writes = [
        (URL, FORM),
        (URL + "preview", {}),
        (url, FORM),
        (url + "/toggle", {}),
        (url + "/delete", {}),
        (url + "/lessons", {"lesson_id": "1"}),
        (url + "/order", {"id": "1", "position": "1"}),
        (f"{url}/lessons/{lessons[0].id}/move", {"by": "1"}),
        (f"{url}/lessons/{lessons[0].id}/remove", {}),
    ]

    page = support.get(url)

    assert (page.status_code, HTMLParser(page.text).css("main form, .ly-grip, [data-order]")) == (
        200,
        [],
    )
    assert order(page.text) == ["Арка", "Берег", "Волна"]
    assert [support.post(path, data=data).status_code for path, data in writes] == [403] * 9
    assert [support.get(path).status_code for path in (URL + "new", url + "/edit")] == [403, 403]
    assert [author.get(path).status_code for path in (URL, url, URL + "new", url + "/edit")] == [200] * 4
    assert author.post(url, data=FORM).status_code == 303
