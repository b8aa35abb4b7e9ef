"""Students in the CRM: the list, one person's page, corrections and their undo."""

import csv
import io
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, SUPPORT
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.factories import make_lesson, make_purchase, make_ticket, make_user

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
EN = {"Accept-Language": "en"}


def names(page: str) -> list[str]:
    return [link.text() for link in HTMLParser(page).css("tbody .ly-person a")]


def form(**changes: str) -> dict[str, str]:
    return {"first_name": "Мария", "last_name": "Ковалёва", "is_active": "on", "version": "1"} | changes


def test_the_list_shows_students_with_what_they_spent(admin: TestClient, db: Session) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ковалёва", username="masha")
    make_purchase(db, maria, make_lesson(db), amount=120)
    make_purchase(db, maria, make_lesson(db), amount=80)
    make_purchase(db, maria, make_lesson(db), amount=999, is_test=True)

    page = admin.get("/dashboard/users/", headers=EN)

    row = HTMLParser(page.text).css_first(f"#user-{maria.id}")
    cells = [" ".join(cell.text().split()).replace("\xa0", " ") for cell in row.css("td")]
    assert cells[:4] == ["МК Мария Ковалёва@masha".replace("МК ", "МК"), "Active", "3", "200 ★"]
    assert "Анна" not in page.text.split("<tbody")[1].split("</tbody")[0]  # staff are not students


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ковалева", ["Мария Ковалёва"]),
        ("bought=yes", ["Мария Ковалёва"]),
        ("bought=no", ["Тимур Сафин"]),
        ("purchases_min=1", ["Мария Ковалёва"]),
        ("purchases_max=0", ["Тимур Сафин"]),
        ("spent_min=100&spent_max=100", ["Мария Ковалёва"]),
        ("spent_min=101", []),
        ("username=no", ["Тимур Сафин"]),
        ("username=yes", ["Мария Ковалёва"]),
        ("sort=-spent", ["Мария Ковалёва", "Тимур Сафин"]),
        ("sort=purchases", ["Тимур Сафин", "Мария Ковалёва"]),
        ("waiting=true", ["Тимур Сафин"]),
        ("is_active=false", []),
        ("sort=name", ["Мария Ковалёва", "Тимур Сафин"]),
        ("sort=-name", ["Тимур Сафин", "Мария Ковалёва"]),
        ("q=&bought=&is_active=", ["Тимур Сафин", "Мария Ковалёва"]),
    ],
)
def test_filters_and_sorts(admin: TestClient, db: Session, query: str, found: list[str]) -> None:
    make_purchase(db, make_user(db, first_name="Мария", last_name="Ковалёва"), make_lesson(db))
    make_ticket(db, make_user(db, first_name="Тимур", last_name="Сафин", username=None))

    assert names(admin.get(f"/dashboard/users/?{query}").text) == found


def test_a_partial_request_gets_the_table_and_everyone_else_a_page(admin: TestClient, db: Session) -> None:
    make_user(db)

    fragment = admin.get("/dashboard/users/?q=мария", headers=HTMX)
    page = admin.get("/dashboard/users/?q=мария")

    assert "<html" not in fragment.text
    assert fragment.text.count("<tr id=") == 1
    assert "<html" in page.text
    assert "HX-Request-Type" in fragment.headers["Vary"]
    row = fragment.text[fragment.text.index('<tr id="user') : fragment.text.index("</tbody>")]
    assert row.split("data-")[0] in page.text


def test_an_empty_school_and_an_empty_search_differ(admin: TestClient) -> None:
    assert "No students yet" in admin.get("/dashboard/users/", headers=EN).text
    assert "No results" in admin.get("/dashboard/users/?q=zzz", headers=EN).text


def test_csv_is_what_is_on_the_screen_and_runs_nothing(admin: TestClient, db: Session) -> None:
    make_user(db, first_name="=cmd()", last_name="+7", username="masha", telegram_id=5)
    make_user(db, first_name="Тимур")

    answer = admin.get("/dashboard/users/export.csv?q=masha")

    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["first_name"], row["last_name"], row["telegram_id"]) for row in rows] == [("'=cmd()", "'+7", "5")]
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"


def test_csv_holds_more_than_a_page(admin: TestClient, db: Session) -> None:
    for _ in range(53):
        make_user(db)

    text = admin.get("/dashboard/users/export.csv?sort=name&cursor=x").content.decode("utf-8-sig")

    assert len(list(csv.DictReader(io.StringIO(text)))) == 53


