"""Jobs: a verb on more rows than a request may take, in batches, each row exactly once whatever stops the worker."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, CursorResult, and_, delete, exists, func, insert, literal, or_, select
from sqlalchemy.orm import Session, joinedload

from backend.core import clock, wording
from backend.core.context import Actor, Door
from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import _, current_language
from backend.core.permissions import UNDO_RIGHTS, Permission
from backend.database import history
from backend.database.crud import blockers
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.names import names
from backend.database.crud.registry import TABLES
from backend.database.crud.undo import Clash, UndoCRUD
from backend.database.listing import AnySelect, Page
from backend.database.models.history import Change, ChangeSet
from backend.database.models.jobs import DISMISSED, GOING_ON, Job, JobError, JobRow
from backend.database.models.users import Role, User
from backend.database.schemas.base import FORM, ListParams
from backend.database.verbs import apply

LEASE = timedelta(seconds=15)
UNDO_NOW = 1_000  # changes
CHUNK = 5_000  # rows of one statement
Data = Mapping[str, Any]


@dataclass
class Batch:
    """What one transaction of a job did: `cursor` is where the next one begins, `position` how many rows lie behind."""

    cursor: int | None
    over: bool
    rows: int = 0
    done: int = 0
    same: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


Step = Callable[["JobCRUD", Job, int], Batch]
Called = Callable[["JobCRUD", Job, Sequence[JobError]], Mapping[int, str]]


class JobCRUD(BaseCRUD[Job]):
    model = Job
    sorts: ClassVar[Mapping[str, Any]] = {}

    def missing(self, row_id: int) -> str:
        return _("Job %s no longer exists.") % row_id

    # -- starting

    def start(self, table: str, verb: str, arguments: Data, ids: AnySelect | Sequence[int], owner: int | None) -> Job:
        """The verb on these rows, as they are now chosen: the list may change meanwhile. Raises NotFoundError."""
        if verb not in getattr(TABLES.get(table), "verbs", ()):
            raise NotFoundError
        job = self.add(self.prepared("bulk", table, verb, arguments, owner))
        job.total = self._freeze(job.id, ids)
        self.flush()
        return job

    def start_rows(
        self, kind: str, table: str, verb: str, arguments: Data, rows: Iterable[tuple[int, Data]], owner: int | None
    ) -> Job:
        """A job whose rows bring their own data: (number, data), the numbers from 1 on."""
        job = self.add(self.prepared(kind, table, verb, arguments, owner))
        sent = [{"job_id": job.id, "row_id": number, "data": data} for number, data in rows]
        for at in range(0, len(sent), CHUNK):
            self.session.execute(insert(JobRow), sent[at : at + CHUNK])
        job.total = len(sent)
        self.flush()
        return job

    def start_undo(self, change_set_id: int, owner: int | None) -> Job:
        """The whole change set taken back, as a change set of its own. Raises ConflictError, NotFoundError."""
        own = UndoCRUD(self.session).start(change_set_id)
        mine = Change.change_set_id == change_set_id
        root = self.session.scalars(select(Change.root).where(mine).order_by(Change.id).limit(1)).one()
        label = self.session.get_one(ChangeSet, own).label
        job = self.prepared("undo", root, label, {"change_set_id": change_set_id}, owner)
        job.change_set_id = own
        job.total = self.session.scalar(select(func.count()).where(mine)) or 0
        return self.add(job)

    def is_long(self, change_set_id: int) -> bool:
        """Whether a change set is too large to be taken back while someone waits."""
        mine = select(Change.id).where(Change.change_set_id == change_set_id)
        return self.session.execute(mine.offset(UNDO_NOW).limit(1)).first() is not None

    def prepared(self, kind: str, table: str, verb: str, arguments: Data, owner: int | None) -> Job:
        """What the job does is told under the name of whoever asks now, with the eyes they look through."""
        by: Actor = self.session.info.get("actor") or Actor(Door.WEB, owner)
        return Job(
            kind=kind,
            records=table,
            verb=verb,
            arguments=dict(arguments),
            owner_id=owner,
            impersonator_id=by.impersonator_id,
            ip=by.ip,
            request_id=by.request_id,
            language=current_language.get(),
        )

    def _freeze(self, job_id: int, ids: AnySelect | Sequence[int]) -> int:
        if not isinstance(ids, Sequence):
            chosen = ids.order_by(None).subquery()
            rows = select(literal(job_id), chosen.c[0]).order_by(chosen.c[0])
            put = insert(JobRow).from_select(["job_id", "row_id"], rows)
            made = self.session.execute(put, execution_options={"preserve_rowcount": True})
            assert isinstance(made, CursorResult)
            return made.rowcount
        wanted = sorted(set(ids))
        for at in range(0, len(wanted), CHUNK):
            sent = [{"job_id": job_id, "row_id": row_id} for row_id in wanted[at : at + CHUNK]]
            self.session.execute(insert(JobRow), sent)
        return len(wanted)

    # -- reading

    def view(self, job_id: int) -> Job:
        return self.get_by_id(job_id, joinedload(Job.owner))

    def errors(self, job_id: int, params: ListParams) -> Page[JobError]:
        """Why rows were refused, in the order of the job."""
        return _ErrorCRUD(self.session).get_page(job_id, params)

    def named(self, job: Job, errors: Sequence[JobError]) -> Mapping[int, str]:
        """What the rows of these errors are called today; those that nothing names are left out."""
        return CALLED[job.kind](self, job, errors)

    # -- a person's word

    def pause(self, job_id: int) -> Job:
        """Raises ConflictError for a job that does not run; so do the others. The batch in progress is waited for."""
        return self._turn_to("paused", job_id, Job.state.in_(("queued", "running")))

    def resume(self, job_id: int) -> Job:
        """Raises ConflictError also when its owner may no longer do what it does."""
        if self.dismissed(self.get_by_id(job_id)):
            raise ConflictError(_("The person who started this job may no longer do this."), code="job_state")
        return self._turn_to("queued", job_id, Job.state.in_(("paused", "failed")))

    def cancel(self, job_id: int) -> Job:
        """What is done stays done, and can be undone as a whole."""
        return self._turn_to("cancelled", job_id, Job.state.in_((*GOING_ON, "failed")))

    def _turn_to(self, state: str, job_id: int, allowed: ColumnElement[bool]) -> Job:
        job = self.get_by_id(job_id)
        ended = clock.now() if state == "cancelled" else None
        if not self.update_where(job, allowed, state=state, holder=None, lease_until=None, error=None, ended_at=ended):
            raise ConflictError(_("The state of this job has changed in the meantime."), code="job_state")
        return job

    # -- the worker's side

    def claim(self, holder: str) -> int | None:
        """The oldest job that waits, or whose worker has not been heard of; it is this worker's for a while."""
        statement = select(Job).where(_free()).order_by(Job.id).limit(1).with_for_update(skip_locked=True)
        job = self.session.scalars(statement).one_or_none()
        if job is None:
            return None
        now = clock.now()
        job.state, job.holder, job.lease_until = "running", holder, now + LEASE
        job.started_at = job.started_at or now
        self.flush()
        return job.id

    def waiting(self) -> bool:
        return self.session.scalar(select(exists().where(_free()))) or False

    def held(self, job_id: int, holder: str) -> Job | None:
        """The job, locked until the end of the transaction; None when it is no longer this worker's."""
        mine = Job.id == job_id, Job.holder == holder, Job.state == "running"
        statement = select(Job).where(*mine).with_for_update()
        return self.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()

    def dismissed(self, job: Job) -> bool:
        """Whether whoever started it is gone, was switched off or has lost the right since: it ends like their
        sessions.
        """
        people = {job.owner_id, job.impersonator_id or job.owner_id}
        found = select(User.id, Role.permissions).join(User.role).where(User.id.in_(people), User.is_active)
        rights = {user_id: set(permissions) for user_id, permissions in self.session.execute(found)}
        needed = self.rights(job)
        more = {job.impersonator_id: {Permission.STAFF_WRITE}}  # who looks through whose eyes needs both
        return not all(person in rights and needed | more.get(person, set()) <= rights[person] for person in people)

    def rights(self, job: Job) -> set[Permission]:
        """What the job does asks for these; an undo for those of all that it takes back."""
        tables = {job.records}
        if job.kind == "undo":
            tables |= blockers.roots(self.session, int(job.arguments["change_set_id"]))
        verb = TABLES[job.records].verbs.get(job.verb) if job.kind == "bulk" else None
        more = {verb.right} if verb is not None and verb.right is not None else set()
        return more | {UNDO_RIGHTS[table] for table in tables if table in UNDO_RIGHTS}

    def dismiss(self, job: Job) -> None:
        self._let_go(job, "paused", DISMISSED)

    def give_back(self, job_id: int, holder: str) -> None:
        """The next worker need not wait for the end of the lease."""
        if job := self.held(job_id, holder):
            self._let_go(job, "queued")

    def fail(self, job_id: int, holder: str, error: str) -> None:
        if job := self.held(job_id, holder):
            self._let_go(job, "failed", error[:200])

    def _let_go(self, job: Job, state: str, error: str | None = None) -> None:
        job.state, job.holder, job.lease_until, job.error = state, None, None, error
        self.flush()

    def work(self, job: Job, step: Step, limit: int) -> Batch:
        """One batch: what it changes, told as one with the batches before, and how far the job has come."""
        self.session.info["actor"] = Actor(
            Door.WEB, job.owner_id, ip=job.ip, request_id=job.request_id, impersonator_id=job.impersonator_id
        )
        if job.change_set_id is not None:
            history.resume(self.session, job.change_set_id)
        asked_in = current_language.set(job.language)
        try:
            batch = step(self, job, limit)
        finally:
            current_language.reset(asked_in)
        job.change_set_id = history.change_set_id(self.session)
        job.position = job.total if batch.over else min(job.total, job.position + batch.rows)
        job.done, job.same, job.failed = job.done + batch.done, job.same + batch.same, job.failed + len(batch.errors)
        job.cursor, job.lease_until = batch.cursor, clock.now() + LEASE
        if batch.over:
            job.state, job.holder, job.lease_until, job.ended_at = "done", None, None, clock.now()
        if batch.errors:
            errors = [{"job_id": job.id, "row_id": row_id, "message": words} for row_id, words in batch.errors]
            self.session.execute(insert(JobError), errors)
        self.flush()
        return batch

    def next_rows(self, job: Job, limit: int) -> list[tuple[int, Data | None]]:
        """The rows behind the cursor, (id, data)."""
        rows = select(JobRow.row_id, JobRow.data).where(JobRow.job_id == job.id)
        if job.cursor is not None:
            rows = rows.where(JobRow.row_id > job.cursor)
        return [(row_id, data) for row_id, data in self.session.execute(rows.order_by(JobRow.row_id).limit(limit))]

    def purge(self, before: datetime) -> bool:
        """Forgets which rows an old job was meant for; one job a time. False when there is none left."""
        old = select(Job.id).where(Job.ended_at < before, exists().where(JobRow.job_id == Job.id)).limit(1)
        gone = delete(JobRow).where(JobRow.job_id.in_(self.session.scalars(old).all()))
        result = self.session.execute(gone, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)
        return result.rowcount > 0


