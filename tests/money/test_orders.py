"""An order: what it holds, when it is refused, given again, closed, or free."""

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import ConflictError, NotFoundError
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, OrderLine, Payment
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.session import Database
from main import create_app
from tests.conftest import Api, make_settings
from tests.factories import make_course, make_lesson, make_promo, make_user
from tests.money.conftest import Later
from tests.money.till import OK, Till, books_are_right, count, named, refusal, rows


def test_an_order_keeps_title_and_price_as_they_were(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    answer = till.order(maria, lesson)
    order = answer.json()

    assert answer.status_code == 201
    assert len(order.pop("payload")) == 32
    moment = order.pop("expires_at")
    assert order == {
        "id": 1,
        "amount": 249,
        "currency": "XTR",
        "title": "Свет из окна",
        "description": "Мягкий портрет у окна",
        "status": "awaiting_payment",
        "user_id": maria.id,
        "lesson_id": lesson.id,
        "course_id": None,
        "full_price": 249,
        "discount": 0,
        "is_test": False,
        "purchase_id": None,
    }
    kept = db.get_one(Order, 1)
    assert moment == kept.expires_at.isoformat().replace("+00:00", "Z")
    assert kept.paid_at is None
    assert kept.expires_at - kept.created_at == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=5))

    lesson.price, lesson.title = 500, "Другое имя"
    db.commit()
    line = (OrderLine.title, OrderLine.unit_price, OrderLine.qty, OrderLine.total)
    assert rows(db, *line) == [("Свет из окна", 249, 1, 249)]


def test_a_course_is_ordered_at_its_discount_price(till: Till, maria: User, db: Session) -> None:
    course = make_course(db, [make_lesson(db)], discount_price=200, description="")
    order = till.order(maria, course).json()
    assert (order["amount"], order["course_id"], order["lesson_id"]) == (200, course.id, None)
    assert (order["title"], order["description"]) == ("Портрет", "Портрет")


