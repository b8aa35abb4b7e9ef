"""Telegram's list of Stars against our books: payments that no update told, money that left without us."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from aiogram.types import StarTransaction
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.errors import UnavailableError
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.stars import Entry, StarsCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.orders import OrderCreate
from backend.database.schemas.purchases import PurchaseCreate
from backend.jobs import stars
from backend.jobs.runner import jobs_running
from backend.jobs.sending import make_bot
from backend.sandbox.student import Student
from tests.factories import make_lesson, make_user
from tests.jobs.conftest import School
from tests.money.till import rows

NOW = timedelta(0)
Sold = Callable[[Lesson], Order]


@pytest.fixture
def olga(school: School) -> Student:
    return school.student()


@pytest.fixture
def buyer(db: Session, olga: Student) -> User:
    return make_user(db, telegram_id=olga.id)


@pytest.fixture
def lesson(db: Session) -> Lesson:
    return make_lesson(db, price=249)


@pytest.fixture
def sold(school: School, db: Session, olga: Student, buyer: User) -> Sold:
    """Olga pays for an order, and the update of it reaches nobody."""

    def sell(lesson: Lesson) -> Order:
        with school.database.transaction() as session:
            order = OrderCRUD(session).place(OrderCreate(user_id=buyer.id, lesson_id=lesson.id)).order
        invoice(school, olga, order.payload, order.total)
        return order

    return sell


def invoice(school: School, olga: Student, payload: str, amount: int) -> str:
    """Olga pays an invoice of the bot's without a pre-checkout; the id of the charge."""

    async def link() -> str:
        bot = make_bot(school.account.token, school.api_url)
        prices = [{"label": "Lesson", "amount": amount}]
        made = await bot.create_invoice_link("Lesson", "Text", payload, "XTR", prices)  # type: ignore[arg-type] # read as JSON
        await bot.session.close()
        return made

    charge = olga.pay(link=asyncio.run(link()), skip_pre_checkout=True).charge_id
    assert charge is not None
    return charge


def reconcile(school: School, grace: timedelta = NOW) -> int:
    async def once() -> int:
        bot = make_bot(school.account.token, school.api_url)
        try:
            return await stars.reconcile(school.database, bot, is_test=True, grace=grace)
        finally:
            await bot.session.close()

    return asyncio.run(once())


def books_are_right(db: Session) -> None:
    assert LedgerCRUD(db).problems() == []


def test_a_payment_that_no_update_told_is_handed_over(
    school: School, sold: Sold, lesson: Lesson, buyer: User, db: Session
) -> None:
    order = sold(lesson)
    assert reconcile(school, stars.GRACE) == 0  # the update may still come

    assert reconcile(school) == 1

    assert rows(db, Purchase.user_id, Purchase.lesson_id, Purchase.is_test) == [(buyer.id, lesson.id, True)]
    assert rows(db, Payment.order_id, Payment.status) == [(order.id, "settled")]
    assert rows(db, Dispatch.dedupe_key) == [(f"receipt:{db.scalar(select(Purchase.id))}",)]
    assert SettingCRUD(db).find("stars") == {"bot": school.account.id, "offset": 1}
    assert reconcile(school) == 0
    books_are_right(db)


def test_what_the_update_told_is_no_news(school: School, sold: Sold, lesson: Lesson, buyer: User, db: Session) -> None:
    order = sold(lesson)
    charge = school.box.ledger(school.account)[0]["id"]
    data = PurchaseCreate(
        payload=order.payload, telegram_id=buyer.telegram_id or 0, payment_id=charge, amount=249, currency="XTR"
    )
    school.database.run(lambda session: PurchaseCRUD(session).settle(data))

    assert reconcile(school) == 0
    assert rows(db, Payment.provider_charge_id) == [(charge,)]


def test_sales_of_another_program_are_left_alone(school: School, olga: Student, buyer: User, db: Session) -> None:
    invoice(school, olga, "somebody-elses-order", 5)
    assert reconcile(school) == 0
    assert rows(db, Payment.id) == rows(db, Dispatch.id) == []


def test_a_lost_payment_of_what_is_owned_goes_back(
    school: School, sold: Sold, lesson: Lesson, buyer: User, db: Session
) -> None:
    sold(lesson)
    school.database.run(lambda session: PurchaseCRUD(session).grant(buyer.id, lesson_id=lesson.id))
    assert reconcile(school) == 1
    assert rows(db, Payment.status) == [("unmatched",)]
    assert rows(db, Refund.reason, Refund.status) == [("already_owned", "requested")]
    books_are_right(db)


def test_money_taken_back_closes_the_access(
    school: School, sold: Sold, lesson: Lesson, olga: Student, db: Session
) -> None:
    sold(lesson)
    reconcile(school)
    olga.charge_back(school.box.ledger(school.account)[0]["id"])

    assert reconcile(school) == 1

    assert [revoked is not None for (revoked,) in rows(db, Purchase.revoked_at)] == [True]
    assert rows(db, Order.status) == rows(db, Payment.status) == [("refunded",)]
    assert rows(db, Refund.reason, Refund.status, Refund.amount) == [("chargeback", "done", 249)]
    assert [method for (method,) in rows(db, Dispatch.method)] == ["sendMessage"]  # the receipt; nothing is asked
    assert reconcile(school) == 0
    books_are_right(db)