def bulk(jobs: JobCRUD, job: Job, limit: int) -> Batch:
    """The next rows of a verb."""
    crud = TABLES[job.records](jobs.session)
    verb = crud.verbs[job.verb]
    ids = [row_id for row_id, _data in jobs.next_rows(job, limit)]
    given = verb.arguments.model_validate(job.arguments, context=FORM) if verb.arguments else None
    outcome = apply(crud, verb, ids, given)
    cursor = ids[-1] if ids else job.cursor
    return Batch(cursor, len(ids) < limit, len(ids), outcome.done, outcome.same, outcome.errors)


def undo(jobs: JobCRUD, job: Job, limit: int) -> Batch:
    """The newest changes that are not given back yet; what someone has changed since stays, and is told."""
    outcome = UndoCRUD(jobs.session).slice(job.arguments["change_set_id"], job.cursor, limit)
    errors = [(clash.entity_id, _clash(clash)) for clash in outcome.clashes]
    return Batch(outcome.below, outcome.below is None, limit, outcome.done, 0, errors)


def _clash(clash: Clash) -> str:
    place = _place(clash.entity, clash.entity_id)
    return f"{place}, {wording.column(clash.name)}: {clash.why}" if clash.name else f"{place}: {clash.why}"


def _place(entity: str, entity_id: int) -> str:
    return f"{wording.entity(entity)} {entity_id}"


