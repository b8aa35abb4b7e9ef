"""Files into the lists: dry run and start; nothing that was not shown, nothing of others overwritten."""

import csv
import io
import time
from datetime import UTC, datetime

import pytest
import xlsxwriter
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.core.permissions import SUPPORT
from backend.database.models.courses import Course
from backend.database.models.history import Change, ChangeSet
from backend.database.models.imports import Import
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs import work
from tests.conftest import SignIn
from tests.crm.files import CODES, COURSES, LESSONS, USERS, check, columns, counts, shown, start, table, upload
from tests.crm.pages import one, words
from tests.factories import make_course, make_lesson, make_promo, make_user
from tests.money.till import rows


def test_new_rows_of_a_long_file_are_added_not_changed(reader: TestClient, db: Session, database: Database) -> None:
    for at in range(3):
        make_lesson(db, title=f"Old {at}", price=10)
    lines = [["title", "price"], *([f"Old {at}", "20"] for at in range(3)), *([f"New {at}", "5"] for at in range(220))]
    address = upload(reader, LESSONS, table(*lines))
    check(reader, address)
    checks = one(reader.get(address).text, 'input[name="checks"]').attributes["value"]
    job = reader.post(f"{address}/start", data={"checks": checks}).headers["location"]

    def facts() -> list[tuple[str, str]]:
        found = one(reader.get(job).text, "#job dl")
        return [(words(name), words(value)) for name, value in zip(found.css("dt"), found.css("dd"), strict=True)]

    assert facts() == [("Imported", "0")]
    job_id = work.claim(database, "one")
    assert job_id is not None
    while work.step(database, job_id, "one", 100, time.monotonic()):
        pass
    assert facts() == [("Added", "220"), ("Changed", "3")]
    db.execute(delete(Import))  # forgotten
    db.commit()
    assert facts() == [("Imported", "223")]


@pytest.mark.parametrize("place", [USERS, LESSONS, COURSES, CODES])
def test_every_field_that_a_column_may_be_has_a_name(reader: TestClient, place: str) -> None:
    address = upload(reader, place, table(["a"], ["b"]))
    options = HTMLParser(reader.get(address).text).css("select option")
    assert [(option.attributes["value"], words(option)) for option in options if "value" in option.attributes]
    assert [words(option) for option in options if words(option) == option.attributes["value"]] == []


