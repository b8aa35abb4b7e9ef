"""Lessons in the dashboard: list, record, toggle, delete with undo, rights."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.crud.settings import SettingCRUD
from backend.database.models.history import ChangeSet
from backend.database.models.lessons import Lesson
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, one, same
from tests.factories import make_course, make_lesson, make_purchase, make_user

URL = "/dashboard/lessons/"
FORM = {
    "title": "Свет",
    "description": "",
    "price": "100",
    "text_content": "Текст",
    "is_active": "true",
}


@pytest.fixture
def admin(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def titles(page: str) -> list[str]:
    return [link.text() for link in HTMLParser(page).css("#list-rows td:first-child a")]


def stored(db: Session, lesson_id: int) -> Lesson:
    return db.get_one(Lesson, lesson_id, populate_existing=True)


# -- list


def test_a_row_shows_sales_revenue_and_courses(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Гаммы", price=120)
    make_course(db, [lesson], title="Портрет")
    make_purchase(db, make_user(db), lesson)
    make_purchase(db, make_user(db), lesson, amount=80)
    make_purchase(db, make_user(db), lesson, is_test=True)
    make_purchase(db, make_user(db), lesson, status="failed")

    row = one(admin.get(URL).text, f"#lesson-{lesson.id}")

    cells = [" ".join(cell.text().split()) for cell in row.css("td")]
    assert (cells[0], cells[3:6]) == ("Гаммы text", ["2", "200 ★", "Портрет"])
    assert cells[1] == "On sale"


def test_filters_search_and_sort(admin: TestClient, db: Session) -> None:
    for title, price, active in (("Ёлка", 300, True), ("арка", 100, False), ("Берег", 200, True)):
        make_lesson(db, title=title, price=price, is_active=active)

    assert titles(admin.get(URL + "?sort=title").text) == ["арка", "Берег", "Ёлка"]
    assert titles(admin.get(URL + "?is_active=true&sort=-price").text) == ["Ёлка", "Берег"]
    assert titles(admin.get(URL + "?q=елк").text) == ["Ёлка"]
    assert titles(admin.get(URL + "?price_min=150&price_max=250").text) == ["Берег"]
    assert one(admin.get(URL + "?q=zzz").text, ".ly-state h2").text() == "No results for “zzz”"


def test_the_empty_list_offers_the_first_lesson(admin: TestClient, staff: SignIn) -> None:
    assert one(admin.get(URL).text, ".ly-state h2").text() == "No lessons yet"
    assert one(admin.get(URL).text, ".ly-state a").attributes["href"] == "/dashboard/lessons/new"
    assert HTMLParser(staff(SUPPORT).get(URL).text).css(".ly-state a") == []


def test_pages_by_title_neither_skip_nor_double(admin: TestClient, db: Session) -> None:
    for title in "деагвб":
        make_lesson(db, title=title)

    seen, url = [], URL + "?sort=title&limit=4"
    while url:
        page = admin.get(url).text
        seen += titles(page)
        following = HTMLParser(page).css_first("a[rel=next]")
        url = following.attributes["href"] if following else ""

    assert seen == list("абвгде")


def test_the_fragment_is_a_part_of_the_page(admin: TestClient, db: Session) -> None:
    make_lesson(db, title="Гаммы")

    page, fragment = admin.get(URL + "?sort=title"), admin.get(URL + "?sort=title", headers=PARTIAL)

    body = re.sub(r"^<hx-partial.*?</hx-partial>", "", fragment.text.strip()).strip()
    assert len(body) > 1000
    assert same(body) in same(page.text)
    assert fragment.headers["HX-Push-Url"] == URL + "?sort=title"
    assert "HX-Request-Type" in fragment.headers["Vary"]


def test_the_number_of_queries_does_not_follow_the_rows(admin: TestClient, db: Session, queries: list[str]) -> None:
    def count(url: str) -> int:
        admin.get(url)
        queries.clear()
        assert admin.get(url).status_code == 200
        return len(queries)

    def lesson() -> Lesson:
        made = make_lesson(db)
        make_course(db, [made])
        make_purchase(db, make_user(db), made)
        return made

    first = lesson()
    record = f"{URL}{first.id}"
    one_row = count(URL), count(record)
    lesson(), lesson()
    make_purchase(db, make_user(db), first)

    # The session, then: count, rows, sales, courses; and for the record: lesson, line, sales,
    # courses, buyers, bot, history (4), tags and those that are known.
    assert one_row == (count(URL), count(record)) == (4, 13)


def test_csv_holds_the_filtered_list_and_no_formula(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="=HYPERLINK(1)", price=120)
    make_lesson(db, title="Hidden", is_active=False)
    make_course(db, [lesson], title="+Course")
    make_purchase(db, make_user(db), lesson, amount=90)

    answer = admin.get(URL + "export.csv?is_active=true")

    lines = answer.content.decode("utf-8-sig").splitlines()
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert lines[0] == "id,title,price,is_free,is_active,sales,revenue,courses,created_at,updated_at,tags"
    assert lines[1].startswith(f"{lesson.id},'=HYPERLINK(1),120,0,1,1,90,'+Course,")
    assert len(lines) == 2


# -- record


def test_the_record_shows_facts_buyers_courses_link_and_history(admin: TestClient, db: Session) -> None:
    lesson, user = (
        make_lesson(db, title="Гаммы", price=120, text_content="**Жирно**"),
        make_user(db),
    )
    make_course(db, [lesson], title="Портрет")
    make_purchase(db, user, lesson)
    SettingCRUD(db).put("bot", {"id": 42, "username": "school_bot"})
    db.commit()

    page = admin.get(f"{URL}{lesson.id}").text

    assert one(page, "h1").text() == "Гаммы"
    stats = {
        node.css_first("dt").text(): node.css_first("dd").text() for node in HTMLParser(page).css(".ly-stats > div")
    }
    assert (stats["Price"], stats["Courses"]) == ("120\xa0★", "1")
    assert one(page, "#deep-link-value").attributes["value"] == f"https://t.me/school_bot?start=lesson_{lesson.id}"
    assert one(page, "section[aria-labelledby=buyers] tbody a").attributes["href"] == f"/dashboard/users/{user.id}"
    assert one(page, "section[aria-labelledby=in-courses] a").text() == "Портрет"
    assert "<strong>Жирно</strong>" in page
    assert HTMLParser(page).css_first("#record-history") is not None


def test_without_a_bots_name_the_command_is_shown(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)

    page = admin.get(f"{URL}{lesson.id}").text

    assert one(page, "#deep-link-value").attributes["value"] == f"/start lesson_{lesson.id}"


def test_a_missing_lesson_is_a_page_that_says_so(admin: TestClient) -> None:
    answer = admin.get(URL + "77")

    assert answer.status_code == 404
    assert "Lesson 77 no longer exists." in answer.text


# -- toggle and delete


def test_the_button_says_which_state_is_wanted(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    url = f"{URL}{lesson.id}/toggle"

    for sent, active in (("", False), ("", False), ("true", True)):
        assert admin.post(url, data={"is_active": sent}).headers["location"] == f"{URL}{lesson.id}"
        assert stored(db, lesson.id).is_active is active


def test_a_verb_swaps_its_row(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)

    hidden = admin.post(URL + "bulk", data={"verb": "hide", "ids": str(lesson.id)}, headers=PARTIAL)

    row = hidden.text[hidden.text.index("<tr") : hidden.text.index("</tr>") + 5]
    assert row.startswith(f'<tr id="lesson-{lesson.id}" data-not="hide">')
    assert row in admin.get(URL).text
    assert one(hidden.text, "[data-toast] p").text() == "Hide: 1"
    assert stored(db, lesson.id).is_active is False


def test_delete_and_undo(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Гаммы", text_content="Текст")
    lesson_id, created = lesson.id, lesson.created_at
    db.expunge_all()

    answer = admin.post(f"{URL}{lesson_id}/delete")
    page = admin.get(answer.headers["location"]).text

    assert (answer.status_code, titles(page)) == (303, [])
    assert one(page, "[data-toast] p").text() == "“Гаммы” is deleted"
    admin.post(one(page, "[data-toast] form").attributes["action"] or "")
    back = db.get_one(Lesson, lesson_id)
    assert (back.title, back.text_content, back.created_at) == ("Гаммы", "Текст", created)


def test_what_was_sold_is_not_deleted_and_says_what_to_do(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    make_purchase(db, make_user(db), lesson)

    answer = admin.post(f"{URL}{lesson.id}/delete", headers=PARTIAL)

    assert answer.status_code == 409
    assert "It was sold and cannot be deleted. Hide it instead: buyers keep their access." in answer.text
    assert stored(db, lesson.id).title == "Свет из окна"


def test_the_history_names_the_person_and_the_door(admin: TestClient, db: Session) -> None:
    admin.post(URL, data=FORM)

    last = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc())).first()

    assert last is not None
    assert (last.door, last.actor_id is not None) == ("web", True)


# -- rights


def writes(lesson_id: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        (URL, FORM),
        (URL + "preview", {}),
        (f"{URL}{lesson_id}", FORM),
        (f"{URL}{lesson_id}/toggle", {}),
        (f"{URL}{lesson_id}/delete", {}),
    ]


@pytest.mark.parametrize("role", [SUPPORT, MANAGER])
def test_who_may_only_read(staff: SignIn, db: Session, role: str) -> None:
    lesson = make_lesson(db, text_content="Секрет")
    browser, url = staff(role), f"{URL}{lesson.id}"

    page = browser.get(url)

    assert [browser.get(URL).status_code, page.status_code] == [200, 200]
    assert "Секрет" not in page.text
    assert [form.attributes["action"] for form in HTMLParser(page.text).css("main form")] == []
    assert [browser.get(path).status_code for path in (URL + "new", url + "/edit")] == [403, 403]
    assert [browser.post(path, data=data).status_code for path, data in writes(lesson.id)] == [403] * 5
    assert stored(db, lesson.id).version == 1


def test_an_author_writes_and_sees_no_money(staff: SignIn, db: Session) -> None:
    lesson = make_lesson(db)
    make_purchase(db, make_user(db), lesson)
    browser = staff(AUTHOR)

    page = browser.get(f"{URL}{lesson.id}").text

    assert browser.post(f"{URL}{lesson.id}", data=FORM).status_code == 303
    assert HTMLParser(page).css("section[aria-labelledby=buyers]") == []


def test_a_stranger_is_sent_to_sign_in(client: TestClient) -> None:
    answer = client.get(URL + "?sort=title")

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=/dashboard/lessons/%3Fsort%3Dtitle",
    )
