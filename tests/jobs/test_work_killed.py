"""The worker's process killed at random moments of a job: every row is done exactly once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.jobs import JobCRUD
from backend.database.models.history import Change, ChangeSet
from backend.database.models.jobs import Job, JobError
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.session import Database
from tests.conftest import SECRET
from tests.figures import Figure
from tests.jobs.test_import_jobs import checked, started

ROOT = Path(__file__).parents[2]
ROWS, KILLS, PRICE, DEAREST = 30_000, 20, 100, 1_000_000
REPEATED = f"rows of jobs written twice or not at all after {KILLS} x kill -9 each"
REFUSED = 100  # every so many rows costs the most already
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


# The jobs of a process without the rest of them, which takes longer to start than to kill.
ALONE = """
import asyncio, os, sys
from backend.database.session import Database
from backend.jobs.work import follow
asyncio.run(follow(Database(sys.argv[1]), str(os.getpid()), asyncio.Event()))
"""


def worker(url: str, *, whole: bool = False) -> subprocess.Popen[bytes]:
    """`whole`: `python -m backend.jobs`, as an operator runs it."""
    environment = os.environ | {
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET,
        "TELEGRAM_BOT_TOKEN": "",
        "SANDBOX": "0",
        "PYTHONPATH": str(ROOT),
    }
    command = ["-m", "backend.jobs"] if whole else ["-c", ALONE, url]
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# By itself; or by the signal, where the killed ones had done it all and the last was told to end before it listened.
ENDED = (0, -signal.SIGTERM)


def at(db: Session, job_id: int) -> tuple[str, int]:
    state, position = db.execute(select(Job.state, Job.position).where(Job.id == job_id)).one()
    return state, position


def many_lessons(database: Database) -> None:
    rows = [
        {"title": "x", "search_key": "x", "price": DEAREST if number % REFUSED == 0 else PRICE}
        for number in range(ROWS)
    ]
    with database.transaction() as session:
        session.info["history"] = False
        session.execute(insert(Lesson), rows)


def kill_now_and_then(database: Database, db: Session, job_id: int) -> int:
    """Kills that hit a running job."""
    moments, hits = random.Random(7), 0
    for _kill in range(KILLS):
        before = at(db, job_id)[1]
        process = worker(database.url)
        wait_until(lambda before=before: at(db, job_id)[1] > before or at(db, job_id)[0] == "done")  # type: ignore[misc] # bound now
        time.sleep(moments.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        hits += at(db, job_id)[0] == "running"
        db.execute(update(Job).values(lease_until=clock.now() - timedelta(seconds=1)))  # what waiting would do
    return hits


def test_a_worker_killed_again_and_again_does_each_row_once(database: Database, db: Session, figure: Figure) -> None:
    many_lessons(database)
    with database.transaction() as session:
        job_id = JobCRUD(session).start("lessons", "change_price", {"percent": 10}, select(Lesson.id), 1).id

    hits = kill_now_and_then(database, db, job_id)
    process = worker(database.url, whole=True)
    wait_until(lambda: at(db, job_id)[0] == "done")
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=30) in ENDED
    assert hits >= KILLS // 2
    job = db.scalars(select(Job).where(Job.id == job_id).execution_options(populate_existing=True)).one()
    refused = ROWS // REFUSED
    assert (job.position, job.done, job.same, job.failed) == (ROWS, ROWS - refused, 0, refused)
    found = db.execute(select(Lesson.price, Lesson.version, func.count()).group_by(Lesson.price, Lesson.version))
    assert {tuple(row) for row in found} == {(PRICE * 11 // 10, 2, ROWS - refused), (DEAREST, 1, refused)}
    told = select(func.count(), func.count(Change.entity_id.distinct())).where(Change.entity == "lessons")
    assert tuple(db.execute(told).one()) == (ROWS - refused, ROWS - refused)
    assert db.scalar(select(func.count()).select_from(ChangeSet).where(ChangeSet.label == "change_price")) == 1
    assert db.scalar(select(func.count(JobError.row_id.distinct()))) == refused
    assert db.scalar(select(func.count()).select_from(JobError)) == refused
    figure("A7", REPEATED, 0, "0", ROWS)


def test_an_import_whose_worker_is_killed_writes_each_row_once(database: Database, db: Session, figure: Figure) -> None:
    """New rows, changed ones and ones that somebody has changed since the check."""
    known, fresh, moved = ROWS // 10, ROWS // 2, 40
    rows = [
        {"code": f"C{n}", "code_key": f"c{n}", "search_key": f"c{n}", "discount_percent": 10, "is_active": True}
        for n in range(known)
    ]
    with database.transaction() as session:
        session.info["history"] = False
        session.execute(insert(PromoCode), rows)
    table = [[f"C{n}", "20"] for n in range(known)] + [[f"N{n}", "5"] for n in range(fresh)]
    job_id = started(database, checked(database, table))
    with database.transaction() as session:
        session.info["history"] = False
        session.execute(update(PromoCode).where(PromoCode.id <= moved).values(discount_percent=33))

    hits = kill_now_and_then(database, db, job_id)
    process = worker(database.url)
    wait_until(lambda: at(db, job_id)[0] == "done", 200)
    process.kill()
    process.wait()

    assert hits >= KILLS // 2
    job = db.scalars(select(Job).where(Job.id == job_id).execution_options(populate_existing=True)).one()
    assert (job.state, job.position, job.done, job.failed) == ("done", known + fresh, known + fresh - moved, moved)
    percents = select(PromoCode.discount_percent, func.count()).group_by(PromoCode.discount_percent)
    assert dict(db.execute(percents).all()) == {5: fresh, 20: known - moved, 33: moved}
    told = select(func.count(), func.count(Change.entity_id.distinct())).where(Change.entity == "promo_codes")
    assert tuple(db.execute(told).one()) == (known + fresh - moved, known + fresh - moved)
    assert db.scalar(select(func.count(JobError.row_id.distinct()))) == moved
    assert db.scalar(select(func.count()).select_from(JobError)) == moved
    figure("A7", REPEATED, 0, "0", known + fresh)
