"""The contract that outside code relies on, call by call; what is deeper stands in each domain's file."""

from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import insert
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.models.lessons import Lesson
from tests.conftest import Api
from tests.factories import make_course, make_lesson, make_order, make_promo, make_purchase, make_ticket, make_user

EVERYTHING = (
    "users:read", "users:write", "lessons:read", "lessons:write", "courses:read", "courses:write", "promo_codes:read",
    "promo_codes:write", "purchases:read", "purchases:refund", "tickets:read", "tickets:write",
)  # fmt: skip
LISTS = ("users", "lessons", "courses", "promo-codes", "purchases", "tickets")
FIELDS = {
    "users": "id telegram_id username first_name last_name language_code is_active created_at updated_at",
    "lessons": "id title description price is_free is_active video_path text_content created_at updated_at",
    "courses": "id title description total_price discount_price is_active lessons",
    "promo-codes": "id code discount_percent discount_amount max_uses current_uses is_active expires_at created_at",
    "purchases": "id user_id lesson_id course_id payment_id amount status revoked_at created_at updated_at",
    "tickets": "id user_id subject message status admin_response assignee_id created_at updated_at messages",
}


@pytest.fixture
def anna(api: Api) -> TestClient:
    """Somebody with every right that a person can have in these domains."""
    return api(*EVERYTHING)


@pytest.fixture
def school(db: Session) -> dict[str, int]:
    """One record of each kind; the ids by the name of its list."""
    maria, lesson = make_user(db), make_lesson(db, title="Свет")
    return {
        "users": maria.id,
        "lessons": lesson.id,
        "courses": make_course(db, [lesson], title="Портрет", discount_price=200).id,
        "promo-codes": make_promo(db, code="Осень25", max_uses=10, expires_at=clock.now()).id,
        "purchases": make_purchase(db, maria, lesson).id,
        "tickets": make_ticket(db, maria).id,
    }


