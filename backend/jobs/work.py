"""The worker of jobs. Each job is one worker's at a time, by a lease; a batch is one transaction with its bookkeeping.

A worker that is killed leaves nothing half done: whoever takes the job when the lease is over goes on behind the last
batch. Pausing and cancelling change the job's row, which the next batch finds.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from backend.core.errors import UnavailableError
from backend.database.crud.intake import work as _imports  # noqa: F401 - brings its step
from backend.database.crud.jobs import STEPS, JobCRUD
from backend.database.session import Database

log = structlog.get_logger()
POLL_SECONDS = 0.5
LONGEST_STUMBLE = 16.0
FIRST, LEAST, MOST = 100, 10, 2_000  # rows of a batch


@dataclass
class Pace:
    """How many rows a batch takes so that it is over within `target` seconds, and how long others have then.

    SQLite has one writer: a batch must be short, and behind it whoever waits has their turn.
    """

    target: float
    rest: float
    rows: int = FIRST

    @classmethod
    def of(cls, database: Database) -> "Pace":
        return cls(0.05, 0.01) if database.is_sqlite else cls(0.2, 0.0)

    def learn(self, seconds: float) -> None:
        factor = min(2.0, max(0.25, self.target / max(seconds, 0.001)))
        self.rows = min(MOST, max(LEAST, int(self.rows * factor)))


async def follow(database: Database, holder: str, stop: asyncio.Event) -> None:
    """Does whatever jobs there are until `stop`."""
    stumbles = 0
    while not stop.is_set():
        pause = POLL_SECONDS
        try:
            if (job_id := await asyncio.to_thread(claim, database, holder)) is not None:
                await _work(database, job_id, holder, stop)
                pause = 0.0
            stumbles = 0
        except Exception as error:  # noqa: BLE001 - the database may be away; the jobs are not lost
            stumbles += 1
            pause = min(POLL_SECONDS * 2**stumbles, LONGEST_STUMBLE)
            log.warning("work.database", error=type(error).__name__, seconds=pause)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


def claim(database: Database, holder: str) -> int | None:
    with database.read() as session:  # an idle school's disk may sleep
        if not JobCRUD(session).waiting():
            return None
    return database.run(lambda session: JobCRUD(session).claim(holder))


async def _work(database: Database, job_id: int, holder: str, stop: asyncio.Event) -> None:
    pace, since = Pace.of(database), time.monotonic()
    while not stop.is_set():
        began = time.monotonic()
        try:
            more = await asyncio.to_thread(step, database, job_id, holder, pace.rows, since)
        except UnavailableError:  # others are busy: the batch is done when they let us
            await asyncio.sleep(POLL_SECONDS)
            continue
        except Exception as error:
            log.error("job.failed", id=job_id, error=type(error).__name__, exc_info=error)
            await asyncio.to_thread(_fail, database, job_id, holder, type(error).__name__)
            return
        if not more:
            return
        since = time.monotonic()
        pace.learn(since - began)
        await asyncio.sleep(pace.rest)
    await asyncio.to_thread(database.run, lambda session: JobCRUD(session).give_back(job_id, holder))


def _fail(database: Database, job_id: int, holder: str, error: str) -> None:
    database.run(lambda session: JobCRUD(session).fail(job_id, holder, error))


def step(database: Database, job_id: int, holder: str, rows: int, since: float) -> bool:
    """One batch. False when there is nothing more to do: the job is over, paused, cancelled or another's."""

    def work(session: Session) -> bool:
        jobs = JobCRUD(session)
        job = jobs.held(job_id, holder)
        if job is None:
            return False
        if jobs.dismissed(job):
            jobs.dismiss(job)
            return False
        batch = jobs.work(job, STEPS[job.kind], rows)
        job.worked_ms += round((time.monotonic() - since) * 1000)
        return not batch.over

    return database.run(work)
