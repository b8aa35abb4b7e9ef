"""What is written of a person while their data are erased, and after."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.errors import ConflictError
from backend.database.chain.sealing import seal
from backend.database.chain.verifying import verify
from backend.database.crud.bot_chats import BotChatCRUD
from backend.database.crud.payments import RefundCRUD
from backend.database.crud.stars import Entry, StarsCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Payment, Refund
from backend.database.models.system import BotChat
from backend.database.models.users import User
from backend.database.personal import Eraser
from backend.database.session import Database
from backend.jobs.periodic import CHORES, do
from tests.database.test_personal import books, erase, holding
from tests.factories import make_lesson, make_order, make_user, save

NUMBER = 987654321012
DRAFT = {"state": None, "data": {"draft": "zqxcanary"}}
LATE, PURGE = (next(chore for chore in CHORES if chore.name == name) for name in ("erase-late", "purge"))


def test_the_bot_remembers_nobody(bot: TestClient, database: Database, db: Session) -> None:
    student = make_user(db, telegram_id=NUMBER)
    assert bot.put(f"/api/bot/chats/{NUMBER}", json=DRAFT).json() == {"telegram_id": NUMBER, **DRAFT}
    erase(database, student.id)
    empty = {"telegram_id": NUMBER, "state": None, "data": {}}
    answer = bot.put(f"/api/bot/chats/{NUMBER}", json=DRAFT)
    assert (answer.status_code, answer.json()) == (200, empty)
    assert holding(db, NUMBER, "zqxcanary") == set()


@pytest.mark.parametrize("first", ["remembered", "erased"])
def test_what_the_bot_remembers_in_the_moment_of_the_erasure_is_gone(
    database: Database, db: Session, first: str
) -> None:
    student_id = make_user(db, telegram_id=NUMBER).id
    works: list[Callable[[Session], Any]] = [
        lambda session: BotChatCRUD(session).remember(NUMBER, None, DRAFT),
        lambda session: Eraser(session).erase(student_id),
    ]
    at_first, then = works if first == "remembered" else reversed(works)
    second = threading.Thread(target=database.run, args=(then,))
    with database.transaction() as session:
        at_first(session)
        session.flush()
        second.start()
        second.join(0.3)
        assert second.is_alive()  # it waits
    second.join(30)
    assert holding(db, NUMBER, "zqxcanary") == set()


def test_the_memory_of_deleted_students_goes_in_time(database: Database, db: Session) -> None:
    make_user(db, telegram_id=5)
    save(db, BotChat(telegram_id=5, data={}), BotChat(telegram_id=6, data={}))
    assert do(database, PURGE)
    assert db.scalars(select(BotChat.telegram_id)).all() == [5]


def pay_late(database: Database, db: Session, student: User, charge: str) -> Refund:
    """Telegram's list tells of a payment whose order is of an erased person."""
    order = make_order(db, student, make_lesson(db))
    entry = Entry(charge, True, order.total, NUMBER, order.payload)
    db.commit()
    erase(database, student.id) if student.erased_at is None else None
    assert database.run(lambda session: StarsCRUD(session).news([entry])) == [entry]
    assert database.run(lambda session: StarsCRUD(session).book(entry, is_test=False)) == "sent_back"
    db.expire_all()
    return db.scalars(select(Refund).join(Payment).where(Payment.provider_charge_id == charge)).one()


def late(database: Database) -> None:
    database.run(LATE.work)


def test_a_late_payment_names_its_payer_until_the_money_is_back(
    database: Database, settings: Settings, db: Session
) -> None:
    student = make_user(db, telegram_id=NUMBER)
    first = pay_late(database, db, student, "charge-1")
    erased_at = student.erased_at
    second = pay_late(database, db, student, "charge-2")
    seal(database, settings)
    call = db.scalars(select(Dispatch.params).where(Dispatch.refund_id == first.id)).one()
    assert call == {"user_id": NUMBER, "telegram_payment_charge_id": "charge-1"}
    database.run(lambda session: RefundCRUD(session).refund_done(first.id))
    database.run(lambda session: RefundCRUD(session).refund_failed(second.id, "x"))
    late(database)
    assert holding(db, NUMBER) == {"dispatches", "payments", "changes"}  # the other one is still owed
    database.run(lambda session: RefundCRUD(session).retry(second.id))
    with pytest.raises(ConflictError, match="in progress"):
        erase(database, student.id)
    late(database)
    assert "payments" in holding(db, NUMBER)
    database.run(lambda session: RefundCRUD(session).refund_done(second.id))
    before = books(db)

    late(database)

    db.expire_all()
    assert holding(db, NUMBER) == set()
    assert books(db) == before == ([(2, before[0][0][1]), (0, None)], [])
    assert verify(database, settings).problem is None
    assert [refund.status for refund in db.scalars(select(Refund))] == ["done", "done"]
    assert db.get_one(User, student.id).erased_at == erased_at
    with pytest.raises(ConflictError, match="already been erased"):
        erase(database, student.id)


def test_a_refund_that_failed_for_good_can_be_ended_by_hand(database: Database, db: Session) -> None:
    student = make_user(db, telegram_id=NUMBER)
    refund = pay_late(database, db, student, "charge-1")
    database.run(lambda session: RefundCRUD(session).refund_failed(refund.id, "x"))
    erase(database, student.id)
    assert holding(db, NUMBER) == set()


def test_the_refund_to_whoever_has_the_number_now_is_left_to_them(database: Database, db: Session) -> None:
    student = make_user(db, telegram_id=NUMBER)
    order = make_order(db, student, make_lesson(db))
    erase(database, student.id)
    other = make_user(db, telegram_id=NUMBER)
    entry = Entry("charge-1", True, order.total, NUMBER, order.payload)
    database.run(lambda session: StarsCRUD(session).book(entry, is_test=False))
    refund = db.scalars(select(Refund)).one()
    database.run(lambda session: RefundCRUD(session).refund_failed(refund.id, "x"))
    erase(database, student.id)
    found = db.execute(select(Dispatch.chat_id, Dispatch.user_id).where(Dispatch.refund_id == refund.id)).one()
    assert tuple(found) == (NUMBER, other.id)
    assert db.scalars(select(Payment.payer_telegram_id)).one() is None
