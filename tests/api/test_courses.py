"""Courses over JSON: lessons in order, prices that make sense, what was sold stays."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.courses import Course, CourseLesson
from backend.database.models.history import Change
from tests.conftest import Api
from tests.factories import make_course, make_lesson, make_purchase, make_user

OWN_QUERIES = 1  # the token with its rights


@pytest.fixture
def author(api: Api) -> TestClient:
    return api("courses:read", "courses:write")


def error(answer: Any) -> tuple[int, str, dict[str, str]]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], told.get("fields", {})


def order(course: dict[str, Any]) -> list[tuple[int, int]]:
    return [(lesson["lesson_id"], lesson["position"]) for lesson in course["lessons"]]


def three(db: Session) -> list[int]:
    return [make_lesson(db, title=title).id for title in ("Арка", "Берег", "Волна")]


def test_creates_a_course_with_the_fields_of_the_contract(author: TestClient, db: Session) -> None:
    a, b, c = three(db)
    sent = {"title": "Портрет", "total_price": 300, "discount_price": 250, "lesson_ids": [c, a, b]}

    answer = author.post("/api/courses", json=sent)

    made = answer.json()
    assert made.pop("created_at").endswith("Z")
    assert made.pop("updated_at").endswith("Z")
    assert answer.status_code == 201
    assert made == {
        "id": 1,
        "title": "Портрет",
        "description": "",
        "total_price": 300,
        "discount_price": 250,
        "is_active": True,
        "version": 1,
        "lessons": [
            {
                "lesson_id": c,
                "title": "Волна",
                "position": 1,
                "is_active": True,
                "is_free": False,
                "price": 100,
            },
            {
                "lesson_id": a,
                "title": "Арка",
                "position": 2,
                "is_active": True,
                "is_free": False,
                "price": 100,
            },
            {
                "lesson_id": b,
                "title": "Берег",
                "position": 3,
                "is_active": True,
                "is_free": False,
                "price": 100,
            },
        ],
    }


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"title": "x"}, {"total_price": "Fill in this field."}),
        (
            {"title": "x", "total_price": 10, "discount_price": 11},
            {"discount_price": "The discounted price is higher than the full price."},
        ),
        (
            {"title": "x", "total_price": 10, "lesson_ids": [1, 99]},
            {"lesson_ids": "There is no lesson 99."},
        ),
        (
            {"title": "x", "total_price": 10, "lesson_ids": [1, 1]},
            {"lesson_ids": "A lesson can be in a course only once."},
        ),
        ({"title": "x", "total_price": 10, "lesson_ids": [0]}, {"lesson_ids.0": "Must be at least 1."}),
        ({"title": "x", "total_price": 10, "lesson_ids": "1"}, {"lesson_ids": "Must be a list."}),
        (
            {"title": "x", "total_price": 10, "lesson_ids": list(range(1, 202))},
            {"lesson_ids": "Too many items."},
        ),
    ],
)
def test_names_what_is_wrong(author: TestClient, db: Session, sent: Any, fields: dict[str, str]) -> None:
    make_lesson(db)

    assert error(author.post("/api/courses/", json=sent)) == (422, "validation", fields)
    assert db.scalars(select(Course.id)).all() == []


def test_replaces_the_order_in_one_go(author: TestClient, db: Session) -> None:
    a, b, c = three(db)
    course = make_course(db, [])
    url = f"/api/courses/{course.id}"

    assert order(author.put(url, json={"lesson_ids": [a, b, c]}).json()) == [(a, 1), (b, 2), (c, 3)]
    assert order(author.put(url, json={"lesson_ids": [c, a, b]}).json()) == [(c, 1), (a, 2), (b, 3)]
    assert order(author.put(url, json={"lesson_ids": [b, a]}).json()) == [(b, 1), (a, 2)]
    assert order(author.put(url, json={"lesson_ids": [c, a]}).json()) == [(c, 1), (a, 2)]
    assert order(author.put(url, json={"title": "Свет"}).json()) == [(c, 1), (a, 2)]
    assert order(author.put(url, json={"lesson_ids": []}).json()) == []
    assert db.scalars(select(CourseLesson.id)).all() == []


def test_a_refused_order_changes_nothing(author: TestClient, db: Session) -> None:
    a, b, _c = three(db)
    url = f"/api/courses/{make_course(db, []).id}"
    author.put(url, json={"lesson_ids": [a, b]})

    refused = author.put(url, json={"lesson_ids": [b, 99, a], "title": "Other"})

    assert error(refused) == (422, "validation", {"lesson_ids": "There is no lesson 99."})
    assert (author.get(url).json()["title"], order(author.get(url).json())) == (
        "Портрет",
        [(a, 1), (b, 2)],
    )


def test_the_history_tells_where_a_lesson_moved(author: TestClient, db: Session) -> None:
    a, b, _c = three(db)
    course = make_course(db, [])
    author.put(f"/api/courses/{course.id}", json={"lesson_ids": [a, b]})

    author.put(f"/api/courses/{course.id}", json={"lesson_ids": [b, a]})

    moves = db.execute(
        select(Change.before, Change.after, Change.root, Change.root_id).where(
            Change.entity == "course_lessons", Change.op == "update"
        )
    ).all()
    assert sorted((move.before["position"], move.after["position"]) for move in moves) == [
        (1, 2),
        (2, 1),
    ]
    assert {(move.root, move.root_id) for move in moves} == {("courses", course.id)}


def test_a_stale_version_is_a_409_for_the_order_too(author: TestClient, db: Session) -> None:
    a, b, _c = three(db)
    url = f"/api/courses/{make_course(db, []).id}"
    first = author.put(url, json={"lesson_ids": [a, b], "version": 1})

    stale = author.put(url, json={"lesson_ids": [b, a], "version": 1})

    assert first.json()["version"] == 2
    assert error(stale) == (409, "stale", {})
    assert order(author.get(url).json()) == [(a, 1), (b, 2)]


def test_the_discount_stays_below_the_price_whichever_changes(author: TestClient, db: Session) -> None:
    course = make_course(db, total_price=300, discount_price=250)
    url = f"/api/courses/{course.id}"
    words = {"discount_price": "The discounted price is higher than the full price."}

    assert error(author.put(url, json={"total_price": 200})) == (422, "validation", words)
    assert error(author.put(url, json={"discount_price": 301})) == (422, "validation", words)
    assert author.put(url, json={"discount_price": None}).json()["discount_price"] is None
    assert author.put(url, json={"total_price": 200}).json()["total_price"] == 200


def test_filters_and_sorts(author: TestClient, db: Session) -> None:
    for title, price, active in (("Ёлка", 300, True), ("арка", 100, False), ("Берег", 200, True)):
        make_course(db, title=title, total_price=price, is_active=active)

    def titles(query: str) -> list[str]:
        return [course["title"] for course in author.get(f"/api/courses/?{query}").json()["items"]]

    assert titles("sort=title") == ["арка", "Берег", "Ёлка"]
    assert titles("sort=-total_price") == ["Ёлка", "Берег", "арка"]
    assert titles("is_active=false") == ["арка"]
    assert titles("q=БЕРЕГ") == ["Берег"]
    assert error(author.get("/api/courses/?sort=lessons"))[:2] == (400, "bad_sort")


def test_the_number_of_queries_does_not_follow_the_rows(author: TestClient, db: Session, queries: list[str]) -> None:
    def count() -> int:
        author.get("/api/courses/")
        queries.clear()
        assert author.get("/api/courses/").status_code == 200
        return len(queries)

    lessons = [make_lesson(db), make_lesson(db)]
    make_course(db, lessons)
    one = count()
    make_course(db, lessons), make_course(db, lessons)

    assert one == count() == OWN_QUERIES + 2


def test_deletes_the_course_and_leaves_its_lessons(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    course = make_course(db, [lesson])

    assert author.delete(f"/api/courses/{course.id}").status_code == 204
    assert author.get(f"/api/courses/{course.id}").status_code == 404
    assert db.scalars(select(CourseLesson.id)).all() == []
    deleted = select(Change.entity, Change.before).where(Change.op == "delete").order_by(Change.entity)
    assert [(entity, before.get("position")) for entity, before in db.execute(deleted)] == [
        ("course_lessons", 1),
        ("courses", None),
    ]


def test_what_was_sold_stays(author: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    course = make_course(db, [lesson])
    make_purchase(db, make_user(db), lesson, lesson_id=None, course_id=course.id)

    answer = author.delete(f"/api/courses/{course.id}")

    assert error(answer)[:2] == (409, "sold")
    assert answer.json()["error"]["message"] == (
        "It was sold and cannot be deleted. Hide it instead: buyers keep their access."
    )


def test_a_missing_course_is_a_404(author: TestClient) -> None:
    assert error(author.get("/api/courses/7"))[:2] == (404, "not_found")
    assert error(author.put("/api/courses/7", json={"lesson_ids": []}))[:2] == (404, "not_found")
    assert error(author.delete("/api/courses/7"))[:2] == (404, "not_found")


def test_rights(api: Api, bot: TestClient, db: Session) -> None:
    course = make_course(db)
    url = f"/api/courses/{course.id}"
    stranger = api("lessons:read", "lessons:write")

    assert [stranger.get(path).status_code for path in ("/api/courses/", url)] == [403, 403]
    assert bot.get(url).status_code == 200
    assert bot.post("/api/courses/", json={"title": "x", "total_price": 1}).status_code == 403
    assert [bot.put(url, json={}).status_code, bot.delete(url).status_code] == [403, 403]
