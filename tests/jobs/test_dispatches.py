"""The outbox table: one row a cause, one holder a row, the order of a chat."""

import threading
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import ConflictError
from backend.database import outbox
from backend.database.crud.dispatches import BULK, LEASE, DispatchCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Payment, Refund
from backend.database.session import Database
from tests.factories import make_lesson, make_purchase, make_user, save


def queue(db: Session, key: str, chat_id: int = 1, **values: object) -> int:
    made = DispatchCRUD(db).enqueue(
        key,
        chat_id=chat_id,
        method="sendMessage",
        params={"text": key},
        **values,  # type: ignore[arg-type] # what a test wants different
    )
    db.commit()
    return made.id


def claimed(db: Session) -> list[str]:
    keys = [row.dedupe_key for row in DispatchCRUD(db).claim()]
    db.commit()
    return keys


def state(db: Session, dispatch_id: int) -> tuple[str, int, str | None]:
    db.expire_all()
    row = db.get_one(Dispatch, dispatch_id)
    found = row.state, row.attempts, row.error
    db.commit()
    return found


def test_a_cause_has_one_row(db: Session) -> None:
    first = queue(db, "receipt:1")
    DispatchCRUD(db).finish(first, 0)
    again = DispatchCRUD(db).enqueue("receipt:1", chat_id=2, method="other", params={})
    assert (again.id, again.chat_id, again.method, again.state) == (first, 1, "sendMessage", "sent")
    assert db.scalar(select(func.count()).select_from(Dispatch)) == 1


def test_a_chat_gets_its_messages_one_after_the_other(db: Session) -> None:
    first = queue(db, "a")
    queue(db, "b")
    queue(db, "other", chat_id=2)
    assert claimed(db) == ["a", "other"]
    assert claimed(db) == []
    DispatchCRUD(db).finish(first, 1)
    assert claimed(db) == ["b"]


def test_a_message_that_is_tried_again_holds_back_the_later_ones(db: Session) -> None:
    first = queue(db, "a")
    queue(db, "b")
    assert claimed(db) == ["a"]
    DispatchCRUD(db).retry(first, 1, "unreachable: 502")
    db.commit()
    assert claimed(db) == []
    DispatchCRUD(db).fail(first, 1, "refused: no")
    assert claimed(db) == ["b"]


def test_a_message_for_later_holds_back_nothing(db: Session) -> None:
    queue(db, "later", not_before=clock.now() + timedelta(hours=1))
    queue(db, "now")
    assert claimed(db) == ["now"]


def test_nothing_overtakes_what_is_leaving_in_its_chat(db: Session) -> None:
    queue(db, "earlier, for later", not_before=clock.now() + timedelta(hours=1))
    now = queue(db, "now")
    queue(db, "elsewhere", chat_id=2, not_before=clock.now() + timedelta(hours=1))
    assert claimed(db) == ["now"]
    db.execute(update(Dispatch).where(Dispatch.state == "pending").values(not_before=clock.now()))
    assert claimed(db) == ["elsewhere"]
    DispatchCRUD(db).finish(now, 1)
    assert claimed(db) == ["earlier, for later"]


def test_replies_leave_before_bulk(db: Session) -> None:
    queue(db, "bulk", chat_id=1, priority=BULK)
    queue(db, "bulk too", chat_id=2, priority=BULK)
    queue(db, "reply", chat_id=2)
    assert claimed(db) == ["reply", "bulk"]


