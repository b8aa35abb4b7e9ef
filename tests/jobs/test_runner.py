"""The jobs as they run: a process that is killed, chores done once, a graceful end."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.models.auth import IdempotencyKey, RateBucket
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Order
from backend.database.models.system import Lease
from backend.database.session import Database
from backend.jobs.periodic import CHORES, Chore, do, repeat
from backend.jobs.runner import jobs_running
from backend.sandbox.student import SandboxClient
from tests.conftest import SECRET
from tests.factories import make_lesson, make_order, make_user
from tests.figures import Figure
from tests.jobs.conftest import School

ROOT = Path(__file__).parents[2]


def start(school: School) -> subprocess.Popen[bytes]:
    """`python -m backend.jobs`, as an operator runs it."""
    environment = os.environ | {
        "DATABASE_URL": school.database.url,
        "SECRET_KEY": SECRET,
        "TELEGRAM_BOT_TOKEN": school.account.token,
        "TELEGRAM_API_URL": school.api_url,
        "SANDBOX": "0",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen([sys.executable, "-m", "backend.jobs"], cwd=ROOT, env=environment)


def enough(school: School, goal: int) -> bool:
    return sent(school) >= goal


def sent(school: School) -> int:
    school.db.rollback()
    number = select(func.count()).where(Dispatch.state == "sent")
    return school.db.scalar(number) or 0


def let_leases_end(db: Session) -> None:
    """What half a minute of waiting would do."""
    db.execute(update(Dispatch).where(Dispatch.state == "sending").values(lease_until=clock.now()))
    db.execute(delete(Lease))
    db.commit()


@pytest.mark.slow
def test_nothing_is_lost_and_little_repeated_when_the_process_is_killed(school: School, figure: Figure) -> None:
    students = [school.student(f"S{number}") for number in range(12)]
    for text in range(4):
        for student in students:
            school.queue(student, f"{student.id}-{text}")

    in_flight = 0
    for goal in (8, 25):
        process = start(school)
        school.box.wait_until(partial(enough, school, goal), timeout=40)
        process.send_signal(signal.SIGKILL)
        process.wait()
        in_flight += school.db.scalar(select(func.count()).where(Dispatch.state == "sending")) or 0
        let_leases_end(school.db)
    process = start(school)
    school.box.wait_until(lambda: sent(school) == 48, timeout=40)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0

    arrived = Counter(message.text for student in students for message in student.from_bot())
    assert len(arrived) == 48
    assert sum(arrived.values()) - 48 <= in_flight
    for student in students:
        texts = [message.text for message in student.from_bot()]
        first = list(dict.fromkeys(texts))
        assert first == [f"{student.id}-{text}" for text in range(4)]
    assert [line for line in school.box.journal(bot=school.account) if line["ok"] is False] == []
    figure("A7", "messages lost by a killed sender", 48 - len(arrived), "0", 48)
    beyond = max(0, sum(arrived.values()) - 48 - in_flight)
    figure("A7", "messages repeated beyond those in flight", beyond, "0", 48)


def test_jobs_of_the_web_process_finish_what_they_are_doing(school: School, settings: Settings) -> None:
    olga = school.student()
    row = school.queue(olga, "Hello")
    local = settings.model_copy(update={"telegram_api_url": school.api_url})

    async def serve() -> None:
        async with jobs_running(local, school.database, school.account.token):
            await asyncio.to_thread(school.box.wait_until, lambda: school.state(row) == ["sent"])

    asyncio.run(asyncio.wait_for(serve(), 20))
    assert olga.last.text == "Hello"
    school.db.rollback()
    assert school.db.scalar(select(func.count()).where(Lease.name == "outbox")) == 0


def test_without_a_bot_what_is_queued_waits(school: School, settings: Settings) -> None:
    row = school.queue(school.student(), "Hello")

    async def serve() -> None:
        for token in ("", "not a token"):
            async with jobs_running(settings, school.database, token):
                await asyncio.sleep(0.3)

    asyncio.run(serve())
    assert school.state(row) == ["pending"]


def test_a_chore_is_done_once_a_period_whatever_the_processes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[float] = []

    def work(_session: Session) -> bool:
        done.append(time.monotonic())
        return False

    chore = Chore("count", 30, work)
    threads = [threading.Thread(target=do, args=(database, chore)) for _process in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    later = clock.now() + timedelta(seconds=30)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert (do(database, chore), do(database, chore), len(done)) == (True, False, 2)


def test_the_chores_expire_orders_and_forget_what_is_over(database: Database, db: Session) -> None:
    user, lesson = make_user(db), make_lesson(db)
    gone = make_order(db, user, lesson, expires_at=clock.now() - timedelta(minutes=1))
    open_order = make_order(db, user, make_lesson(db))
    old = clock.now() - timedelta(days=3)
    db.add(RateBucket(key="old", count=1, expires_at=old))
    db.add(RateBucket(key="new", count=1, expires_at=clock.now() + timedelta(hours=1)))
    for key, moment in (("old", old), ("new", clock.now())):
        db.add(IdempotencyKey(owner="t", key=key, request_hash="", status=200, response="", created_at=moment))
    db.commit()

    assert [do(database, chore) for chore in CHORES] == [True] * len(CHORES)
    db.expire_all()
    assert [db.get_one(Order, row.id).status for row in (gone, open_order)] == [
        "expired",
        "awaiting_payment",
    ]
    assert db.scalars(select(RateBucket.key)).all() == ["new"]
    assert db.scalars(select(IdempotencyKey.key)).all() == ["new"]


def test_a_chore_that_fails_comes_round_again(database: Database) -> None:
    tries: list[int] = []

    def work(session: Session) -> bool:
        tries.append(1)
        DispatchCRUD(session).get_by_id(1)
        return False

    async def main() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(repeat(database, Chore("fails", 0.05, work), stop))
        await asyncio.to_thread(SandboxClient.wait_until, lambda: len(tries) >= 2)
        stop.set()
        await task

    asyncio.run(asyncio.wait_for(main(), 10))
    assert len(tries) >= 2