def test_an_order_with_a_code(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    make_promo(db, code="TEN", discount_percent=10, max_uses=5)
    order = till.order(maria, lesson, "ten").json()
    assert (order["full_price"], order["discount"], order["amount"]) == (249, 25, 224)
    # Nothing is reserved before somebody is about to pay.
    assert rows(db, PromoCode.current_uses) == [(0,)]


def test_an_order_is_refused_with_words(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    hidden = make_lesson(db, is_active=False)
    blocked = make_user(db, is_active=False)
    make_promo(db, code="GONE", is_active=False)
    owner = make_user(db)
    till.buy(owner, lesson)

    assert refusal(till.order(maria, hidden)) == (409, "not_on_sale")
    assert refusal(till.order(blocked, lesson)) == (409, "user_inactive")
    assert refusal(till.order(owner, lesson)) == (409, "already_owned")
    invalid = till.order(maria, lesson, "gone").json()["error"]
    assert (invalid["code"], invalid["message"]) == ("promo_invalid", "This code is turned off.")
    assert invalid["fields"] == {"promo_code": "This code is turned off."}
    body = {"user_id": 10**9, **named(lesson)}
    assert refusal(till.bot.post("/api/orders", json=body)) == (404, "not_found")
    assert refusal(till.bot.post("/api/orders", json={"user_id": maria.id})) == (422, "validation")
    assert count(db, Order, Order.user_id == maria.id) == 0


def test_an_order_with_a_code_that_nobody_gave_out_is_refused(
    till: Till, maria: User, lesson: Lesson, db: Session
) -> None:
    answer = till.order(maria, lesson, "NOSUCH")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "promo_invalid")
    assert count(db, Order) == 0


def test_a_lesson_is_owned_through_a_course(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    course = make_course(db, [lesson])
    other = make_course(db, [lesson], title="Ещё один")
    till.buy(maria, course)
    assert refusal(till.order(maria, lesson)) == (409, "already_owned")
    assert refusal(till.order(maria, course)) == (409, "already_owned")
    assert till.order(maria, other).status_code == 201


def test_only_the_bot_orders(api: Api, client: TestClient, maria: User, lesson: Lesson) -> None:
    body = {"user_id": maria.id, **named(lesson)}
    assert client.post("/api/orders/", json=body).status_code == 401
    stranger = api("purchases:write", "purchases:read")
    assert stranger.post("/api/orders/", json=body).status_code == 403
    assert stranger.post("/api/orders/pre-checkout", json={}).status_code == 403


# -- asked again


def test_an_open_order_on_the_same_terms_is_given_again(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    make_promo(db, code="TEN")
    first = till.order(maria, lesson).json()
    assert till.order(maria, lesson).json() == first
    with_code = till.order(maria, lesson, "TEN").json()
    assert with_code["id"] != first["id"]
    assert till.order(maria, lesson, "ten").json() == with_code
    assert rows(db, Order.status) == [("cancelled",), ("awaiting_payment",)]


def test_other_terms_close_the_order_before(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    first = till.order(maria, lesson).json()
    other = till.order(make_user(db), lesson).json()
    lesson.price = 300
    db.commit()
    assert till.order(maria, lesson).json()["amount"] == 300
    assert rows(db, Order.id, Order.status) == [
        (first["id"], "cancelled"),
        (other["id"], "awaiting_payment"),
        (other["id"] + 1, "awaiting_payment"),
    ]


def test_an_order_that_is_about_to_end_is_not_given_again(
    till: Till, maria: User, lesson: Lesson, db: Session, later: Later
) -> None:
    first = till.order(maria, lesson).json()
    later(timedelta(minutes=45))
    second = till.order(maria, lesson).json()
    assert second["id"] != first["id"]
    later(timedelta(minutes=61))
    till.order(maria, lesson)
    states = [("cancelled",), ("expired",), ("awaiting_payment",)]
    assert rows(db, Order.status) == states


def test_a_new_order_frees_the_use_that_the_old_one_reserved(
    till: Till, maria: User, lesson: Lesson, db: Session
) -> None:
    """The last use of a code is held by the student's own open order: they can go on with it."""
    make_promo(db, code="LAST", discount_percent=10, max_uses=1)
    first = till.order(maria, lesson, "LAST").json()
    assert till.ask(first, maria) == OK
    assert till.check(maria, lesson, "LAST")["valid"] is True
    assert till.check(make_user(db), lesson, "LAST")["reason_code"] == "used_up"
    assert till.check(maria, make_lesson(db), "LAST")["reason_code"] == "used_up"

    assert till.order(maria, lesson, "LAST").json() == first
    lesson.price = 100
    db.commit()
    second = till.order(maria, lesson, "LAST").json()
    assert second["amount"] == 90
    assert till.ask(second, maria) == OK
    states = (PromoRedemption.order_id, PromoRedemption.state)
    assert rows(db, *states) == [(first["id"], "released"), (second["id"], "reserved")]
    assert rows(db, PromoCode.current_uses) == [(1,)]
    books_are_right(db)


def test_the_last_use_held_for_a_course_is_told_from_one_for_a_lesson(
    till: Till, maria: User, lesson: Lesson, db: Session
) -> None:
    make_promo(db, code="LAST", max_uses=1)
    course = make_course(db, [lesson])
    assert till.ask(till.order(maria, course, "LAST").json(), maria) == OK
    assert till.check(maria, course, "LAST")["valid"] is True
    assert till.check(maria, lesson, "LAST")["reason_code"] == "used_up"


# -- nothing to pay


def test_what_costs_nothing_is_given_at_once(till: Till, maria: User, db: Session) -> None:
    free = make_lesson(db, price=100, is_free=True)
    answer = till.order(maria, free)
    order = answer.json()

    assert answer.status_code == 201
    assert (order["status"], order["amount"], order["purchase_id"]) == ("paid", 0, 1)
    purchase = rows(db, Purchase.payment_id, Purchase.amount, Purchase.status, Purchase.lesson_id)
    assert purchase == [(f"free:{order['id']}", 0, "completed", free.id)]
    ((paid_at, made),) = rows(db, Order.paid_at, Order.created_at)
    assert paid_at - made == pytest.approx(timedelta(0), abs=timedelta(seconds=5))
    assert (count(db, Payment), count(db, Dispatch)) == (0, 0)
    assert refusal(till.order(maria, free)) == (409, "already_owned")
    labels = [label for (label,) in rows(db, ChangeSet.label)]
    assert labels[-1] == "free"
    books_are_right(db)


def test_a_code_for_the_whole_price_is_used_at_once(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    make_promo(db, code="GIFT", discount_percent=100, max_uses=1)
    assert till.order(maria, lesson, "GIFT").json()["status"] == "paid"
    assert rows(db, PromoRedemption.state) == [("used",)]
    assert rows(db, PromoCode.current_uses) == [(1,)]
    late = till.order(make_user(db), lesson, "GIFT")
    assert refusal(late) == (422, "promo_invalid")
    books_are_right(db)


def test_the_last_free_use_goes_to_one_of_two(
    till: Till, maria: User, lesson: Lesson, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looked while one use was left; the conditional update decides."""
    make_promo(db, code="GIFT", discount_percent=100, max_uses=1)
    take = PromoCodeCRUD.take

    def another_comes_first(self: PromoCodeCRUD, promo_id: int, *, promised: bool = False) -> bool:
        take(self, promo_id)
        return take(self, promo_id, promised=promised)

    monkeypatch.setattr(PromoCodeCRUD, "take", another_comes_first)
    answer = till.order(maria, lesson, "GIFT")
    assert refusal(answer) == (422, "promo_invalid")
    assert answer.json()["error"]["message"] == "This code has been used up."
    assert (count(db, Order), count(db, Purchase)) == (0, 0)
    assert rows(db, PromoCode.current_uses) == [(0,)]


# -- the sandbox


def test_a_sale_in_the_sandbox_is_a_test_sale(
    api: Api, database: Database, maria: User, lesson: Lesson, db: Session, tmp_path: Path
) -> None:
    school = create_app(make_settings(database.url, tmp_path, sandbox=True))
    browser = TestClient(school, base_url="http://127.0.0.1:8000", headers=api("bot").headers)
    till = Till(browser)
    order = till.order(maria, lesson).json()
    assert order["is_test"] is True
    assert till.ask(order, maria) == OK
    assert till.pay(order, maria, "sbx-1").json()["is_test"] is True
    assert rows(db, Payment.is_test) == [(True,)]
    school.state.database.dispose()


# -- the history


def test_every_step_is_in_the_history_without_the_payload(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    till.buy(maria, lesson)
    found = rows(db, Change.entity, Change.op)
    sales = [row for row in found if row[0] in ("orders", "payments", "purchases")]
    assert sales == [
        ("orders", "create"),
        ("payments", "create"),
        ("orders", "update"),
        ("purchases", "create"),
    ]
    after = [after for (entity, after) in rows(db, Change.entity, Change.after) if entity == "orders"]
    assert "payload" not in after[0]
    assert (after[1]["status"], set(after[1])) == ("paid", {"status", "paid_at"})
    assert clock.now() - db.get_one(Order, 1).created_at < timedelta(minutes=1)


# -- what others do at the same moment


def test_an_order_that_was_paid_meanwhile_is_not_closed(till: Till, maria: User, lesson: Lesson, db: Session) -> None:
    placed = till.order(maria, lesson).json()
    stale = db.get_one(Order, placed["id"])
    till.pay(placed, maria, "stx-A")
    OrderCRUD(db)._close(stale)
    assert rows(db, Order.status) == [("paid",)]


def test_nothing_is_given_twice(maria: User, lesson: Lesson, database: Database) -> None:
    """The last wall: a purchase that another transaction has made is seen by the insert itself."""

    def give(payment_id: str) -> None:
        gift = {"payment_id": payment_id, "amount": 0, "is_test": False}
        database.run(lambda session: EntitlementCRUD(session).give(maria.id, lesson, **gift).payment_id)

    give("grant:1")
    with pytest.raises(ConflictError) as caught:
        give("grant:2")
    assert caught.value.code == "already_owned"


def test_an_order_that_is_not_there(database: Database) -> None:
    with pytest.raises(NotFoundError, match="Order 9 no longer exists"):
        database.run(lambda session: OrderCRUD(session).get_by_id(9))


def test_the_last_use_is_taken_once(db: Session) -> None:
    promo = make_promo(db, max_uses=1)
    promos = PromoCodeCRUD(db)
    assert [promos.take(promo.id), promos.take(promo.id)] == [True, False]
    assert [promos.take(promo.id, promised=True)] == [False]