def test_a_refund_whose_answer_was_lost_is_done(
    school: School, sold: Sold, lesson: Lesson, olga: Student, db: Session
) -> None:
    sold(lesson)
    reconcile(school)
    purchase_id = db.scalars(select(Purchase.id)).one()
    school.database.run(lambda session: PurchaseCRUD(session).refund(purchase_id))
    assert rows(db, Refund.status) == [("requested",)]
    olga.charge_back(school.box.ledger(school.account)[0]["id"])

    assert reconcile(school) == 1
    assert rows(db, Refund.status, Refund.reason) == [("done", "")]
    # The outbox asks all the same, and hears that it has happened.
    asked = db.scalars(select(Dispatch.id).where(Dispatch.method == "refundStarPayment")).one()
    school.send_until(lambda: school.state(asked) == ["sent"])
    books_are_right(db)


def test_a_refund_of_ours_is_faster_than_the_list(school: School, sold: Sold, lesson: Lesson, db: Session) -> None:
    sold(lesson)
    reconcile(school)
    payment = db.scalars(select(Payment)).one()
    with school.database.transaction() as session:
        late = session.get_one(Payment, payment.id)
        purchase_id = session.scalars(select(Purchase.id)).one()
        PurchaseCRUD(session).refund(purchase_id)
        StarsCRUD(session)._charge_back(late)
    assert rows(db, Refund.status) == [("requested",)]
    books_are_right(db)


def test_lines_that_make_no_sense_hide_nothing(school: School, sold: Sold, lesson: Lesson, db: Session) -> None:
    payload = sold(lesson).payload

    def book(amount: int) -> str:
        entry = Entry("stx-odd", True, amount, 5, payload)
        return school.database.run(lambda session: StarsCRUD(session).book(entry, is_test=False))

    assert [book(0), book(249), book(1)] == ["unreadable", "sent_back", "payment_mismatch"]
    assert reconcile(school) == 1  # her own payment
    assert [status for (status,) in rows(db, Payment.status)] == ["unmatched", "settled"]
    books_are_right(db)


def test_a_mistake_of_ours_hides_no_other_line(
    school: School, sold: Sold, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, failing = StarsCRUD.book, sold(make_lesson(db, title="A")).payload
    sold(make_lesson(db, title="B"))

    def broken(self: StarsCRUD, entry: Entry, *, is_test: bool) -> str:
        assert entry.payload != failing
        return book(self, entry, is_test=is_test)

    with monkeypatch.context() as patch:
        patch.setattr(StarsCRUD, "book", broken)
        assert reconcile(school) == 2
    assert rows(db, Payment.status) == [("settled",)]
    assert reconcile(school) == 1
    assert rows(db, Payment.status) == [("settled",), ("settled",)]


def test_a_database_that_goes_away_leaves_the_line_for_the_next_round(
    school: School, sold: Sold, lesson: Lesson, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold(lesson)

    def away(_self: StarsCRUD, _entry: Entry, *, is_test: bool) -> str:
        raise UnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(StarsCRUD, "book", away)
        with pytest.raises(UnavailableError):
            reconcile(school)
    assert StarsCRUD(db).offset(school.account.id) == 0
    assert reconcile(school) == 1


def test_what_is_no_payment_of_a_person_is_passed_over() -> None:
    withdrawal = {"id": "w", "amount": 500, "date": 1, "receiver": {"type": "fragment"}}
    assert stars._entry(StarTransaction.model_validate(withdrawal)) is None


def test_a_list_of_several_pages_is_read_to_its_end(
    school: School, sold: Sold, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stars, "PAGE", 3)
    monkeypatch.setattr(stars, "OVERLAP", 1)
    for number in range(7):
        sold(make_lesson(db, title=f"Lesson {number}"))
    assert reconcile(school) == 7
    assert SettingCRUD(db).find("stars") == {"bot": school.account.id, "offset": 7}
    sold(make_lesson(db, title="One more"))
    assert reconcile(school) == 1
    assert StarsCRUD(db).offset(school.account.id) == 8
    assert StarsCRUD(db).offset(5) == 0  # another bot has another list
    books_are_right(db)


def test_the_jobs_read_the_list(
    school: School, sold: Sold, lesson: Lesson, settings: Settings, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a round that failed."""
    monkeypatch.setattr(stars, "GRACE", NOW)
    monkeypatch.setattr(stars.reconcile, "__kwdefaults__", {"grace": NOW})
    monkeypatch.setattr(stars, "PERIOD", 1.1)
    sold(lesson)
    school.box.fault("500", method="getStarTransactions", bot=school.account)
    local = settings.model_copy(update={"telegram_api_url": school.api_url})

    async def serve() -> None:
        async with jobs_running(local, school.database, school.account.token):
            await asyncio.to_thread(school.box.wait_until, lambda: rows(db, Purchase.id))

    asyncio.run(asyncio.wait_for(serve(), 20))
    assert len(school.box.calls("getStarTransactions", school.account)) >= 2
    books_are_right(db)


def test_how_far_a_list_was_read_is_of_its_bot(db: Session) -> None:
    books = StarsCRUD(db)
    assert books.offset(7) == 0
    books.read_to(7, 100)
    assert (books.offset(7), books.offset(8)) == (100, 0)
    books.read_to(8, 30)
    assert (books.offset(7), books.offset(8)) == (0, 30)
