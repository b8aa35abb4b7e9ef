"""A long file as a job: each row once, whatever stops the worker; what has moved since the check is told."""

import time
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.imports import ImportCRUD
from backend.database.crud.intake import work as imports
from backend.database.crud.intake.plan import Plan, Seen
from backend.database.crud.jobs import JobCRUD
from backend.database.models.history import Change, ChangeSet
from backend.database.models.imports import Import, ImportRow
from backend.database.models.jobs import Job, JobError
from backend.database.models.promo_codes import PromoCode
from backend.database.session import Database
from backend.jobs import periodic, work
from tests.factories import make_promo

HEADER = ["code", "discount_percent"]


def checked(database: Database, rows: list[list[str]]) -> int:
    with database.transaction() as session:
        files = ImportCRUD(session)
        found = files.begin("promo_codes", 1, "codes.csv", HEADER).id
        files.keep(found, enumerate(rows, 2))
        files.finish_reading(found)
        checks, seen, after = files.plan(found, Plan(HEADER, "code")), Seen(), 0
        while (last := files.check(found, checks, after, seen)) is not None:
            after = last
    return found


def started(database: Database, import_id: int) -> int:
    with database.transaction() as session:
        files = ImportCRUD(session)
        assert files.start(import_id, 1)
        assert files.run_now(import_id) is None
        return imports.start(files, files.get_by_id(import_id)).id


def run(database: Database, rows: int, batches: int = 1000, holder: str = "one") -> None:
    job_id = work.claim(database, holder)
    assert job_id is not None
    while batches and work.step(database, job_id, holder, rows, time.monotonic()):
        batches -= 1


def by(db: Session, column: Any, *conditions: Any) -> dict[Any, int]:
    """How many rows have which value."""
    return dict(db.execute(select(column, func.count()).where(*conditions).group_by(column)).all())


def test_a_long_file_is_written_row_by_row_once(db: Session, database: Database) -> None:
    known = [make_promo(db, code=f"C{n}", discount_percent=10) for n in range(150)]
    rows = [[f"C{n}", "20" if n < 100 else "10"] for n in range(150)] + [[f"N{n}", "5"] for n in range(300)]
    import_id = checked(database, [*rows, ["bad code", "5"]])
    job_id = started(database, import_id)
    job = db.get_one(Job, job_id)
    assert (job.kind, job.records, job.total, job.owner_id) == ("import", "promo_codes", 400, 1)

    run(database, 70, batches=1)
    db.expire_all()
    db.get_one(PromoCode, known[99].id).discount_percent = 33
    make_promo(db, code="n299", discount_percent=1)
    db.execute(Job.__table__.update().values(lease_until=job.created_at))  # the worker is gone
    run(database, 70, holder="two")

    db.expire_all()
    job = db.get_one(Job, job_id)
    assert (job.state, job.position, job.done, job.failed) == ("done", 400, 398, 2)
    assert by(db, PromoCode.discount_percent) == {1: 1, 5: 299, 10: 50, 20: 99, 33: 1}
    told = [(error.row_id, error.message) for error in db.scalars(select(JobError).order_by(JobError.id))]
    words = "Someone has changed this record since the check."
    assert told == [(101, words), (451, words)]  # as the spreadsheet numbers them
    errors = db.scalars(select(JobError)).all()
    assert JobCRUD(db).named(job, errors) == {101: "C99", 451: "N299"}
    found = db.get_one(Import, import_id)
    assert (found.state, found.change_set_id, found.job_id) == ("done", job.change_set_id, job_id)
    made = db.get_one(ChangeSet, job.change_set_id)
    assert (made.label, made.actor_id) == ("import", 1)
    assert db.scalar(select(func.count()).where(Change.change_set_id == made.id)) == 398
    assert by(db, ImportRow.outcome) == {"": 51, "done": 398, "refused": 2}

    again = checked(database, rows)
    assert by(db, ImportRow.verdict, ImportRow.import_id == again) == {"same": 448, "changed": 2}


def test_files_are_forgotten_with_their_rows(db: Session, database: Database) -> None:
    ids = []
    for state in ("done", "started", "checked", "checked"):
        ids.append(checked(database, [["a", "5"]]))
        db.execute(update(Import).where(Import.id == ids[-1]).values(state=state))
    old, running, _replaced, fresh = ids
    assert list(db.scalars(select(Import.id).order_by(Import.id))) == [old, running, fresh]  # one waits at a time
    db.execute(update(Import).where(Import.id != fresh).values(created_at=clock.now() - timedelta(days=4)))
    assert [database.run(periodic.purge) for _piece in range(2)] == [True, False]
    assert list(db.scalars(select(ImportRow.import_id).order_by(ImportRow.id))) == [running, fresh]
    db.execute(update(Import).where(Import.id == running).values(created_at=clock.now() - timedelta(days=34)))
    assert database.run(periodic.purge)
    assert list(db.scalars(select(Import.id))) == [fresh]
