"""What a code does to a price, and why it may do nothing."""

from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.promo_codes import price_after
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from tests.factories import make_course, make_lesson, make_promo, make_user
from tests.money.till import Till

PRICES = st.integers(0, 1_000_000)


@given(PRICES, st.integers(0, 100), st.none() | PRICES)
def test_percent_first_then_amount_in_whole_stars_never_below_zero(
    price: int, percent: int, amount: int | None
) -> None:
    exact = floor(Fraction(price) * (100 - percent) / 100) - (amount or 0)
    found = price_after(price, percent, amount)
    assert found == max(0, exact)
    assert type(found) is int


@given(PRICES, st.integers(0, 99), PRICES)
def test_more_discount_never_costs_more(price: int, percent: int, amount: int) -> None:
    assert price_after(price, percent + 1, amount) <= price_after(price, percent, amount)
    assert price_after(price, percent, amount + 1) <= price_after(price, percent, amount)
    assert price_after(price + 1, percent, amount) >= price_after(price, percent, amount)
    assert price_after(price, 0, None) == price


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"discount_percent": 10}, 224),  # 224.1
        ({"discount_percent": 0, "discount_amount": 50}, 199),
        ({"discount_percent": 50, "discount_amount": 24}, 100),  # 124.5 -> 124 -> 100
        ({"discount_percent": 50, "discount_amount": 999}, 0),
        ({"discount_percent": 100}, 0),
    ],
)
def test_a_check_tells_the_price(
    till: Till, maria: User, lesson: Lesson, db: Session, fields: dict[str, int], price: int
) -> None:
    make_promo(db, code="Осень", **fields)
    # The code comes back as the school writes it.
    expected = {"valid": True, "code": "Осень", "price": price, "discount": 249 - price}
    nothing_wrong = {"reason": None, "reason_code": None}
    assert till.check(maria, lesson, " оСЕНЬ ") == expected | nothing_wrong


def test_a_course_is_priced_with_its_own_discount(till: Till, maria: User, db: Session) -> None:
    course = make_course(db, [make_lesson(db)], total_price=300, discount_price=200)
    make_promo(db, code="TEN", discount_percent=10)
    assert till.check(maria, course, "TEN")["price"] == 180


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"code": "OTHER"}, ("unknown", "There is no such code.")),
        ({"is_active": False}, ("off", "This code is turned off.")),
        ({"expires_at": -1}, ("expired", "This code has expired.")),
        ({"max_uses": 3, "current_uses": 3}, ("used_up", "This code has been used up.")),
        (
            {"discount_percent": 0, "discount_amount": 0},
            ("does_nothing", "This code does not reduce this price."),
        ),
    ],
)
def test_a_check_says_why_a_code_does_not_count(
    till: Till,
    maria: User,
    lesson: Lesson,
    db: Session,
    fields: dict[str, Any],
    told: tuple[str, str],
) -> None:
    if "expires_at" in fields:
        fields = fields | {"expires_at": clock.now() - timedelta(seconds=1)}
    make_promo(db, **{"code": "AUTUMN"} | fields)
    assert till.check(maria, lesson, "autumn") == {
        "valid": False,
        "code": None if told[0] == "unknown" else "AUTUMN",
        "price": 249,
        "discount": 0,
        "reason": told[1],
        "reason_code": told[0],
    }


def test_a_code_does_nothing_for_a_free_lesson(till: Till, maria: User, db: Session) -> None:
    free = make_lesson(db, price=100, is_free=True)
    make_promo(db, code="TEN")
    found = till.check(maria, free, "ten")
    assert (found["valid"], found["price"], found["reason_code"]) == (False, 0, "does_nothing")


def test_a_check_looks_at_the_thing_first(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    make_promo(db, code="TEN")
    hidden = make_lesson(db, is_active=False)
    till.buy(maria, lesson)
    assert till.check(maria, hidden, "ten")["reason_code"] == "not_on_sale"
    assert till.check(maria, lesson, "ten")["reason_code"] == "already_owned"
    assert till.check(make_user(db), lesson, "ten")["reason_code"] is None


def test_a_check_refuses_who_and_what_is_not_there(till: Till, maria: User, lesson: Lesson) -> None:
    post = till.bot.post
    path, code = "/api/promo-codes/check", {"code": "TEN"}
    nobody = post(path, json=code | {"user_id": 10**9, "lesson_id": lesson.id})
    nothing = post(path, json=code | {"user_id": maria.id, "lesson_id": 10**9})
    no_course = post(path, json=code | {"user_id": maria.id, "course_id": 10**9})
    both = post(path, json=code | {"user_id": maria.id, "lesson_id": 1, "course_id": 1})
    neither = post(path, json=code | {"user_id": maria.id})
    messages = [answer.json()["error"]["message"] for answer in (nobody, nothing, no_course)]
    assert messages == [f"{thing} 1000000000 no longer exists." for thing in ("Person", "Lesson", "Course")]
    assert [answer.status_code for answer in (nobody, nothing, no_course)] == [404, 404, 404]
    for answer in (both, neither):
        assert answer.json()["error"]["fields"] == {"": "Provide exactly one: lesson_id or course_id."}