def test_students_come_in_are_changed_and_stay_the_same(reader: TestClient, db: Session) -> None:
    maria = make_user(db, telegram_id=700_000_001, first_name="Мария", last_name="Ковалёва", username="maria")
    make_user(db, telegram_id=700_000_002, first_name="Пётр", last_name=None, username=None)
    body = table(
        ["Telegram ID", "Имя", "Фамилия", "Ник", "Почта", "Комментарий"],
        ["700000001", "Мария", "Иванова", "@maria", "m@example.org", "x"],
        ["700 000 002", "Пётр", "", "", "", ""],
        ["700000003", "Zoë", "Q", "https://t.me/zoe", "", ""],
        ["abc", "Имя", "", "", "", ""],
        ["700000004", "", "", "", "", ""],
        ["700000003", "Двойник", "", "", "", ""],
        ["700000005", "Почта", "", "", "M@EXAMPLE.ORG", ""],
        ["700000006", "Лишнее", "", "", "", "", "", "ещё"],
    )
    address = upload(reader, USERS, body)
    wanted = ["telegram_id", "first_name", "last_name", "username", "email", "-"]
    assert columns(reader, address) == (wanted, "telegram_id")
    before = rows(db, User.id, User.version)
    assert check(reader, address) == {"New": 1, "Changed": 1, "Unchanged": 1, "Errors": 5}
    assert rows(db, User.id, User.version) == before  # a dry run
    assert shown(reader, address, "changed") == [
        ["2", "700000001", "Last name: Ковалёва → Иванова Email: empty → m@example.org"],
    ]
    assert shown(reader, address, "wrong") == [
        ["5", "abc", "Telegram ID: Enter a whole number."],
        ["6", "700000004", "First name: Fill in this field."],
        ["7", "700000003", "Telegram ID: Duplicate of row 4."],
        ["8", "700000005", "This email is already in use."],
        ["9", "700000006", "This row has more cells than the header."],
    ]
    start(reader, address)
    db.expire_all()
    columns_of = User.telegram_id, User.first_name, User.last_name, User.username, User.email, User.language_code
    assert rows(db, *columns_of)[1:] == [
        (700_000_001, "Мария", "Иванова", "maria", "m@example.org", "en"),
        (700_000_002, "Пётр", None, None, None, "en"),
        (700_000_003, "Zoë", "Q", "zoe", None, "ru"),
    ]
    assert counts(reader, address) == {"Written": 2, "Unchanged": 1, "Errors": 5}
    made = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc()).limit(1)).one()
    assert (made.label, made.actor_id, db.scalar(select(func.count()).where(Change.change_set_id == made.id))) == (
        "import", 1, 2,
    )  # fmt: skip
    # The same file again.
    again = upload(reader, USERS, body)
    assert check(reader, again) == {"Unchanged": 3, "Errors": 5}
    assert "This file changes nothing." in reader.get(again).text
    # And it is undone as a whole.
    assert reader.post(f"/dashboard/history/{made.id}/undo").status_code == 303
    db.expire_all()
    assert [user.telegram_id for user in db.scalars(select(User).order_by(User.id))][1:] == [700_000_001, 700_000_002]
    assert db.get_one(User, maria.id).last_name == "Ковалёва"


def test_the_wrong_rows_can_be_mended_and_come_back(reader: TestClient, db: Session) -> None:
    body = table(
        ["telegram_id", "first_name", "note"], [1, "=1+1", "a,b"], ["x", "Анна"], ["2"], [3, "\0"], [4, "я" * 129]
    )
    address = upload(reader, USERS, body)
    assert check(reader, address) == {"New": 1, "Errors": 4}
    told = reader.get(f"{address}/problems.csv").content.decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(told, newline=""))) == [
        ["telegram_id", "first_name", "note", "Row", "Problem"],
        ["x", "Анна", "", "3", "Telegram ID: Enter a whole number."],
        ["2", "", "", "4", "First name: Fill in this field."],
        ["3", "'\0", "", "5", "First name: This text contains a character that cannot be stored."],
        ["4", "я" * 129, "", "6", "First name: At most 128 characters."],
    ]
    start(reader, address)
    assert rows(db, User.telegram_id, User.first_name)[1:] == [(1, "=1+1")]
    mended = upload(reader, USERS, told.replace("x,Анна", "5,Анна").encode("utf-8-sig"))
    assert columns(reader, mended)[0] == ["telegram_id", "first_name", "-", "-", "-"]
    assert check(reader, mended) == {"New": 1, "Errors": 3}


def test_empty_cells_empty_only_when_asked(reader: TestClient, db: Session) -> None:
    user = make_user(db, telegram_id=5, last_name="Ковалёва", is_active=False)
    address = upload(reader, USERS, table(["telegram_id", "last_name", "first_name"], [5, "", "Мария"]))
    assert check(reader, address) == {"Unchanged": 1}
    assert check(reader, address, clears="true") == {"Changed": 1}
    start(reader, address)
    db.expire_all()
    user = db.get_one(User, user.id)
    assert (user.last_name, user.is_active) == (None, False)


