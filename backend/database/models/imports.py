"""A file on its way in: its rows as text, what each would do, what came of it. Gone after some days."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified


class Import(Identified, Base):
    __tablename__ = "imports"
    __table_args__ = (
        CheckConstraint("state IN ('reading', 'read', 'checked', 'started', 'done')", name="state"),
        Index("ix_imports_owner", "owner_id", "target", "id"),
    )

    target: Mapped[str] = mapped_column(String(32))  # the table of the records that it makes and changes
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    filename: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(8), default="reading")
    header: Mapped[list[str]]
    size: Mapped[int] = mapped_column(default=0)  # rows
    plan: Mapped[dict[str, Any]] = mapped_column(default=dict)  # crud.intake.Plan
    checks: Mapped[int] = mapped_column(default=0)  # the number of the last one: a second one ends the first
    job_id: Mapped[int | None]
    change_set_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class ImportRow(Identified, Base):
    __tablename__ = "import_rows"
    __table_args__ = (
        CheckConstraint("verdict IN ('', 'new', 'changed', 'same', 'wrong')", name="verdict"),
        CheckConstraint("outcome IN ('', 'done', 'refused')", name="outcome"),
        Index("ix_import_rows_verdict", "import_id", "verdict", "id"),
    )

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    number: Mapped[int]  # as the spreadsheet shows it
    cells: Mapped[list[str]]
    verdict: Mapped[str] = mapped_column(String(8), default="")
    outcome: Mapped[str] = mapped_column(String(8), default="")
    record_id: Mapped[int | None]
    told: Mapped[dict[str, Any]] = mapped_column(default=dict)  # changed: {field: [before, after]}
    words: Mapped[str | None]  # why it is wrong or was refused
