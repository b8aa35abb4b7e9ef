"""Rights over single fields: what a person may not read is on no list, in no file, on no page, and narrows nothing."""

import csv
import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Principal
from backend.core.errors import NotFoundError
from backend.core.permissions import AUTHOR, SYSTEM_ROLES, Permission
from backend.crm import users
from backend.crm.table import Screen
from backend.crm.table.declare import TABLES
from backend.crm.table.editing import editable
from backend.database.models.promo_codes import PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.conftest import Reading
from tests.crm.pages import PARTIAL, one, words
from tests.factories import (
    make_course,
    make_lesson,
    make_order,
    make_promo,
    make_user,
    make_view,
    save,
)

P = Permission
USERS, SALES, JOBS = "/dashboard/users/", "/dashboard/sales/", "/dashboard/jobs/"


def content(page: str) -> str:
    """What the page says between its bars: tokens and addresses have digits of their own."""
    return words(one(page, "main"))


def heads(page: str) -> list[str]:
    return [words(cell) for cell in HTMLParser(page).css("thead th")]


def chips(page: str) -> set[str]:
    return {words(chip).partition(":")[0] for chip in HTMLParser(page).css(".ly-chip button")}


def file_of(browser: TestClient, url: str) -> dict[str, str]:
    """The first row of a file."""
    answer = browser.get(url)
    assert answer.status_code == 200
    return next(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))


# -- lists


def test_a_list_hides_what_needs_another_right(admin: TestClient, reading: Reading, student: User) -> None:
    assert "777" in content(admin.get(USERS).text)  # what is kept of it is for those with the same rights
    page = reading(P.USERS_READ).get(USERS).text

    assert heads(page) == ["Student", "Status", "Source", "Last active", "Joined"]
    assert chips(page).isdisjoint({"Bought", "Purchases", "Spent", "Ticket", "Bought the lesson", "Bought the course"})
    offered = {box.attributes["value"] for box in HTMLParser(page).css("#look input[name=cols]")}
    assert (offered & {"spent", "purchases"}, "source" in offered) == (set(), True)
    assert "777" not in content(page)
    assert "Waiting for reply" not in page
    assert "Active" in words(one(page, f"#user-{student.id}"))

    whole = reading(P.USERS_READ, P.PURCHASES_READ, P.LESSONS_READ, P.TICKETS_READ).get(USERS).text
    assert ("777" in content(whole), "Waiting for reply" in whole) == (True, True)
    assert {"Bought", "Spent", "Ticket", "Bought the lesson"} < chips(whole)
    assert "Bought the course" not in chips(whole)  # which would offer the courses


@pytest.mark.parametrize(
    "query",
    ["bought=yes", "purchases_min=1", "spent_min=700", "spent_max=900", "waiting=true", "lesson_id=1", "course_id=1"],
)
def test_nobody_narrows_a_list_by_what_they_may_not_see(reading: Reading, student: User, query: str) -> None:
    reader = reading(P.USERS_READ, P.LESSONS_READ, P.COURSES_READ)
    for tail in ("", "export.csv"):
        answer = reader.get(f"{USERS}{tail}?source=&{query}&sort=name")
        assert (answer.status_code, "Зоя" in answer.text) == (422, False)
    refused = reader.get(f"{USERS}?{query}&sort=name")
    assert "You do not have permission to see this." in refused.text
    assert f'href="{USERS}?sort=name"' in refused.text
    assert reader.get(f"{USERS}?{query}", headers=PARTIAL).status_code == 422


@pytest.mark.parametrize("sort", ["spent", "-spent", "-purchases"])
def test_nor_do_they_sort_by_it(reading: Reading, student: User, sort: str) -> None:
    reader = reading(P.USERS_READ)
    answer = reader.get(f"{USERS}?sort={sort}")
    assert answer.status_code == 400
    assert "It sorts by: id, created_at, name." in answer.text
    assert reader.get(f"{USERS}export.csv?sort={sort}").status_code == 400


def test_a_chosen_column_that_is_closed_does_not_come(reading: Reading, student: User) -> None:
    assert heads(reading(P.USERS_READ).get(f"{USERS}?cols=spent&cols=source").text) == ["Student", "Source"]


def test_a_file_leaves_out_what_the_person_may_not_see(reading: Reading, admin: TestClient, student: User) -> None:
    whole, reader = file_of(admin, f"{USERS}export.csv"), reading(P.USERS_READ, P.USERS_WRITE)
    assert (whole["spent"], whole["purchases"], whole["waiting"]) == ("777", "1", "1")

    assert whole.keys() - file_of(reader, f"{USERS}export.csv").keys() == {"spent", "purchases", "waiting"}
    chosen = file_of(reader, f"{USERS}export.csv?cols=status&cols=spent&cols=purchases")
    assert list(chosen) == ["id", "first_name", "last_name", "username", "tags", "is_active", "blocked_bot_at"]
    ticked = reader.post(f"{USERS}bulk?cols=name&cols=spent", data={"verb": "export", "ids": str(student.id)})
    assert ticked.text.lstrip("\ufeff").splitlines()[0] == "id,first_name,last_name,username,tags"
    by_spent = reader.post(f"{USERS}bulk?sort=-spent", data={"verb": "export", "ids": str(student.id)})
    assert by_spent.status_code == 400