def error(answer: Response) -> tuple[int, str]:
    told = answer.json()["error"]
    assert {"code", "message", "request_id"} <= told.keys() <= {"code", "message", "request_id", "fields"}
    assert told["message"]
    assert told["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, told["code"]


def moments(found: Any) -> list[str]:
    """Everything that is a time, however deep."""
    if isinstance(found, list):
        return [moment for item in found for moment in moments(item)]
    if not isinstance(found, dict):
        return []
    own = [value for name, value in found.items() if name.endswith("_at") and value is not None]
    return own + [moment for value in found.values() for moment in moments(value)]


# -- shapes


@pytest.mark.parametrize("name", LISTS)
def test_a_list_and_its_record_have_the_fields_of_the_contract(
    anna: TestClient, school: dict[str, int], name: str
) -> None:
    page = anna.get(f"/api/{name}/").json()
    one = anna.get(f"/api/{name}/{school[name]}").json()

    assert page.keys() == {"items", "next", "total"}
    assert one in page["items"]
    assert set(FIELDS[name].split()) <= one.keys()
    assert moments(one)
    assert all(moment.endswith("Z") for moment in moments(one))


def test_the_parts_of_a_course_and_of_a_ticket(anna: TestClient, school: dict[str, int]) -> None:
    course = anna.get(f"/api/courses/{school['courses']}").json()
    ticket = anna.get(f"/api/tickets/{school['tickets']}").json()

    (lesson,), (message,) = course["lessons"], ticket["messages"]
    assert {"lesson_id": school["lessons"], "title": "Свет", "position": 1}.items() <= lesson.items()
    assert (message["from"], message["text"]) == ("student", "Крутится кружок, и всё.")
    assert {"id", "from", "text", "created_at"} <= message.keys()


@pytest.mark.parametrize(
    "path",
    [*(f"/api/{name}" for name in LISTS), "/api/users/{users}/purchases"],
)
def test_a_collection_answers_with_and_without_its_last_slash(
    anna: TestClient, school: dict[str, int], path: str
) -> None:
    url = path.format(**school)

    bare, slashed = anna.get(url), anna.get(f"{url}/")

    assert (bare.status_code, slashed.status_code) == (200, 200)
    assert bare.json() == slashed.json()


@pytest.mark.parametrize("slash", ["", "/"])
def test_posts_to_collections_take_both_forms_too(
    anna: TestClient, bot: TestClient, school: dict[str, int], slash: str
) -> None:
    free = anna.post(f"/api/lessons{slash}", json={"title": "Новый", "price": 5}).json()["id"]
    thing = {"user_id": school["users"], "lesson_id": free}
    asked = {"user_id": school["users"], "subject": "x", "message": "x"}
    made = [
        anna.post(f"/api/courses{slash}", json={"title": "x", "total_price": 5}),
        anna.post(f"/api/promo-codes{slash}", json={"code": "x" + str(len(slash)), "discount_percent": 5}),
        anna.post(f"/api/users{slash}", json={"telegram_id": 5 + len(slash), "first_name": "x"}),
        bot.post(f"/api/orders{slash}", json=thing),
        bot.post(f"/api/tickets{slash}", json=asked),
        bot.post(f"/api/tickets/{school['tickets']}/messages{slash}", json={"text": "x", "from": "student"}),
    ]
    assert [answer.status_code for answer in made] == [201] * 6


# -- lists


@pytest.mark.parametrize("name", [*LISTS, "users/{users}/purchases"])
def test_what_a_list_refuses(anna: TestClient, school: dict[str, int], name: str) -> None:
    url = f"/api/{name.format(**school)}"

    def told(query: str) -> tuple[int, str]:
        return error(anna.get(f"{url}?{query}"))

    assert [told(f"limit={limit}") for limit in (0, 101, -1, "x", 1.5)] == [(422, "validation")] * 5
    assert [told(f"sort={sort}") for sort in ("password_hash", "--id", "-", "id desc", "id,id")] == [
        (400, "bad_sort")
    ] * 5
    for cursor in ("zzz", "e30", "bnVsbA", "WyJpZCIsMSwyLDBd", "W1tbW1tb", "%F0%9F%98%80", "x" * 4000):
        assert told(f"cursor={cursor}") == (400, "bad_cursor"), cursor
    assert told("cursor=" + "x" * 4001) == (422, "validation")
    assert told("q=" + "x" * 101) == (422, "validation")
    assert told("q=%00") == (422, "validation")
    assert anna.get(f"{url}?q=&sort=&limit=&cursor=&unknown=1").status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_a_cursor_belongs_to_its_sort(anna: TestClient, db: Session, school: dict[str, int], name: str) -> None:
    maria, lesson = make_user(db), make_lesson(db)
    make_course(db)
    make_promo(db)
    make_purchase(db, maria, lesson)
    make_ticket(db, maria)
    page = anna.get(f"/api/{name}/?limit=1&sort=-id").json()

    after = anna.get(f"/api/{name}/", params={"limit": 1, "sort": "-id", "cursor": page["next"]}).json()

    assert page["total"] >= 2
    assert after["items"][0]["id"] < page["items"][0]["id"]
    assert error(anna.get(f"/api/{name}/", params={"sort": "id", "cursor": page["next"]})) == (400, "bad_cursor")


def test_a_count_stops_at_ten_thousand(anna: TestClient, db: Session) -> None:
    rows = [{"title": f"Урок {n}", "description": "", "price": n, "search_key": f"{n}"} for n in range(10_001)]
    db.execute(insert(Lesson), rows)

    assert anna.get("/api/lessons/?limit=1").json()["total"] is None
    assert anna.get("/api/lessons/?limit=1&price_max=9999").json()["total"] == 10_000


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("users/?is_active=true&telegram_id={telegram}", True),
        ("users/?role=Админ", False),
        ("users/?is_active=false", False),
        ("lessons/?is_active=true&is_free=false&price_min=100&price_max=100", True),
        ("lessons/?price_min=101", False),
        ("lessons/?is_free=true", False),
        ("courses/?is_active=true", True),
        ("promo-codes/?is_active=false", False),
        ("promo-codes/?q=осень", True),
        ("purchases/?status=completed&user_id={users}&lesson_id={lessons}", True),
        ("purchases/?course_id={courses}", False),
        ("purchases/?since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00%2B03:00", True),
        ("purchases/?until=2020-01-01T00:00:00Z", False),
        ("purchases/?status=failed", False),
        ("tickets/?status=open&user_id={users}", True),
        ("tickets/?status=closed", False),
        ("tickets/?assignee_id=1", False),
    ],
)
def test_every_filter_of_the_contract(anna: TestClient, school: dict[str, int], query: str, found: bool) -> None:
    telegram = anna.get(f"/api/users/{school['users']}").json()["telegram_id"]
    name = query.partition("/")[0]

    page = anna.get("/api/" + query.format(telegram=telegram, **school)).json()

    assert (school[name] in [item["id"] for item in page["items"]]) is found


# -- writes


