"""The sender over real HTTP: what each answer of Telegram does to a row, and who may send."""

import time
from datetime import timedelta

import pytest
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import RefundStarPayment
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.leases import LeaseCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Payment, Refund
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs import outbox
from backend.jobs.outbox import LEASE_NAMES, record
from backend.jobs.sending import Again, Call, Refused, Sent, _outcome
from backend.sandbox.student import NoAnswerError
from tests.factories import make_lesson, make_purchase, make_user
from tests.jobs.conftest import School


def test_a_message_arrives_and_the_row_knows_it(school: School) -> None:
    olga = school.student()
    row = school.queue(olga, "Hello")
    school.send_until(lambda: school.state(row) == ["sent"])

    sent = school.row(row)
    assert (olga.last.text, sent.external_id) == ("Hello", olga.last.id)
    assert (sent.attempts, sent.error, sent.lease_until) == (1, None, None)
    assert sent.sent_at is not None


def test_a_sender_at_rest_wakes_with_the_commit(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "POLL_SECONDS", 60.0)  # no look of its own falls into this test
    olga = school.student()
    queued: list[int] = []

    def arrived() -> bool:
        if not queued:
            time.sleep(0.4)  # the sender has looked and found nothing
            queued.append(school.queue(olga, "Quick"))
        return any(message.text == "Quick" for message in olga.from_bot())

    school.send_until(arrived)


def test_a_chat_reads_its_messages_in_order_a_second_apart(school: School) -> None:
    olga, oleg = school.student(), school.student("Oleg")
    rows = [school.queue(olga, text) for text in ("one", "two", "three")]
    rows.append(school.queue(oleg, "first"))
    began = clock.now()
    school.send_until(lambda: school.state(*rows) == ["sent"] * 4)

    assert [message.text for message in olga.from_bot()] == ["one", "two", "three"]
    # A busy machine writes down late what it sent, never early: only the distance from the beginning is sure.
    sent = [(moment - began).total_seconds() for row in rows if (moment := school.row(row).sent_at)]
    assert (sent[1] >= 1, sent[2] >= 2) == (True, True)
    assert sent[3] < sent[2]
    calls = school.box.calls("sendMessage", bot=school.account)
    assert [call["ok"] for call in calls] == [True] * 4


def test_flood_control_stops_the_whole_sender_and_is_remembered(school: School, db: Session) -> None:
    olga, oleg = school.student(), school.student("Oleg")
    school.box.fault("429", method="sendMessage", retry_after=2, bot=school.account)
    began = clock.now()
    rows = [school.queue(olga, "a")]

    def told_to_wait() -> bool:
        db.rollback()
        return DispatchCRUD(db).paused_until() is not None

    school.send_until(told_to_wait)
    rows.append(school.queue(oleg, "b"))
    assert [school.row(row).attempts for row in rows] == [0, 0]

    # Another process obeys the same pause.
    school.send_until(lambda: school.state(*rows) == ["sent", "sent"], holder="other")
    times = [school.row(row).sent_at for row in rows]
    assert all(moment is not None and moment - began > timedelta(seconds=2) for moment in times)
    assert [school.row(row).attempts for row in rows] == [1, 1]


def test_a_student_who_blocks_the_bot_gets_what_is_owed_when_they_come_back(
    school: School, db: Session, bot: TestClient
) -> None:
    olga = school.student()
    user = make_user(db, telegram_id=olga.id)
    olga.block()
    row = school.queue(olga, "Receipt", user_id=user.id)
    school.send_until(lambda: school.state(row) == ["failed"])

    error = school.row(row).error
    assert error is not None
    assert error.startswith("blocked: Forbidden: bot was blocked by the user")
    assert school.db.get_one(User, user.id, populate_existing=True).blocked_bot_at is not None
    school.db.rollback()

    olga.unblock()
    assert bot.post(f"/api/bot/chats/{olga.id}/unblocked").json() == {"resent": 1}
    school.send_until(lambda: school.state(row) == ["sent"])
    assert olga.last.text == "Receipt"


def test_a_server_error_is_tried_again(school: School) -> None:
    olga = school.student()
    school.box.fault("500", method="sendMessage", bot=school.account)
    row = school.queue(olga, "Hello")
    school.send_until(lambda: school.row(row).attempts == 1 and school.state(row) == ["pending"])
    error = school.row(row).error
    assert error is not None
    assert error.startswith("unreachable: ")

    school.send_until(lambda: school.state(row) == ["sent"])
    assert (school.row(row).attempts, school.row(row).error) == (2, None)


def test_what_telegram_refuses_or_we_wrote_wrong_fails_at_once(school: School, db: Session) -> None:
    olga = school.student()
    unknown = school.queue(olga.id + 1_000_000, "Who?")
    wrong = DispatchCRUD(db).enqueue("x", chat_id=olga.id, method="sendMessage", params={"txt": 1}).id
    other = DispatchCRUD(db).enqueue("y", chat_id=7, method="sendNothing", params={}).id
    db.commit()
    school.send_until(lambda: school.state(unknown, wrong, other) == ["failed"] * 3)

    errors = [school.row(row).error or "" for row in (unknown, wrong, other)]
    assert [error.split(":")[0] for error in errors] == ["refused", "invalid", "invalid"]