def test_staff_are_never_touched(reader: TestClient, db: Session, staff: SignIn) -> None:
    staff(SUPPORT)
    worker = db.scalars(select(User).order_by(User.id.desc()).limit(1)).one()
    worker.telegram_id = 77
    db.commit()
    address = upload(reader, USERS, table(["telegram_id", "first_name"], [77, "Взломщик"]))
    assert check(reader, address) == {"Errors": 1}
    assert shown(reader, address, "wrong")[0][2] == "This person is on staff and cannot be changed by an import."
    # Nor does a row that was checked before they were hired.
    student = make_user(db, telegram_id=78, first_name="Была")
    address = upload(reader, USERS, table(["telegram_id", "first_name"], [78, "Взломщик"]))
    assert check(reader, address)["Changed"] == 1
    student.role_id = worker.role_id
    db.commit()
    start(reader, address)
    assert counts(reader, address) == {"Rejected": 1}
    db.expire_all()
    assert db.get_one(User, student.id).first_name == "Была"


def test_what_someone_changed_since_the_check_is_reported_and_kept(reader: TestClient, db: Session) -> None:
    ids = [make_promo(db, code=f"C{n}", discount_percent=10).id for n in range(4)]
    body = table(["code", "discount_percent"], *([f"C{n}", 20] for n in range(4)), ["NEW", 5])
    address = upload(reader, CODES, body)
    assert check(reader, address) == {"New": 1, "Changed": 4}
    db.get_one(PromoCode, ids[0]).discount_percent = 15  # not what was shown as "before"
    db.get_one(PromoCode, ids[1]).discount_percent = 20  # what the file wants
    db.get_one(PromoCode, ids[2]).max_uses = 3  # something else
    db.delete(db.get_one(PromoCode, ids[3]))
    make_promo(db, code="new", discount_percent=7)
    db.commit()
    start(reader, address)
    db.expire_all()
    assert rows(db, PromoCode.code, PromoCode.discount_percent) == [("C0", 15), ("C1", 20), ("C2", 20), ("new", 7)]
    why = "Someone has changed this record since the check."
    assert shown(reader, address, "refused") == [
        ["2", "C0", why],
        ["3", "C1", why],
        ["5", "C3", why],
        ["6", "NEW", why],
    ]
    assert [row[1] for row in shown(reader, address, "done")] == ["C2"]
    told = reader.get(f"{address}/problems.csv").text
    assert told.count(why) == 4


def test_promo_codes_keep_the_rules_of_their_form(reader: TestClient, db: Session) -> None:
    db.get_one(User, 1).timezone = "Europe/Moscow"
    db.commit()
    make_promo(db, code="Used", discount_percent=10, max_uses=5, current_uses=3)
    body = table(
        ["Промокод", "Скидка", "Звёзды", "Лимит", "Срок", "Действует"],
        ["used", 10, "", 2, "", ""],
        ["USED2", 20, "", 100, "31.12.2026 18:00", "да"],
        ["zero", 0, "", "", "", ""],
        ["two words", 10, "", "", "", ""],
        ["much", 101, "", "", "", ""],
        ["when", 10, "", "", "tomorrow", ""],
        ["flag", 10, "", "", "", "perhaps"],
        ["iso", "10%", "1 200 ★", "", "2026-12-31T18:00:00Z", "нет"],
    )
    address = upload(reader, CODES, body)
    assert check(reader, address) == {"New": 2, "Errors": 6}
    assert [row[1:] for row in shown(reader, address, "wrong")] == [
        ["used", "Max uses: It has been used 3 times already."],
        ["zero", "Discount, %: Enter a percentage, an amount, or both."],
        ["two words", "Code: A code is one word, without spaces."],
        ["much", "Discount, %: Must be at most 100."],
        ["when", "Valid until: Enter a date and time."],
        ["flag", "Is active: Must be yes or no."],
    ]
    start(reader, address)
    shape = PromoCode.code, PromoCode.discount_percent, PromoCode.discount_amount, PromoCode.expires_at
    assert rows(db, *shape, PromoCode.is_active, PromoCode.code_key)[1:] == [
        ("USED2", 20, None, datetime(2026, 12, 31, 15, tzinfo=UTC), True, "used2"),
        ("iso", 10, 1200, datetime(2026, 12, 31, 18, tzinfo=UTC), False, "iso"),
    ]


