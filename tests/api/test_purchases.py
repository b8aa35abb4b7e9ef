"""Purchases over /api: the list and its filters. How they come about: tests/money."""

import itertools
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from tests.conftest import Api
from tests.factories import make_course, make_lesson, make_purchase, make_user
from tests.money.till import Till, refusal

PATH = "/api/purchases/"


@pytest.fixture
def office(api: Api) -> TestClient:
    return api("purchases:read")


def test_the_list_and_its_filters(office: TestClient, bot: TestClient, db: Session) -> None:
    maria, timur = make_user(db), make_user(db, first_name="Тимур", last_name="Сафин")
    light, night = make_lesson(db), make_lesson(db, title="Ночь", price=90)
    course = make_course(db, [light])
    days = (datetime(2026, 11, day, tzinfo=UTC) for day in itertools.count(1))
    first = make_purchase(db, maria, light, created_at=next(days))
    second = make_purchase(db, timur, night, created_at=next(days), is_test=True)
    third = make_purchase(db, maria, night, created_at=next(days), revoked_at=next(days))
    fourth = Till(bot).buy(timur, course)["id"]

    def found(query: str) -> list[int]:
        return [row["id"] for row in office.get(f"{PATH}?{query}").json()["items"]]

    assert found("") == [fourth, third.id, second.id, first.id]
    assert found("status=completed&sort=created_at&limit=1") == [first.id]
    assert found("status=pending") == []
    assert found(f"user_id={maria.id}") == [third.id, first.id]
    assert found(f"lesson_id={night.id}") == [third.id, second.id]
    assert found(f"course_id={course.id}") == [fourth]
    assert found("since=2026-11-02T00:00:00Z&until=2026-11-03T00:00:00Z") == [second.id]
    assert found("is_test=true") == [second.id]
    assert found("revoked=true") == [third.id]
    assert found("revoked=false&is_test=false") == [fourth, first.id]
    assert found("q=сафин") == [fourth, second.id]
    assert found(f"q={first.payment_id}") == [first.id]
    assert found("sort=-amount") == [fourth, first.id, third.id, second.id]
    assert office.get(PATH.rstrip("/")).json()["total"] == 4


def test_pages_follow_each_other(office: TestClient, db: Session) -> None:
    made = [make_purchase(db, make_user(db), make_lesson(db)).id for _ in range(5)]
    seen, cursor = [], ""
    for _page in range(3):
        page = office.get(PATH, params={"limit": 2, "cursor": cursor}).json()
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
    assert seen == made[::-1]
    assert cursor is None


@pytest.mark.parametrize("purchases", [1, 3])
def test_a_list_is_one_query_whatever_the_rows(
    office: TestClient, db: Session, queries: list[str], purchases: int
) -> None:
    for _ in range(purchases):
        make_purchase(db, make_user(db), make_lesson(db))
    office.get(PATH)
    queries.clear()
    office.get(PATH)
    assert len([query for query in queries if "purchases" in query]) == 1


def test_the_purchases_of_one_person(office: TestClient, db: Session) -> None:
    maria = make_user(db)
    mine = make_purchase(db, maria, make_lesson(db))
    make_purchase(db, make_user(db), make_lesson(db))
    found = office.get(f"/api/users/{maria.id}/purchases?status=completed").json()
    assert [row["id"] for row in found["items"]] == [mine.id]
    assert found["total"] == 1
    assert office.get("/api/users/999/purchases").status_code == 404


def test_one_purchase(office: TestClient, db: Session) -> None:
    made = make_purchase(db, make_user(db), make_lesson(db), amount=120)
    found = office.get(f"{PATH}{made.id}").json()
    assert (found["id"], found["amount"], found["payment_id"]) == (made.id, 120, made.payment_id)
    assert refusal(office.get(f"{PATH}999")) == (404, "not_found")
    assert office.get(f"{PATH}0").status_code == 422


@pytest.mark.parametrize(
    "query", ["status=paid", "user_id=0", "since=yesterday", "since=2026-11-01T00:00:00", "limit=0"]
)
def test_wrong_filters_are_named(office: TestClient, query: str) -> None:
    answer = office.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == [query.partition("=")[0]]


def test_rights(api: Api, client: TestClient) -> None:
    assert client.get(PATH).status_code == 401
    assert api("users:read").get(PATH).status_code == 403
