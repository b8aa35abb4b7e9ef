"""What every list of the CRM can do with rows: verbs on the chosen ones, on all that match, files of them."""

import csv
import io
import json
from urllib.parse import parse_qsl, urlsplit

import pytest
import python_calamine as calamine
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, SUPPORT
from backend.crm.table.declare import TABLES, Table
from backend.database.models.history import ChangeSet
from backend.database.models.jobs import Job
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, one, same, words
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user

URL = "/dashboard/lessons/"


@pytest.fixture
def admin(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def price(db: Session, lesson_id: int) -> int:
    return db.get_one(Lesson, lesson_id, populate_existing=True).price


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
    assert told.startswith("Delete: 1. rejected: 1. Sold: It was sold and cannot")
    assert ".." not in told
    assert [row.attributes["id"] for row in HTMLParser(answer.text).css("#list-rows tr")] == [f"lesson-{sold.id}"]
    assert db.scalars(select(Lesson.id)).all() == [sold.id]
    alone = admin.post(URL + "bulk", data={"verb": "delete", "ids": str(sold.id)}, headers=PARTIAL)
    assert alone.status_code == 409


def test_many_refusals_are_told_by_their_reasons(admin: TestClient, db: Session) -> None:
    lessons = [make_lesson(db, title=f"L{at}") for at in range(10)]
    for lesson in lessons[:5]:
        make_purchase(db, make_user(db), lesson)
    for at, lesson in enumerate(lessons[5:], 1):  # these stand in 1, 2, 3, 4, 5 courses
        for _course in range(at):
            make_course(db, [lesson])
    ids = ",".join(str(lesson.id) for lesson in lessons)

    told = one(admin.post(URL + "bulk", data={"verb": "delete", "ids": ids}, headers=PARTIAL).text, "[data-toast] p")

    reasons = words(told).split(". ")
    assert [reason.partition(":")[0] for reason in reasons if ": It was" in reason or ": This lesson is" in reason] == [
        "L0, L1, L2, and 2 more", "L5", "L6",
    ]  # fmt: skip
    assert words(told).startswith("Delete: 0. rejected: 10.")
    assert reasons[-1] == "and 3 more"


def test_the_question_of_a_verb_has_an_address(admin: TestClient, db: Session) -> None:
    """What the palette leads to: the row by its name, what the verb needs, and a button that does it."""
    lesson = make_lesson(db, title="Light & shade", price=200)
    asked = admin.get(f"{URL}bulk", params={"verb": "change_price", "ids": str(lesson.id)})
    assert (asked.status_code, one(asked.text, "h1").text().strip()) == (200, "Change the price")
    assert words(one(asked.text, "#ask-form p")) == "Light & shade"
    form = {
        field.attributes["name"]: field.attributes.get("value")
        for field in HTMLParser(asked.text).css("form#ask-form input")
    }
    assert price(db, lesson.id) == 200  # to look changes nothing
    done = admin.post(f"{URL}bulk", data=form | {"percent": "50"}, headers={"Origin": "http://testserver"})
    assert (done.status_code, done.headers["location"], price(db, lesson.id)) == (303, URL, 300)

    plain = admin.get(f"{URL}bulk", params={"verb": "hide", "ids": f"{lesson.id},99999999"})
    assert words(one(plain.text, "#ask-form p")) == "Light & shade, #99999999"
    for stale in ({}, {"verb": "hide"}, {"verb": "nonsense", "ids": "1"}, {"ids": "1"}):
        assert admin.get(f"{URL}bulk", params=stale).headers["location"] == URL
    for hostile in ("x", "1;2", "9" * 30, "-1"):
        assert admin.get(f"{URL}bulk", params={"verb": "hide", "ids": hostile}).status_code == 422


def counts(fragment: str) -> list[str]:
    """What the heading and the line below the list say."""
    parts = HTMLParser(fragment).css("hx-partial[hx-target='#list-count'], .ly-pager > span > span")
    return [words(part) for part in parts]


def test_the_counts_follow_a_verb(admin: TestClient, db: Session) -> None:
    promos = [make_promo(db, code=f"CODE{at}") for at in range(7)]

    sent = {"verb": "delete", "ids": str(promos[2].id)}
    answer = admin.post("/dashboard/promo-codes/bulk", data=sent, headers=PARTIAL).text

    assert counts(answer) == ["6", "Shown: 6 of 6"]
    assert len(HTMLParser(answer).css("#list-rows tr")) == 6
    page = admin.get("/dashboard/promo-codes/").text
    assert same(str(one(page, "#list").html)) == same(str(one(answer, "#list").html))


def test_the_last_match_leaves_an_empty_state(admin: TestClient, db: Session) -> None:
    only, other = make_promo(db, code="ONLY"), make_promo(db, code="OTHER")
    url = "/dashboard/promo-codes/bulk"

    answer = admin.post(url + "?q=only", data={"verb": "delete", "ids": str(only.id)}, headers=PARTIAL).text
    assert counts(answer) == ["0"]
    assert words(one(answer, "#list .ly-state h2")) == "No results for “only”"
    answer = admin.post(url, data={"verb": "delete", "ids": str(other.id)}, headers=PARTIAL).text
    assert words(one(answer, "#list .ly-state h2")) == "No promo codes yet"


def test_rows_that_fit_no_more_leave_the_list(admin: TestClient, db: Session) -> None:
    lessons = [make_lesson(db, price=100) for _ in range(3)]
    ids = f"{lessons[0].id},{lessons[2].id}"

    kept = admin.post(URL + "bulk", data={"verb": "hide", "ids": str(lessons[1].id)}, headers=PARTIAL).text
    assert ("Hidden" in words(one(f"<table>{kept}</table>", "tr")), counts(kept)) == (True, [])
    admin.post(URL + "bulk", data={"verb": "put_on_sale", "ids": str(lessons[1].id)}, headers=PARTIAL)
    answer = admin.post(URL + "bulk?is_active=true", data={"verb": "hide", "ids": ids}, headers=PARTIAL).text
    rows = [row.attributes["id"] for row in HTMLParser(answer).css("#list-rows tr")]
    assert (rows, counts(answer)) == ([f"lesson-{lessons[1].id}"], ["1", "Shown: 1 of 1"])
    assert one(answer, "[data-toast] p").text() == "Hide: 2"

    sent = {"value": "900", "version": str(lessons[1].version + 2), "was": "100"}
    dear = admin.post(f"{URL}{lessons[1].id}/cell/price?price_max=200", data=sent, headers=PARTIAL).text
    assert (price(db, lessons[1].id), counts(dear)) == (900, ["2", "Shown: 2 of 2"])


def test_rows_leave_a_long_list_in_their_places(admin: TestClient, db: Session) -> None:
    lessons = [make_lesson(db) for _ in range(5)]
    first, other = lessons[4].id, lessons[3].id

    sent = {"verb": "hide", "ids": f"{first},{other}"}
    answer = admin.post(URL + "bulk?is_active=true&limit=2", data=sent, headers=PARTIAL).text

    parts = HTMLParser(answer).css("hx-partial:not([hx-target='#toasts'])")
    told = [(part.attributes["hx-target"], part.attributes["hx-swap"], words(part)) for part in parts]
    assert told == [
        ("#list-count", "innerHTML", "3"), (f"#lesson-{other}", "delete", ""), (f"#lesson-{first}", "delete", ""),
        ("#list-total", "innerHTML", "3"), ("#bulk-total", "innerHTML", "3"), ("#ask", "innerHTML", ""),
    ]  # fmt: skip
    page = admin.get(URL + "?is_active=true&limit=2").text
    assert [words(one(page, place)) for place in ("#list-count", "#list-total", "#bulk-total")] == ["3", "3", "3"]
    behind = one(page, "[rel=next]").attributes["href"] or ""
    chosen = {"verb": "hide", "ids": str(lessons[0].id)}
    answer = admin.post(behind.replace("?", "bulk?"), data=chosen, headers=PARTIAL | {"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == URL + "?limit=2&is_active=true"


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
    assert [row["title"] for row in rows] == ["'=B", "A"]  # the newest first, as on screen
    files = [link.attributes["href"] for link in HTMLParser(admin.get(URL + "?sort=title").text).css("a[href*=export]")]
    assert files == [f"{URL}export.csv?sort=title", f"{URL}export.xlsx?sort=title"]
    assert admin.get(str(files[1])).content.startswith(b"PK")
    narrow = admin.get(URL + "export.csv?cols=title&sort=title").text.splitlines()
    assert header(narrow[0]) == "id,title,tags"
    assert len(narrow) == 4


def header(text: str) -> str:
    return text.removeprefix("\ufeff").splitlines()[0]


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.export], ids=lambda table: table.name)
def test_every_column_brings_its_values_into_the_file(admin: TestClient, db: Session, table: Table) -> None:
    """A file with the columns on screen has something of each, in their order."""
    lesson = make_lesson(db)
    make_course(db, [lesson])
    make_promo(db)
    make_purchase(db, make_user(db), lesson)
    for column in table.columns:
        assert set(column.in_file) <= set(table.export), column.name
        names = table.in_file([table.columns[0], column])
        assert names[0] == "id"
        assert header(admin.get(f"{table.prefix}/export.csv?cols={column.name}").text) == ",".join(names)
    every = ",".join(column.name for column in table.columns)
    assert header(admin.get(f"{table.prefix}/export.csv?cols={every}").text) == ",".join(table.in_file(table.columns))
    assert header(admin.get(f"{table.prefix}/export.csv").text) == ",".join(table.export)


def test_a_file_holds_the_columns_on_screen(admin: TestClient, db: Session) -> None:
    user = make_user(db, first_name="Анна", last_name="Лис", username="anna", ui_language="ru")

    rows = admin.get("/dashboard/users/export.csv?cols=ui_language&cols=status").text.splitlines()

    assert header(rows[0]) == "id,first_name,last_name,username,tags,is_active,blocked_bot_at,waiting,ui_language"
    assert rows[1:] == [f"{user.id},Анна,Лис,anna,,1,,0,ru"]
    unknown = admin.get("/dashboard/users/export.csv?cols=nothing").text
    assert header(unknown) == ",".join(TABLES["users"].in_file(c for c in TABLES["users"].columns if not c.hidden))


def test_a_file_of_chosen_rows_has_the_lists_columns_and_order(admin: TestClient, db: Session) -> None:
    cheap, dear, other = (make_lesson(db, title=f"L{price}", price=price) for price in (100, 300, 200))
    sent = {"ids": f"{cheap.id},{dear.id},{other.id}"}
    address = URL + "bulk?sort=-price&cols=price"

    rows = admin.post(address, data=sent | {"verb": "export"}).text.splitlines()
    book = admin.post(address, data=sent | {"verb": "export_xlsx"})

    assert header(rows[0]) == "id,title,tags,price,is_free"
    assert rows[1:] == [f"{dear.id},L300,,300,0", f"{other.id},L200,,200,0", f"{cheap.id},L100,,100,0"]
    sheet = calamine.CalamineWorkbook.from_filelike(io.BytesIO(book.content)).get_sheet_by_index(0).to_python()
    assert [row[1:4] for row in sheet[1:]] == [["L300", "", 300.0], ["L200", "", 200.0], ["L100", "", 100.0]]
    usual = admin.post(URL + "bulk", data=sent | {"verb": "export"}).text.splitlines()
    assert [row.split(",")[0] for row in usual[1:]] == [str(lesson.id) for lesson in (other, dear, cheap)]
    everything = admin.post(address, data={"verb": "export_xlsx", "all": "1"})
    assert everything.headers["location"] == URL + "export.xlsx?sort=-price&cols=price"


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


def test_a_verb_without_rows_leads_back_to_the_list_and_says_so(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    query = "?sort=-price&is_active=true&cols=price&density=dense"

    for verb in ("hide", "export", "change_price"):
        answer = admin.post(f"{URL}bulk{query}", data={"verb": verb})
        assert answer.status_code == 303
        asked = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        assert asked == dict(parse_qsl(query[1:]))
        page = admin.get(answer.headers["location"]).text
        assert [words(toast) for toast in HTMLParser(page).css("[data-toast] p")] == ["Choose rows first."]
    assert db.get_one(Lesson, lesson.id, populate_existing=True).is_active is True


def test_a_relation_is_looked_for_twice_and_the_list_stays_the_same(admin: TestClient, db: Session) -> None:
    """Without script it has a page of its own, whose search can be used again."""
    query = "?q=a&sort=-price&is_active=true&cols=price&cols=id&density=dense&view=all&course_id=5"

    page = admin.get(f"{URL}pick/course_id{query}&find=x").text

    fields = one(page, "main form[role=search]").css("input[type=hidden]")
    sent = sorted((str(field.attributes["name"]), str(field.attributes["value"])) for field in fields)
    assert sent == sorted(set(parse_qsl(query[1:])) - {("course_id", "5")})


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


def test_each_refusal_ends_with_one_full_stop(admin: TestClient, db: Session) -> None:
    sold = [make_lesson(db, title=title) for title in ("One", "Two")]
    for lesson in sold:
        make_purchase(db, make_user(db), lesson)
    ids = ",".join(str(lesson.id) for lesson in sold)

    told = one(admin.post(URL + "bulk", data={"verb": "delete", "ids": ids}, headers=PARTIAL).text, "[data-toast] p")

    assert (told.text().count(".. "), told.text().count(". One, Two: It was sold and cannot")) == (0, 1)


def test_staff_are_not_touched_by_the_verbs_of_students(admin: TestClient, db: Session) -> None:
    me = db.scalars(select(User).where(User.login == "admin")).one()
    student = make_user(db)

    sent = {"verb": "close_access", "ids": f"{me.id},{student.id}"}
    answer = admin.post("/dashboard/users/bulk", data=sent, headers=PARTIAL)

    assert one(answer.text, "[data-toast] p").text().startswith("Close access: 1. rejected: 1.")
    assert db.get_one(User, me.id, populate_existing=True).is_active is True
