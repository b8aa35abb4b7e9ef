"""The ledger proves itself: the invariants of money as queries that find nothing.

Each check names the rows that break it. I3-I7 are the numbers of the design's invariants.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from backend.database.crud.entitlements import held
from backend.database.crud.revenue import REVENUE, quarter_of
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import ClosedQuarter, ClosedRevenue, ClosedSales, Purchase
from backend.database.models.users import User

NAMED = 5
TAKEN = ("reserved", "used")
HONOURED = ("settled", "refunded")
Check = tuple[str, Select[Any]]


class LedgerCRUD:
    """Reads only; for `doctor` and for tests."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def problems(self) -> list[str]:
        """A sentence for each broken rule, with the ids of its first rows; [] when all is right."""
        return [words for check in _checks() if (words := self._look(*check))]

    def _look(self, rule: str, statement: Select[Any]) -> str:
        (row_id,) = statement.selected_columns
        found = statement.order_by(row_id).limit(NAMED + 1)
        ids: Sequence[int] = self.session.scalars(found).all()
        if not ids:
            return ""
        named = ", ".join(map(str, ids[:NAMED])) + (", ..." if len(ids) > NAMED else "")
        return f"{rule}: {named}"


def _checks() -> Iterator[Check]:
    yield from _promos()
    yield from _sums()
    yield from _money()
    yield from _refunds()
    yield from _entitlements()


def _promos() -> Iterator[Check]:
    taken = (
        select(func.count(PromoRedemption.id))
        .where(PromoRedemption.promo_id == PromoCode.id, PromoRedemption.state.in_(TAKEN))
        .scalar_subquery()
    )
    yield (
        "I3 promo codes whose counter is not the number of their reserved and used redemptions",
        select(PromoCode.id).where(PromoCode.current_uses != taken),
    )
    yield (
        "I3 promo codes used more often than allowed",
        select(PromoCode.id).where(PromoCode.current_uses > PromoCode.max_uses),
    )
    order = PromoRedemption.order_id == Order.id
    yield (
        "I3 promo redemptions that are not of their order's code and buyer",
        select(PromoRedemption.id)
        .join(Order, order)
        .where(
            or_(
                Order.promo_id.is_(None),
                Order.promo_id != PromoRedemption.promo_id,
                Order.user_id != PromoRedemption.user_id,
            )
        ),
    )
    used = select(PromoRedemption.id).where(order, PromoRedemption.state != "reserved").exists()
    yield (
        "I3 paid orders with a code that has not been redeemed",
        select(Order.id).where(Order.status == "paid", Order.promo_id.is_not(None), ~used),
    )
    yield (
        "I3 redemptions used by orders that were never paid",
        select(PromoRedemption.id)
        .join(Order, order)
        .where(PromoRedemption.state == "used", Order.status.not_in(("paid", "refunded"))),
    )


def _sums() -> Iterator[Check]:
    lines = select(func.coalesce(func.sum(OrderLine.total), 0)).where(OrderLine.order_id == Order.id).scalar_subquery()
    yield (
        "I4 orders whose total is not the sum of their lines less the discount",
        select(Order.id).where(or_(Order.subtotal != lines, Order.total != Order.subtotal - Order.discount)),
    )


def _money() -> Iterator[Check]:
    settled = _paid_with("settled")
    yield (
        "I5 paid orders without exactly their money",
        select(Order.id).where(Order.status == "paid", settled != Order.total),
    )
    yield (
        "I5 orders that are not paid but have kept money",
        select(Order.id).where(Order.status != "paid", settled != 0),
    )
    yield (
        "I5 refunded orders whose money has not gone back",
        select(Order.id).where(Order.status == "refunded", _paid_with("refunded") != Order.total),
    )
    other = aliased(Payment)
    twice = other.order_id == Payment.order_id, other.id != Payment.id, other.status.in_(HONOURED)
    yield (
        "I5 payments of an order that another payment has paid",
        select(Payment.id).where(Payment.status.in_(HONOURED), select(other.id).where(*twice).exists()),
    )
    yield (
        "I5 honoured payments without an order",
        select(Payment.id).where(Payment.status.in_(HONOURED), Payment.order_id.is_(None)),
    )


def _paid_with(status: str) -> Any:
    return (
        select(func.coalesce(func.sum(Payment.amount), 0))
        .where(Payment.order_id == Order.id, Payment.status == status)
        .scalar_subquery()
    )


