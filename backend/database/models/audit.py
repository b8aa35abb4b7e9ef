"""What happens to accounts and rights, whether or not a row of the school changes."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified


class SecurityEvent(Identified, Base):
    """One event in OWASP's vocabulary (core.events.Event). Never changed and never deleted.

    `user_id` is whom it is about, `actor_id` who did it; without foreign keys: an event outlives what it names.
    """

    __tablename__ = "security_events"
    __table_args__ = (
        Index("ix_security_events_at", "at", "id"),
        Index("ix_security_events_kind", "kind", "at", "id"),
        Index("ix_security_events_user", "user_id", "at", "id"),
    )

    at: Mapped[datetime] = mapped_column(default=clock.now)
    kind: Mapped[str] = mapped_column(String(48))
    user_id: Mapped[int | None]
    actor_id: Mapped[int | None]
    impersonator_id: Mapped[int | None]
    token_id: Mapped[int | None]
    door: Mapped[str] = mapped_column(String(8))
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(255), default="")
    request_id: Mapped[str | None] = mapped_column(String(64))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class AuditBlock(Identified, Base):
    """What the history held up to some row of each of its tables (database.chain). Numbered 1, 2, 3, ...

    `ranges`: table -> [last id, how many rows, their hash]; rows start after the block before. The last block grows
    until it is full or old. `marks`: the beginning of each row's digest, to name the row that does not fit.
    """

    __tablename__ = "audit_blocks"

    at: Mapped[datetime] = mapped_column(default=clock.now)  # when it was begun
    ranges: Mapped[dict[str, Any]]
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    marks: Mapped[bytes] = mapped_column(LargeBinary)


class AuditRedaction(Identified, Base):
    """A row of the history that was lawfully changed or removed: the digests it had before and after.

    `now` is null for a removed row. The event of `event_id` tells why and holds the proof of its redactions.
    """

    __tablename__ = "audit_redactions"
    __table_args__ = (
        Index("ix_audit_redactions_row", "table_name", "row_id", "id"),
        Index("ix_audit_redactions_event", "event_id", "id"),
    )

    table_name: Mapped[str] = mapped_column(String(32))
    row_id: Mapped[int]
    was: Mapped[str] = mapped_column(String(64))
    now: Mapped[str | None] = mapped_column(String(64))
    event_id: Mapped[int]