def test_a_verb_on_all_does_not_pass_over_a_closed_filter(reading: Reading, db: Session, student: User) -> None:
    """It would meet everyone."""
    make_user(db)
    writer = reading(P.USERS_READ, P.USERS_WRITE)
    answer = writer.post(f"{USERS}bulk?spent_min=700", data={"verb": "close_access", "all": "1"}, headers=PARTIAL)
    assert answer.status_code == 422
    assert set(db.scalars(select(User.is_active))) == {True}


def test_a_shared_view_opens_without_what_is_closed(reading: Reading, db: Session, student: User) -> None:
    query = "is_active=true&spent_min=700&lesson_id=1&sort=-spent&cols=source,spent"
    view = make_view(db, list_name="users", name="Big", query=query, is_shared=True)
    reader = reading(P.USERS_READ)

    moved = reader.get(f"/dashboard/views/{view.id}")

    assert moved.headers["Location"] == f"{USERS}?is_active=true&cols=source&view={view.id}"
    page = reader.get(moved.headers["Location"])
    told = "closed to you: columns, sort order, Spent, Bought the lesson. The rest is shown."
    assert (page.status_code, told in page.text) == (200, True)


@pytest.mark.parametrize(("name", "column"), [(t.name, c.name) for t in TABLES.values() for c in t.columns if c.needs])
def test_every_closed_column_is_closed_everywhere(
    reading: Reading, db: Session, student: User, name: str, column: str
) -> None:
    table = TABLES[name]
    found = next(each for each in table.columns if each.name == column)
    make_course(db)
    make_promo(db)
    without = reading(*(set(P) - {found.needs}))
    page = without.get(f"{table.prefix}/?cols={column}&cols={table.columns[0].name}")
    assert (page.status_code, len(heads(page.text))) == (200, 1 + (table.write is not None and table.menu))
    assert file_of(without, f"{table.prefix}/export.csv").keys().isdisjoint(found.in_file)
    if found.sort:
        assert without.get(f"{table.prefix}/?sort={found.sort}").status_code == 400


def test_a_closed_cell_is_not_edited() -> None:
    """No list has such a column now."""
    first, name = users.TABLE.columns[0], replace(users.TABLE.columns[7], needs=P.PURCHASES_READ)
    assert name.edit is not None
    table, params = replace(users.TABLE, columns=(first, name)), SimpleNamespace(cols=[])

    def screen(*rights: str) -> Screen:
        caller: Any = SimpleNamespace(me=Principal(permissions=frozenset(rights)))
        return Screen(table, SimpleNamespace(), caller, params)  # type: ignore[arg-type] # neither is asked

    assert editable(screen(P.PURCHASES_READ), name.name) is name
    with pytest.raises(NotFoundError):
        editable(screen(), name.name)


# -- what a relation offers


def test_students_are_offered_to_those_who_may_see_students(reading: Reading, student: User) -> None:
    seller, both = reading(P.PURCHASES_READ), reading(P.PURCHASES_READ, P.USERS_READ)
    assert seller.get(f"{SALES}pick/user_id?find=Зоя").status_code == 404
    assert "Student" not in chips(seller.get(SALES).text)
    named = seller.get(f"{SALES}?user_id={student.id}")  # the chip would say whose number it is
    assert (named.status_code, "Мельник" in named.text) == (422, False)
    assert "Зоя" in both.get(f"{SALES}pick/user_id?find=Зоя").text
    assert both.get(f"{SALES}?user_id={student.id}").status_code == 200


def test_staff_are_offered_to_those_who_see_the_jobs_of_all(reading: Reading) -> None:
    assert reading().get(f"{JOBS}pick/owner_id").status_code == 404
    assert reading().get(f"{JOBS}?owner_id=1").status_code == 422
    assert "Анна" in reading(P.OPERATIONS_READ).get(f"{JOBS}pick/owner_id").text


RELATIONS = [(table.name, each.name, each.reads) for table in TABLES.values() for each in table.filters if each.find]


def test_every_relation_says_who_may_see_what_it_offers() -> None:
    """Of the history those who may open it: the people who changed something stand in its rows."""
    assert {(table, name) for table, name, reads in RELATIONS if reads is None} <= {("history", "actor_id")}


@pytest.mark.parametrize(("name", "relation", "reads"), [each for each in RELATIONS if each[2]])
def test_every_relation_is_closed_without_that_right(
    reading: Reading, name: str, relation: str, reads: Permission
) -> None:
    prefix, person = TABLES[name].prefix, reading(*(set(P) - {reads}))
    assert person.get(f"{prefix}/pick/{relation}").status_code in (403, 404)
    assert person.get(f"{prefix}/?{relation}=1").status_code in (403, 422)


# -- pages of records


