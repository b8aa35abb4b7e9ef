from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified, Timestamped, Versioned
from backend.database.search import Key, Searchable


class PromoCode(Identified, Timestamped, Versioned, Searchable, Base):
    __tablename__ = "promo_codes"
    __history__ = True
    __history_skip__ = frozenset({"code_key"})
    __mapper_args__ = {"version_id_col": Versioned.version}
    __table_args__ = (
        CheckConstraint("discount_percent >= 0 AND discount_percent <= 100", name="percent"),
        CheckConstraint("discount_amount >= 0", name="amount_not_negative"),
        CheckConstraint("current_uses >= 0 AND (max_uses IS NULL OR current_uses <= max_uses)", name="uses"),
        Index("ix_promo_codes_created", "created_at", "id"),
        Index("ix_promo_codes_uses", "current_uses", "id"),
    )

    code: Mapped[str] = mapped_column(String(64))
    code_key: Mapped[str] = mapped_column(Key, unique=True)  # matched without case
    discount_percent: Mapped[int] = mapped_column(default=0)
    discount_amount: Mapped[int | None]  # Stars, taken off after the percent
    max_uses: Mapped[int | None]
    current_uses: Mapped[int] = mapped_column(default=0)  # reserved and used together
    is_active: Mapped[bool] = mapped_column(default=True)
    expires_at: Mapped[datetime | None]

    def search_text(self) -> str:
        return self.code

    def derive_keys(self) -> None:
        self.code_key = self.code.casefold()


class PromoRedemption(Identified, Base):
    """One use of a code by one order: reserved at pre-checkout, used at payment, released when it expires."""

    __tablename__ = "promo_redemptions"
    __table_args__ = (
        CheckConstraint("state IN ('reserved', 'used', 'released')", name="state"),
        Index("ix_promo_redemptions_expiry", "state", "reserved_until"),
    )

    promo_id: Mapped[int] = mapped_column(ForeignKey("promo_codes.id", ondelete="RESTRICT"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), index=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="RESTRICT"), unique=True)
    state: Mapped[str] = mapped_column(String(8))
    reserved_until: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
