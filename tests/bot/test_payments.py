"""Money: once, in time, from the right person, through every fault; else given back in words."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.bot import payments
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.sandbox.student import ChatMessage, NoAnswerError, Student
from tests.bot.conftest import School
from tests.bot.test_story import tap
from tests.factories import make_course, make_lesson, make_promo

Fresh = Callable[[], Session]


def invoiced(student: Student, lesson_id: int = 1) -> ChatMessage:
    """A student with an invoice before them."""
    student.ask(f"/start lesson_{lesson_id}")
    shown = tap(student, "Buy")
    return shown if shown.invoice else tap(student, "I accept")


def counted(db: Session, *models: type) -> list[int]:
    return [db.scalar(select(func.count()).select_from(model)) or 0 for model in models]


@pytest.fixture
def lesson_id(db: Session) -> int:
    return make_lesson(db, title="Window light", price=199, text_content="Turn.").id


@pytest.mark.usefixtures("lesson_id")
def test_a_checkout_is_answered_within_a_second(olga: Student, running: School) -> None:
    invoiced(olga)

    assert olga.pay().status == "paid"

    answers = running.calls("answerPreCheckoutQuery")
    assert [call["note"].partition(" · ")[0] for call in answers] == ["ok"]
    assert int(answers[0]["note"].rpartition(" · ")[2].removesuffix(" ms")) < 1000


@pytest.mark.usefixtures("lesson_id")
def test_a_repeated_payment_update_makes_one_purchase(olga: Student, running: School, fresh: Fresh) -> None:
    invoiced(olga)
    olga.pay()
    olga.wait("The lesson “")
    paid = next(
        line["update"]["update_id"]
        for line in running.box.updates(running.account)
        if "successful_payment" in line["update"].get("message", {})
    )

    running.box.repeat_update(paid, running.account)
    running.bots[0].stop()
    running.start_bot()
    running.box.repeat_update(paid, running.account)
    olga.wait("The lesson “")

    assert counted(fresh(), Purchase, Payment, Refund) == [1, 1, 0]


@pytest.mark.usefixtures("lesson_id")
def test_the_receipt_stands_before_what_was_paid_for(
    olga: Student, running: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "RECEIPT_SECONDS", 20.0)
    invoiced(olga)
    olga.pay()
    time.sleep(0.5)  # time enough for a bot that does not wait
    assert "Turn." not in str(olga.from_bot()[-1].text)

    running.deliver_outbox()

    olga.wait("The lesson “")
    told = [message.text.partition("\n")[0] for message in olga.from_bot()[-3:]]
    assert told[:2] == ["Payment received: 199 ★.", "Window light"]
    assert told[2].startswith("The lesson “Window light” is above.")


@pytest.mark.usefixtures("lesson_id")
def test_a_receipt_that_does_not_leave_holds_nobody_up_for_long(olga: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "RECEIPT_SECONDS", 0.3)
    invoiced(olga)
    olga.pay()
    assert olga.wait("The lesson “").rows == [["Ask a question"], ["My lessons", "‹ Menu"]]


def test_what_was_given_meanwhile_is_paid_back_in_true_words(
    olga: Student, running: School, lesson_id: int, db: Session
) -> None:
    invoice = invoiced(olga)
    PurchaseCRUD(db).grant(db.scalars(select(User.id).where(User.telegram_id == olga.id)).one(), lesson_id=lesson_id)
    db.commit()
    running.deliver_outbox()

    olga.pay(invoice, skip_pre_checkout=True)
    olga.wait("⚠️")
    running.deliver_outbox()

    olga.wait("199\xa0★ are back on your balance.")
    told = [message.text for message in olga.from_bot()[-2:]]
    assert told == [
        "You already own “Window light”, so we are refunding your payment of 199 ★.",
        "199\xa0★ are back on your balance.",
    ]


@pytest.mark.usefixtures("lesson_id")
def test_a_charge_back_ends_the_access_as_soon_as_it_is_told(olga: Student, fresh: Fresh) -> None:
    invoiced(olga)
    charge = olga.pay().charge_id
    olga.wait("The lesson “")

    olga.charge_back(charge or "", tell=True)

    assert olga.wait("This payment").text == "This payment of 199\xa0★ has been refunded, so access is closed."
    session = fresh()
    assert session.scalars(select(Purchase)).one().revoked_at is not None
    refund = session.scalars(select(Refund)).one()
    assert (refund.reason, refund.status) == ("chargeback", "done")
    assert LedgerCRUD(session).problems() == []


@pytest.mark.usefixtures("lesson_id")
def test_paying_twice_gives_the_second_payment_back(olga: Student, fresh: Fresh) -> None:
    invoice = invoiced(olga)
    assert olga.pay(invoice).status == "paid"
    olga.wait("The lesson “")

    again = olga.pay(invoice)
    assert (again.status, again.error) == ("refused", "This invoice has been paid already.")

    assert olga.pay(invoice, skip_pre_checkout=True).status == "paid"
    words = olga.wait("⚠️")
    assert words.text == (
        "⚠️ This order has already been paid.\n\nWe are refunding you 199\xa0★. It usually takes a few minutes."
    )
    assert words.rows == [["Ask a question"], ["My lessons", "‹ Menu"]]
    assert counted(fresh(), Purchase, Payment, Refund) == [1, 2, 1]


@pytest.mark.usefixtures("lesson_id")
def test_a_forwarded_invoice_cannot_be_paid_by_another(olga: Student, running: School, fresh: Fresh) -> None:
    invoice = invoiced(olga)
    other = running.student("Mallory")
    other.ask("/start")

    refused = olga.pay(invoice, payer=other)
    assert (refused.status, refused.error) == (
        "refused",
        "This invoice is for someone else. Open the lesson and buy it for yourself.",
    )

    olga.pay(invoice, payer=other, skip_pre_checkout=True)
    assert other.wait("⚠️").text.startswith("⚠️ This invoice was issued to someone else.")
    assert counted(fresh(), Purchase, Refund) == [0, 1]


@pytest.mark.usefixtures("lesson_id")
def test_an_altered_amount_is_refused_and_a_settled_one_given_back(olga: Student, fresh: Fresh) -> None:
    invoice = invoiced(olga)

    refused = olga.pay(invoice, amount=1)
    assert (refused.status, refused.error) == (
        "refused",
        "The amount on this invoice is wrong. Open the lesson and request a new one.",
    )
    assert olga.pay(invoice, settle_amount=1).status == "paid"
    assert olga.wait("⚠️").text.startswith("⚠️ The amount differs from the order.")
    assert counted(fresh(), Purchase, Refund) == [0, 1]


@pytest.mark.usefixtures("lesson_id")
def test_an_unknown_payload_is_refused_and_given_back(olga: Student, fresh: Fresh) -> None:
    invoice = invoiced(olga)

    assert olga.pay(invoice, payload="forged").error == ("Invoice not found. Open the lesson and request a new one.")
    olga.pay(invoice, payload="forged", skip_pre_checkout=True)
    assert olga.wait("⚠️").text.startswith("⚠️ The school has no such invoice.")
    assert counted(fresh(), Purchase, Refund) == [0, 1]


@pytest.mark.usefixtures("lesson_id")
def test_a_late_payment_is_honoured(olga: Student, db: Session, fresh: Fresh) -> None:
    invoiced(olga)
    checkout = olga.pay(delay=2.0, wait=0)
    olga.client.wait_until(lambda: olga.checkout(checkout.id).status == "accepted")
    order = fresh().scalars(select(Order)).one()
    order.status = "expired"
    db.commit()

    olga.wait("The lesson “", timeout=15.0)

    assert olga.checkout(checkout.id).status == "paid"
    assert fresh().scalars(select(Order.status)).one() == "paid"


@pytest.mark.usefixtures("lesson_id")
def test_an_invoice_of_a_past_price_is_refused(olga: Student, db: Session, fresh: Fresh) -> None:
    invoice = invoiced(olga)
    fresh().scalars(select(Lesson)).one().price = 500
    db.commit()

    assert olga.pay(invoice).error == "The price has changed. Open the lesson and request a new invoice."


@pytest.mark.usefixtures("lesson_id")
def test_a_checkout_is_refused_in_the_students_own_language(running: School, ivan: Student, fresh: Fresh) -> None:
    ivan.ask("/language")
    tap(ivan, "English")
    invoice = invoiced(ivan)
    assert ivan.pay(invoice, payload="forged").error == ("Invoice not found. Open the lesson and request a new one.")

    ivan.ask("/language")
    tap(ivan, "Русский")
    ivan.ask("/start lesson_1")
    tap(ivan, "Купить")
    running.line.down = "/api/orders/pre-checkout"
    assert ivan.pay().error == ("Школа не отвечает, поэтому ничего не списано. Попробуйте через минуту.")


@pytest.mark.usefixtures("lesson_id")
def test_a_checkout_without_the_school_is_refused_in_time(olga: Student, running: School) -> None:
    invoice = invoiced(olga)
    running.line.down = "/api/orders/pre-checkout"

    refused = olga.pay(invoice)

    assert (refused.status, refused.error) == (
        "refused",
        "The school is not answering, so nothing was charged. Try again in a minute.",
    )
    running.line.down = ""
    assert olga.pay(invoice).status == "paid"


@pytest.mark.usefixtures("lesson_id")
def test_a_payment_waits_for_the_school(olga: Student, running: School, fresh: Fresh) -> None:
    invoiced(olga)
    running.line.down = "/api/purchases/create"
    assert olga.pay().status == "paid"
    with pytest.raises(NoAnswerError):
        olga.wait("The lesson “", timeout=2.0)
    unconfirmed = [line["update"] for line in running.box.updates(running.account) if not line["confirmed"]]
    assert ["successful_payment" in each["message"] for each in unconfirmed] == [True]

    running.line.down = ""

    olga.wait("The lesson “", timeout=15.0)
    assert counted(fresh(), Purchase) == [1]


@pytest.mark.usefixtures("lesson_id")
def test_others_are_served_while_a_payment_waits(olga: Student, running: School) -> None:
    invoiced(olga)
    running.line.down = "/api/purchases/create"
    olga.pay()

    other = running.student("Other")
    assert other.ask("/start").text.startswith("Other, welcome")
    assert other.ask("/help").text.startswith("Window Light: what I can do")


@pytest.mark.usefixtures("lesson_id")
def test_a_payment_outlives_a_restart(olga: Student, running: School, fresh: Fresh) -> None:
    invoiced(olga)
    running.line.down = "/api/purchases/create"
    olga.pay()
    with pytest.raises(NoAnswerError):
        olga.wait("The lesson “", timeout=1.0)
    running.bots[0].stop()
    running.line.down = ""

    running.start_bot()

    olga.wait("The lesson “", timeout=20.0)
    assert counted(fresh(), Purchase, Payment) == [1, 1]


def test_a_course_payment_survives_a_lost_answer_of_telegram(
    olga: Student, running: School, db: Session, fresh: Fresh
) -> None:
    make_course(db, [make_lesson(db, title="Part 1", price=9)], title="Portrait", total_price=300)
    olga.ask("/start course_1")
    tap(olga, "Buy")
    tap(olga, "I accept")
    running.box.fault("500", method="sendMessage", bot=running.account)

    olga.pay()

    assert olga.wait("Thank you!").rows[0] == ["✓ 1. Part 1"]
    assert counted(fresh(), Purchase) == [1]


def test_a_refund_is_announced_and_closes_the_lesson(
    olga: Student, running: School, db: Session, lesson_id: int
) -> None:
    invoiced(olga)
    olga.pay()
    olga.wait("The lesson “")
    db.rollback()
    PurchaseCRUD(db).refund(db.scalars(select(Purchase.id)).one(), reason="asked")
    db.commit()
    since = olga.last.rev
    running.deliver_outbox()

    assert olga.wait("back on your balance", since=since).text == "199\xa0★ are back on your balance."
    assert olga.stars == 100_000
    assert "Nothing here yet" in olga.ask("/my").text
    assert olga.press_data(f"lesson:{lesson_id}") is not None
    assert olga.wait().rows[0] == ["Buy for 199\xa0★"]


def test_one_use_of_a_code_goes_to_one_of_two_buyers(running: School, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="Window light", price=200)
    make_promo(db, code="ONE", discount_percent=50, max_uses=1)
    one, other = running.student("One"), running.student("Other")
    for student in (one, other):
        student.ask("/start promo_ONE")
        invoiced(student)

    assert one.pay().status == "paid"
    refused = other.pay()

    assert (refused.status, refused.error) == ("refused", "This code has been used up.")
    session = fresh()
    assert session.scalars(select(PromoCode.current_uses)).one() == 1
    assert session.scalars(select(Purchase.amount)).all() == [100]


def test_a_closed_account_cannot_buy(olga: Student, db: Session, fresh: Fresh, lesson_id: int) -> None:
    invoice = invoiced(olga, lesson_id)
    fresh().scalars(select(User).where(User.telegram_id == olga.id)).one().is_active = False
    db.commit()

    assert olga.pay(invoice).status == "refused"
    assert olga.ask("/lessons").text.startswith("Your account is closed.")
    tap(olga, "Support")
    tap(olga, "Ask a question")
    assert olga.ask("Why?").text.startswith("Subject: Why?")