def test_while_telegram_is_away_nothing_is_lost_or_counted(school: School) -> None:
    olga = school.student()
    row = school.queue(olga, "Hello")
    there, school.api_url = school.api_url, "http://127.0.0.1:9/nowhere"
    with pytest.raises(NoAnswerError):
        school.send_until(lambda: school.state(row) == ["sent"], seconds=1.5)
    assert (school.state(row), school.row(row).attempts) == (["pending"], 0)

    school.api_url = there
    school.send_until(lambda: school.state(row) == ["sent"])
    assert [message.text for message in olga.from_bot()] == ["Hello"]


def test_one_process_sends_and_another_takes_over(school: School, database: Database) -> None:
    olga = school.student()
    held = database.run(lambda session: LeaseCRUD(session).hold(LEASE_NAMES["telegram"], "elsewhere", 60))
    assert held is True
    row = school.queue(olga, "Hello")
    with pytest.raises(NoAnswerError):
        school.send_until(lambda: school.state(row) == ["sent"], seconds=1.5)
    assert (school.state(row), olga.from_bot()) == (["pending"], [])

    database.run(lambda session: LeaseCRUD(session).release(LEASE_NAMES["telegram"], "elsewhere"))
    school.send_until(lambda: school.state(row) == ["sent"])


def test_a_database_that_is_away_is_waited_for(school: School, db: Session) -> None:
    row = school.queue(school.student(), "Hello")
    db.execute(text("ALTER TABLE leases RENAME TO leases_away"))
    try:
        with pytest.raises(NoAnswerError):
            school.send_until(lambda: school.state(row) == ["sent"], seconds=1.3)
    finally:
        db.execute(text("ALTER TABLE leases_away RENAME TO leases"))
    assert school.state(row) == ["pending"]
    school.send_until(lambda: school.state(row) == ["sent"])


@pytest.fixture
def refund(db: Session) -> Refund:
    purchase = make_purchase(db, make_user(db, telegram_id=900), make_lesson(db))
    charge = Payment.provider_charge_id == purchase.payment_id
    payment = db.scalars(select(Payment).where(charge)).one()
    made = Refund(payment_id=payment.id, amount=payment.amount, reason="twice")
    db.add(made)
    db.commit()
    return made


def ask_back(db: Session, refund: Refund, chat_id: int) -> Call:
    params = {"user_id": chat_id, "telegram_payment_charge_id": "unknown"}
    made = DispatchCRUD(db).enqueue(
        f"refund:{refund.id}",
        chat_id=chat_id,
        method="refundStarPayment",
        params=params,
        refund_id=refund.id,
    )
    db.commit()
    return Call(made.id, 1, chat_id, made.method, params, refund.id)


def test_a_refund_that_telegram_refuses_is_reported(school: School, db: Session, refund: Refund) -> None:
    call = ask_back(db, refund, school.student().id)
    school.send_until(lambda: school.state(call.id) == ["failed"])
    db.refresh(refund)
    assert (refund.status, refund.error) == ("failed", school.row(call.id).error)


@pytest.mark.parametrize(
    "case",
    [
        (1, Sent(), "sent", "done"),
        (4, Again("unreachable: 502"), "pending", "requested"),
        (5, Again("unreachable: 502"), "failed", "failed"),
    ],
)
def test_the_ledger_follows_the_refunds_message(
    school: School,
    db: Session,
    refund: Refund,
    case: tuple[int, Sent | Again, str, str],
) -> None:
    attempt, outcome, state, status = case
    call = ask_back(db, refund, 900)
    db.execute(update(Dispatch).values(attempts=attempt, state="sending"))
    db.commit()
    tried = Call(call.id, attempt, call.chat_id, call.method, call.params, refund.id)
    school.database.run(lambda session: record(session, tried, outcome))
    db.refresh(refund)
    assert (school.state(call.id), refund.status) == ([state], status)


def test_stars_that_were_returned_before_count_as_returned() -> None:
    method = RefundStarPayment(user_id=1, telegram_payment_charge_id="c")
    error = TelegramBadRequest(method, "Bad Request: CHARGE_ALREADY_REFUNDED")
    assert _outcome(error, "1:token") == Sent()


def test_the_token_never_reaches_a_row() -> None:
    method = RefundStarPayment(user_id=1, telegram_payment_charge_id="c")
    error = TelegramBadRequest(method, "Bad Request: see /bot1:token/refund")
    assert _outcome(error, "1:token") == Refused("refused: Bad Request: see /bot***/refund")


def test_stopping_gives_back_what_has_not_left(school: School, database: Database) -> None:
    olga = school.student()
    rows = [school.queue(olga, text) for text in ("one", "two")]
    school.send_until(lambda: school.state(*rows) == ["sent", "sending"])
    assert school.state(*rows) == ["sent", "pending"]
    assert school.row(rows[1]).attempts == 0
    assert database.run(lambda session: LeaseCRUD(session).hold(LEASE_NAMES["telegram"], "next", 1)) is True
