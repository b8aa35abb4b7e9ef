"""What every list of the CRM can do: its look, filters by relation, cells edited in place, verbs on chosen rows."""

import csv
import io
import json

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, SUPPORT
from backend.crm.table.declare import TABLES
from backend.database.models.history import ChangeSet
from backend.database.models.jobs import Job
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


def test_another_field_changed_meanwhile_is_no_clash(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    lesson.title = "Другое"
    db.commit()

    sent = {"value": "250", "version": "1", "was": "100"}
    assert admin.post(f"{URL}{lesson.id}/cell/price", data=sent, headers=PARTIAL).status_code == 200
    stored = db.get_one(Lesson, lesson.id, populate_existing=True)
    assert (stored.price, stored.title) == (250, "Другое")


def test_a_cell_without_script_is_a_page(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    url = f"{URL}{lesson.id}/cell/price?sort=title"

    assert words(one(admin.get(url).text, "h1")).startswith("Change: Price")
    saved = admin.post(url, data={"value": "90", "version": "1", "was": "100"})
    assert (saved.status_code, saved.headers["location"]) == (303, URL + "?sort=title")
    assert admin.get(f"{URL}{lesson.id}/cell/revenue").status_code == 404
    assert admin.get(f"{URL}99/cell/price").status_code == 404


# -- verbs


def test_chosen_rows_are_changed_together_and_undone_together(admin: TestClient, db: Session) -> None:
    lessons = [make_lesson(db, price=100 * at) for at in (1, 2, 3)]
    ids = [str(lesson.id) for lesson in lessons[:2]]

    question = admin.post(URL + "bulk", data={"verb": "change_price", "ids": ids}, headers=PARTIAL)
    form = {field.attributes["name"]: field.attributes["value"] for field in HTMLParser(question.text).css("input")}
    assert form["ids"] == ",".join(ids)
    wrong = admin.post(URL + "bulk", data=form | {"percent": "cheap"}, headers=PARTIAL)
    assert wrong.status_code == 422
    assert one(wrong.text, "#percent").attributes["value"] == "cheap"
    answer = admin.post(URL + "bulk", data=form | {"percent": "-10"}, headers=PARTIAL)

    assert answer.text.count("<tr ") == 2
    assert one(answer.text, "[data-toast] p").text() == "Change the price: 2"
    assert [price(db, lesson.id) for lesson in lessons] == [90, 180, 300]
    assert db.scalars(select(func.count(ChangeSet.id)).where(ChangeSet.label == "change_price")).one() == 1
    admin.post(str(one(answer.text, "[data-undo] form").attributes["action"]))
    assert [price(db, lesson.id) for lesson in lessons] == [100, 200, 300]


def test_refused_rows_are_named_and_leave_the_others_alone(admin: TestClient, db: Session) -> None:
    sold, free = make_lesson(db, title="Sold"), make_lesson(db, title="Draft")
    make_purchase(db, make_user(db), sold)

    answer = admin.post(URL + "bulk", data={"verb": "delete", "ids": f"{sold.id},{free.id}"}, headers=PARTIAL)

    told = one(answer.text, "[data-toast] p").text()
    assert told.startswith("Delete: 1. rejected: 1. Sold: It was sold 1 time")
    assert f'hx-target="#lesson-{free.id}" hx-swap="delete"' in answer.text
    assert db.scalars(select(Lesson.id)).all() == [sold.id]
    alone = admin.post(URL + "bulk", data={"verb": "delete", "ids": str(sold.id)}, headers=PARTIAL)
    assert alone.status_code == 409


def test_all_that_match_are_meant_not_the_page(admin: TestClient, db: Session) -> None:
    for at in range(60):
        make_lesson(db, title=f"Ночь {at}" if at % 2 else f"День {at}")

    answer = admin.post(URL + "bulk?q=ночь", data={"verb": "hide", "all": "1"})

    assert (answer.status_code, answer.headers["location"]) == (303, URL + "?q=%D0%BD%D0%BE%D1%87%D1%8C")
    hidden = db.scalars(select(Lesson.title).where(Lesson.is_active.is_(False))).all()
    assert len(hidden) == 30
    assert all(title.startswith("Ночь") for title in hidden)


def test_more_than_two_hundred_rows_become_a_job(admin: TestClient, db: Session) -> None:
    role = db.scalars(select(User.role_id).where(User.id == make_user(db).id)).one()
    db.add_all(User(telegram_id=10_000 + at, first_name="A", role_id=role) for at in range(220))
    db.commit()

    answer = admin.post("/dashboard/users/bulk", data={"verb": "close_access", "all": "1"})

    job = db.scalars(select(Job)).one()
    assert (job.verb, job.total, job.done) == ("close_access", 221, 0)
    assert answer.headers["location"] == f"/dashboard/jobs/{job.id}"


def test_chosen_rows_as_a_file(admin: TestClient, db: Session) -> None:
    lessons = [make_lesson(db, title=title) for title in ("A", "=B", "C")]

    answer = admin.post(URL + "bulk", data={"verb": "export", "ids": [str(lessons[0].id), str(lessons[1].id)]})

    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["title"] for row in rows] == ["A", "'=B"]
    files = [link.attributes["href"] for link in HTMLParser(admin.get(URL + "?sort=title").text).css("a[href*=export]")]
    assert files == [f"{URL}export.csv?sort=title", f"{URL}export.xlsx?sort=title"]
    assert admin.get(str(files[1])).content.startswith(b"PK")
    narrow = admin.get(URL + "export.csv?cols=title&sort=title").text.splitlines()
    assert narrow[0].removeprefix("\ufeff") == "id,title"
    assert len(narrow) == 4


@pytest.mark.parametrize(
    "sent",
    [
        {"verb": "hide"},
        {"verb": "nothing", "ids": "1"},
        {"ids": "1"},
        {"verb": "hide", "ids": "one"},
        {"verb": "hide", "ids": "-1"},
        {"verb": "hide", "ids": "9" * 30},
        {"verb": "hide", "ids": "1;2"},
    ],
    ids=json.dumps,
)
def test_a_broken_choice_is_told_and_changes_nothing(admin: TestClient, db: Session, sent: dict[str, str]) -> None:
    lesson = make_lesson(db)
    assert admin.post(URL + "bulk", data=sent, headers=PARTIAL).status_code == 422
    assert db.get_one(Lesson, lesson.id, populate_existing=True).is_active is True


def test_who_may_not_write_is_offered_nothing(staff: SignIn, db: Session) -> None:
    lesson = make_lesson(db)
    support = staff(SUPPORT)
    page = HTMLParser(support.get(URL).text)

    assert page.css(".ly-tick, [data-rowmenu], [data-edit], #bulk") == []
    sent = {"verb": "hide", "ids": str(lesson.id)}
    assert support.post(URL + "bulk", data=sent, headers=PARTIAL).status_code == 403
    cell = {"value": "1", "version": "1", "was": "1"}
    assert support.post(f"{URL}{lesson.id}/cell/price", data=cell, headers=PARTIAL).status_code == 403
    assert len(HTMLParser(staff(AUTHOR).get(URL).text).css("#list-rows .ly-tick")) == 1


def test_staff_are_not_touched_by_the_verbs_of_students(admin: TestClient, db: Session) -> None:
    me = db.scalars(select(User).where(User.login == "admin")).one()
    student = make_user(db)

    sent = {"verb": "close_access", "ids": f"{me.id},{student.id}"}
    answer = admin.post("/dashboard/users/bulk", data=sent, headers=PARTIAL)

    assert one(answer.text, "[data-toast] p").text().startswith("Close access: 1. rejected: 1.")
    assert db.get_one(User, me.id, populate_existing=True).is_active is True


def test_a_row_drawn_once_is_drawn_anew_when_it_changes(admin: TestClient, db: Session) -> None:
    user = make_user(db, first_name="Анна", last_name=None)
    admin.get("/dashboard/users/")
    user.first_name = "Инна"
    db.commit()
    assert words(one(admin.get("/dashboard/users/").text, f"#user-{user.id} a")) == "Инна"