def test_students_who_joined_on_a_day_of_the_readers_clock(admin: TestClient, db: Session) -> None:
    early = make_user(db, first_name="Early", last_name=None, created_at=datetime(2026, 3, 4, 20, 59, tzinfo=UTC))
    late = make_user(db, first_name="Late", last_name=None, created_at=datetime(2026, 3, 4, 21, tzinfo=UTC))
    db.get_one(User, 1).timezone = "Europe/Moscow"
    db.commit()

    def joined(query: str) -> list[str]:
        return names(admin.get(f"/dashboard/users/?{query}").text)

    assert joined("joined_since=2026-03-05") == [late.first_name]
    assert joined("joined_until=2026-03-04") == [early.first_name]
    assert joined("joined_since=2026-03-04T20:59:00Z&joined_until=2026-03-04T21:00:00Z") == [early.first_name]
    assert admin.get("/dashboard/users/?joined_since=2026-13-05").status_code == 422


def test_one_page_shows_purchases_tickets_and_history(admin: TestClient, db: Session) -> None:
    maria = make_user(db)
    make_purchase(db, maria, make_lesson(db, title="Лицо в тени"))
    make_ticket(db, maria, subject="Списали дважды")
    admin.post(f"/dashboard/users/{maria.id}", data=form(first_name="Марина"))

    page = HTMLParser(admin.get(f"/dashboard/users/{maria.id}", headers=EN).text)

    assert page.css_first("#purchases").text() == "Purchases"
    assert page.css_first("table a").text() == "Лицо в тени"
    assert page.css_first("section[aria-labelledby=tickets] a.d-block").text() == "Списали дважды"
    diff = page.css_first(".ly-diff")
    assert (diff.css_first("dt").text(), diff.css_first("del").text(), diff.css_first("ins").text()) == (
        "First name",
        "Мария",
        "Марина",
    )


def test_a_correction_is_saved_and_can_be_undone(admin: TestClient, db: Session) -> None:
    maria = make_user(db)

    saved = admin.post(f"/dashboard/users/{maria.id}", data=form(last_name="", email="m@example.com"))

    assert (saved.status_code, saved.headers["Location"]) == (303, f"/dashboard/users/{maria.id}")
    db.refresh(maria)
    assert (maria.last_name, maria.email) == (None, "m@example.com")
    page = HTMLParser(admin.get(f"/dashboard/users/{maria.id}").text)
    undo = page.css_first("[data-undo] form").attributes["action"]
    assert admin.post(str(undo), data={"next": "/dashboard/users/"}).headers["Location"] == "/dashboard/users/"
    db.refresh(maria)
    assert (maria.last_name, maria.email) == ("Ковалёва", None)


def test_a_wrong_form_keeps_what_was_typed(admin: TestClient, db: Session) -> None:
    maria = make_user(db)

    answer = admin.post(
        f"/dashboard/users/{maria.id}",
        data=form(first_name=" ", last_name="Новая", email="не почта"),
        headers=HTMX | EN,
    )

    page = HTMLParser(answer.text)
    assert answer.status_code == 422
    assert page.css_first("#last_name").attributes["value"] == "Новая"
    assert page.css_first("#email").attributes["value"] == "не почта"
    assert page.css_first("#first_name-error").text().strip() == "Fill in this field."
    assert page.css_first("#email").attributes["aria-invalid"] == "true"


def test_a_stale_form_overwrites_nobody(admin: TestClient, db: Session) -> None:
    maria = make_user(db, username=None)
    admin.post(f"/dashboard/users/{maria.id}", data=form(first_name="Марина"))

    answer = admin.post(f"/dashboard/users/{maria.id}", data=form(first_name="Маша"))

    assert answer.status_code == 409
    both = [str(box.attributes["value"]) for box in HTMLParser(answer.text).css("#user-conflict [type=radio]")]
    assert both == ["Маша", "Марина"]
    db.refresh(maria)
    assert (maria.first_name, maria.version) == ("Марина", 2)
    chosen = {field.attributes["name"]: field.attributes["value"] or "" for field in hidden(answer.text)}
    saved = admin.post(f"/dashboard/users/{maria.id}", data=chosen | {"first_name": "Маша"})
    assert saved.status_code == 303
    db.refresh(maria)
    assert (maria.first_name, maria.last_name, maria.is_active) == ("Маша", "Ковалёва", True)


def hidden(page: str) -> list[LexborNode]:
    return HTMLParser(page).css("#user-conflict input[type=hidden]")


def test_a_stale_form_that_says_the_same_is_saved(admin: TestClient, db: Session) -> None:
    maria = make_user(db)
    admin.post(f"/dashboard/users/{maria.id}", data=form(first_name="Марина", username="m"))

    again = admin.post(f"/dashboard/users/{maria.id}", data=form(first_name="Марина", username="m"))

    assert again.status_code == 303


