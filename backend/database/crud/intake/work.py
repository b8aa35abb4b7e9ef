"""An import too long for a request, as a job: the rows are kept with the file, so only how far it got is."""

from typing import Any

from sqlalchemy import func, select

from backend.database.crud.imports import LABEL, ImportCRUD, ImportRowCRUD
from backend.database.crud.jobs import STEPS, Batch, JobCRUD
from backend.database.models.imports import Import, ImportRow
from backend.database.models.jobs import Job


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


STEPS["import"] = step
