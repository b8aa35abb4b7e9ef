"""The form of a lesson: errors at fields, two editors at once, the preview."""

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.lessons import Lesson
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, errors, one, same
from tests.factories import make_lesson

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


def stored(db: Session, lesson_id: int) -> Lesson:
    return db.get_one(Lesson, lesson_id, populate_existing=True)


def test_creates_a_lesson_and_can_undo_it(admin: TestClient, db: Session) -> None:
    answer = admin.post(URL, data=FORM)

    lesson = db.scalars(select(Lesson)).one()
    assert (answer.status_code, answer.headers["location"]) == (303, f"{URL}{lesson.id}")
    assert (lesson.title, lesson.price, lesson.text_content, lesson.is_active, lesson.is_free) == (
        "Свет",
        100,
        "Текст",
        True,
        False,
    )
    page = admin.get(answer.headers["location"]).text
    assert one(page, "[data-toast] p").text() == "Lesson created"
    undo = one(page, "[data-toast] form").attributes["action"]
    assert admin.post(undo or "").status_code == 303
    db.expire_all()
    assert db.scalars(select(Lesson)).all() == []


def test_a_wrong_form_keeps_what_was_typed(admin: TestClient, db: Session) -> None:
    sent = FORM | {
        "title": " ",
        "price": "199,5",
        "text_content": "<b>мой текст</b>",
        "is_free": "",
        "is_active": "",
    }

    answer = admin.post(URL, data=sent, headers=PARTIAL)

    assert answer.status_code == 422
    assert errors(answer.text) == {"title": "Fill in this field.", "price": "Enter a whole number."}
    assert one(answer.text, "#price").attributes["value"] == "199,5"
    assert one(answer.text, "#price").attributes["aria-invalid"] == "true"
    assert one(answer.text, "#text_content").text().strip() == "<b>мой текст</b>"
    assert "checked" not in one(answer.text, "#is_active").attributes
    assert db.scalars(select(Lesson)).all() == []


def test_without_script_the_whole_page_comes_back(admin: TestClient) -> None:
    answer = admin.post(URL, data=FORM | {"title": ""})

    assert (answer.status_code, one(answer.text, "h1").text()) == (422, "New lesson")
    fragment = admin.post(URL, data=FORM | {"title": ""}, headers=PARTIAL).text.strip()
    assert same(fragment) in same(answer.text)


def test_edits_a_lesson(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Гаммы", price=120, text_content="a\nb")
    url = f"{URL}{lesson.id}"

    form = admin.get(url + "/edit").text
    version = one(form, "input[name=version]").attributes["value"]
    sent = FORM | {
        "title": "Арпеджио",
        "price": "",
        "is_free": "true",
        "is_active": "",
        "text_content": "a\r\nb",
    }
    answer = admin.post(url, data=sent | {"version": version})

    changed = stored(db, lesson.id)
    assert answer.status_code == 303
    assert (changed.title, changed.price, changed.is_free, changed.is_active) == (
        "Арпеджио",
        0,
        True,
        False,
    )
    assert changed.text_content == "a\nb"


@pytest.mark.parametrize(
    "sent",
    [
        {"price": str(2**70)},
        {"title": "x" * 201},
        {"text_content": "x" * 20_001},
        {"media_id": "99"},
        {"media_id": "0"},
        {"media_id": "\u0663"},
        {"version": "x"},
        {"unknown": "1"},
    ],
)
def test_odd_input_is_a_422(admin: TestClient, db: Session, sent: dict[str, str]) -> None:
    lesson = make_lesson(db)

    assert admin.post(URL, data=FORM | sent).status_code == 422
    assert admin.post(f"{URL}{lesson.id}", data=FORM | sent).status_code == 422


def test_a_stale_form_shows_both_values_and_saves_the_choice(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Гаммы", price=120, description="Old", text_content="Текст")
    url = f"{URL}{lesson.id}"
    admin.post(url, data=FORM | {"title": "Их", "price": "150", "description": "Old"})

    mine = FORM | {"title": "Моё", "price": "120", "description": "Mine", "version": "1"}
    answer = admin.post(url, data=mine, headers=PARTIAL)

    assert answer.status_code == 409
    choice = {
        (node.attributes["name"], node.attributes["value"], "checked" in node.attributes)
        for node in HTMLParser(answer.text).css("input[type=radio]")
    }
    # The price was changed by the other person only, so theirs is chosen already.
    assert choice == {
        ("title", "Моё", True),
        ("title", "Их", False),
        ("price", "120", False),
        ("price", "150", True),
        ("description", "Mine", True),
        ("description", "Old", False),
    }
    kept = {
        node.attributes["name"]: node.attributes["value"] or ""
        for node in HTMLParser(answer.text).css("input[type=hidden]")
    }
    assert kept["version"] == "2"
    chosen = {name: value for name, value, checked in choice if checked}
    assert admin.post(url, data={k: v for k, v in (kept | chosen).items() if k}).status_code == 303
    saved = stored(db, lesson.id)
    assert (saved.title, saved.price, saved.description, saved.text_content) == (
        "Моё",
        150,
        "Mine",
        "Текст",
    )


def test_a_stale_form_that_says_the_same_is_saved(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    url = f"{URL}{lesson.id}"
    admin.post(url, data=FORM)

    assert admin.post(url, data=FORM | {"version": "1"}).status_code == 303


# -- preview


def test_the_preview_shows_what_telegram_will(admin: TestClient) -> None:
    sent = {
        "title": "Свет из окна: портрет дома за один вечер",
        "price": "199",
        "text_content": "**Боком** к свету",
    }

    page = admin.post(URL + "preview", data=sent, headers=PARTIAL).text

    assert one(page, ".ly-bubble b").text() == "Свет из окна: портрет дома за о…"
    assert one(page, ".is-pay").text().split() == ["Pay", "★", "199"]
    assert one(page, ".ly-prose strong").text() == "Боком"
    assert "hx-ignore" in one(page, ".ly-prose").attributes


def test_a_free_lesson_has_no_price_in_the_preview(admin: TestClient) -> None:
    page = admin.post(URL + "preview", data={"title": "x", "price": "199", "is_free": "true"}).text

    assert HTMLParser(page).css(".is-pay") == []


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[x](javascript:alert(1))",
        '<div hx-get="/logout" hx-trigger="load">',
        "![x](http://evil/a.png)",
    ],
)
def test_the_preview_runs_nothing(admin: TestClient, db: Session, hostile: str) -> None:
    lesson = make_lesson(db, title=hostile, description=hostile, text_content=hostile)
    sent = {
        "title": hostile,
        "description": hostile,
        "text_content": hostile,
        "price": hostile[:20],
    }

    for page in (admin.post(URL + "preview", data=sent).text, admin.get(f"{URL}{lesson.id}").text):
        body = HTMLParser(page).css_first("main") or HTMLParser(page)
        assert [node.html for node in body.css("script, img, [onerror], [hx-get], a[href^=javascript]")] == []