def test_a_dead_senders_row_comes_back_and_its_word_no_longer_counts(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = queue(db, "a")
    assert claimed(db) == ["a"]
    start = clock.now()
    monkeypatch.setattr(clock, "now", lambda: start + LEASE - timedelta(seconds=1))
    assert claimed(db) == []
    monkeypatch.setattr(clock, "now", lambda: start + LEASE + timedelta(seconds=1))
    assert claimed(db) == ["a"]

    dispatches = DispatchCRUD(db)
    assert dispatches.fail(row, 1, "refused: late") is False
    assert dispatches.finish(row, 1) is False
    assert dispatches.finish(row, 2, external_id=88) is True
    assert dispatches.fail(row, 2, "refused: later still") is False
    db.commit()
    assert state(db, row) == ("sent", 2, None)


def test_tries_wait_longer_and_longer_and_the_fifth_is_the_last(db: Session) -> None:
    row = queue(db, "a")
    dispatches, waits = DispatchCRUD(db), []
    for attempt in range(1, 5):
        db.execute(update(Dispatch).values(not_before=clock.now()))
        assert claimed(db) == ["a"]
        assert dispatches.last_try(attempt) is False
        dispatches.retry(row, attempt, "unreachable: 502")
        db.commit()
        db.expire_all()
        waits.append(round((db.get_one(Dispatch, row).not_before - clock.now()).total_seconds()))
        db.commit()
    assert waits == [2, 15, 120, 900]
    assert dispatches.last_try(5) is True


def test_a_person_sends_a_failed_message_again_for_five_more_tries(db: Session) -> None:
    row = queue(db, "a")
    dispatches = DispatchCRUD(db)
    with pytest.raises(ConflictError):
        dispatches.resend(row)
    assert claimed(db) == ["a"]
    dispatches.fail(row, 1, "refused: chat not found")
    assert state(db, row) == ("failed", 1, "refused: chat not found")
    dispatches.resend(row)
    db.commit()
    assert state(db, row) == ("pending", 5, None)
    assert claimed(db) == ["a"]
    assert dispatches.last_try(6) is False


def test_only_what_has_not_left_is_cancelled(db: Session) -> None:
    row = queue(db, "a")
    dispatches = DispatchCRUD(db)
    assert claimed(db) == ["a"]
    with pytest.raises(ConflictError):
        dispatches.cancel(row)
    dispatches.give_back(row, 1)
    assert state(db, row) == ("pending", 0, None)
    dispatches.cancel(row)
    db.commit()
    assert claimed(db) == []
    assert state(db, row)[0] == "cancelled"


def test_owed_is_what_a_block_stopped(db: Session) -> None:
    student = make_user(db)
    blocked, refused = queue(db, "a", 1, user_id=student.id), queue(db, "b", 2, user_id=student.id)
    assert claimed(db) == ["a", "b"]
    dispatches = DispatchCRUD(db)
    dispatches.fail(blocked, 1, "blocked: bot was blocked by the user")
    dispatches.fail(refused, 1, "refused: chat not found")
    assert dispatches.resend_owed(student.id) == 1
    db.commit()
    assert (state(db, blocked)[0], state(db, refused)[0]) == ("pending", "failed")


def test_many_senders_never_share_a_row(database: Database, db: Session) -> None:
    for number in range(200):
        DispatchCRUD(db).enqueue(f"m:{number}", chat_id=number + 1, method="sendMessage", params={})
    db.commit()
    taken: list[int] = []

    def work() -> None:
        while rows := database.run(lambda session: [row.id for row in DispatchCRUD(session).claim(10)]):
            taken.extend(rows)

    threads = [threading.Thread(target=work) for _sender in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(set(taken))) == (200, 200)


def test_the_sender_wakes_after_the_commit_and_only_then(database: Database) -> None:
    woken: list[str] = []
    stop = outbox.subscribe(lambda: woken.append("now"))
    with database.write_sessions() as session, session.begin():
        DispatchCRUD(session).enqueue("a", chat_id=1, method="sendMessage", params={})
        with session.begin_nested():
            DispatchCRUD(session).enqueue("b", chat_id=1, method="sendMessage", params={})
        assert woken == []
    assert woken == ["now"]
    with database.write_sessions() as session:
        session.begin()
        DispatchCRUD(session).enqueue("c", chat_id=1, method="sendMessage", params={})
        session.rollback()
    with database.transaction():
        pass
    stop()
    database.run(lambda s: DispatchCRUD(s).enqueue("d", chat_id=1, method="sendMessage", params={}))
    assert woken == ["now"]


def test_an_error_keeps_its_first_500_letters(db: Session) -> None:
    rows = [queue(db, "a", 1), queue(db, "b", 2)]
    assert claimed(db) == ["a", "b"]
    dispatches = DispatchCRUD(db)
    dispatches.retry(rows[0], 1, "unreachable: " + "x" * 600)
    dispatches.fail(rows[1], 1, "refused: " + "y" * 600)
    assert state(db, rows[0]) == ("pending", 1, "unreachable: " + "x" * 487)
    assert state(db, rows[1]) == ("failed", 1, "refused: " + "y" * 491)


def test_a_row_that_is_done_with_has_no_lease(db: Session) -> None:
    rows = [queue(db, key, chat) for chat, key in enumerate("abcd", 1)]
    assert claimed(db) == ["a", "b", "c", "d"]
    leases = db.scalars(select(Dispatch.lease_until)).all()
    assert all(moment is not None and moment > clock.now() for moment in leases)
    dispatches = DispatchCRUD(db)
    dispatches.finish(rows[0], 1, external_id=88)
    dispatches.retry(rows[1], 1, "unreachable: 502")
    dispatches.fail(rows[2], 1, "refused: no")
    dispatches.give_back(rows[3], 1)
    assert db.execute(select(Dispatch.lease_until, Dispatch.external_id).order_by(Dispatch.id)).all() == [
        (None, 88),
        (None, None),
        (None, None),
        (None, None),
    ]


def test_the_longest_waiting_of_a_kind_leaves_first_and_no_more_than_asked_for(db: Session) -> None:
    now = clock.now()
    for chat, (key, minutes) in enumerate({"third": 1, "first": 3, "second": 2}.items(), 1):
        queue(db, key, chat, not_before=now - timedelta(minutes=minutes))
    assert [row.dedupe_key for row in DispatchCRUD(db).claim(2)] == ["first", "second"]
    assert [row.dedupe_key for row in DispatchCRUD(db).claim(2)] == ["third"]


def test_the_next_moment_is_of_what_waits_in_the_channel(db: Session) -> None:
    dispatches, now = DispatchCRUD(db), clock.now()
    assert dispatches.next_due() is None
    queue(db, "due")
    cancelled = queue(db, "cancelled", not_before=now + timedelta(minutes=1))
    dispatches.cancel(cancelled)
    assert dispatches.next_due() is None
    queue(db, "later", not_before=now + timedelta(minutes=3))
    queue(db, "sooner", not_before=now + timedelta(minutes=2))
    assert dispatches.next_due() == now + timedelta(minutes=2)
    assert dispatches.next_due("email") is None


def test_whether_anything_left_lately_is_of_the_channel(db: Session) -> None:
    dispatches, past = DispatchCRUD(db), clock.now() - timedelta(minutes=1)
    row = queue(db, "a")
    assert dispatches.sent_since(past) is False
    assert claimed(db) == ["a"]
    assert dispatches.sent_since(clock.now() + timedelta(minutes=1)) is True  # it may be leaving now
    dispatches.finish(row, 1)
    assert (dispatches.sent_since(past), dispatches.sent_since(clock.now())) == (True, False)
    assert dispatches.sent_since(past, "email") is False


def test_a_pause_is_over_when_its_time_is(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatches, until = DispatchCRUD(db), clock.now() + timedelta(minutes=5)
    assert dispatches.paused_until() is None
    dispatches.pause(until)
    assert dispatches.paused_until() == until
    monkeypatch.setattr(clock, "now", lambda: until)
    assert dispatches.paused_until() is None


def test_a_refund_is_never_called_off(db: Session) -> None:
    make_purchase(db, make_user(db), make_lesson(db))
    payment = db.scalars(select(Payment)).one()
    refund = Refund(payment_id=payment.id, amount=payment.amount, reason="twice")
    save(db, refund)
    row = queue(db, "refund", refund_id=refund.id)
    with pytest.raises(ConflictError) as refused:
        DispatchCRUD(db).cancel(row)
    assert (refused.value.code, state(db, row)[0]) == ("refund", "pending")


def test_every_five_tries_are_counted_from_where_the_last_ones_ended(db: Session) -> None:
    row, dispatches = queue(db, "a"), DispatchCRUD(db)
    for tried, counted in ((1, 5), (5, 5), (7, 10), (10, 10)):
        db.execute(update(Dispatch).values(state="failed", attempts=tried, error="unreachable: 502"))
        assert dispatches.resend(row).attempts == counted
        assert state(db, row) == ("pending", counted, None)


def test_a_blocked_chat_is_noted_once_and_makes_no_open_form_stale(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, dispatches, first = make_user(db, telegram_id=900), DispatchCRUD(db), clock.now()
    before = student.version
    monkeypatch.setattr(clock, "now", lambda: first)
    dispatches.mark_blocked(900)
    monkeypatch.setattr(clock, "now", lambda: first + timedelta(minutes=1))
    dispatches.mark_blocked(900)
    db.refresh(student)
    assert (student.blocked_bot_at, student.version) == (first, before)

    row = queue(db, "a", 900, user_id=student.id)
    assert claimed(db) == ["a"]
    dispatches.fail(row, 1, "blocked: bot was blocked by the user")
    assert (dispatches.mark_unblocked(900), dispatches.mark_unblocked(901)) == (1, 0)
    db.refresh(student)
    assert (student.blocked_bot_at, student.version) == (None, before)
    assert state(db, row) == ("pending", 5, None)


def test_what_a_sender_that_died_had_taken_is_in_nobodys_hands(db: Session) -> None:
    queue(db, "a")
    assert claimed(db) == ["a"]
    with time_machine.travel(clock.now() + LEASE + timedelta(seconds=1), tick=False):
        DispatchCRUD(db)._release_expired()
    assert db.execute(select(Dispatch.state, Dispatch.lease_until)).one() == ("pending", None)
