"""The last look before the money moves: everything is checked again and a promo use reserved."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from backend.core import clock, i18n
from backend.core.errors import ConflictError
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.users import User
from backend.database.schemas.orders import PreCheckout
from backend.database.session import Database
from tests.factories import make_promo, make_user
from tests.money.conftest import Later
from tests.money.till import OK, Till, books_are_right, expire, rows

STALE = "This invoice has expired. Open the lesson and request a new one."
AMOUNT = "The amount on this invoice is wrong. Open the lesson and request a new one."


def told(answer: dict[str, object]) -> object:
    assert answer["ok"] is False
    return answer["error_message"]


def test_an_honest_buyer_goes_through_as_often_as_asked(till: Till, maria: User, lesson: Lesson) -> None:
    order = till.order(maria, lesson).json()
    assert [till.ask(order, maria) for _ in range(3)] == [OK, OK, OK]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"payload": "nothing-of-ours"},
            "Invoice not found. Open the lesson and request a new one.",
        ),
        ({"payload": ""}, "Invoice not found. Open the lesson and request a new one."),
        (
            {"telegram_id": 1},
            "This invoice is for someone else. Open the lesson and buy it for yourself.",
        ),
        (
            {"telegram_id": -1},
            "This invoice is for someone else. Open the lesson and buy it for yourself.",
        ),
        ({"total_amount": 248}, AMOUNT),
        ({"total_amount": 250}, AMOUNT),
        ({"total_amount": 0}, AMOUNT),
        ({"total_amount": -249}, AMOUNT),
        ({"currency": "USD"}, AMOUNT),
        ({"currency": "xtr"}, AMOUNT),
    ],
)
def test_another_deal_is_refused(
    till: Till, maria: User, lesson: Lesson, changes: dict[str, object], words: str
) -> None:
    order = till.order(maria, lesson).json()
    assert told(till.ask(order, maria, **changes)) == words
    assert till.ask(order, maria) == OK


def test_a_refusal_has_a_code_of_its_own(database: Database) -> None:
    deal = PreCheckout(payload="nothing-of-ours", telegram_id=1, total_amount=1, currency="XTR")
    with pytest.raises(ConflictError) as refused:
        database.run(lambda session: OrderCRUD(session).pre_checkout(deal))
    assert refused.value.code == "refused"


def test_the_refusal_is_in_the_buyers_language(
    till: Till, maria: User, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    gettext = i18n.gettext

    def spy(message: str) -> str:
        seen.append(i18n.current_language.get())
        return gettext(message)

    monkeypatch.setattr("backend.database.crud.orders._", spy)
    order = till.order(maria, lesson).json()
    till.ask(order, maria, language="ru-RU,ru;q=0.9", total_amount=1)
    till.ask(order, maria, language="en", total_amount=1)
    assert seen == ["ru", "en"]


def test_what_is_paid_or_out_of_date_is_refused(
    till: Till, maria: User, lesson: Lesson, db: Session, later: Later
) -> None:
    paid = till.order(maria, lesson).json()
    till.pay(paid, maria, "charge")
    assert told(till.ask(paid, maria)) == "This invoice has been paid already."

    other = make_user(db)
    closed = till.order(other, lesson).json()
    lesson.price = 300
    db.commit()
    late = till.order(other, lesson).json()
    assert told(till.ask(closed, other)) == STALE
    later(timedelta(minutes=61))
    assert told(till.ask(late, other)) == STALE


def test_what_is_no_longer_offered_like_that_is_refused(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    order = till.order(maria, lesson).json()

    lesson.price = 250
    db.commit()
    changed = "The price has changed. Open the lesson and request a new invoice."
    assert told(till.ask(order, maria)) == changed

    lesson.price, lesson.is_active = 249, False
    db.commit()
    assert told(till.ask(order, maria)) == "This is not available right now."

    lesson.is_active, maria.is_active = True, False
    db.commit()
    assert told(till.ask(order, maria)) == "This account is closed. Contact the school."

    maria.is_active = True
    db.commit()
    assert till.ask(order, maria) == OK


def test_a_code_that_ceased_to_count_is_refused(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    promo = make_promo(db, code="TEN", discount_percent=10, max_uses=1)
    order = till.order(maria, lesson, "TEN").json()

    promo.is_active = False
    db.commit()
    assert told(till.ask(order, maria)) == "This code is turned off."

    promo.is_active, promo.expires_at = True, clock.now() - timedelta(seconds=1)
    db.commit()
    assert told(till.ask(order, maria)) == "This code has expired."

    promo.expires_at, promo.discount_percent = None, 5
    db.commit()
    changed = "The price has changed. Open the lesson and request a new invoice."
    assert told(till.ask(order, maria)) == changed

    promo.discount_percent = 10
    db.commit()
    first = make_user(db)
    assert till.ask(till.order(first, lesson, "TEN").json(), first) == OK
    assert told(till.ask(order, maria)) == "This code has been used up."
    assert rows(db, PromoCode.current_uses) == [(1,)]


def test_a_use_is_reserved_once_for_15_minutes(
    till: Till, maria: User, lesson: Lesson, db: Session, later: Later
) -> None:
    make_promo(db, code="TEN", discount_percent=10, max_uses=1)
    order = till.order(maria, lesson, "TEN").json()
    for _ in range(3):
        assert till.ask(order, maria) == OK
    assert rows(db, PromoCode.current_uses) == [(1,)]
    first = rows(db, PromoRedemption.state, PromoRedemption.reserved_until)
    assert [state for state, _until in first] == ["reserved"]
    assert first[0][1] - clock.now() == pytest.approx(timedelta(minutes=15), abs=timedelta(seconds=5))

    later(timedelta(minutes=10))
    assert till.ask(order, maria) == OK
    again = rows(db, PromoRedemption.state, PromoRedemption.reserved_until)
    assert again[0][1] - first[0][1] == pytest.approx(timedelta(minutes=10), abs=timedelta(seconds=5))
    assert rows(db, PromoCode.current_uses) == [(1,)]
    books_are_right(db)


def test_a_use_that_was_freed_is_reserved_again(
    till: Till, maria: User, lesson: Lesson, db: Session, later: Later, database: Database
) -> None:
    make_promo(db, code="TEN", discount_percent=10, max_uses=1)
    order = till.order(maria, lesson, "TEN").json()
    assert till.ask(order, maria) == OK
    later(timedelta(minutes=16))
    assert expire(database) == 1
    assert (rows(db, PromoCode.current_uses), rows(db, PromoRedemption.state)) == (
        [(0,)],
        [("released",)],
    )
    assert till.ask(order, maria) == OK
    assert (rows(db, PromoCode.current_uses), rows(db, PromoRedemption.state)) == (
        [(1,)],
        [("reserved",)],
    )
    books_are_right(db)


def test_reserving_leaves_open_forms_of_the_code_good(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    make_promo(db, code="TEN")
    before = rows(db, PromoCode.version, PromoCode.updated_at)
    assert till.ask(till.order(maria, lesson, "TEN").json(), maria) == OK
    assert rows(db, PromoCode.version, PromoCode.updated_at) == before


def test_the_last_use_lost_between_the_look_and_the_reservation(
    till: Till, maria: User, lesson: Lesson, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_promo(db, code="LAST", max_uses=1)
    order = till.order(maria, lesson, "LAST").json()
    monkeypatch.setattr(PromoCodeCRUD, "take", lambda *_a, **_k: False)
    assert told(till.ask(order, maria)) == "This code has been used up."
    assert rows(db, PromoRedemption.id) == []


def test_what_became_the_students_meanwhile_is_refused(
    till: Till, maria: User, lesson: Lesson, database: Database
) -> None:
    order = till.order(maria, lesson).json()
    database.run(lambda session: PurchaseCRUD(session).grant(maria.id, lesson_id=lesson.id))
    assert told(till.ask(order, maria)) == "You already own this: open it in “My lessons”."
