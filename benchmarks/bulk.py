"""A verb on 100,000 rows: how soon the answer comes, how fast the rows go, what others feel meanwhile."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.jobs import Job
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs import work
from benchmarks.report import Line
from benchmarks.school import admin

ROWS = 100_000
LOOK_SECONDS = 0.02
SALE_SECONDS = 0.05  # between two writes of others


@dataclass
class Seen:
    """A job watched from outside."""

    moves: list[float] = field(default_factory=list)  # when the count had grown
    sales: list[float] = field(default_factory=list)  # milliseconds that others' writes took

    @property
    def longest_silence(self) -> float:
        return max(after - before for before, after in zip(self.moves, self.moves[1:], strict=False))


def bulk(url: str, rows: int = ROWS) -> Iterator[Line]:
    database = Database(url)
    try:
        yield from _one(database, "close_access", rows)
        yield from _one(database, "open_access", rows)
        yield _undoing(database, rows)
        yield _pausing(database, rows)
    finally:
        database.dispose()


def _one(database: Database, verb: str, rows: int) -> list[Line]:
    began = time.perf_counter()
    job_id = _start(database, verb, rows)
    answered = (time.perf_counter() - began) * 1000
    seen, seconds = _watched(database, job_id)
    rate = rows / seconds
    sales = sorted(seen.sales)
    worst = sales[-1 - len(sales) // 100]
    return [
        Line(f"bulk {verb}: started", "<= 300 ms", f"{answered:.0f} ms", ok=answered <= 300, values={"ms": answered}),
        Line(f"bulk {verb}: rows", ">= 5000/s", f"{rate:.0f}/s", ok=rate >= 5000, values={"per_second": rate}),
        Line(
            f"bulk {verb}: progress",
            "<= 0.5 s apart",
            f"{seen.longest_silence:.2f} s",
            ok=seen.longest_silence <= 0.5,
            values={"seconds": seen.longest_silence},
        ),
        Line(
            f"bulk {verb}: a sale meanwhile, p50 / p99",
            "<= 100 / 300 ms",
            f"{median(sales):.0f} / {worst:.0f} ms",
            ok=median(sales) <= 100 and worst <= 300,
            values={"p50_ms": median(sales), "p99_ms": worst},
        ),
    ]


def _start(database: Database, verb: str, rows: int) -> int:
    def start(session: Session) -> int:
        ids = StudentCRUD.list_statement().with_only_columns(User.id).order_by(User.id).limit(rows)
        return JobCRUD(session).start("users", verb, {}, ids, admin(session).id).id

    return database.run(start)


def _watched(database: Database, job_id: int) -> tuple[Seen, float]:
    """The job from its start to its end, done by a worker of this process while others write."""
    seen, over = Seen(), threading.Event()
    watching = [threading.Thread(target=act, args=(database, job_id, seen, over)) for act in (_look, _sell)]
    for thread in watching:
        thread.start()
    began = time.perf_counter()
    asyncio.run(_until_over(database, job_id))
    seconds = time.perf_counter() - began
    over.set()
    for thread in watching:
        thread.join()
    state, position = _state(database, job_id)
    assert state == "done", f"the job is {state} after {position} rows"
    return seen, seconds


async def _until_over(database: Database, job_id: int) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(work.follow(database, "bench", stop))
    while _state(database, job_id)[0] in ("queued", "running"):  # noqa: ASYNC110 - a row of a database
        await asyncio.sleep(LOOK_SECONDS)
    stop.set()
    await working


def _state(database: Database, job_id: int) -> tuple[str, int]:
    with database.read() as session:
        state, position = session.execute(select(Job.state, Job.position).where(Job.id == job_id)).one()
    return state, position


def _look(database: Database, job_id: int, seen: Seen, over: threading.Event) -> None:
    last = -1
    while not over.wait(LOOK_SECONDS):
        position = _state(database, job_id)[1]
        if position != last:
            last = position
            seen.moves.append(time.perf_counter())


def _sell(database: Database, _job_id: int, seen: Seen, over: threading.Event) -> None:
    """What a student does in the bot meanwhile: one short write after the other."""
    while not over.wait(SALE_SECONDS):
        began = time.perf_counter()
        with database.transaction(Actor(Door.BOT)) as session:
            session.execute(update(User).where(User.id == 1).values(version=User.version + 1))
        seen.sales.append((time.perf_counter() - began) * 1000)


def _undoing(database: Database, rows: int) -> Line:
    """The job before, taken back as a whole; then that again, so that the school is as it was."""
    seconds = []
    for _again in range(2):
        job_id = database.run(lambda session: JobCRUD(session).start_undo(_last_set(session), admin(session).id).id)
        seconds.append(_watched(database, job_id)[1])
    worst = max(seconds)
    return Line(f"undo of {rows:,} rows", "<= 60 s", f"{worst:.0f} s", ok=worst <= 60, values={"seconds": worst})


def _last_set(session: Session) -> int:
    last = select(Job.change_set_id).where(Job.change_set_id.is_not(None)).order_by(Job.id.desc()).limit(1)
    return session.scalars(last).one() or 0


def _pausing(database: Database, rows: int) -> Line:
    """From the click to the moment when nothing moves any more."""
    job_id = _start(database, "close_access", rows)

    async def pause() -> float:
        stop = asyncio.Event()
        working = asyncio.create_task(work.follow(database, "bench", stop))
        while _state(database, job_id)[1] == 0:  # noqa: ASYNC110 - the same
            await asyncio.sleep(LOOK_SECONDS)
        began = time.perf_counter()
        await asyncio.to_thread(database.run, lambda session: JobCRUD(session).pause(job_id))
        seconds = time.perf_counter() - began
        await asyncio.to_thread(database.run, lambda session: JobCRUD(session).cancel(job_id))
        stop.set()
        await working
        return seconds

    seconds = asyncio.run(pause())
    return Line("bulk: paused", "<= 2 s", f"{seconds:.2f} s", ok=seconds <= 2, values={"seconds": seconds})
