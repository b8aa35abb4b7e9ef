"""Money back, gifts, and what the outbox reports of a refund."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import ConflictError, NotFoundError
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.payments import RefundCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import Api
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user
from tests.money.till import Till, books_are_right, count, refusal, rows


@pytest.fixture
def clerk(api: Api) -> TestClient:
    return api("purchases:read", "purchases:refund")


def test_a_refund_closes_the_access_and_asks_telegram(
    till: Till, clerk: TestClient, maria: User, lesson: Lesson, db: Session
) -> None:
    purchase = till.buy(maria, lesson)
    answer = clerk.post(f"/api/purchases/{purchase['id']}/refund", json={"reason": "По ошибке"})

    assert answer.status_code == 200
    refunded = answer.json()
    moved = {"revoked_at", "updated_at"}
    assert {k: v for k, v in refunded.items() if k not in moved} == {
        k: v for k, v in purchase.items() if k not in moved
    }
    assert refunded["revoked_at"] is not None
    assert rows(db, Order.status) == [("refunded",)]
    assert rows(db, Payment.status) == [("refunded",)]
    asked = (Refund.amount, Refund.reason, Refund.status, Refund.actor_id)
    assert rows(db, *asked) == [(249, "По ошибке", "requested", None)]
    out = rows(db, Dispatch.dedupe_key, Dispatch.method, Dispatch.chat_id, Dispatch.refund_id)
    assert out[1:] == [
        # In this order: a chat's rows leave one after another, and Telegram's word that the Stars are back is the last.
        ("refund-notice:1", "sendMessage", maria.telegram_id, None),
        ("refund:1", "refundStarPayment", maria.telegram_id, 1),
    ]
    params = [found for (found,) in rows(db, Dispatch.params)][1:]
    assert params[1] == {
        "user_id": maria.telegram_id,
        "telegram_payment_charge_id": purchase["payment_id"],
    }
    assert params[0]["text"] == "We are refunding 249 ★ for “Свет из окна”. Your access is now closed."
    assert rows(db, ChangeSet.label)[-1] == ("refund",)
    books_are_right(db)


def test_a_refund_again_is_the_same_answer_and_nothing_more(
    till: Till, clerk: TestClient, maria: User, lesson: Lesson, db: Session
) -> None:
    path = f"/api/purchases/{till.buy(maria, lesson)['id']}/refund"
    first = clerk.post(path, json={"reason": "x"})
    again = [clerk.post(path, json={"reason": "y"}), clerk.post(path, json={}), clerk.post(path)]
    assert [answer.status_code for answer in again] == [200, 200, 200]
    assert {answer.content for answer in again} == {first.content}
    assert (count(db, Refund), count(db, Dispatch)) == (1, 3)


def test_what_was_returned_can_be_bought_again(
    till: Till, clerk: TestClient, maria: User, lesson: Lesson, db: Session
) -> None:
    make_promo(db, code="TEN", discount_percent=10, max_uses=2)
    first = till.buy(maria, lesson, "TEN")
    clerk.post(f"/api/purchases/{first['id']}/refund")
    second = till.buy(maria, lesson, "TEN")
    assert first["id"] != second["id"]
    # A use stays used: the discount was had, whatever came after.
    assert rows(db, PromoCode.current_uses) == [(2,)]
    paid_again = till.pay({"payload": "x", "amount": 1}, maria, first["payment_id"])
    assert refusal(paid_again) == (409, "payment_mismatch")
    books_are_right(db)


def test_what_nobody_paid_for_is_not_returned(
    till: Till, clerk: TestClient, maria: User, database: Database, db: Session
) -> None:
    free = till.order(maria, make_lesson(db, is_free=True)).json()["purchase_id"]
    lesson = make_lesson(db)
    gift = database.run(lambda session: PurchaseCRUD(session).grant(maria.id, lesson_id=lesson.id))
    for purchase_id in (free, gift.id):
        answer = clerk.post(f"/api/purchases/{purchase_id}/refund", json={})
        assert refusal(answer) == (409, "not_refundable")
        words = "Nothing was paid for this, so there is nothing to refund."
        assert answer.json()["error"]["message"] == words
    assert count(db, Purchase, Purchase.revoked_at.is_not(None)) == 0
    assert refusal(clerk.post("/api/purchases/999/refund")) == (404, "not_found")
    books_are_right(db)


def test_a_refund_needs_its_right(till: Till, api: Api, maria: User, lesson: Lesson) -> None:
    path = f"/api/purchases/{till.buy(maria, lesson)['id']}/refund"
    assert api("purchases:read", "purchases:write").post(path).status_code == 403
    assert till.bot.post(path).status_code == 403


def test_a_demo_sale_is_returned_without_asking_telegram(
    clerk: TestClient, maria: User, lesson: Lesson, db: Session
) -> None:
    purchase = make_purchase(db, maria, lesson, is_test=True)
    payment = db.scalars(select(Payment)).one()
    payment.provider = "demo"
    db.commit()
    assert clerk.post(f"/api/purchases/{purchase.id}/refund").status_code == 200
    assert rows(db, Refund.status) == [("done",)]
    assert rows(db, Dispatch.method) == [("sendMessage",)]
    books_are_right(db)


def test_a_person_without_telegram_gets_no_message(clerk: TestClient, lesson: Lesson, db: Session) -> None:
    buyer = make_user(db, telegram_id=None, login="anna@school")
    purchase = make_purchase(db, buyer, lesson)
    assert clerk.post(f"/api/purchases/{purchase.id}/refund").status_code == 200
    assert rows(db, Refund.status) == [("done",)]
    assert count(db, Dispatch) == 0


class TestReports:
    """What the sender of the outbox says of a refund."""

    @pytest.fixture
    def refund_id(self, till: Till, clerk: TestClient, maria: User, lesson: Lesson) -> int:
        clerk.post(f"/api/purchases/{till.buy(maria, lesson)['id']}/refund")
        return 1

    def test_done(self, database: Database, db: Session, refund_id: int) -> None:
        for _ in range(2):
            database.run(lambda session: RefundCRUD(session).refund_done(refund_id))
        ((status, done_at),) = rows(db, Refund.status, Refund.done_at)
        assert status == "done"
        assert clock.now() - done_at < timedelta(seconds=5)
        database.run(lambda session: RefundCRUD(session).refund_failed(refund_id, "too late"))
        assert rows(db, Refund.status, Refund.error) == [("done", None)]
        books_are_right(db)

    def test_nothing_goes_back_to_a_person_whose_data_are_erased(
        self, database: Database, db: Session, refund_id: int, till: Till, lesson: Lesson
    ) -> None:
        """Nobody is left to return the Stars to, and nobody may believe that they went."""
        database.run(lambda session: RefundCRUD(session).refund_failed(refund_id, "CHARGE_NOT_FOUND"))
        db.execute(delete(Dispatch).where(Dispatch.refund_id == refund_id))
        with pytest.raises(ConflictError) as again:
            database.run(lambda session: RefundCRUD(session).retry(refund_id))
        assert again.value.code == "erased"
        assert rows(db, Refund.status) == [("failed",)]

        other = make_user(db)
        purchase = till.buy(other, lesson)["id"]
        db.execute(update(User).where(User.id == other.id).values(erased_at=clock.now()))
        with pytest.raises(ConflictError) as refused:
            database.run(lambda session: PurchaseCRUD(session).refund(purchase))
        assert refused.value.code == "erased"
        assert db.scalars(select(Purchase.revoked_at).where(Purchase.id == purchase)).one() is None

    def test_failed_and_tried_again(self, database: Database, db: Session, refund_id: int) -> None:
        def fail(error: str) -> None:
            database.run(lambda session: RefundCRUD(session).refund_failed(refund_id, error))

        with pytest.raises(ConflictError) as caught:
            database.run(lambda session: RefundCRUD(session).retry(refund_id))
        assert caught.value.code == "not_failed"

        fail("CHARGE_NOT_FOUND" * 100)
        ((status, error),) = rows(db, Refund.status, Refund.error)
        assert (status, len(error)) == ("failed", 500)

        (dispatch,) = db.scalars(select(Dispatch).where(Dispatch.refund_id == refund_id))
        database.run(lambda session: DispatchCRUD(session).fail(dispatch.id, 0, "refused"))
        database.run(lambda session: RefundCRUD(session).retry(refund_id))
        assert rows(db, Refund.status, Refund.error) == [("requested", None)]
        states = dict(rows(db, Dispatch.dedupe_key, Dispatch.state))
        assert states["refund:1"] == "pending"

        fail("again")
        database.run(lambda session: RefundCRUD(session).retry(refund_id))
        assert rows(db, Refund.status) == [("requested",)]
        database.run(lambda session: RefundCRUD(session).refund_done(refund_id))
        assert rows(db, Refund.status) == [("done",)]

    def test_unknown(self, database: Database) -> None:
        with pytest.raises(NotFoundError):
            database.run(lambda session: RefundCRUD(session).refund_done(99))


class TestGifts:
    def test_a_gift_is_access_with_a_message(
        self, till: Till, database: Database, maria: User, lesson: Lesson, db: Session
    ) -> None:
        database.run(lambda session: PurchaseCRUD(session).grant(maria.id, lesson_id=lesson.id))
        ((payment_id, amount, status),) = rows(db, Purchase.payment_id, Purchase.amount, Purchase.status)
        assert (payment_id[:6], amount, status) == ("grant:", 0, "completed")
        ((key, params),) = rows(db, Dispatch.dedupe_key, Dispatch.params)
        assert (key, params["text"]) == ("grant:1", "The school has given you access to “Свет из окна”.")
        assert refusal(till.order(maria, lesson)) == (409, "already_owned")
        books_are_right(db)

    def test_what_is_owned_is_not_given(
        self, till: Till, database: Database, maria: User, lesson: Lesson, db: Session
    ) -> None:
        course = make_course(db, [lesson])
        database.run(lambda session: PurchaseCRUD(session).grant(maria.id, course_id=course.id))
        with pytest.raises(ConflictError, match="already has it") as caught:
            database.run(lambda session: PurchaseCRUD(session).grant(maria.id, lesson_id=lesson.id))
        assert caught.value.code == "already_owned"
        with pytest.raises(NotFoundError):
            database.run(lambda session: PurchaseCRUD(session).grant(10**6, lesson_id=lesson.id))

    def test_a_gift_is_taken_back_and_a_purchase_is_not(
        self, till: Till, database: Database, maria: User, lesson: Lesson, db: Session
    ) -> None:
        gift = database.run(lambda session: PurchaseCRUD(session).grant(maria.id, lesson_id=lesson.id))
        taken = [database.run(lambda session: PurchaseCRUD(session).revoke_grant(gift.id)).revoked_at for _ in range(2)]
        assert taken[0] is not None
        assert taken[0] == taken[1]
        bought = till.buy(maria, lesson)
        with pytest.raises(ConflictError, match="issue a refund") as caught:
            database.run(lambda session: PurchaseCRUD(session).revoke_grant(bought["id"]))
        assert caught.value.code == "not_a_grant"
        books_are_right(db)


class TestTelegramSaysThatTheStarsAreBack:
    def told(self, till: Till, user: User, charge: str) -> Response:
        body = {"payment_id": charge, "telegram_id": user.telegram_id}
        return till.bot.post("/api/purchases/returned", json=body)

    def test_as_the_school_had_asked(
        self, till: Till, clerk: TestClient, maria: User, lesson: Lesson, db: Session
    ) -> None:
        purchase = till.buy(maria, lesson)
        clerk.post(f"/api/purchases/{purchase['id']}/refund")
        for _time in range(2):
            assert self.told(till, maria, purchase["payment_id"]).json() == {"outcome": "returned"}
        assert rows(db, Refund.status) == [("done",)]
        books_are_right(db)

    def test_though_nobody_had_asked(self, till: Till, maria: User, lesson: Lesson, db: Session) -> None:
        purchase = till.buy(maria, lesson)
        assert self.told(till, maria, purchase["payment_id"]).json() == {"outcome": "chargeback"}
        assert [revoked is not None for (revoked,) in rows(db, Purchase.revoked_at)] == [True]
        assert rows(db, Refund.reason, Refund.status) == [("chargeback", "done")]
        assert self.told(till, maria, purchase["payment_id"]).json() == {"outcome": "returned"}
        books_are_right(db)

    def test_of_a_payment_that_is_not_theirs_or_not_known(
        self, till: Till, maria: User, lesson: Lesson, db: Session
    ) -> None:
        purchase = till.buy(maria, lesson)
        assert refusal(self.told(till, make_user(db), purchase["payment_id"])) == (404, "not_found")
        assert refusal(self.told(till, maria, "stx-unknown")) == (404, "not_found")
        assert rows(db, Purchase.revoked_at) == [(None,)]