def test_lessons_and_courses_go_by_number_or_by_title(reader: TestClient, db: Session) -> None:
    light, twin = make_lesson(db, title="Свет из окна", price=100), make_lesson(db, title="Двойник")
    make_lesson(db, title="двойник")
    by_id = table(
        ["id", "title", "price"], [light.id, "Свет", 150], ["", "Тень", 90], [999, "Нет", 1], ["", "Даром", ""]
    )
    address = upload(reader, LESSONS, by_id)
    assert columns(reader, address)[1] == "id"
    assert check(reader, address) == {"New": 1, "Changed": 1, "Errors": 2}
    assert [row[2] for row in shown(reader, address, "wrong")] == [
        "Lesson 999 no longer exists.", "Price: Fill in this field.",
    ]  # fmt: skip
    start(reader, address)
    by_title = table(
        ["Название", "Цена", "Бесплатно"], ["СВЕТ", 160, ""], ["тень ", 90, ""], ["Даром", "", "да"], ["Двойник", 1, ""]
    )
    address = upload(reader, LESSONS, by_title)
    assert columns(reader, address) == (["title", "price", "is_free"], "title")
    assert check(reader, address) == {"New": 1, "Changed": 1, "Unchanged": 1, "Errors": 1}
    assert "Several records have this name." in shown(reader, address, "wrong")[0][2]
    start(reader, address)
    assert rows(db, Lesson.title, Lesson.price, Lesson.is_free) == [
        ("Свет", 160, False), (twin.title, 100, False), ("двойник", 100, False), ("Тень", 90, False),
        ("Даром", 0, True),
    ]  # fmt: skip

    make_course(db, [light], title="Портрет", total_price=300, discount_price=250)
    body = table(["title", "total_price", "discount_price"], ["Портрет", 200, ""], ["Пейзаж", 500, 400])
    address = upload(reader, COURSES, body)
    assert check(reader, address) == {"New": 1, "Errors": 1}
    assert "higher than the full price" in shown(reader, address, "wrong")[0][2]
    assert check(reader, address, clears="true") == {"New": 1, "Changed": 1}
    start(reader, address)
    assert rows(db, Course.title, Course.total_price, Course.discount_price) == [
        ("Портрет", 200, None), ("Пейзаж", 500, 400),
    ]  # fmt: skip


def test_what_our_export_writes_comes_back_unchanged(reader: TestClient, db: Session) -> None:
    when = datetime(2027, 1, 1, 10, 20, 30, 400, tzinfo=UTC)
    make_promo(db, code="+PLUS", discount_percent=0, discount_amount=5, expires_at=when)
    make_user(db, first_name="-Анна", last_name="=1", source="ad")
    for folder, place in (("promo-codes", CODES), ("users", USERS)):
        exported = reader.get(f"/dashboard/{folder}/export.csv").content
        assert check(reader, upload(reader, place, exported)) == {"Unchanged": 1}


def test_a_workbook_is_read_like_a_csv(reader: TestClient, db: Session) -> None:
    body = io.BytesIO()
    book = xlsxwriter.Workbook(body)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["Код", "Скидка, %", "Действует до"])
    sheet.write_row(1, 0, ["NY", 25])
    sheet.write_datetime(1, 2, datetime(2027, 1, 1), book.add_format({"num_format": "dd.mm.yyyy"}))  # noqa: DTZ001 - Excel knows no zones
    book.close()
    address = upload(reader, CODES, body.getvalue(), "коды.xlsx")
    assert check(reader, address, columns=["code", "discount_percent", "expires_at"]) == {"New": 1}
    start(reader, address)
    assert rows(db, PromoCode.code, PromoCode.expires_at) == [("NY", datetime(2027, 1, 1, tzinfo=UTC))]
