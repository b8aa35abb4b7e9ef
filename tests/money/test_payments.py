"""A payment has come: once, again, altered, from another, late, or for what is owned."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.crud.notices import language_of
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.orders import OrderCreate
from backend.database.schemas.purchases import PurchaseCreate
from backend.database.session import Database
from tests.conftest import Api
from tests.factories import make_course, make_promo, make_user
from tests.figures import Figure
from tests.money.conftest import Later
from tests.money.till import OK, Till, books_are_right, count, expire, payment, refusal, rows


def test_a_payment_makes_a_purchase_a_paid_order_and_a_receipt(
    till: Till, maria: User, lesson: Lesson, db: Session
) -> None:
    order = till.order(maria, lesson).json()
    answer = till.pay(order, maria, "stx-A")

    assert answer.status_code == 201
    purchase = answer.json()
    moments = {"created_at", "updated_at"}
    assert {name: value for name, value in purchase.items() if name not in moments} == {
        "id": 1,
        "user_id": maria.id,
        "lesson_id": lesson.id,
        "course_id": None,
        "payment_id": "stx-A",
        "amount": 249,
        "status": "completed",
        "is_test": False,
        "revoked_at": None,
    }
    assert rows(db, Order.status, Order.total) == [("paid", 249)]
    kept = (Payment.provider, Payment.provider_charge_id, Payment.amount, Payment.status)
    assert rows(db, *kept) == [("stars", "stx-A", 249, "settled")]
    assert rows(db, Dispatch.dedupe_key, Dispatch.method, Dispatch.chat_id) == [
        ("receipt:1", "sendMessage", maria.telegram_id)
    ]
    (params,) = db.scalars(select(Dispatch.params))
    assert params["text"] == "Payment received: 249 ★.\n“Свет из окна” is yours."
    assert rows(db, ChangeSet.label)[-1] == ("payment",)
    books_are_right(db)


def test_a_course_is_paid_like_a_lesson(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    purchase = till.buy(maria, make_course(db, [lesson]))
    assert (purchase["lesson_id"], purchase["course_id"]) == (None, 1)
    (params,) = db.scalars(select(Dispatch.params))
    button = params["reply_markup"]["inline_keyboard"][0][0]
    assert button["callback_data"] == "course:1"


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ({"language_code": "ru-RU"}, "ru"),
        ({"language_code": "RU"}, "ru"),
        ({"language_code": "de"}, "en"),
        ({"language_code": "ru", "ui_language": "en"}, "en"),
    ],
)
def test_the_receipt_is_in_the_students_language(db: Session, fields: dict[str, str], language: str) -> None:
    assert language_of(make_user(db, **fields)) == language


def test_the_same_payment_again_is_the_same_purchase(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    order = till.order(maria, lesson).json()
    first = till.pay(order, maria, "stx-A")
    again = [till.pay(order, maria, "stx-A") for _ in range(3)]
    assert [answer.status_code for answer in again] == [200, 200, 200]
    assert {answer.content for answer in again} == {first.content}
    assert (count(db, Purchase), count(db, Payment), count(db, Dispatch)) == (1, 1, 1)


@pytest.mark.parametrize(
    "changes",
    [{"payload": "another"}, {"telegram_id": 5}, {"amount": 248}, {"currency": "EUR"}],
)
def test_the_same_charge_with_another_value_changes_nothing(
    till: Till, maria: User, lesson: Lesson, db: Session, changes: dict[str, object]
) -> None:
    order = till.order(maria, lesson).json()
    till.pay(order, maria, "stx-A")
    before = rows(db, Payment.status, Payment.amount, Payment.updated_at)
    assert refusal(till.pay(order, maria, "stx-A", **changes)) == (409, "payment_mismatch")
    assert rows(db, Payment.status, Payment.amount, Payment.updated_at) == before
    assert (count(db, Refund), count(db, Dispatch)) == (0, 1)
    books_are_right(db)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payload": "nothing-of-ours"}, "unknown_order"),
        ({"telegram_id": 12345}, "foreign_payer"),
        ({"amount": 248}, "amount_mismatch"),
        ({"amount": 250}, "amount_mismatch"),
        ({"currency": "USD"}, "currency_mismatch"),
    ],
)
def test_money_that_no_order_can_honour_goes_back(
    till: Till,
    maria: User,
    lesson: Lesson,
    db: Session,
    changes: dict[str, Any],
    code: str,
) -> None:
    order = till.order(maria, lesson).json()
    answers = [till.pay(order, maria, "stx-A", **changes) for _ in range(3)]

    assert [refusal(answer) for answer in answers] == [(409, code)] * 3
    words = answers[0].json()["error"]["message"]
    assert words.endswith("The payment is recorded and is being refunded.")
    amount = changes.get("amount", 249)
    assert rows(db, Payment.status, Payment.amount) == [("unmatched", amount)]
    assert rows(db, Refund.status, Refund.amount, Refund.reason) == [("requested", amount, code)]
    payer = changes.get("telegram_id", maria.telegram_id)
    asked = rows(db, Dispatch.dedupe_key, Dispatch.method, Dispatch.chat_id, Dispatch.refund_id)
    assert asked[-1] == ("refund:1", "refundStarPayment", payer, 1)
    told = [("refund-notice:1", "sendMessage", payer, None)]
    assert asked[:-1] == (told if payer == maria.telegram_id else [])
    params = db.scalars(select(Dispatch.params).order_by(Dispatch.id.desc())).first()
    assert params == {"user_id": payer, "telegram_payment_charge_id": "stx-A"}
    assert count(db, Purchase) == 0
    books_are_right(db)
    # The order itself is still good.
    assert till.pay(order, maria, "stx-B").status_code == 201
    books_are_right(db)


def test_a_second_payment_of_one_order_goes_back(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    order = till.order(maria, lesson).json()
    till.pay(order, maria, "stx-A")
    assert refusal(till.pay(order, maria, "stx-B")) == (409, "already_paid")
    assert rows(db, Payment.status) == [("settled",), ("unmatched",)]
    assert till.pay(order, maria, "stx-A").status_code == 200
    books_are_right(db)


def test_a_payment_for_what_came_by_another_order_goes_back(
    till: Till, maria: User, lesson: Lesson, db: Session
) -> None:
    """Two orders were let through to pay side by side: the lesson alone, and the course with it."""
    alone = till.order(maria, lesson).json()
    within = till.order(maria, make_course(db, [lesson])).json()
    assert (till.ask(alone, maria), till.ask(within, maria)) == (OK, OK)
    assert till.pay(within, maria, "stx-A").status_code == 201
    assert refusal(till.pay(alone, maria, "stx-B")) == (409, "already_owned")
    assert rows(db, Order.status) == [("awaiting_payment",), ("paid",)]
    books_are_right(db)


def test_what_is_sent_is_checked(till: Till, maria: User, lesson: Lesson, api: Api) -> None:
    order = till.order(maria, lesson).json()
    fields = {
        "payment_id": "free:1",
        "amount": 0,
        "currency": "stars",
        "payload": "",
        "telegram_id": 0,
    }
    for name, value in fields.items():
        answer = till.pay(order, maria, "stx-A", **{name: value})
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, [name])
    words = till.pay(order, maria, "grant:x").json()["error"]["fields"]["payment_id"]
    assert words == "This is not a Telegram charge ID."

    stranger = api("purchases:read", "users:write")
    body = payment(order, maria, "stx-A")
    assert stranger.post("/api/purchases/create", json=body).status_code == 403
    clerk = api("purchases:write")
    assert clerk.post("/api/purchases/create", json=body).status_code == 201


class TestLate:
    def test_an_expired_order_is_honoured(
        self, till: Till, maria: User, lesson: Lesson, db: Session, later: Later, database: Database
    ) -> None:
        order = till.order(maria, lesson).json()
        later(timedelta(hours=2))
        assert expire(database) == 1
        assert till.pay(order, maria, "stx-A").status_code == 201
        assert rows(db, Order.status) == [("paid",)]
        books_are_right(db)

    def test_a_closed_order_is_honoured(self, till: Till, maria: User, lesson: Lesson, db: Session) -> None:
        first = till.order(maria, lesson).json()
        assert till.ask(first, maria) == OK
        lesson.price = 300
        db.commit()
        second = till.order(maria, lesson).json()
        assert till.pay(first, maria, "stx-A").json()["amount"] == 249
        assert refusal(till.pay(second, maria, "stx-B")) == (409, "already_owned")
        books_are_right(db)

    def test_a_price_that_changed_since_is_the_paid_one(
        self, till: Till, maria: User, lesson: Lesson, db: Session
    ) -> None:
        order = till.order(maria, lesson).json()
        lesson.price, lesson.is_active, maria.is_active = 9000, False, False
        db.commit()
        assert till.pay(order, maria, "stx-A").json()["amount"] == 249

    def test_a_reserved_use_becomes_used(self, till: Till, maria: User, lesson: Lesson, db: Session) -> None:
        make_promo(db, code="TEN", discount_percent=10, max_uses=1)
        assert till.buy(maria, lesson, "TEN")["amount"] == 224
        assert rows(db, PromoRedemption.state) == [("used",)]
        assert rows(db, PromoCode.current_uses) == [(1,)]
        books_are_right(db)

    def test_a_released_use_is_taken_again_while_there_is_one(
        self, till: Till, maria: User, lesson: Lesson, db: Session, later: Later, database: Database
    ) -> None:
        promo = make_promo(db, code="TEN", discount_percent=10, max_uses=1)
        order = till.order(maria, lesson, "TEN").json()
        assert till.ask(order, maria) == OK
        later(timedelta(minutes=16))
        assert expire(database) == 1
        promo.is_active = False  # it counted when the buyer was let through
        db.commit()
        assert rows(db, PromoCode.current_uses) == [(0,)]

        assert till.pay(order, maria, "stx-A").status_code == 201
        assert rows(db, PromoRedemption.state) == [("used",)]
        assert rows(db, PromoCode.current_uses) == [(1,)]
        books_are_right(db)

    def test_a_released_use_that_another_took_is_honoured_and_noted(
        self, till: Till, maria: User, lesson: Lesson, db: Session, later: Later, database: Database
    ) -> None:
        make_promo(db, code="TEN", discount_percent=10, max_uses=1)
        order = till.order(maria, lesson, "TEN").json()
        assert till.ask(order, maria) == OK
        later(timedelta(minutes=16))
        expire(database)
        till.buy(make_user(db), lesson, "TEN")

        late = till.pay(order, maria, "stx-late")
        assert (late.status_code, late.json()["amount"]) == (201, 224)
        assert rows(db, PromoRedemption.state) == [("released",), ("used",)]
        assert rows(db, PromoCode.current_uses) == [(1,)]
        noted = [raw.get("promo") for (raw,) in rows(db, Payment.raw)]
        assert noted == [None, "honoured after its reservation had run out"]
        books_are_right(db)

    def test_a_use_that_was_never_reserved_is_needed(
        self, till: Till, maria: User, lesson: Lesson, db: Session
    ) -> None:
        """Telegram always asks first; a payment out of nowhere has been promised nothing."""
        make_promo(db, code="TEN", discount_percent=10, max_uses=1)
        first, second = maria, make_user(db)
        orders = [till.order(user, lesson, "TEN").json() for user in (first, second)]
        assert till.pay(orders[0], first, "stx-A").status_code == 201
        assert refusal(till.pay(orders[1], second, "stx-B")) == (409, "promo_used_up")
        assert rows(db, Payment.status) == [("settled",), ("unmatched",)]
        assert rows(db, PromoCode.current_uses) == [(1,)]
        books_are_right(db)

    def test_expiry_comes_again_with_nothing_to_do(
        self, till: Till, maria: User, lesson: Lesson, db: Session, later: Later, database: Database
    ) -> None:
        make_promo(db, code="TEN", discount_percent=10)
        assert till.ask(till.order(maria, lesson, "TEN").json(), maria) == OK
        later(timedelta(hours=2))
        assert (expire(database), expire(database)) == (2, 0)
        assert rows(db, Order.status) == [("expired",)]
        assert rows(db, PromoRedemption.state) == [("released",)]
        assert rows(db, PromoCode.current_uses) == [(0,)]
        books_are_right(db)


FIELDS = {
    "payload": st.text(st.characters(min_codepoint=1024, max_codepoint=1200), min_size=1, max_size=60),
    "telegram_id": st.integers(1, 2**63 - 1),
    "payment_id": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60).filter(
        lambda text: not text.startswith(("free:", "grant:"))
    ),
    "amount": st.integers(1, 1_000_000),
    "currency": st.text("ABXTR", min_size=3, max_size=3),
}


@pytest.mark.parametrize("examples", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_altered_payment_is_accepted(
    database: Database, maria: User, lesson: Lesson, figure: Figure, examples: int
) -> None:
    altered = 0

    @settings(max_examples=examples, deadline=None)
    @given(changes=st.fixed_dictionaries({}, optional=FIELDS))
    def goes_back(changes: dict[str, Any]) -> None:
        nonlocal altered
        altered += not honoured(database, maria, lesson, changes)

    goes_back()
    assert altered > examples // 2
    figure("A2", "altered payments that are accepted", 0, "0", altered)


def honoured(database: Database, maria: User, lesson: Lesson, changes: dict[str, Any]) -> bool:
    """Whatever is altered: either exactly the order's deal is honoured, or the money goes back."""
    with database.write_sessions() as session:
        ordered = OrderCreate(user_id=maria.id, lesson_id=lesson.id)
        order = OrderCRUD(session).place(ordered).order
        deal = {
            "payload": order.payload,
            "telegram_id": maria.telegram_id,
            "amount": order.total,
            "currency": "XTR",
        }
        data = PurchaseCreate.model_validate(deal | {"payment_id": "stx-A"} | changes)
        same = all(getattr(data, name) == value for name, value in deal.items())

        settled = PurchaseCRUD(session).settle(data)

        assert (settled.purchase is not None, settled.refusal is None) == (same, same)
        found = [session.scalar(select(func.count(row.id))) for row in (Refund, Purchase)]
        assert found == ([0, 1] if same else [1, 0])
        session.rollback()
        return same
