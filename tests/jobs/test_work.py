"""Jobs: frozen rows, batches that leave each row done once, pausing, cancelling, a worker that is gone."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.context import Actor, Door
from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import current_language
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.history import Change, ChangeSet
from backend.database.models.jobs import Job, JobError, JobRow
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from backend.database.schemas.base import ListParams
from backend.database.session import Database
from backend.jobs import periodic, work
from tests.factories import make_lesson, make_purchase, make_user


def start(database: Database, table: str, verb: str, ids: Any, **arguments: Any) -> int:
    with database.transaction() as session:
        owner = UserCRUD(session).find_by_login("admin")
        assert owner is not None
        return JobCRUD(session).start(table, verb, arguments, ids, owner.id).id


def job_of(db: Session, job_id: int) -> Job:
    return db.scalars(select(Job).where(Job.id == job_id).execution_options(populate_existing=True)).one()


def take(database: Database, holder: str = "one") -> int | None:
    return work.claim(database, holder)


def batch(database: Database, job_id: int, rows: int = 2, holder: str = "one") -> bool:
    return work.step(database, job_id, holder, rows, time.monotonic())


def lessons(db: Session, number: int) -> Sequence[int]:
    return [make_lesson(db, price=100 + at).id for at in range(number)]


def test_batches_are_one_change_set_of_whoever_started_the_job(db: Session, database: Database) -> None:
    ids = lessons(db, 5)
    job_id = start(database, "lessons", "change_price", ids, percent=10)

    assert take(database) == job_id
    assert [batch(database, job_id) for _n in range(3)] == [True, True, False]

    job = job_of(db, job_id)
    assert (job.state, job.total, job.position, job.done, job.same, job.failed) == ("done", 5, 5, 5, 0, 0)
    assert (job.holder, job.lease_until, job.seconds_left is not None) == (None, None, True)
    assert list(db.execute(select(Lesson.price, Lesson.version).order_by(Lesson.id))) == [
        (110, 2), (111, 2), (112, 2), (113, 2), (114, 2),
    ]  # fmt: skip
    told = db.scalars(select(ChangeSet).where(ChangeSet.id == job.change_set_id)).one()
    assert (told.label, told.door, told.actor_id) == ("change_price", "web", job.owner_id)
    changed = db.scalars(select(Change.entity_id).where(Change.change_set_id == told.id).order_by(Change.id))
    assert list(changed) == list(ids)
    assert db.scalar(select(func.count()).select_from(ChangeSet).where(ChangeSet.label == "change_price")) == 1
    assert take(database) is None


def test_the_rows_are_those_of_the_moment(db: Session, database: Database) -> None:
    ids = lessons(db, 3)
    chosen = select(Lesson.id).where(Lesson.price > 100).order_by(Lesson.price.desc())
    job_id = start(database, "lessons", "hide", chosen)
    make_lesson(db, price=500)

    take(database)
    batch(database, job_id, 10)

    assert job_of(db, job_id).total == 2
    assert list(db.scalars(select(Lesson.id).where(~Lesson.is_active).order_by(Lesson.id))) == list(ids[1:])


def test_errors_are_told_in_the_language_of_whoever_asked(db: Session, database: Database) -> None:
    ids = lessons(db, 2)
    make_purchase(db, make_user(db), db.get_one(Lesson, ids[0]))
    asks_in_russian = current_language.set("ru")
    job_id = start(database, "lessons", "delete", [*ids, 999])
    current_language.reset(asks_in_russian)

    take(database)
    batch(database, job_id, 10)

    job = job_of(db, job_id)
    assert (job.done, job.failed, job.position) == (1, 2, 3)
    with database.read() as session:
        page = JobCRUD(session).errors(job_id, ListParams(limit=1))
        rest = JobCRUD(session).errors(job_id, ListParams(limit=1, cursor=page.next))
    assert [(row.row_id, row.message) for row in (*page.items, *rest.items)] == [
        (ids[0], "Это уже купили, поэтому удалить нельзя. Лучше скройте: у купивших доступ останется."),
        (999, "Урока 999 здесь больше нет."),
    ]


def test_a_paused_job_stops_behind_its_batch_and_goes_on(db: Session, database: Database) -> None:
    job_id = start(database, "lessons", "hide", lessons(db, 4))
    take(database)
    batch(database, job_id)

    with database.transaction() as session:
        JobCRUD(session).pause(job_id)
    assert batch(database, job_id) is False
    assert take(database) is None
    assert (job_of(db, job_id).state, job_of(db, job_id).position) == ("paused", 2)
    with database.transaction() as session:
        JobCRUD(session).resume(job_id)
    with database.transaction() as session, pytest.raises(ConflictError):
        JobCRUD(session).resume(job_id)

    assert take(database, "two") == job_id
    assert batch(database, job_id, 10) is False  # the first worker has lost it
    assert batch(database, job_id, 10, "two") is False
    assert (job_of(db, job_id).state, job_of(db, job_id).done) == ("done", 4)


def test_a_cancelled_job_leaves_what_it_has_done(db: Session, database: Database) -> None:
    job_id = start(database, "lessons", "hide", lessons(db, 4))
    take(database)
    batch(database, job_id)

    with database.transaction() as session:
        JobCRUD(session).cancel(job_id)
    batch(database, job_id)

    job = job_of(db, job_id)
    assert (job.state, job.done, job.ended_at is not None) == ("cancelled", 2, True)
    assert db.scalar(select(func.count()).where(~Lesson.is_active)) == 2
    with database.transaction() as session, pytest.raises(ConflictError):
        JobCRUD(session).pause(job_id)


def test_the_job_of_a_worker_that_is_gone_is_taken_over(db: Session, database: Database) -> None:
    job_id = start(database, "lessons", "hide", lessons(db, 4))
    take(database)
    batch(database, job_id)
    assert take(database, "two") is None

    db.execute(update(Job).values(lease_until=clock.now() - timedelta(seconds=1)))

    assert take(database, "two") == job_id
    assert batch(database, job_id) is False
    batch(database, job_id, 10, "two")
    assert (job_of(db, job_id).done, job_of(db, job_id).same) == (4, 0)


def test_the_worker_does_what_there_is_and_survives_what_cannot_be_done(db: Session, database: Database) -> None:
    students = [make_user(db).id for _n in range(150)]
    broken = start(database, "lessons", "change_price", lessons(db, 1), percent="many")
    good = start(database, "users", "close_access", students)

    async def serve() -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(work.follow(database, "one", stop))
        for _n in range(500):
            await asyncio.sleep(0.02)
            if not job_of(db, good).going_on:
                break
        stop.set()
        await working

    asyncio.run(asyncio.wait_for(serve(), 20))

    assert (job_of(db, broken).state, job_of(db, broken).error) == ("failed", "ValidationError")
    assert (job_of(db, good).state, job_of(db, good).done) == ("done", 150)
    assert set(db.scalars(select(User.is_active).where(User.id.in_(students)))) == {False}


def test_a_worker_that_ends_gives_its_job_back(db: Session, database: Database) -> None:
    job_id = start(database, "lessons", "hide", lessons(db, 1))

    async def serve() -> None:
        stop = asyncio.Event()
        stop.set()
        assert work.claim(database, "one") == job_id
        await work._work(database, job_id, "one", stop)

    asyncio.run(serve())
    assert (job_of(db, job_id).state, job_of(db, job_id).holder) == ("queued", None)


def test_a_job_that_no_list_knows_is_not_started(database: Database) -> None:
    for table, verb in (("lessons", "explode"), ("payments", "delete")):
        with database.transaction() as session, pytest.raises(NotFoundError):
            JobCRUD(session).start(table, verb, {}, [1], None)


def test_old_rows_are_forgotten(db: Session, database: Database) -> None:
    old, fresh = (start(database, "lessons", "hide", lessons(db, 2)) for _n in range(2))
    db.execute(update(Job).values(state="done", ended_at=clock.now()))
    db.execute(update(Job).where(Job.id == old).values(ended_at=clock.now() - periodic.ROWS_KEPT - timedelta(1)))

    while database.run(periodic.purge):
        pass

    assert set(db.scalars(select(JobRow.job_id))) == {fresh}
    assert db.scalar(select(func.count()).select_from(JobError)) == 0


def test_rows_may_bring_data(db: Session, database: Database) -> None:
    with database.transaction() as session:
        job = JobCRUD(session).start_rows("import", "lessons", "import", {}, [(1, {"a": 1}), (2, {})], None)
    with database.read() as session:
        assert JobCRUD(session).next_rows(job, 5) == [(1, {"a": 1}), (2, {})]
        assert (job.total, LessonCRUD(session).get_all().total) == (2, 0)


def undo(database: Database, db: Session, job_id: int) -> int:
    job = job_of(db, job_id)
    with database.transaction(Actor(Door.WEB, job.owner_id)) as session:
        assert job.change_set_id is not None
        return JobCRUD(session).start_undo(job.change_set_id, job.owner_id).id


def done(database: Database, job_id: int) -> None:
    assert take(database) == job_id
    while batch(database, job_id):
        pass


def test_a_job_is_undone_as_a_whole_and_done_again(db: Session, database: Database) -> None:
    ids = lessons(db, 5)
    hidden = start(database, "lessons", "hide", ids)
    take(database)
    batch(database, hidden)
    with database.transaction() as session, pytest.raises(ConflictError, match="still running"):
        JobCRUD(session).start_undo(job_of(db, hidden).change_set_id or 0, None)
    while batch(database, hidden):
        pass
    db.execute(update(Lesson).where(Lesson.id == ids[1]).values(is_active=True))  # someone else was here

    back = undo(database, db, hidden)
    done(database, back)

    job = job_of(db, back)
    assert (job.kind, job.verb, job.records, job.total, job.position) == ("undo", "undo", "lessons", 5, 5)
    assert (job.state, job.done, job.failed) == ("done", 4, 0)
    assert db.scalar(select(func.count()).where(~Lesson.is_active)) == 0
    told = db.scalars(select(ChangeSet).where(ChangeSet.id == job.change_set_id)).one()
    assert (told.undoes_id, told.actor_id) == (job_of(db, hidden).change_set_id, job.owner_id)
    with database.transaction() as session, pytest.raises(ConflictError, match="undone already"):
        JobCRUD(session).start_undo(job_of(db, hidden).change_set_id or 0, None)

    again = undo(database, db, back)
    done(database, again)
    assert (job_of(db, again).verb, job_of(db, again).done) == ("redo", 4)
    assert db.scalar(select(func.count()).where(~Lesson.is_active)) == 4


def test_an_undo_tells_what_it_leaves(db: Session, database: Database) -> None:
    ids = lessons(db, 2)
    dearer = start(database, "lessons", "change_price", ids, percent=100)
    done(database, dearer)
    db.execute(update(Lesson).where(Lesson.id == ids[0]).values(price=7))

    done(database, back := undo(database, db, dearer))

    assert (job_of(db, back).done, job_of(db, back).failed) == (1, 1)
    with database.read() as session:
        jobs, errors = JobCRUD(session), JobCRUD(session).errors(back, ListParams()).items
        told = [(row.row_id, row.message) for row in errors]
        named = jobs.named(jobs.get_by_id(back), errors)
        part = JobError(job_id=back, row_id=ids[0], message=f"tag {ids[0]}: Someone has changed this since.")
        assert jobs.named(jobs.get_by_id(back), [part]) == {}
    assert told == [(ids[0], f"lesson {ids[0]}, Price: Someone has changed this since.")]
    assert named == {ids[0]: db.get_one(Lesson, ids[0]).title}
    assert list(db.scalars(select(Lesson.price).order_by(Lesson.id))) == [7, 101]
