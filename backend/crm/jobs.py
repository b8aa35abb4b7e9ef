"""Jobs as people see them: what runs, how far it has come, what it refused; pausing, going on, cancelling, undoing."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from markupsafe import escape

from backend.core import atoms, text, wording
from backend.core.auth import authenticate, by_itself
from backend.core.context import Principal
from backend.core.deps import Caller, DatabaseDep, Routes, crud, detached, recent, require
from backend.core.errors import AppError, ConflictError, ForbiddenError, NotFoundError
from backend.core.events import Event
from backend.core.exports import Row, export_response, in_batches
from backend.core.i18n import N_, _
from backend.core.permissions import UNDO_RIGHTS, Permission
from backend.core.stopping import stopping
from backend.core.templating import render, render_part, see_other
from backend.crm import changes
from backend.crm.history import refuse_undo
from backend.crm.table import NUMBER, Column, Screen, Table, attributes, cells, choice, install, relation
from backend.database import audit
from backend.database.crud.history import ActorCRUD
from backend.database.crud.intake import work
from backend.database.crud.jobs import JobCRUD, JobListCRUD
from backend.database.listing import Page
from backend.database.models.jobs import Job
from backend.database.schemas.base import MAX_ID, ListParams
from backend.database.schemas.jobs import JobFilters
from backend.database.session import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = Routes(prefix="/dashboard/jobs", dependencies=[require(Permission.DASHBOARD_READ)])
can_write = [require(*dict.fromkeys(UNDO_RIGHTS.values()))]
Jobs = Annotated[JobCRUD, crud(JobCRUD)]
JobId = Annotated[int, Path(ge=1, le=MAX_ID)]
LOOK_SECONDS, HEARTBEAT_SECONDS = 0.3, 15.0
LONGEST = 300.0  # of a live page; then it asks again, and is asked who it is
CSV = ("id", "name", "message")


def _what(job: Any, _screen: Screen) -> str:
    words = escape(wording.rows(job.records, job.total))
    return cells.titled(f"/dashboard/jobs/{job.id}", wording.verb(job.verb), words)


def _state(job: Any, _screen: Screen | None) -> str:
    kind, sign, label = STATES[job.state]
    return atoms.badge(kind, sign, _(label))


def _progress(job: Any, _screen: Screen) -> str:
    done = _("%(done)s of %(total)s") % {"done": text.number(job.position), "total": text.number(job.total)}
    named = escape(f"{wording.verb(job.verb)} {text.ref(job.id)}")
    bar = f'<progress class="ly-progress is-mini" max="{job.total or 1}" value="{job.position}" aria-label="{named}">'
    refused = escape(_("rejected: %(num)s") % {"num": text.number(job.failed)}) if job.failed else ""
    note = f'<small class="d-block ly-xs ly-quiet">{refused}</small>' if refused else ""
    return f"{bar}</progress> {escape(done)}{note}"


def _who(job: Any, _screen: Screen) -> str:
    return atoms.person(job.owner_id, _owner(job)) if job.owner_id else "–"


def _owner(job: Any) -> str:
    return cells.name_of(job) or job.login or ""


def _of_others(me: Principal) -> Collection[str] | None:
    """The tables of which a person sees the jobs of others; None is all of them."""
    return changes.readable(me).kinds if me.may(Permission.OPERATIONS_READ) else ()


def _readable(session: "Session", me: Principal) -> JobListCRUD:
    return JobListCRUD(session, me.user_id, _of_others(me))


STATES = {
    "queued": ("", "clock", N_("Queued")), "running": ("info", "loader-2", N_("Running")),
    "paused": ("warn", "player-pause", N_("Paused")), "done": ("good", "circle-check", N_("Done")),
    "cancelled": ("", "ban", N_("Stopped")), "failed": ("bad", "alert-circle", N_("Failed")),
}  # fmt: skip
TABLE = Table(
    name="jobs", key="job", crud=JobListCRUD, reader=_readable, params=JobFilters, prefix="/dashboard/jobs",
    title=N_("Jobs"), search="", label=lambda job: wording.verb(job.verb), none="jobs/_none.html",
    columns=(
        Column("what", N_("What"), _what, file=("kind", "verb", "records")),
        Column("status", N_("State"), _state, file=("state",)),
        Column("progress", N_("Rows processed"), _progress, "ly-num ly-col-md", file=("position", "total", "failed")),
        Column("who", N_("Who"), _who, "ly-col-md"),
        Column("created_at", N_("When"), cells.ago("created_at"), "is-end ly-quiet ly-sm ly-col-md"),
        NUMBER,
    ),
    filters=(
        choice("state", N_("State"), *((state, label) for state, (_kind, _sign, label) in STATES.items())),
        relation("owner_id", N_("Who"), ActorCRUD, Permission.OPERATIONS_READ),
    ),
    export={
        **attributes("id", "kind", "records", "verb", "state", "total", "position", "failed"), "who": _owner,
        **attributes("created_at"),
    },
)  # fmt: skip
install(router, TABLE)


@router.get("/{job_id}", name="crm:jobs:detail")
def detail(request: Request, caller: Caller, jobs: Jobs, job_id: JobId) -> Response:
    job = seen(caller.me, jobs.view(job_id))
    return render_part(request, "jobs/detail.html", "jobs/_progress.html", **_shown(caller.session, caller.me, job))


@router.get("/{job_id}/events", name="crm:jobs:events", dependencies=[detached])
def events(request: Request, caller: Caller, database: DatabaseDep, job_id: JobId) -> Response:
    by_itself(request)
    with database.read() as session:
        seen(caller.me, JobCRUD(session).view(job_id))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_told(request, database, job_id), media_type="text/event-stream", headers=headers)


def _shown(session: "Session", me: Principal, job: Job) -> dict[str, Any]:
    added = work.added(session, job) if job.kind == "import" and not job.going_on else None
    may = may_act(session, me, job)
    undoable = may and not job.going_on and bool(job.done) and may_undo(session, me, job)
    return {"job": job, "may_act": may, "may_undo": undoable, "added": added}


async def _told(request: Request, database: Database, job_id: int) -> AsyncIterator[str]:
    """The progress as often as it changes; `over` when there is nothing more to tell."""
    last, quiet, loop = "", 0.0, asyncio.get_running_loop()
    end = loop.time() + LONGEST
    yield "retry: 1000\n\n"
    while loop.time() < end and not stopping.is_set() and not await request.is_disconnected():
        part, going_on = await run_in_threadpool(_part, request, database, job_id)
        if part and part != last:
            last, quiet = part, 0.0
            yield "".join(f"data: {line}\n" for line in part.splitlines()) + "\n"
        elif quiet >= HEARTBEAT_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        if not going_on:
            yield "event: over\ndata: over\n\n"
            return
        quiet += LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)


def _part(request: Request, database: Database, job_id: int) -> tuple[str, bool]:
    """(what the page shows, whether there is more to come); ("", False) once the person may not see it any more."""
    with database.read() as session:
        request.state.me = me = authenticate(request, session, api=False)
        try:
            request.state.unit.policy.admit(me)
            job = seen(me, JobCRUD(session).view(job_id))
        except AppError:
            return "", False
        part = render(request, "jobs/_progress.html", **_shown(session, me, job), live=True)
        return bytes(part.body).decode(), job.going_on


@router.get("/{job_id}/errors.csv", name="crm:jobs:csv", dependencies=[detached, recent])
def errors(caller: Caller, database: DatabaseDep, job_id: JobId) -> Response:
    with database.read() as session:
        job = seen(caller.me, JobCRUD(session).view(job_id))
        may_name = changes.readable(caller.me).covers(job.records)  # one's own job may outlive that right
    told: dict[str, Any] = {"what": "job_errors", "format": "csv", "rows": job.failed, "job": job_id}
    database.run(lambda session: audit.note(session, Event.EXPORTED, **told), caller.actor)

    def read(session: "Session", cursor: str | None) -> Page[Row]:
        jobs = JobCRUD(session)
        page = jobs.errors(job_id, ListParams(limit=100, cursor=cursor))
        called = jobs.named(jobs.get_by_id(job_id), page.items) if may_name else {}
        return Page([(row.row_id, called.get(row.row_id, ""), row.message) for row in page.items], page.next)

    return export_response("csv", f"job-{job_id}-errors", CSV, in_batches(database, read))


@router.post("/{job_id}/pause", name="crm:jobs:pause", dependencies=can_write)
def pause(request: Request, caller: Caller, jobs: Jobs, job_id: JobId) -> Response:
    jobs.pause(acted_on(caller, job_id).id)
    return see_other(request, "crm:jobs:detail", job_id=job_id)


@router.post("/{job_id}/resume", name="crm:jobs:resume", dependencies=can_write)
def resume(request: Request, caller: Caller, jobs: Jobs, job_id: JobId) -> Response:
    jobs.resume(acted_on(caller, job_id).id)
    return see_other(request, "crm:jobs:detail", job_id=job_id)


@router.post("/{job_id}/cancel", name="crm:jobs:cancel", dependencies=can_write)
def cancel(request: Request, caller: Caller, jobs: Jobs, job_id: JobId) -> Response:
    jobs.cancel(acted_on(caller, job_id).id)
    return see_other(request, "crm:jobs:detail", job_id=job_id)


@router.post("/{job_id}/undo", name="crm:jobs:undo", dependencies=can_write)
def undo(request: Request, caller: Caller, jobs: Jobs, job_id: JobId) -> Response:
    """All that the job has changed, as a job of its own."""
    job = acted_on(caller, job_id)
    if job.change_set_id is None:
        raise ConflictError(_("This job has changed nothing."), code="job_state")
    refuse_undo(caller.session, caller.me, job.change_set_id)
    return see_other(request, "crm:jobs:detail", job_id=jobs.start_undo(job.change_set_id, caller.me.user_id).id)


def seen(me: Principal, job: Job) -> Job:
    """Raises NotFoundError for the job of another, except to those who run the school's operations and may read the
    records: it shows what these are called.
    """
    tables = _of_others(me)
    if job.owner_id != me.user_id and tables is not None and job.records not in tables:
        raise NotFoundError
    return job


def may_act(session: "Session", me: Principal, job: Job) -> bool:
    rights = JobCRUD(session).rights(job)
    return bool(rights) and rights <= me.permissions


def may_undo(session: "Session", me: Principal, job: Job) -> bool:
    try:
        refuse_undo(session, me, job.change_set_id or 0)
    except ForbiddenError:
        return False
    return True


def acted_on(caller: Caller, job_id: int) -> Job:
    """Raises NotFoundError, or ForbiddenError for whoever may not do to the records all that the job does."""
    job = seen(caller.me, JobCRUD(caller.session).view(job_id))
    if not may_act(caller.session, caller.me, job):
        raise ForbiddenError
    return job