def _refunds() -> Iterator[Check]:
    refund = select(Refund.id).where(Refund.payment_id == Payment.id).exists()
    yield (
        "I5 payments to be given back that nobody gives back",
        select(Payment.id).where(Payment.status.in_(("unmatched", "refunded")), ~refund),
    )
    yield (
        "I5 refunds of money that was kept, or of another sum",
        select(Refund.id)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(or_(Payment.status == "settled", Payment.amount != Refund.amount)),
    )


def _entitlements() -> Iterator[Check]:
    bought = select(Purchase.id).where(Purchase.order_line_id == OrderLine.id).exists()
    lines = select(OrderLine.id).join(Order, Order.id == OrderLine.order_id)
    yield (
        "I6 paid order lines without a purchase",
        lines.where(Order.status.in_(("paid", "refunded")), ~bought),
    )
    yield (
        "I6 purchases by orders that were never paid",
        _purchases().where(Order.status.not_in(("paid", "refunded"))),
    )
    yield (
        "I6 purchases that are open after a refund, or closed without one",
        _purchases().where(
            or_(
                and_(Order.status == "refunded", Purchase.revoked_at.is_(None)),
                and_(Order.status == "paid", Purchase.revoked_at.is_not(None)),
            )
        ),
    )
    yield (
        "I6 purchases that are not what their order says",
        _purchases().where(
            or_(
                Purchase.user_id != Order.user_id,
                Purchase.amount != Order.total,
                func.coalesce(Purchase.lesson_id, 0) != func.coalesce(OrderLine.lesson_id, 0),
                func.coalesce(Purchase.course_id, 0) != func.coalesce(OrderLine.course_id, 0),
            )
        ),
    )
    yield (
        "I6 purchases that nobody paid for or granted",
        select(Purchase.id).where(
            Purchase.order_line_id.is_(None),
            or_(~Purchase.payment_id.startswith("grant:"), Purchase.amount != 0),
        ),
    )
    yield "I7 live purchases of what the person holds already", _doubles()
    sums = held()
    yield (
        "people whose kept figures are not what their purchases say",
        select(User.id).outerjoin(sums, sums.c.user_id == User.id).where(_differ(User, sums, "purchases", "spent")),
    )
    yield from _kept_sums()


def _kept_sums() -> Iterator[Check]:
    earned = select(func.coalesce(func.sum(Purchase.amount), 0)).where(
        REVENUE, Purchase.created_at < ClosedRevenue.until
    )
    yield (
        "the kept sum of revenue is not what its purchases say",
        select(ClosedRevenue.id).where(ClosedRevenue.stars != earned.scalar_subquery()),
    )
    for what, part in (("lessons and courses", ClosedSales.stars), ("quarters of an hour", ClosedQuarter.stars)):
        parts = select(func.coalesce(func.sum(part), 0)).scalar_subquery()
        yield (
            f"the kept sums of {what} do not add up to the kept sum of revenue",
            select(ClosedRevenue.id).where(ClosedRevenue.stars != parts),
        )
    number = quarter_of(Purchase.created_at)
    of_quarter = select(number.label("quarter"), func.count().label("count"), func.sum(Purchase.amount).label("stars"))
    sold = of_quarter.where(REVENUE).group_by(number).subquery()
    yield (
        "kept quarters of an hour that are not what their purchases say",
        select(ClosedQuarter.quarter)
        .outerjoin(sold, sold.c.quarter == ClosedQuarter.quarter)
        .where(_differ(ClosedQuarter, sold, "count", "stars")),
    )


def _differ(kept: type[User] | type[ClosedQuarter], sums: Subquery, *names: str) -> ColumnElement[bool]:
    """One of the figures is not its sum; where there is nothing to add up it has to be 0."""
    return or_(*(getattr(kept, name) != func.coalesce(sums.c[name], 0) for name in names))


def _purchases() -> Select[Any]:
    return (
        select(Purchase.id)
        .join(OrderLine, OrderLine.id == Purchase.order_line_id)
        .join(Order, Order.id == OrderLine.order_id)
    )


def _doubles() -> Select[Any]:
    other = aliased(Purchase)
    live = Purchase.status == "completed", Purchase.revoked_at.is_(None)
    same = or_(other.lesson_id == Purchase.lesson_id, other.course_id == Purchase.course_id)
    twin = select(other.id).where(
        other.user_id == Purchase.user_id,
        other.id < Purchase.id,
        other.status == "completed",
        other.revoked_at.is_(None),
        same,
    )
    return select(Purchase.id).where(*live, twin.exists())
