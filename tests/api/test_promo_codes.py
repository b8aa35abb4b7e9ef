"""Promo codes over /api: made, changed, found, and kept once orders name them."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.models.promo_codes import PromoCode
from tests.conftest import Api
from tests.factories import make_lesson, make_order, make_promo, make_user
from tests.money.till import count, refusal, rows

PATH = "/api/promo-codes/"


@pytest.fixture
def office(api: Api) -> TestClient:
    return api("promo_codes:read", "promo_codes:write")


def fields(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422
    found: dict[str, str] = answer.json()["error"]["fields"]
    return found


def test_a_code_is_made_and_read(office: TestClient) -> None:
    answer = office.post(PATH, json={"code": " Осень25 ", "discount_percent": 25})
    code = answer.json()
    assert answer.status_code == 201
    moments = {code.pop("created_at"), code.pop("updated_at")}
    assert all(moment.endswith("Z") for moment in moments)
    assert code == {
        "id": 1,
        "code": "Осень25",
        "discount_percent": 25,
        "discount_amount": None,
        "max_uses": None,
        "current_uses": 0,
        "is_active": True,
        "expires_at": None,
        "version": 1,
    }
    assert office.get(f"{PATH}1").json().items() >= code.items()


def test_all_of_a_code(office: TestClient) -> None:
    sent = {
        "code": "ALL",
        "discount_percent": 10,
        "discount_amount": 50,
        "max_uses": 7,
        "is_active": False,
        "expires_at": "2027-01-01T03:00:00+03:00",
    }
    kept = office.post("/api/promo-codes", json=sent).json()
    assert {**sent, "expires_at": "2027-01-01T00:00:00Z"}.items() <= kept.items()


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"code": "Fill in this field."}),
        ({"code": ""}, {"code": "Fill in this field."}),
        ({"code": "two words"}, {"code": "A code is one word, without spaces."}),
        ({"code": "x\u200b"}, {"code": "A code is one word, without spaces."}),
        ({"code": "x" * 65}, {"code": "At most 64 characters."}),
        ({"discount_percent": 101}, {"discount_percent": "Must be at most 100."}),
        ({"discount_percent": -1}, {"discount_percent": "Must be at least 0."}),
        ({"discount_amount": -1}, {"discount_amount": "Must be at least 0."}),
        (
            {"discount_percent": 0},
            {"discount_percent": "Enter a percentage, an amount, or both."},
        ),
        ({"max_uses": 0}, {"max_uses": "Must be at least 1."}),
        (
            {"expires_at": "2027-01-01T00:00:00"},
            {"expires_at": "Specify the time zone, for example 2026-11-21T10:00:00Z."},
        ),
        ({"current_uses": 5}, {"current_uses": "There is no such field."}),
    ],
)
def test_a_wrong_code_is_refused_at_the_field(office: TestClient, body: dict[str, Any], wrong: dict[str, str]) -> None:
    sent = {"code": "X", "discount_percent": 5} | body if body else {"discount_percent": 5}
    assert fields(office.post(PATH, json=sent)) == wrong


def test_one_code_in_one_spelling(office: TestClient, db: Session) -> None:
    make_promo(db, code="Straße")
    taken = office.post(PATH, json={"code": "STRASSE", "discount_percent": 5})
    assert refusal(taken) == (409, "code_taken")
    assert taken.json()["error"]["fields"] == {"code": "This code already exists: Straße."}
    other = office.post(PATH, json={"code": "other", "discount_percent": 5}).json()
    assert refusal(office.put(f"{PATH}{other['id']}", json={"code": "straße"}))[1] == "code_taken"
    assert office.put(f"{PATH}{other['id']}", json={"code": "OTHER"}).json()["code"] == "OTHER"
    assert count(db, PromoCode) == 2


def test_a_change_replaces_only_what_is_sent(office: TestClient, db: Session) -> None:
    promo = make_promo(db, code="TEN", discount_percent=10, max_uses=5)
    path = f"{PATH}{promo.id}"
    changed = office.put(path, json={"max_uses": None, "version": 1}).json()
    assert (changed["max_uses"], changed["discount_percent"], changed["version"]) == (None, 10, 2)
    assert refusal(office.put(path, json={"max_uses": 3, "version": 1})) == (409, "stale")
    assert fields(office.put(path, json={"code": None})) == {"code": "Fill in this field."}
    nothing = {"discount_percent": "Enter a percentage, an amount, or both."}
    assert fields(office.put(path, json={"discount_percent": 0})) == nothing
    amount = office.put(path, json={"discount_percent": 0, "discount_amount": 5}).json()
    assert (amount["discount_percent"], amount["discount_amount"]) == (0, 5)
    assert fields(office.put(path, json={"discount_amount": None})) == nothing


def test_the_limit_does_not_go_below_what_is_used(office: TestClient, db: Session) -> None:
    promo = make_promo(db, max_uses=9, current_uses=4)
    path = f"{PATH}{promo.id}"
    used = {"max_uses": "It has been used 4 times already."}
    assert fields(office.put(path, json={"max_uses": 3})) == used
    assert office.put(path, json={"max_uses": 4}).json()["max_uses"] == 4


def test_the_list(office: TestClient, db: Session) -> None:
    for code, fields_ in (("B", {}), ("a", {"is_active": False}), ("C", {"current_uses": 7})):
        make_promo(db, code=code, **fields_)

    def codes(query: str = "") -> list[str]:
        return [row["code"] for row in office.get(f"{PATH}{query}").json()["items"]]

    assert codes() == ["C", "a", "B"]
    assert codes("?sort=code") == ["a", "B", "C"]
    assert codes("?sort=-current_uses&limit=1") == ["C"]
    assert codes("?is_active=true") == ["C", "B"]
    assert codes("?q=A") == ["a"]
    assert refusal(office.get(f"{PATH}?sort=discount")) == (400, "bad_sort")
    assert refusal(office.get(f"{PATH}?cursor=x")) == (400, "bad_cursor")
    first = office.get(f"{PATH}?limit=2").json()
    assert first["total"] == 3
    rest = office.get(PATH, params={"limit": 2, "cursor": first["next"]}).json()
    assert [row["code"] for row in rest["items"]] == ["B"]
    assert rest["next"] is None


def test_a_code_that_orders_name_stays(office: TestClient, db: Session) -> None:
    promo, unused = make_promo(db), make_promo(db)
    make_order(db, make_user(db), make_lesson(db), promo_id=promo.id)
    kept = office.delete(f"{PATH}{promo.id}")
    assert refusal(kept) == (409, "redeemed")
    words = "1 order uses this code, so it cannot be deleted. Turn it off instead."
    assert kept.json()["error"]["message"] == words
    assert office.delete(f"{PATH}{unused.id}").status_code == 204
    assert office.delete(f"{PATH}{unused.id}").status_code == 404
    assert rows(db, PromoCode.id) == [(promo.id,)]


def test_rights(api: Api, db: Session) -> None:
    promo = make_promo(db, expires_at=clock.now() + timedelta(days=1))
    reader, bot = api("promo_codes:read"), api("bot")
    body = {"code": "X", "discount_percent": 5}
    assert reader.get(f"{PATH}{promo.id}").status_code == 200
    assert reader.post(PATH, json=body).status_code == 403
    assert reader.put(f"{PATH}{promo.id}", json={}).status_code == 403
    assert reader.delete(f"{PATH}{promo.id}").status_code == 403
    assert bot.get(PATH).status_code == 403
    assert reader.post(f"{PATH}check", json=body).status_code == 403
    assert refusal(reader.get(f"{PATH}999")) == (404, "not_found")
