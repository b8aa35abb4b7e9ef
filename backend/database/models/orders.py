"""Order = intent, Payment = movement of money, Refund = money back. Entitlement is a Purchase."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.core import clock
from backend.database.base import Base, Identified, Timestamped, seldom
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User

ORDER_STATUSES = ("awaiting_payment", "paid", "expired", "cancelled", "refunded")
PAYMENT_STATUSES = ("settled", "unmatched", "refunded")
REFUND_STATUSES = ("requested", "done", "failed")


def one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Order(Identified, Timestamped, Base):
    __tablename__ = "orders"
    __history__ = True
    __history_skip__ = frozenset({"payload"})
    __undoable__ = False
    __table_args__ = (
        CheckConstraint(one_of("status", ORDER_STATUSES), name="status"),
        CheckConstraint("total = subtotal - discount AND total >= 0 AND discount >= 0", name="sum"),
        Index("ix_orders_expiry", "status", "expires_at"),
        Index("ix_orders_created", "created_at", "id"),
    )

    payload: Mapped[str] = mapped_column(String(64), unique=True)  # random; travels through Telegram
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), index=True)
    status: Mapped[str] = mapped_column(String(20), default="awaiting_payment")
    currency: Mapped[str] = mapped_column(String(3), default="XTR")
    subtotal: Mapped[int]
    discount: Mapped[int] = mapped_column(default=0)
    total: Mapped[int]
    promo_id: Mapped[int | None] = mapped_column(ForeignKey("promo_codes.id", ondelete="RESTRICT"), index=True)
    source: Mapped[str] = mapped_column(String(8), default="bot")
    is_test: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise")
    promo: Mapped[PromoCode | None] = relationship(lazy="raise")
    lines: Mapped[list["OrderLine"]] = relationship(lazy="raise", back_populates="order")


class OrderLine(Identified, Base):
    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint("(lesson_id IS NULL) <> (course_id IS NULL)", name="one_sellable"),
        CheckConstraint("qty > 0 AND total = unit_price * qty", name="sum"),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), index=True)
    lesson_id: Mapped[int | None] = mapped_column(ForeignKey("lessons.id", ondelete="RESTRICT"), index=True)
    course_id: Mapped[int | None] = mapped_column(ForeignKey("courses.id", ondelete="RESTRICT"), index=True)
    title: Mapped[str] = mapped_column(String(200))  # as it was when ordered
    unit_price: Mapped[int]
    qty: Mapped[int] = mapped_column(default=1)
    total: Mapped[int]

    order: Mapped[Order] = relationship(lazy="raise", back_populates="lines")
    lesson: Mapped[Lesson | None] = relationship(lazy="raise")
    course: Mapped[Course | None] = relationship(lazy="raise")


class Payment(Identified, Timestamped, Base):
    """Money that moved. "unmatched": Telegram took it but no order could honour it, so it goes back."""

    __tablename__ = "payments"
    __history__ = True
    __history_skip__ = frozenset({"raw"})
    __undoable__ = False
    __table_args__ = (
        CheckConstraint(one_of("status", PAYMENT_STATUSES), name="status"),
        CheckConstraint("amount > 0", name="amount_positive"),
        UniqueConstraint("provider", "provider_charge_id", name="uq_payments_provider_charge"),
        Index("ix_payments_created", "created_at", "id"),
        Index("ix_payments_amount", "amount", "id"),
        Index("ix_payments_test", "created_at", "id", **seldom("is_test IS TRUE")),
        Index("ix_payments_unsettled", "status", "created_at", "id", **seldom("status <> 'settled'")),
    )

    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"), index=True)
    provider: Mapped[str] = mapped_column(String(20))
    provider_charge_id: Mapped[str] = mapped_column(String(255))
    amount: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    status: Mapped[str] = mapped_column(String(12))
    payer_telegram_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    is_test: Mapped[bool] = mapped_column(default=False)
    raw: Mapped[dict[str, Any]] = mapped_column(default=dict)

    order: Mapped[Order | None] = relationship(lazy="raise")


class Refund(Identified, Base):
    """The whole of a payment going back. Asked of Telegram through the outbox."""

    __tablename__ = "refunds"
    __history__ = True
    __undoable__ = False
    __table_args__ = (
        CheckConstraint(one_of("status", REFUND_STATUSES), name="status"),
        CheckConstraint("amount > 0", name="amount_positive"),
        Index("ix_refunds_created", "created_at", "id"),
        Index("ix_refunds_status", "status", "payment_id"),
    )

    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id", ondelete="RESTRICT"), unique=True)
    amount: Mapped[int]
    reason: Mapped[str] = mapped_column(String(500), default="", server_default=text("''"))
    status: Mapped[str] = mapped_column(String(10), default="requested")
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    done_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(String(500))  # why Telegram refused

    payment: Mapped[Payment] = relationship(lazy="raise")
