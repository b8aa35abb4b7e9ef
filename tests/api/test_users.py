from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from tests.conftest import Api
from tests.doors import ask_tokens, bearer, program
from tests.factories import make_lesson, make_purchase, make_user

MARIA = {"telegram_id": 123456789, "first_name": "Мария", "username": "masha", "language_code": "ru"}


def test_a_student_is_registered_once_and_refreshed(bot: TestClient) -> None:
    first = bot.post("/api/users/", json={**MARIA, "source": "reels_may"})
    again = bot.post("/api/users", json={**MARIA, "first_name": "Маша", "source": "other"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert (again.json()["first_name"], again.json()["language_code"]) == ("Маша", "ru")


def test_being_seen_is_no_edit_and_a_new_name_is(bot: TestClient, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bot.post("/api/users/", json=MARIA).json()
    user = db.get_one(User, made["id"])
    before = user.version, user.updated_at, user.last_seen_at
    hour_later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: hour_later)

    assert bot.post("/api/users/", json=MARIA).json() == made
    db.refresh(user)
    assert (user.version, user.updated_at, user.last_seen_at) == (before[0], before[1], hour_later)

    renamed = bot.post("/api/users/", json={**MARIA, "username": "maria"}).json()
    db.refresh(user)
    assert (renamed["username"], user.version) == ("maria", before[0] + 1)
    assert user.updated_at > before[1]


def test_an_empty_name_in_telegram_is_none(bot: TestClient) -> None:
    made = bot.post("/api/users/", json={**MARIA, "username": " "}).json()
    assert made["username"] is None


def test_a_person_reads_as_the_contract_says(bot: TestClient) -> None:
    made = bot.post("/api/users/", json=MARIA).json()

    person = bot.get(f"/api/users/{made['id']}").json()

    assert person == made
    assert person["created_at"].endswith("Z")
    keys = {"id", "telegram_id", "username", "first_name", "last_name", "language_code", "is_active"}
    assert keys | {"created_at", "updated_at"} <= person.keys()


def test_the_list_finds_by_telegram_id_text_and_state(bot: TestClient, db: Session) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ёлкина", username="masha_kov", telegram_id=418220907)
    make_user(db, first_name="Тимур", is_active=False)

    def found(query: str) -> list[int]:
        return [item["id"] for item in bot.get(f"/api/users/?{query}").json()["items"]]

    for query in ("telegram_id=418220907", "q=елк", "q=МАРИЯ", "q=@masha", "q=ма", "q=18220", "q=мария masha"):
        assert found(query) == [maria.id], query
    assert found("q=никто") == []
    assert maria.id not in found("is_active=false")


def test_pages_follow_each_other_without_gaps_while_people_join(bot: TestClient, db: Session) -> None:
    start = clock.now()
    ids = [make_user(db, created_at=start + timedelta(seconds=n // 2)).id for n in range(7)]
    seen: list[int] = []
    url = "/api/users/?limit=3&role=Ученик"
    while url:
        page = bot.get(url).json()
        seen += [item["id"] for item in page["items"]]
        make_user(db, created_at=start + timedelta(days=1))
        url = f"/api/users/?limit=3&role=Ученик&cursor={page['next']}" if page["next"] else ""

    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query", ["sort=password_hash", "cursor=zzz", "cursor=WyJpZCIsMSwyLDBd", "cursor=%00", "sort=-", "cursor=bnVsbA"]
)
def test_a_broken_cursor_or_sort_is_a_400(bot: TestClient, query: str) -> None:
    answer = bot.get(f"/api/users/?{query}")

    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["code"] in ("bad_cursor", "bad_sort", "validation")


def test_an_update_replaces_only_what_is_sent_and_guards_the_version(bot: TestClient, db: Session) -> None:
    person = make_user(db, last_name="Ковалёва")

    changed = bot.put(f"/api/users/{person.id}", json={"ui_language": "ru", "terms_accepted": True})
    stale = bot.put(f"/api/users/{person.id}", json={"first_name": "X", "version": 1})

    assert (changed.json()["ui_language"], changed.json()["last_name"]) == ("ru", "Ковалёва")
    assert changed.json()["terms_accepted_at"].endswith("Z")
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "stale")


def test_bad_values_are_named(bot: TestClient) -> None:
    answer = bot.post("/api/users/", json={"telegram_id": 0, "first_name": " ", "is_admin": True})

    assert answer.json()["error"]["fields"] == {
        "telegram_id": "Must be at least 1.",
        "first_name": "Fill in this field.",
        "is_admin": "There is no such field.",
    }


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800"])
def test_text_that_no_database_holds_is_refused(bot: TestClient, text: str) -> None:
    answer = bot.post(
        "/api/users/",
        content=f'{{"telegram_id": 5, "first_name": "a{text}"}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == {"first_name": "This text contains a character that cannot be stored."}


def test_a_token_does_not_change_staff(bot: TestClient, db: Session) -> None:
    admin = UserCRUD(db).find_by_login("admin")
    assert admin is not None

    assert bot.put(f"/api/users/{admin.id}", json={"is_active": False}).status_code == 403


def test_nothing_over_the_api_changes_staff(app: FastAPI, bot: TestClient, api: Api, db: Session) -> None:
    """Neither the bot's word, nor a token, nor an administrator: that is what the page of the staff is for."""
    boris = UserCRUD(db).create_staff(login="boris", password_hash=None, role="Поддержка", first_name="Борис")
    boris.telegram_id = 700_000_001
    db.commit()
    told = {"telegram_id": 700_000_001, "first_name": "Хакер", "username": "hacker"}
    assert bot.post("/api/users/", json=told).json()["first_name"] == "Борис"
    person = program(app)
    person.headers.update(bearer(ask_tokens(person).json()["access_token"]))
    for client in (bot, api("users:write", "users:read", "settings:write"), person):
        for values in ({"is_active": False}, {"first_name": "Хакер"}, {"username": "x"}):
            assert client.put(f"/api/users/{boris.id}", json=values).status_code == 403
    db.expire_all()
    assert (boris.first_name, boris.username, boris.is_active) == ("Борис", None, True)


def test_a_persons_purchases_are_a_list_of_theirs_alone(bot: TestClient, db: Session) -> None:
    maria, lesson = make_user(db), make_lesson(db)
    bought = make_purchase(db, maria, lesson, amount=70)
    make_purchase(db, make_user(db), lesson)

    page = bot.get(f"/api/users/{maria.id}/purchases?user_id=1").json()

    assert [(item["id"], item["amount"], item["status"]) for item in page["items"]] == [(bought.id, 70, "completed")]
    assert (page["next"], page["total"]) == (None, 1)
    assert bot.get("/api/users/999999/purchases").json()["error"]["code"] == "not_found"


def test_rights(client: TestClient, api: Api) -> None:
    assert client.get("/api/users/").status_code == 401
    assert api("lessons:read").get("/api/users/").status_code == 403
    assert api("users:read").post("/api/users/", json=MARIA).status_code == 403


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_costs_two_queries_whatever_its_rows(
    bot: TestClient, db: Session, queries: list[str], count: int
) -> None:
    for _ in range(count):
        make_user(db)
    bot.get("/api/users/")  # marks the token as used
    queries.clear()

    bot.get("/api/users/")

    assert len(queries) == 2  # the token; the page with its count


def test_a_person_by_telegram_id_costs_two_queries(bot: TestClient, db: Session, queries: list[str]) -> None:
    make_user(db)
    maria = make_user(db, telegram_id=418220907)
    bot.get("/api/users/?limit=1")  # notes that the token is in use
    queries.clear()

    found = bot.get("/api/users/?telegram_id=418220907").json()
    counted = len(queries)
    nobody = bot.get("/api/users/?telegram_id=418220908").json()

    assert counted == 2  # the token, the person
    assert ([row["id"] for row in found["items"]], found["next"], found["total"]) == ([maria.id], None, 1)
    assert found["items"][0] == bot.get(f"/api/users/{maria.id}").json()
    assert (nobody["items"], nobody["total"]) == ([], 0)