@pytest.mark.parametrize(
    ("name", "change", "kept"),
    [
        ("users", {"first_name": "Анна"}, "telegram_id"),
        ("lessons", {"price": 7}, "text_content"),
        ("courses", {"total_price": 700}, "lessons"),
        ("promo-codes", {"max_uses": 70}, "expires_at"),
        ("tickets", {"status": "closed"}, "messages"),
    ],
)
def test_a_put_replaces_only_what_is_sent_and_refuses_a_stale_version(
    anna: TestClient, school: dict[str, int], name: str, change: dict[str, Any], kept: str
) -> None:
    url = f"/api/{name}/{school[name]}"
    before = anna.get(url).json()

    changed = anna.put(url, json=change | {"version": before["version"]})
    stale = anna.put(url, json=change | {"version": before["version"]})
    nothing = anna.put(url, json={})

    assert (changed.status_code, nothing.status_code) == (200, 200)
    after = changed.json()
    assert change.items() <= after.items()
    assert after[kept] == before[kept]
    assert after["version"] > before["version"]
    assert error(stale) == (409, "stale")
    assert anna.get(url).json() == nothing.json() == after


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/users/", {"telegram_id": 5, "first_name": "x"}),
        ("/api/lessons/", {"title": "x", "price": 1}),
        ("/api/courses/", {"title": "x", "total_price": 1}),
        ("/api/promo-codes/", {"code": "x", "discount_percent": 1}),
        ("/api/orders/", {"user_id": "users", "course_id": "courses"}),
        ("/api/tickets/", {"user_id": "users", "subject": "x", "message": "x"}),
        ("/api/tickets/{tickets}/messages", {"text": "x", "from": "student"}),
        ("/api/purchases/{purchases}/refund", {"reason": "x"}),
    ],
)
def test_a_repeated_post_takes_effect_once(api: Api, school: dict[str, int], path: str, body: dict[str, Any]) -> None:
    client = api(*EVERYTHING, "bot")
    url = path.format(**school)
    sent = {name: school.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
    key = {"Idempotency-Key": "one"}

    first, again = client.post(url, json=sent, headers=key), client.post(url, json=sent, headers=key)
    other = client.post(url, json=sent | {"reason": "another"}, headers=key)

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert (again.headers["Idempotency-Replayed"], first.status_code) in {("true", 201), ("true", 200)}
    assert error(other) in {(409, "idempotency_key_reused"), (422, "validation")}


# -- errors


def test_errors_look_the_same_everywhere(anna: TestClient, client: TestClient, api: Api, db: Session) -> None:
    lesson = make_lesson(db)
    make_order(db, make_user(db), lesson)
    url, good = "/api/lessons/", {"title": "x", "price": 1}
    plain = {"Content-Type": "text/plain"}
    refused = {
        (400, "bad_request"): anna.post(url, content="[" * 100_000, headers={"Content-Type": "application/json"}),
        (401, "not_authenticated"): client.get(url),
        (403, "forbidden"): api("users:read").get(url),
        (404, "not_found"): anna.get(f"{url}999"),
        (405, "method_not_allowed"): anna.patch(url),
        (409, "sold"): anna.delete(f"{url}{lesson.id}"),
        (413, "too_large"): anna.post(url, content=b"x" * 3_000_000, headers={"Content-Type": "application/json"}),
        (415, "unsupported_media_type"): anna.post(url, content='{"title": "x", "price": 1}', headers=plain),
        (422, "validation"): anna.post(url, json=good | {"price": -1}),
    }
    assert {error(answer) for answer in refused.values()} == set(refused)
    assert all(error(answer) == expected for expected, answer in refused.items())
    assert refused[422, "validation"].json()["error"]["fields"] == {"price": "Must be at least 0."}
    assert error(anna.post(url, data=good)) == (415, "unsupported_media_type")
    assert error(client.post(url, data=good)) == (401, "not_authenticated")
    broken = anna.post(url, content='{"title": ', headers={"Content-Type": "application/json"})
    assert broken.json()["error"]["fields"] == {"": "This is not valid JSON."}


def test_cookies_are_not_read_under_api(admin: TestClient) -> None:
    assert admin.get("/dashboard/lessons/").status_code == 200
    assert error(admin.get("/api/lessons/")) == (401, "not_authenticated")


# -- the document


@pytest.fixture
def document(app: FastAPI, client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_says_what_it_is_what_it_needs_and_what_refuses_it(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert "Needs " in operation["description"] or "Open to everyone" in operation["description"], name
        answers = set(operation["responses"])
        if "/api/" in name and "/auth/" not in name:
            assert operation["x-permissions"], name
            assert {"401", "403", "422", "429", "503"} <= answers, name
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= answers, name
        if name.startswith(("PUT", "DELETE")) and "{" in name and "/bot/" not in name:
            assert "404" in answers, name


def test_every_body_and_answer_has_an_example_that_fits(document: dict[str, Any]) -> None:
    shown = 0
    for name, operation in operations(document):
        parts = [("body", operation.get("requestBody", {})), *sorted(operation["responses"].items())]
        for part, described in parts:
            for kind, content in described.get("content", {}).items():
                if kind.startswith("video/"):
                    continue
                assert "example" in content, (name, part)
                schema = content.get("schema", {}) | {"components": document["components"]}
                jsonschema_rs.validate(schema, content["example"])
                shown += 1
    assert shown > 200


def test_the_examples_of_bodies_are_accepted(
    api: Api, db: Session, document: dict[str, Any], school: dict[str, int]
) -> None:
    for _ in range(3):
        make_lesson(db)
    client = api(*EVERYTHING, "bot")

    def send(method: str, path: str, url: str = "") -> int:
        body = document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"]
        return client.request(method, url or path, json=body).status_code

    made = [f"/api/{name}/" for name in ("users", "lessons", "courses", "promo-codes", "tickets")]
    assert [send("post", path) for path in made] == [201] * 5
    assert send("post", "/api/promo-codes/check") == 200
    assert send("post", "/api/orders/pre-checkout") == 200
    singles = {"users": "user_id", "lessons": "lesson_id", "courses": "course_id", "promo-codes": "promo_id"}
    changed = [send("put", f"/api/{name}/{{{key}}}", f"/api/{name}/{school[name]}") for name, key in singles.items()]
    assert changed == [200, 200, 200, 409]  # a code of that name was just made