def test_a_taken_e_mail_is_told_at_the_field(admin: TestClient, db: Session) -> None:
    make_user(db, email="Taken@example.org")
    maria = make_user(db, email="own@example.org")

    answer = admin.post(f"/dashboard/users/{maria.id}", data=form(email="taken@example.org"), headers=EN)

    page = HTMLParser(answer.text)
    assert answer.status_code == 422
    assert page.css_first("#email-error").text().strip() == "This email is already in use."
    assert page.css_first("#email").attributes["value"] == "taken@example.org"
    assert admin.post(f"/dashboard/users/{maria.id}", data=form(email="OWN@example.org")).status_code == 303


def test_access_is_what_the_button_says_however_often_it_is_pressed(admin: TestClient, db: Session) -> None:
    maria = make_user(db)
    url = f"/dashboard/users/{maria.id}/toggle"

    for sent, active in ((None, False), (None, False), ({"is_active": "true"}, True), ({"is_active": "true"}, True)):
        assert admin.post(url, data=sent).status_code == 303
        db.refresh(maria)
        assert maria.is_active is active


def test_access_is_closed_by_one_row_and_opened_by_undo(admin: TestClient, db: Session) -> None:
    maria = make_user(db)

    answer = admin.post("/dashboard/users/bulk", data={"verb": "close_access", "ids": str(maria.id)}, headers=HTMX | EN)

    assert f'<tr id="user-{maria.id}" data-not="close_access">' in answer.text
    assert "Access closed" in answer.text
    assert "data-undo" in answer.text
    db.refresh(maria)
    assert maria.is_active is False
    undo = HTMLParser(answer.text).css_first("[data-undo] form").attributes["action"]
    admin.post(str(undo))
    db.refresh(maria)
    assert maria.is_active is True


def test_a_student_is_added_deleted_and_restored(admin: TestClient, db: Session) -> None:
    made = admin.post("/dashboard/users/", data={"telegram_id": "42", "first_name": "Новый", "language_code": "ru"})
    student = db.scalars(select(User).where(User.telegram_id == 42)).one()
    assert made.headers["Location"] == f"/dashboard/users/{student.id}"

    admin.post(f"/dashboard/users/{student.id}/delete")
    assert db.scalar(select(func.count()).where(User.telegram_id == 42)) == 0

    listing = HTMLParser(admin.get("/dashboard/users/").text)
    admin.post(str(listing.css_first("[data-undo] form").attributes["action"]))
    back = db.scalars(select(User).where(User.telegram_id == 42), execution_options={"populate_existing": True}).one()
    assert (back.id, back.first_name) == (student.id, "Новый")


def test_a_known_telegram_id_is_told_at_the_field(admin: TestClient, db: Session) -> None:
    make_user(db, telegram_id=42)

    answer = admin.post(
        "/dashboard/users/", data={"telegram_id": "42", "first_name": "Новый", "language_code": "ru"}, headers=EN
    )

    page = HTMLParser(answer.text)
    assert answer.status_code == 422
    assert page.css_first("#telegram_id-error").text().strip() == "This Telegram ID is already in use."


def test_a_buyer_is_not_deleted(admin: TestClient, db: Session) -> None:
    maria = make_user(db)
    make_purchase(db, maria, make_lesson(db))

    answer = admin.post(f"/dashboard/users/{maria.id}/delete", headers=EN)

    assert answer.status_code == 409
    assert "close their access instead of deleting" in answer.text


def test_who_may_only_look_changes_nothing(staff: SignIn, db: Session) -> None:
    maria = make_user(db)
    support = staff(SUPPORT)

    page = support.get(f"/dashboard/users/{maria.id}")
    assert page.status_code == 200
    assert "/edit" not in page.text
    assert support.post(f"/dashboard/users/{maria.id}/toggle").status_code == 403
    assert staff(AUTHOR).get("/dashboard/users/").status_code == 403


def test_staff_are_not_reached_through_students(admin: TestClient) -> None:
    assert admin.get("/dashboard/users/1").status_code == 404
    assert admin.post("/dashboard/users/1/delete").status_code == 404


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_and_the_page_cost_the_same_whatever_the_rows(
    admin: TestClient, db: Session, queries: list[str], count: int
) -> None:
    for _ in range(count):
        maria = make_user(db)
        make_ticket(db, maria)
        for _ in range(count):
            make_purchase(db, maria, make_lesson(db))
    admin.get("/dashboard/users/")
    queries.clear()

    admin.get("/dashboard/users/")
    assert len(queries) == 2  # the session; the page with its count

    queries.clear()
    admin.get(f"/dashboard/users/{maria.id}")
    assert len(queries) == 14