def _records(jobs: JobCRUD, job: Job, errors: Sequence[JobError]) -> dict[int, str]:
    found = names(jobs.session, {(job.records, error.row_id) for error in errors})
    return {row_id: name for (_table, row_id), name in found.items()}


def _undone(jobs: JobCRUD, job: Job, errors: Sequence[JobError]) -> dict[int, str]:
    """What cannot be given back may be a part of a record as well, with a number of its own: only the words say so."""
    asked_in = current_language.set(job.language)
    whole = [error for error in errors if error.message.startswith(_place(job.records, error.row_id))]
    current_language.reset(asked_in)
    return _records(jobs, job, whole)


STEPS: dict[str, Step] = {"bulk": bulk, "undo": undo}
CALLED: dict[str, Called] = {"bulk": _records, "undo": _undone}


class _ErrorCRUD(BaseCRUD[JobError]):
    model = JobError

    def get_page(self, job_id: int, params: ListParams) -> Page[JobError]:
        return self._page(select(JobError).where(JobError.job_id == job_id), params.model_copy(update={"sort": "id"}))


def _free() -> ColumnElement[bool]:
    gone = and_(Job.state == "running", Job.lease_until <= clock.now())
    return or_(Job.state == "queued", gone)


class JobListCRUD(BaseCRUD[Job]):
    """The jobs, the latest first: of `me`, and of others those about these `tables`; None is all of them."""

    model = Job
    filters: ClassVar[Mapping[str, Filter]] = {"state": exact(Job.state), "owner_id": exact(Job.owner_id)}

    def __init__(self, session: Session, me: int | None = None, tables: Collection[str] | None = None) -> None:
        super().__init__(session)
        self.me, self.tables = me, tables

    @classmethod
    def list_statement(cls) -> AnySelect:
        seen = Job.id, Job.kind, Job.records, Job.verb, Job.state, Job.total, Job.position, Job.failed, Job.created_at
        owner = Job.owner_id, User.first_name, User.last_name, User.login
        return select(*seen, *owner).outerjoin(User, User.id == Job.owner_id)

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        found = super().conditions(params)
        if self.tables is None:
            return found
        return [*found, (Job.owner_id == self.me) | Job.records.in_(sorted(self.tables))]
