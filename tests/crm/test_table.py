"""What every list of the CRM can do: its look, filters, cells edited in place."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.crm.table.declare import TABLES
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, one, words
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user

URL = "/dashboard/lessons/"


@pytest.fixture
def admin(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def heads(page: str) -> list[str]:
    return [words(cell) for cell in HTMLParser(page).css("thead th")]


def price(db: Session, lesson_id: int) -> int:
    return db.get_one(Lesson, lesson_id, populate_existing=True).price


# -- the look


def test_the_address_names_the_columns(admin: TestClient, db: Session) -> None:
    make_lesson(db)

    assert heads(admin.get(URL + "?cols=price&cols=id").text) == ["Lesson", "Price", "Number", "Actions"]
    assert heads(admin.get(URL + "?cols=price,id").text) == ["Lesson", "Price", "Number", "Actions"]
    assert heads(admin.get(URL + "?cols=title").text) == ["Lesson", "Actions"]
    usual = ["Lesson", "Status", "Price", "Sales", "Revenue", "Courses", "Created", "Actions"]
    assert heads(admin.get(URL + "?cols=nothing").text) == heads(admin.get(URL).text) == usual
    dense = one(admin.get(URL + "?density=dense&cols=price").text, "table")
    assert "is-dense" in (dense.attributes["class"] or "")


def test_sorting_and_paging_keep_the_look(admin: TestClient, db: Session) -> None:
    for _ in range(3):
        make_lesson(db)
    page = HTMLParser(admin.get(URL + "?cols=price&density=dense&limit=2").text)

    addresses = [page.css_first("thead a").attributes["href"], page.css_first("a[rel=next]").attributes["href"]]

    assert all("cols=price&density=dense" in str(address) for address in addresses)


def test_every_table_draws_all_its_columns_and_filters(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    make_course(db, [lesson])
    make_promo(db)
    make_purchase(db, make_user(db), lesson)
    assert set(TABLES) >= {"users", "lessons", "courses", "promo_codes", "sales", "payments", "outbox"}
    for table in TABLES.values():
        cols = "&".join(f"cols={column.name}" for column in table.columns)
        page = admin.get(f"{table.prefix}/?{cols}&density=dense&view=all")
        assert page.status_code == 200, table.name
        drawn = HTMLParser(page.text).css("thead th")
        if drawn:
            assert len(drawn) == len(table.columns) + (table.write is not None and table.menu), table.name
        for each in table.filters:
            for value, _label in each.options:
                assert admin.get(f"{table.prefix}/?{each.name}={value}").status_code == 200, (table.name, each.name)
        for sort in table.crud.sorts:
            assert admin.get(f"{table.prefix}/?sort=-{sort}").status_code == 200, (table.name, sort)


def test_a_relation_is_found_by_text_and_named_on_its_chip(admin: TestClient, db: Session) -> None:
    portrait, night = make_course(db, [make_lesson(db, title="Свет")], title="Портрет"), make_course(db, title="Ночь")
    make_lesson(db, title="Один")

    found = admin.get(f"{URL}pick/course_id?find=портр&sort=title", headers=PARTIAL)
    links = HTMLParser(found.text).css("a")
    assert [words(link) for link in links] == ["Портрет"]
    address = str(links[0].attributes["href"])
    assert address == f"{URL}?sort=title&course_id={portrait.id}"

    page = admin.get(address).text
    assert [words(link) for link in HTMLParser(page).css("#list-rows td:first-child a")] == ["Свет"]
    assert words(one(page, ".ly-chip.is-on:has(a)")) == "Course: Портрет"
    assert "Nothing fits these filters" in admin.get(f"{URL}?course_id={night.id}").text
    assert words(one(admin.get(f"{URL}?course_id=77").text, ".ly-chip.is-on:has(a)")) == "Course: #77"
    assert "<html" in admin.get(f"{URL}pick/course_id").text
    assert admin.get(f"{URL}pick/price").status_code == 404


def test_is_empty(admin: TestClient, db: Session) -> None:
    make_lesson(db, title="Текст")
    make_lesson(db, title="Видео", video_path="x.mp4")

    def shown(query: str) -> list[str]:
        return [words(link) for link in HTMLParser(admin.get(URL + query).text).css("#list-rows td:first-child a")]

    assert (shown("?video=no"), shown("?video=yes")) == (["Текст"], ["Видео"])


def test_a_range_speaks_of_days_and_ends(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    url = "/dashboard/users/?joined_since=2026-11-02&joined_until=2026-12-31"
    make_user(db)
    page = admin.get(url).text
    assert words(one(page, ".ly-chip.is-on:has(a)")) == "Joined: 2 November 2026\u201331 December 2026"
    labels = [words(label) for label in HTMLParser(page).css("#filter-joined label")]
    assert labels == ["From", "Up to"]
    db.scalars(select(User).where(User.login == "admin")).one().ui_language = "ru"
    db.commit()
    page = sign_in("admin").get(url.replace("&joined_until=2026-12-31", "")).text
    assert words(one(page, ".ly-chip.is-on:has(a)")).endswith("≥ 2 ноября 2026")
    assert [words(label) for label in HTMLParser(page).css("#filter-joined label")] == ["От", "До"]


@pytest.mark.parametrize(
    ("asked", "name", "swapped"),
    [
        ("spent_min=500&spent_max=10", "spent", "spent_min=10&spent_max=500"),
        (
            "joined_since=2026-12-31&joined_until=2026-01-01",
            "joined",
            "joined_since=2026-01-01&joined_until=2026-12-31",
        ),
    ],
)
def test_a_range_the_wrong_way_round_is_said_at_its_filter(
    admin: TestClient, sign_in: SignIn, db: Session, asked: str, name: str, swapped: str
) -> None:
    make_user(db)
    rest = "sort=name&is_active=true&cols=spent&density=dense"
    url = f"/dashboard/users/?{rest}"

    page = HTMLParser(admin.get(f"{url}&{asked}").text)
    told = page.css_first(f"#range-{name}")
    assert told is not None
    assert "“From” is past “Up to”, so nothing fits." in words(told)
    inputs = page.css(f"#filter-{name} input:not([type=hidden])")
    assert [field.attributes["aria-describedby"] for field in inputs] == [f"range-{name}"] * 2
    link = str(told.css_first("a").attributes["href"])
    assert set(parse_qsl(urlsplit(link).query)) == set(parse_qsl(f"{rest}&{swapped}"))
    for fitting in (link, url, f"{url}&spent_min=5&spent_max=5", f"{url}&joined_since=2026-12-31"):
        assert HTMLParser(admin.get(fitting).text).css("[id^=range-]") == []
    db.scalars(select(User).where(User.login == "admin")).one().ui_language = "ru"
    db.commit()
    russian = words(one(sign_in("admin").get(f"{url}&{asked}").text, f"#range-{name}"))
    assert "«От» больше, чем «До», поэтому ничего не подходит." in russian


def test_a_search_is_sorted_by_no_column(admin: TestClient, db: Session) -> None:
    make_lesson(db, title="Свет")
    assert len(HTMLParser(admin.get(URL).text).css("th[aria-sort]")) == 1
    assert HTMLParser(admin.get(URL + "?q=свет").text).css("th[aria-sort]") == []
    assert len(HTMLParser(admin.get(URL + "?q=свет&sort=price").text).css("th[aria-sort]")) == 1


# -- cells


def test_a_cell_is_edited_where_it_stands(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    url = f"{URL}{lesson.id}/cell/price"

    form = HTMLParser(admin.get(url + "?cols=price", headers=PARTIAL).text).css_first("form")
    assert form.attributes["action"] == url + "?cols=price"
    assert form.css_first("[name=value]").attributes["value"] == "100"
    sent = {"value": "250", "version": str(lesson.version), "was": "100"}
    answer = admin.post(url + "?cols=price", data=sent, headers=PARTIAL)

    row = one(f"<table>{answer.text}</table>", "tr")
    assert words(row.css("td")[1]).startswith("250 ★")
    assert price(db, lesson.id) == 250
    assert "data-undo" in answer.text


def test_a_refused_cell_keeps_what_was_typed(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    url = f"{URL}{lesson.id}/cell/price"

    for typed in ("-5", "dear", "", "1000001"):
        answer = admin.post(url, data={"value": typed, "version": "1", "was": "100"}, headers=PARTIAL)
        field = one(answer.text, "[name=value]")
        assert (answer.status_code, field.attributes["value"]) == (422, typed)
        assert one(answer.text, "#cell-error").text().strip()
    assert price(db, lesson.id) == 100


def test_a_stale_cell_shows_both_values(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    url, mine = f"{URL}{lesson.id}/cell/price", {"value": "250", "version": "1", "was": "100"}
    lesson.price = 300
    db.commit()

    answer = admin.post(url, data=mine, headers=PARTIAL)
    assert answer.status_code == 409
    assert one(answer.text, "[name=value]").attributes["value"] == "250"
    assert "Keep: 300" in answer.text
    assert price(db, lesson.id) == 300

    kept = admin.post(url, data=mine | {"keep": "theirs"}, headers=PARTIAL)
    assert ("300" in kept.text, price(db, lesson.id)) == (True, 300)
    again = {field.attributes["name"]: field.attributes["value"] for field in HTMLParser(answer.text).css("input")}
    assert admin.post(url, data=again, headers=PARTIAL).status_code == 200
    assert price(db, lesson.id) == 250


@pytest.mark.parametrize("sent", [{"version": "1"}, {"version": ""}, {}, {"version": "1", "was": ""}], ids=str)
def test_a_stale_cell_that_does_not_say_what_it_was_is_a_clash(
    admin: TestClient, db: Session, sent: dict[str, str]
) -> None:
    lesson = make_lesson(db, price=100)
    lesson.price = 300
    db.commit()

    answer = admin.post(f"{URL}{lesson.id}/cell/price", data={"value": "250"} | sent, headers=PARTIAL)

    assert (answer.status_code, price(db, lesson.id)) == (409, 300)
    assert "Keep: 300" in answer.text


def test_another_field_changed_meanwhile_is_no_clash(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    lesson.title = "Другое"
    db.commit()

    sent = {"value": "250", "version": "1", "was": "100"}
    assert admin.post(f"{URL}{lesson.id}/cell/price", data=sent, headers=PARTIAL).status_code == 200
    stored = db.get_one(Lesson, lesson.id, populate_existing=True)
    assert (stored.price, stored.title) == (250, "Другое")


def test_a_cell_that_is_as_it_was_says_nothing(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    sent = {"value": "100", "version": "1", "was": "100"}
    answer = admin.post(f"{URL}{lesson.id}/cell/price", data=sent, headers=PARTIAL)
    assert (answer.status_code, "data-toast" in answer.text) == (200, False)
    assert f"#lesson-{lesson.id}" in answer.text


def test_a_cell_of_a_deleted_record_takes_its_row_along(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    for answer in (
        admin.get(f"{URL}99/cell/price", headers=PARTIAL),
        admin.post(f"{URL}99/cell/price", data={"value": "1"}, headers=PARTIAL),
    ):
        assert answer.status_code == 404
        # The few rows that are left are drawn anew.
        assert 'hx-target="#list"' in answer.text
        assert (f'id="lesson-{lesson.id}"' in answer.text, 'id="lesson-99"' in answer.text) == (True, False)
        assert "Someone has deleted this in the meantime." in answer.text


def test_a_cell_without_script_is_a_page(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    url = f"{URL}{lesson.id}/cell/price?sort=title"

    assert words(one(admin.get(url).text, "h1")).startswith("Change: Price")
    saved = admin.post(url, data={"value": "90", "version": "1", "was": "100"})
    assert (saved.status_code, saved.headers["location"]) == (303, URL + "?sort=title")
    assert admin.get(f"{URL}{lesson.id}/cell/revenue").status_code == 404
    assert admin.get(f"{URL}99/cell/price").status_code == 404


def test_a_row_drawn_once_is_drawn_anew_when_it_changes(admin: TestClient, db: Session) -> None:
    user = make_user(db, first_name="Анна", last_name=None)
    admin.get("/dashboard/users/")
    user.first_name = "Инна"
    db.commit()
    assert words(one(admin.get("/dashboard/users/").text, f"#user-{user.id} a")) == "Инна"
