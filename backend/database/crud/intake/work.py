"""An import too long for a request, as a job: the rows are kept with the file, so only how far it got is."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.crud.imports import LABEL, ImportCRUD, ImportRowCRUD
from backend.database.crud.intake.plan import Plan
from backend.database.crud.jobs import CALLED, STEPS, Batch, JobCRUD
from backend.database.models.imports import Import, ImportRow
from backend.database.models.jobs import Job, JobError


def start(imports: ImportCRUD, found: Import) -> Job:
    """The job of a file that has just been started."""
    jobs = JobCRUD(imports.session)
    job = jobs.add(jobs.prepared("import", found.target, LABEL, {"import_id": found.id}, found.owner_id))
    job.total = imports.session.scalar(select(func.count()).select_from(imports.to_do(found.id).subquery())) or 0
    found.job_id = job.id
    jobs.flush()
    return job


def step(jobs: JobCRUD, job: Job, limit: int) -> Batch:
    imports, import_id = ImportCRUD(jobs.session), int(job.arguments["import_id"])
    statement: Any = imports.to_do(import_id).order_by(ImportRow.id).limit(limit)
    ids = jobs.session.scalars(statement.where(ImportRow.id > (job.cursor or 0))).all()
    outcome = ImportRowCRUD(jobs.session).write_many(ids)
    numbers = imports.numbers([row_id for row_id, _why in outcome.errors])
    over = len(ids) < limit
    if over:
        imports.finish(import_id)
    errors = [(numbers[row_id], why) for row_id, why in outcome.errors]
    return Batch(ids[-1] if ids else job.cursor, over, len(ids), outcome.done, 0, errors)


def called(jobs: JobCRUD, job: Job, errors: Sequence[JobError]) -> Mapping[int, str]:
    """By the cell that tells records apart, as long as the file is there."""
    found = jobs.session.get(Import, int(job.arguments["import_id"]))
    if found is None:
        return {}
    plan, numbers = Plan(**found.plan), [error.row_id for error in errors]
    rows = select(ImportRow.number, ImportRow.cells).where(ImportRow.import_id == found.id)
    told = jobs.session.execute(rows.where(ImportRow.number.in_(numbers)))
    return {number: plan.texts(cells).get(plan.key, "") for number, cells in told}


def added(session: Session, job: Job) -> int | None:
    """How many of the rows that were written are new records; None once the file is forgotten."""
    found = session.get(Import, int(job.arguments["import_id"]))
    if found is None:
        return None
    made = ImportRow.import_id == found.id, ImportRow.verdict == "new", ImportRow.outcome == "done"
    return session.scalar(select(func.count()).where(*made))


STEPS["import"], CALLED["import"] = step, called
