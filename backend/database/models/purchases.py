from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, Identified, Timestamped, seldom
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.orders import OrderLine, one_of
from backend.database.models.users import User

PURCHASE_STATUSES = ("pending", "completed", "failed")
LIVE = "status = 'completed' AND revoked_at IS NULL AND {} IS NOT NULL"

# What counts as revenue, beside the status (crud/analytics.py); both indexes hold all that its sums need.
EARNED: dict[str, Any] = {
    "sqlite_where": text("revoked_at IS NULL AND is_test = 0 AND amount > 0"),
    "postgresql_where": text("revoked_at IS NULL AND NOT is_test AND amount > 0"),
}


# What few rows are, as the list of sales asks for it.
SELDOM = {"test": "is_test IS TRUE", "returned": "revoked_at IS NOT NULL"}


class Purchase(Identified, Timestamped, Base):
    """Entitlement of a person to a lesson or a course.

    `payment_id` is Telegram's charge id ("#n" appended for further lines), or "free:<order>" / "grant:<random>".
    """

    __tablename__ = "purchases"
    __history__ = True
    __undoable__ = False
    __table_args__ = (
        CheckConstraint(one_of("status", PURCHASE_STATUSES), name="status"),
        CheckConstraint("(lesson_id IS NULL) <> (course_id IS NULL)", name="one_sellable"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        Index(
            "uq_purchases_owned_lesson",
            "lesson_id",
            "user_id",
            unique=True,
            sqlite_where=text(LIVE.format("lesson_id")),
            postgresql_where=text(LIVE.format("lesson_id")),
        ),
        Index(
            "uq_purchases_owned_course",
            "course_id",
            "user_id",
            unique=True,
            sqlite_where=text(LIVE.format("course_id")),
            postgresql_where=text(LIVE.format("course_id")),
        ),
        Index("ix_purchases_created", "created_at", "id"),
        Index("ix_purchases_user_created", "user_id", "created_at", "id"),
        Index("ix_purchases_lesson_created", "lesson_id", "created_at", "id"),
        Index("ix_purchases_course_created", "course_id", "created_at", "id"),
        Index("ix_purchases_status_created", "status", "created_at", "id"),
        Index("ix_purchases_revenue", "status", "created_at", "amount", **EARNED),
        Index("ix_purchases_lesson_revenue", "status", "lesson_id", "created_at", "amount", **EARNED),
        Index("ix_purchases_amount", "amount", "id"),
        *(Index(f"ix_purchases_{name}", "created_at", "id", **seldom(rule)) for name, rule in SELDOM.items()),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    lesson_id: Mapped[int | None] = mapped_column(ForeignKey("lessons.id", ondelete="RESTRICT"))
    course_id: Mapped[int | None] = mapped_column(ForeignKey("courses.id", ondelete="RESTRICT"))
    order_line_id: Mapped[int | None] = mapped_column(ForeignKey("order_lines.id", ondelete="RESTRICT"), unique=True)
    payment_id: Mapped[str] = mapped_column(String(300), unique=True)
    amount: Mapped[int]
    status: Mapped[str] = mapped_column(String(10))
    is_test: Mapped[bool] = mapped_column(default=False)
    revoked_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(String(500))  # why it was given without payment; for staff

    user: Mapped[User] = relationship(lazy="raise")
    lesson: Mapped[Lesson | None] = relationship(lazy="raise")
    course: Mapped[Course | None] = relationship(lazy="raise")
    order_line: Mapped[OrderLine | None] = relationship(lazy="raise")


class ClosedRevenue(Identified, Base):
    """The one kept sum: Stars earned before `until`, where a quarter of an hour begins (crud/revenue.py)."""

    __tablename__ = "closed_revenue"

    until: Mapped[datetime]
    stars: Mapped[int]


class ClosedSales(Identified, Base):
    """The part of a lesson or of a course in the kept sum; no row when it has none."""

    __tablename__ = "closed_sales"
    __table_args__ = (CheckConstraint("(lesson_id IS NULL) <> (course_id IS NULL)", name="one_sellable"),)

    lesson_id: Mapped[int | None] = mapped_column(ForeignKey("lessons.id", ondelete="CASCADE"), unique=True)
    course_id: Mapped[int | None] = mapped_column(ForeignKey("courses.id", ondelete="CASCADE"), unique=True)
    count: Mapped[int]
    stars: Mapped[int]


class ClosedQuarter(Base):
    """The part of a quarter of an hour in the kept sum; no row when it has none.

    Quarters, because days begin with one in every time zone. They are numbered from the beginning of 1970 (UTC).
    """

    __tablename__ = "closed_quarters"

    quarter: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
    stars: Mapped[int]
