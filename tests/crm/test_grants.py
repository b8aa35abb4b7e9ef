"""A lesson or a course given by hand: who may, what the student gets and hears, how it is taken back."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.crud.history import HistoryCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, errors, one, same, words
from tests.factories import make_course, make_lesson, make_purchase, make_user
from tests.money.till import books_are_right

Page = TestClient


@pytest.fixture
def maria(db: Session) -> User:
    return make_user(db, telegram_id=418220907, language_code="ru")


def offered(page: str) -> list[str]:
    return [words(option) for option in one(page, "#thing").css("option")[1:]]


def give(browser: TestClient, user: User, thing: str, reason: str = "Приз", **headers: str) -> str:
    answer = browser.post(f"/dashboard/users/{user.id}/grant", data={"thing": thing, "reason": reason}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/dashboard/users/{user.id}")
    return answer.headers["location"]


def test_a_lesson_is_given_and_the_student_hears_of_it(admin: Page, bot: TestClient, db: Session, maria: User) -> None:
    lesson = make_lesson(db, title="Свет из окна")
    content = f"/api/users/{maria.id}/lessons/{lesson.id}/content"
    assert bot.get(content).json()["error"]["code"] == "not_entitled"

    give(admin, maria, f"lesson:{lesson.id}", "Победила в конкурсе")

    purchase = db.scalars(select(Purchase)).one()
    assert (purchase.user_id, purchase.lesson_id, purchase.amount) == (maria.id, lesson.id, 0)
    assert (purchase.status, purchase.reason, purchase.payment_id[:6]) == ("completed", "Победила в конкурсе", "grant:")
    assert bot.get(content).json()["text_content"] == "Текст"
    (news,) = db.scalars(select(Dispatch)).all()
    assert (news.chat_id, news.params["text"]) == (418220907, "Школа открыла вам «Свет из окна».")
    entry = HistoryCRUD(db).of_record("purchases", purchase.id)[0]
    assert (entry.change_set.label, entry.change_set.door, entry.changes[0].after["reason"]) == (
        "grant",
        "web",
        "Победила в конкурсе",
    )
    books_are_right(db)


def test_a_course_opens_its_lessons_and_is_taken_back(sign_in: SignIn, bot: TestClient, db: Session) -> None:
    admin, maria = english_admin(sign_in, db), make_user(db)
    lesson = make_lesson(db)
    course = make_course(db, [lesson], title="Портрет")
    page = give(admin, maria, f"course:{course.id}")
    content = f"/api/users/{maria.id}/lessons/{lesson.id}/content"
    assert bot.get(content).status_code == 200

    form = one(admin.get(page).text, "section[aria-labelledby=purchases] form")
    assert words(form) == "Revoke Портрет"
    fields = {str(field.attributes["name"]): str(field.attributes["value"]) for field in form.css("input")}
    back = admin.post(str(form.attributes["action"]), data=fields)

    assert back.headers["location"] == f"{page}#purchases"
    assert bot.get(content).json()["error"]["code"] == "not_entitled"
    assert words(one(admin.get(page).text, "[id^=purchase-] .badge")) == "Revoked"
    give(admin, maria, f"course:{course.id}")  # and may be given again
    assert bot.get(content).status_code == 200
    books_are_right(db)


def test_only_what_the_student_cannot_open_is_offered(admin: Page, db: Session, maria: User) -> None:
    bought, inside = make_lesson(db, title="Bought"), make_lesson(db, title="Inside")
    make_lesson(db, title="Free", is_free=True)
    make_lesson(db, title="Draft", is_active=False)
    make_lesson(db, title="Apart")
    course = make_course(db, [inside], title="Course")
    make_purchase(db, maria, bought)
    url = f"/dashboard/users/{maria.id}/grant"
    headers = {"Accept-Language": "en"}
    assert offered(admin.get(url, headers=headers).text) == [
        "Course", "Apart", "Draft (hidden)", "Inside",
    ]  # fmt: skip

    give(admin, maria, f"course:{course.id}")

    assert offered(admin.get(url, headers=headers).text) == ["Apart", "Draft (hidden)"]


@pytest.mark.parametrize(
    ("thing", "reason", "wrong"),
    [
        ("", "", {"thing": "Fill in this field.", "reason": "Fill in this field."}),
        ("lesson:999", "x", {"thing": "Lesson 999 no longer exists."}),
        ("course:999", "x", {"thing": "Course 999 no longer exists."}),
        ("lesson:1 OR 1=1", "x", {"thing": "Invalid format."}),
        ("lesson:" + "9" * 30, "x", {"thing": "Invalid format."}),
        ("lesson:1", "я" * 501, {"reason": "At most 500 characters."}),
    ],
)
def test_a_wrong_form_says_what_is_wrong_and_keeps_the_rest(
    sign_in: SignIn, db: Session, thing: str, reason: str, wrong: dict[str, str]
) -> None:
    admin, maria = english_admin(sign_in, db), make_user(db)
    lesson = make_lesson(db)
    thing = thing.replace("lesson:1", f"lesson:{lesson.id}") if thing == "lesson:1" else thing
    url, sent = f"/dashboard/users/{maria.id}/grant", {"thing": thing, "reason": reason}

    part, page = admin.post(url, data=sent, headers=PARTIAL), admin.post(url, data=sent)

    assert (part.status_code, page.status_code) == (422, 422)
    assert errors(part.text) == wrong
    assert same(part.text).strip() in same(page.text)
    assert words(one(page.text, "#reason")) == reason
    assert db.scalars(select(Purchase)).all() == []


def test_what_the_student_owns_is_not_given_twice(sign_in: SignIn, db: Session) -> None:
    admin, maria = english_admin(sign_in, db), make_user(db)
    lesson = make_lesson(db)
    make_purchase(db, maria, lesson)

    sent = {"thing": f"lesson:{lesson.id}", "reason": "x"}
    answer = admin.post(f"/dashboard/users/{maria.id}/grant", data=sent)

    assert (answer.status_code, errors(answer.text)) == (422, {"thing": "This person already has it."})
    assert len(db.scalars(select(Purchase)).all()) == 1


def test_who_may_give(staff: SignIn, admin: Page, db: Session, maria: User) -> None:
    lesson = make_lesson(db)
    sent = {"thing": f"lesson:{lesson.id}", "reason": "x"}
    for role, status in ((SUPPORT, 403), (AUTHOR, 403), (MANAGER, 303)):
        person = staff(role)
        assert person.post(f"/dashboard/users/{maria.id}/grant", data=sent).status_code == status, role
    page = staff(SUPPORT).get(f"/dashboard/users/{maria.id}").text
    assert "/grant" not in page
    assert "/revoke" not in page
    assert admin.get("/dashboard/users/1/grant").status_code == 404  # staff are not students


@pytest.mark.parametrize("count", [1, 3])
def test_the_form_costs_the_same_whatever_is_offered(
    admin: Page, db: Session, maria: User, queries: list[str], count: int
) -> None:
    for _ in range(count):
        make_course(db, [make_lesson(db)])
    admin.get("/dashboard/users/")
    queries.clear()
    admin.get(f"/dashboard/users/{maria.id}/grant")
    assert len(queries) == 5  # the session, the student, the student's role, lessons, courses
