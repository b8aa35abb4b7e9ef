"""The outbox: what is to leave for Telegram or by e-mail, written in the transaction of its cause."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified
from backend.database.models.orders import one_of

DISPATCH_STATES = ("pending", "sending", "sent", "failed", "cancelled")
TELEGRAM, EMAIL = "telegram", "email"
CHANNELS = (TELEGRAM, EMAIL)
REPLY, BULK = 0, 10  # priorities: replies to a person go before bulk
# In `params` of a message to one person that names another whose data were erased: gone once it is done with.
ONCE = "once"
ADDRESSED = (
    "(channel = 'telegram' AND chat_id IS NOT NULL AND address IS NULL)"
    " OR (channel = 'email' AND chat_id IS NULL AND address IS NOT NULL)"
)


class Dispatch(Identified, Base):
    """What leaves by one channel. Sent at least once; a cause has one row (`dedupe_key`).

    telegram: a call of the Bot API, `method` with `params`, to `chat_id`. email: a letter of the kind `method`
    (core.letters) to `address`; what it says is in `params`, its secrets sealed in `params["sealed"]`.
    """

    __tablename__ = "dispatches"
    __table_args__ = (
        CheckConstraint(one_of("state", DISPATCH_STATES), name="state"),
        CheckConstraint(one_of("channel", CHANNELS), name="channel"),
        CheckConstraint(ADDRESSED, name="addressed"),
        Index("ix_dispatches_queue", "channel", "state", "priority", "not_before", "id"),
        Index("ix_dispatches_lease", "state", "lease_until"),
        Index("ix_dispatches_created", "created_at", "id"),
        Index("ix_dispatches_chat_state", "chat_id", "state"),
    )

    dedupe_key: Mapped[str] = mapped_column(String(120), unique=True)  # "receipt:<purchase>", "message:<id>", ...
    channel: Mapped[str] = mapped_column(String(8), default=TELEGRAM, server_default=text("'telegram'"))
    chat_id: Mapped[int | None] = mapped_column(BigInteger)  # telegram: telegram_id of the person
    address: Mapped[str | None] = mapped_column(String(254))  # email
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)
    refund_id: Mapped[int | None] = mapped_column(ForeignKey("refunds.id", ondelete="RESTRICT"), index=True)
    method: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(default=REPLY)
    state: Mapped[str] = mapped_column(String(9), default="pending")
    not_before: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime | None]  # worth nothing afterwards: it does not leave any more
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    external_id: Mapped[int | None] = mapped_column(BigInteger)  # Telegram's message_id
    error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    sent_at: Mapped[datetime | None]
