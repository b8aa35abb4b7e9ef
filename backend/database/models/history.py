"""The one history: audit log, undo and the record's timeline at once."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from backend.core import clock
from backend.database.base import Base, Identified
from backend.database.models.users import User


class ChangeSet(Identified, Base):
    """What one transaction changed: who, when, through what."""

    __tablename__ = "change_sets"
    __table_args__ = (
        Index("ix_change_sets_actor", "actor_id", "at", "id"),
        Index("ix_change_sets_door", "door", "at", "id"),
        Index("ix_change_sets_at", "at", "id"),
    )

    # Without foreign keys: what was written stays as it was written (database.chain), also when the person is gone.
    actor_id: Mapped[int | None]
    # Who was at the keyboard while the actor's account was borrowed ("view as").
    impersonator_id: Mapped[int | None]
    token_id: Mapped[int | None]
    door: Mapped[str] = mapped_column(String(8))  # core.context.Door
    label: Mapped[str] = mapped_column(String(64), default="")  # the verb, when it has a name of its own
    ip: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default=clock.now)
    undoes_id: Mapped[int | None] = mapped_column(ForeignKey("change_sets.id"), unique=True)

    actor: Mapped[User | None] = relationship(
        lazy="raise", viewonly=True, primaryjoin=lambda: foreign(ChangeSet.actor_id) == User.id
    )
    impersonator: Mapped[User | None] = relationship(
        lazy="raise", viewonly=True, primaryjoin=lambda: foreign(ChangeSet.impersonator_id) == User.id
    )
    changes: Mapped[list["Change"]] = relationship(lazy="raise", order_by="Change.id")


class ChangeSetPart(Base):
    """What kinds of records a change set touched: asked of sets of any size without reading their changes.

    `lead`: the one part that stands for its root in the list of a kind, which `at` puts in order.
    """

    __tablename__ = "change_set_parts"
    __table_args__ = (Index("ix_change_set_parts_root", "root", "lead", "at", "change_set_id"),)

    change_set_id: Mapped[int] = mapped_column(ForeignKey("change_sets.id", ondelete="CASCADE"), primary_key=True)
    root: Mapped[str] = mapped_column(String(32), primary_key=True)
    entity: Mapped[str] = mapped_column(String(32), primary_key=True)
    lead: Mapped[bool]
    at: Mapped[datetime]


class Change(Identified, Base):
    """One row that changed. `before`/`after` hold the whole row for delete/create, the changed columns for update."""

    __tablename__ = "changes"
    __table_args__ = (
        CheckConstraint("op IN ('create', 'update', 'delete')", name="op"),
        Index("ix_changes_set", "change_set_id", "id"),
        Index("ix_changes_entity", "entity", "entity_id", "id"),
        Index("ix_changes_root", "root", "root_id", "id"),
    )

    change_set_id: Mapped[int] = mapped_column(ForeignKey("change_sets.id"))
    entity: Mapped[str] = mapped_column(String(32))  # table name
    entity_id: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[str] = mapped_column(String(32))  # the record on whose page it is shown
    root_id: Mapped[int] = mapped_column(BigInteger)
    op: Mapped[str] = mapped_column(String(6))
    before: Mapped[dict[str, Any]] = mapped_column(default=dict)
    after: Mapped[dict[str, Any]] = mapped_column(default=dict)