def test_a_student_s_page_tells_no_sales_and_no_tickets(reading: Reading, student: User) -> None:
    page = reading(P.USERS_READ).get(f"{USERS}{student.id}").text
    assert [words(name) for name in HTMLParser(page).css(".ly-stats dt")] == ["Last active", "With us since"]
    assert "777" not in content(page)
    assert "Waiting for reply" not in page
    whole = reading(P.USERS_READ, P.PURCHASES_READ, P.TICKETS_READ).get(f"{USERS}{student.id}").text
    assert words(one(whole, ".ly-stats dd")) == "777 ★"
    assert "Waiting for reply" in words(one(whole, "h1"))


def test_an_author_sees_no_sales_of_lessons_and_courses(
    staff: SignIn, admin: TestClient, db: Session, student: User
) -> None:
    assert P.PURCHASES_READ not in SYSTEM_ROLES[AUTHOR]
    purchase = db.scalars(select(Purchase)).one()
    course = make_course(db, [make_lesson(db)])
    lesson = purchase.lesson_id
    save(db, Purchase(user_id=student.id, course_id=course.id, payment_id="c", amount=888, status="completed"))
    author = staff(AUTHOR)
    for url in ("/dashboard/lessons/", "/dashboard/courses/"):
        assert {"Sales", "Revenue"} < set(heads(admin.get(url).text))
        page = author.get(url, headers={"Accept-Language": "en"}).text
        assert set(heads(page)).isdisjoint({"Sales", "Revenue", "Продажи", "Выручка"})
        assert {"sales", "revenue"}.isdisjoint(file_of(author, f"{url}export.csv"))
        assert ("777" in content(page), "888" in content(page)) == (False, False)
    for url, figure in ((f"/dashboard/lessons/{lesson}", "777"), (f"/dashboard/courses/{course.id}", "1 sale")):
        assert figure in content(admin.get(url).text)
        page = content(author.get(url).text)
        for closed in (figure, "Revenue", "Выручка", "Мельник", "zoya_melnik", "1 sale", "1 продажа"):
            assert closed not in page
    assert (
        "Students who have this course see a new order at once." in author.get(f"/dashboard/courses/{course.id}").text
    )
    assert "1 student has this course" in admin.get(f"/dashboard/courses/{course.id}").text


@pytest.fixture
def promo(db: Session, student: User) -> int:
    """A code with which 555 Stars were paid and 222 taken off."""
    found = make_promo(db, max_uses=5, current_uses=1)
    lesson = make_lesson(db, title="Тень")
    order = make_order(db, student, lesson, subtotal=777, total=555, discount=222, promo_id=found.id, status="paid")
    save(
        db,
        PromoRedemption(
            promo_id=found.id, user_id=student.id, order_id=order.id, state="used", reserved_until=order.expires_at
        ),
    )
    return found.id


def test_a_promo_code_tells_of_students_and_sales_to_those_who_may_see_them(reading: Reading, promo: int) -> None:
    def seen(*rights: Permission) -> tuple[list[str], list[str], set[str]]:
        page = reading(P.PROMO_CODES_READ, *rights).get(f"/dashboard/promo-codes/{promo}").text
        figures = [words(name) for name in HTMLParser(page).css(".ly-stats dt")]
        secrets = {word for word in ("Мельник", "zoya_melnik", "Тень", "555", "222") if word in content(page)}
        return figures, heads(page), secrets

    money = ["Paid with it", "Total discounts"]
    assert seen() == (["Discount", "Used"], ["Status", "When"], set())
    assert seen(P.USERS_READ) == (["Discount", "Used"], ["Student", "Status", "When"], {"Мельник", "zoya_melnik"})
    assert seen(P.PURCHASES_READ) == (
        ["Discount", "Used", *money], ["What", "Discount", "Status", "When"], {"Тень", "555", "222"},
    )  # fmt: skip
    assert seen(P.USERS_READ, P.PURCHASES_READ)[1] == ["Student", "What", "Discount", "Status", "When"]


def test_beside_a_ticket_stands_no_sale(reading: Reading, student: User) -> None:
    url = f"/dashboard/tickets/{student.id}"
    ticket = reading(P.TICKETS_READ).get("/dashboard/tickets/list/").text
    link = str(one(ticket, "#list-rows a").attributes["href"])
    page, whole = (reading(P.TICKETS_READ, *more).get(link).text for more in ((), (P.PURCHASES_READ,)))
    assert url not in page
    assert ("777" in content(page), "777" in content(whole)) == (False, True)


def test_the_desk_names_nobody_by_a_number_in_its_address(reading: Reading, db: Session) -> None:
    stranger = make_user(db, first_name="Тайна", last_name="Чужая")
    for name in ("user_id", "assignee_id"):
        url = f"/dashboard/tickets/?tab=all&{name}={stranger.id}"
        assert "Чужая" not in reading(P.TICKETS_READ).get(url).text
        assert "Чужая" in reading(P.TICKETS_READ, P.USERS_READ).get(url).text


def test_the_overview_links_to_the_sales_of_a_lesson_for_those_who_may_ask_for_it(
    reading: Reading, student: User
) -> None:
    for rights, links in (((P.PURCHASES_READ,), False), ((P.PURCHASES_READ, P.LESSONS_READ), True)):
        page = reading(*rights).get("/dashboard/").text
        assert ("777" in content(page), "lesson_id=" in page) == (True, links)
