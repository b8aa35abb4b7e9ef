"""Work on more rows than a request may take: what it is, which rows it was meant for, how far it got."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.core import clock
from backend.database.base import Base, Identified
from backend.database.models.orders import one_of
from backend.database.models.users import User

JOB_KINDS = ("bulk", "undo", "import")
JOB_STATES = ("queued", "running", "paused", "done", "cancelled", "failed")
GOING_ON = ("queued", "running", "paused")
DISMISSED = "dismissed"  # the error of a job whose owner has lost the right to it since


class Job(Identified, Base):
    """Done in batches: the changes of a batch and `cursor`, where the next begins, are one transaction.

    `verb` with `arguments` is done to the rows of `records`, a table. All changes are one change set.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(one_of("kind", JOB_KINDS), name="kind"),
        CheckConstraint(one_of("state", JOB_STATES), name="state"),
        Index("ix_jobs_queue", "state", "lease_until", "id"),
        Index("ix_jobs_owner", "owner_id", "id"),
    )

    kind: Mapped[str] = mapped_column(String(8), default="bulk")
    records: Mapped[str] = mapped_column(String(32))
    verb: Mapped[str] = mapped_column(String(64))  # a job's name in the history
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(9), default="queued")
    total: Mapped[int] = mapped_column(default=0)
    position: Mapped[int] = mapped_column(default=0)  # rows behind us: done + same + failed
    done: Mapped[int] = mapped_column(default=0)
    same: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cursor: Mapped[int | None]
    worked_ms: Mapped[int] = mapped_column(default=0)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    impersonator_id: Mapped[int | None]  # who started it through the owner's eyes
    ip: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(2), default="en")  # of the errors
    holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    change_set_id: Mapped[int | None] = mapped_column(ForeignKey("change_sets.id", ondelete="SET NULL"), unique=True)
    error: Mapped[str | None] = mapped_column(String(200))  # why the whole job failed
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    owner: Mapped[User | None] = relationship(lazy="raise")

    @property
    def going_on(self) -> bool:
        return self.state in GOING_ON

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.position * 1000 / self.worked_ms if self.worked_ms else 0.0

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.position) / self.rate if self.rate else None


class JobRow(Base):
    """A row that a job is meant for, whatever happens to the list it was chosen in.

    No foreign key: it would be looked up for each of 100,000 rows while someone waits. Jobs are never deleted.
    """

    __tablename__ = "job_rows"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # of a row that is to come


class JobError(Identified, Base):
    """Why a job left a row as it is."""

    __tablename__ = "job_errors"
    __table_args__ = (Index("ix_job_errors_job", "job_id", "id"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    row_id: Mapped[int]
    message: Mapped[str]
