"""Lessons over JSON: the contract's fields, who sees the content, what is refused and how."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.api.lessons import content_router, router
from backend.core.permissions import Permission
from backend.database.models.history import Change
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from tests.conftest import Api
from tests.factories import make_course, make_lesson, make_order, make_purchase, make_user, save

OWN_QUERIES = 1  # the token with its rights


@pytest.fixture
def author(api: Api) -> TestClient:
    return api("lessons:read", "lessons:write")


@pytest.fixture
def reader(api: Api) -> TestClient:
    return api("lessons:read")


def make_media(db: Session, **fields: Any) -> Media:
    values = {
        "path": "tokEn_1.mp4",
        "filename": "Урок.mp4",
        "mime": "video/mp4",
        "size": 10,
        "sha256": "a" * 64,
    }
    media = Media(**values | fields)
    save(db, media)
    return media


def error(answer: Any) -> tuple[int, str, dict[str, str]]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], told.get("fields", {})


def test_creates_a_lesson_with_the_fields_of_the_contract(author: TestClient, db: Session) -> None:
    sent = {
        "title": " Свет из окна ",
        "description": "Портрет",
        "price": 199,
        "text_content": "**Боком**",
    }

    answer = author.post("/api/lessons", json=sent)

    made = answer.json()
    times = made.pop("created_at"), made.pop("updated_at")
    assert answer.status_code == 201
    assert made == {
        "id": 1,
        "title": "Свет из окна",
        "description": "Портрет",
        "price": 199,
        "is_free": False,
        "is_active": True,
        "has_text": True,
        "has_video": False,
        "version": 1,
        "video_path": None,
        "text_content": "**Боком**",
        "media_id": None,
    }
    assert all(moment.endswith("Z") for moment in times)
    assert db.scalars(select(Lesson.search_key)).all() == [" свет из окна \x01 svet iz okna "]


def test_a_free_lesson_needs_no_price(author: TestClient) -> None:
    assert author.post("/api/lessons/", json={"title": "Scales", "is_free": True}).json()["price"] == 0
    assert error(author.post("/api/lessons/", json={"title": "Scales"})) == (
        422,
        "validation",
        {"price": "Fill in this field."},
    )


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"price": 1}, {"title": "Fill in this field."}),
        ({"title": " ", "price": 1}, {"title": "Fill in this field."}),
        ({"title": "x" * 201, "price": 1}, {"title": "At most 200 characters."}),
        ({"title": "x", "price": -1}, {"price": "Must be at least 0."}),
        ({"title": "x", "price": 1.5}, {"price": "Enter a whole number."}),
        ({"title": "x", "price": 2**63}, {"price": "Must be at most 1000000."}),
        (
            {"title": "x\0", "price": 1},
            {"title": "This text contains a character that cannot be stored."},
        ),
        ({"title": "x", "price": 1, "is_admin": True}, {"is_admin": "There is no such field."}),
        ({"title": "x", "price": 1, "media_id": 1}, {"media_id": "There is no such field."}),
        (
            {"title": "x", "price": 1, "text_content": "x" * 20_001},
            {"text_content": "At most 20000 characters."},
        ),
    ],
)
def test_names_what_is_wrong(author: TestClient, db: Session, sent: Any, fields: dict[str, str]) -> None:
    assert error(author.post("/api/lessons/", json=sent)) == (422, "validation", fields)
    assert db.scalars(select(Lesson.id)).all() == []


def test_only_those_who_may_edit_see_the_content(author: TestClient, reader: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Scales", text_content="Secret", video_path="https://example.org/a.mp4")

    edit, read = (
        author.get(f"/api/lessons/{lesson.id}").json(),
        reader.get(f"/api/lessons/{lesson.id}").json(),
    )
    listed_edit, listed_read = author.get("/api/lessons").json(), reader.get("/api/lessons/").json()

    assert (edit["text_content"], edit["video_path"]) == ("Secret", "https://example.org/a.mp4")
    assert sorted(edit.keys() - read.keys()) == ["media_id", "text_content", "video_path"]
    assert (read["has_text"], read["has_video"]) == (True, True)
    assert (listed_edit, listed_read) == (
        {"items": [edit], "next": None, "total": 1},
        {"items": [read], "next": None, "total": 1},
    )


def test_filters_and_sorts(reader: TestClient, db: Session) -> None:
    for title, price, free, active in (
        ("Ёлка", 300, False, True),
        ("арка", 100, False, False),
        ("Берег", 200, True, True),
    ):
        make_lesson(db, title=title, price=price, is_free=free, is_active=active)

    def titles(query: str) -> list[str]:
        return [lesson["title"] for lesson in reader.get(f"/api/lessons/?{query}").json()["items"]]

    assert titles("sort=title") == ["арка", "Берег", "Ёлка"]
    assert titles("sort=-price") == ["Ёлка", "Берег", "арка"]
    assert titles("") == ["Берег", "арка", "Ёлка"]
    assert titles("is_active=true&sort=id") == ["Ёлка", "Берег"]
    assert titles("is_free=true") == ["Берег"]
    assert titles("price_min=200&price_max=300&sort=price") == ["Берег", "Ёлка"]
    assert titles("q=елк") == ["Ёлка"]
    assert titles("q=елк&is_free=true") == []


def test_pages_follow_each_other_by_title_without_skipping(reader: TestClient, db: Session) -> None:
    wanted = sorted(f"{letter * 200}" for letter in "абвгд")
    for title in reversed(wanted):
        make_lesson(db, title=title)

    seen, cursor = [], ""
    while cursor is not None:
        page = reader.get("/api/lessons/", params={"sort": "title", "limit": 2, "cursor": cursor}).json()
        assert page["total"] == 5
        seen += [lesson["title"] for lesson in page["items"]]
        cursor = page["next"]

    assert seen == wanted


def test_a_title_with_an_unprintable_joiner_does_not_break_the_next_page(reader: TestClient, db: Session) -> None:
    for title in ("👩‍🎨 А", "👩‍🎨 Б"):
        make_lesson(db, title=title)

    first = reader.get("/api/lessons/?sort=title&limit=1").json()
    second = reader.get("/api/lessons/", params={"sort": "title", "limit": 1, "cursor": first["next"]}).json()

    assert [page["items"][0]["title"] for page in (first, second)] == ["👩‍🎨 А", "👩‍🎨 Б"]


@pytest.mark.parametrize("query", ["sort=text_content", "sort=--price", "cursor=e30", "cursor=%00"])
def test_a_bad_sort_or_cursor_is_a_400_or_422(reader: TestClient, query: str) -> None:
    assert reader.get(f"/api/lessons/?{query}").status_code in (400, 422)


@pytest.mark.parametrize("lesson_id", ["0", "-1", "x", str(2**63), "1.5"])
def test_an_impossible_id_is_a_422(reader: TestClient, lesson_id: str) -> None:
    assert error(reader.get(f"/api/lessons/{lesson_id}"))[:2] == (422, "validation")


def test_a_missing_lesson_is_a_404(author: TestClient) -> None:
    assert error(author.get("/api/lessons/7"))[:2] == (404, "not_found")
    assert error(author.put("/api/lessons/7", json={}))[:2] == (404, "not_found")
    assert error(author.delete("/api/lessons/7"))[:2] == (404, "not_found")


def test_the_number_of_queries_does_not_follow_the_rows(
    reader: TestClient, author: TestClient, db: Session, queries: list[str]
) -> None:
    def count(browser: TestClient) -> int:
        browser.get("/api/lessons/")  # the first use of a token is remembered
        queries.clear()
        assert browser.get("/api/lessons/").status_code == 200
        return len(queries)

    make_lesson(db)
    one = count(reader), count(author)
    make_lesson(db), make_lesson(db)
    three = count(reader), count(author)

    assert one == three == (OWN_QUERIES + 1, OWN_QUERIES + 1)


def test_put_replaces_only_what_is_sent(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Scales", price=100, text_content="Текст")

    changed = author.put(f"/api/lessons/{lesson.id}", json={"price": 150, "version": 1}).json()

    assert (changed["title"], changed["price"], changed["text_content"], changed["version"]) == (
        "Scales",
        150,
        "Текст",
        2,
    )
    assert author.put(f"/api/lessons/{lesson.id}", json={"text_content": None}).json()["text_content"] is None
    assert error(author.put(f"/api/lessons/{lesson.id}", json={"title": None})) == (
        422,
        "validation",
        {"title": "Fill in this field."},
    )


def test_a_stale_version_is_a_409_and_changes_nothing(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=100)
    author.put(f"/api/lessons/{lesson.id}", json={"price": 150})

    stale = author.put(f"/api/lessons/{lesson.id}", json={"price": 90, "version": 1})

    assert error(stale) == (409, "stale", {})
    assert author.get(f"/api/lessons/{lesson.id}").json()["price"] == 150


def test_a_video_path_names_a_stored_file_or_something_of_ones_own(author: TestClient, db: Session) -> None:
    media, lesson = make_media(db), make_lesson(db)
    url = f"/api/lessons/{lesson.id}"

    assert author.put(url, json={"video_path": media.path}).json()["media_id"] == media.id
    own = author.put(url, json={"video_path": "https://example.org/b.mp4"}).json()
    assert (own["media_id"], own["video_path"], own["has_video"]) == (
        None,
        "https://example.org/b.mp4",
        True,
    )
    gone = author.put(url, json={"video_path": ""}).json()
    assert (gone["media_id"], gone["video_path"], gone["has_video"]) == (None, None, False)


def test_deletes_what_nobody_bought(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)

    answer = author.delete(f"/api/lessons/{lesson.id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert author.get(f"/api/lessons/{lesson.id}").status_code == 404
    assert db.scalars(select(Change.op).where(Change.entity == "lessons").order_by(Change.id)).all() == [
        "create",
        "delete",
    ]


def test_what_was_sold_stays(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    make_purchase(db, make_user(db), lesson)
    make_purchase(db, make_user(db), lesson, revoked_at=datetime(2026, 1, 1, tzinfo=UTC))

    answer = author.delete(f"/api/lessons/{lesson.id}")

    assert error(answer)[:2] == (409, "sold")
    assert answer.json()["error"]["message"] == (
        "It was sold and cannot be deleted. Hide it instead: buyers keep their access."
    )
    assert author.get(f"/api/lessons/{lesson.id}").status_code == 200


def test_an_order_keeps_its_lesson(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    make_order(db, make_user(db), lesson)

    answer = author.delete(f"/api/lessons/{lesson.id}")

    assert (error(answer)[:2], answer.json()["error"]["message"]) == (
        (409, "sold"),
        "There are orders for this, so it cannot be deleted. Hide it instead.",
    )


def test_a_lesson_of_a_course_is_taken_out_of_it_first(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    for title in ("Арка", "Берег"):
        make_course(db, [lesson], title=title)

    answer = author.delete(f"/api/lessons/{lesson.id}")

    assert (error(answer)[:2], answer.json()["error"]["message"]) == (
        (409, "in_course"),
        "This lesson is in 2 courses. Remove it from there first, or hide it.",
    )


def test_rights(api: Api, bot: TestClient, author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    url = f"/api/lessons/{lesson.id}"
    stranger = api("users:read")

    assert [stranger.get(path).status_code for path in ("/api/lessons/", url)] == [403, 403]
    assert bot.post("/api/lessons/", json={"title": "x", "price": 1}).status_code == 403
    assert [bot.put(url, json={}).status_code, bot.delete(url).status_code] == [403, 403]
    assert author.get(f"/api/users/1/lessons/{lesson.id}/content").status_code == 403


def test_every_route_says_what_it_needs() -> None:
    needs = {route.name: sorted(route.policy.groups[0]) for route in (*router.routes, *content_router.routes)}  # type: ignore[attr-defined] # UnitRoute
    assert needs == {
        "list_lessons": [Permission.LESSONS_READ],
        "get_lesson": [Permission.LESSONS_READ],
        "create_lesson": [Permission.LESSONS_WRITE],
        "update_lesson": [Permission.LESSONS_WRITE],
        "delete_lesson": [Permission.LESSONS_WRITE],
        "get_content": [Permission.BOT],
    }
