"""The outbox: what is to leave for Telegram, written in the transaction of its cause."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified
from backend.database.models.orders import one_of

DISPATCH_STATES = ("pending", "sending", "sent", "failed", "cancelled")
REPLY, BULK = 0, 10  # priorities: replies to a person go before bulk


class Dispatch(Identified, Base):
    """One call of the Bot API: `method` with `params`. Sent at least once; a cause has one row (`dedupe_key`)."""

    __tablename__ = "dispatches"
    __table_args__ = (
        CheckConstraint(one_of("state", DISPATCH_STATES), name="state"),
        Index("ix_dispatches_queue", "state", "priority", "not_before", "id"),
        Index("ix_dispatches_lease", "state", "lease_until"),
        Index("ix_dispatches_created", "created_at", "id"),
        Index("ix_dispatches_chat_state", "chat_id", "state"),
    )

    dedupe_key: Mapped[str] = mapped_column(String(120), unique=True)  # "receipt:<purchase>", "message:<id>", ...
    chat_id: Mapped[int] = mapped_column(BigInteger)  # telegram_id of the person
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)
    refund_id: Mapped[int | None] = mapped_column(ForeignKey("refunds.id", ondelete="RESTRICT"), index=True)
    method: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(default=REPLY)
    state: Mapped[str] = mapped_column(String(9), default="pending")
    not_before: Mapped[datetime] = mapped_column(default=clock.now)
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    external_id: Mapped[int | None] = mapped_column(BigInteger)  # Telegram's message_id
    error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    sent_at: Mapped[datetime | None]
