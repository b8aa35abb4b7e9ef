"""The whole school in one process, as `make run` starts it, killed again and again while students buy."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Payment, Refund
from backend.database.models.purchases import Purchase
from backend.sandbox.student import NoAnswerError, SandboxClient, Student, StudentRefusedError
from tests.figures import Figure
from tests.money.server import Server
from tests.money.till import books_are_right, count, rows

STUDENTS, KILLS, PRICE, PURSE = 10, 3, 249, 100_000
# Whoever is killed may answer nothing, or may have done what was asked without saying so.
TROUBLE = (httpx2.TransportError, ValueError, NoAnswerError, StudentRefusedError)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def retried(step: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            step()
            return
        except TROUBLE:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def buy(student: Student, lesson: Lesson) -> None:
    """Asks for the invoice and pays it, unless the lesson has come already."""

    def step() -> None:
        student.start()
        student.press_data(f"a1:agree:lesson:{lesson.id}:0", student.wait(lambda m: m.rows, timeout=5.0), wait=5.0)
        shown = student.wait(lambda m: m.invoice or "is yours" in m.text or "The secret" in m.text, timeout=5.0)
        if shown.invoice:
            assert student.pay(shown, wait=10.0).status in ("paid", "refused")
            student.wait("The secret", since=0, timeout=10.0)

    retried(step)


def kill_now_and_then(server: Server) -> None:
    moments = random.Random(7)
    for _kill in range(KILLS):
        time.sleep(moments.uniform(0.5, 4.0))
        server.kill()
        server.start().ready()


def sell(server: Server, students: list[Student], lesson: Lesson) -> None:
    """All students buy while the server dies and comes back."""
    threads = [threading.Thread(target=buy, args=(student, lesson)) for student in students]
    threads.append(threading.Thread(target=kill_now_and_then, args=(server,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def paid_by(box: SandboxClient) -> Counter[int]:
    """What each student has paid less what came back, by Telegram's books."""
    paid: Counter[int] = Counter()
    for line in box.ledger():
        incoming = "source" in line
        person = line["source" if incoming else "receiver"]["user"]["id"]
        paid[person] += line["amount"] if incoming else -line["amount"]
    return paid


def test_a_school_killed_while_it_sells_takes_each_price_once(
    database_url: str, tmp_path: Path, lesson: Lesson, db: Session, figure: Figure
) -> None:
    lesson.text_content = "The secret of light"
    db.commit()
    waiting = select(Dispatch.id).where(Dispatch.state.in_(("pending", "sending")))
    server = Server(database_url, tmp_path / "data", SANDBOX="1", BOT_MODE="auto", RUN_JOBS="1")
    server.start().ready()
    try:
        with SandboxClient(server.url, timeout=20.0) as box:
            box.rules(rate=False)
            students = [box.student(f"S{number}", language_code="en") for number in range(STUDENTS)]
            sell(server, students, lesson)
            # The leases of the dead end, what is owed leaves, and what was paid twice goes back.
            box.wait_until(lambda: not db.scalars(waiting).all(), 90.0)
            assert paid_by(box) == {student.id: PRICE for student in students}
            assert {student.stars for student in students} == {PURSE - PRICE}
            charges = {line["id"] for line in box.ledger() if "source" in line}
    finally:
        server.stop()

    assert {charge for (charge,) in rows(db, Payment.provider_charge_id)} == charges
    assert len({user for (user,) in rows(db, Purchase.user_id)}) == STUDENTS
    assert count(db, Purchase, Purchase.revoked_at.is_(None)) == count(db, Purchase) == STUDENTS
    assert {status for (status,) in rows(db, Refund.status)} <= {"done"}
    assert {state for (state,) in rows(db, Dispatch.state)} == {"sent"}
    books_are_right(db)
    wrong = STUDENTS - count(db, Purchase, Purchase.revoked_at.is_(None))
    figure("A8", f"students who lack what they paid once in a school killed {KILLS} times", wrong, "0", STUDENTS)
