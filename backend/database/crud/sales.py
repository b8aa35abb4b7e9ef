"""Purchases and payments as the CRM shows them; reads across domains and writes nothing."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, and_, case, func, literal_column, or_, select
from sqlalchemy.orm import joinedload, selectinload

from backend.core.errors import NotFoundError
from backend.database import search
from backend.database.crud.base import Filter, exact
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.payments import PaymentCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.listing import AnySelect
from backend.database.models.courses import Course
from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID, ListParams
from backend.database.walking import ANY, unindexed

PICKED = 100  # lessons or courses offered by a filter

GRANTED = Purchase.order_line_id.is_(None)
LIVE = Purchase.status == "completed", Purchase.revoked_at.is_(None)
STATES: Mapping[str, ColumnElement[bool]] = {
    "paid": and_(Purchase.amount > 0, *LIVE),
    "returned": and_(unindexed(Purchase.amount) > 0, Purchase.revoked_at.is_not(None)),
    "gift": GRANTED,
    "free": and_(Purchase.amount == 0, Purchase.order_line_id.is_not(None)),
    "open": and_(*LIVE),
}
# Money that the school has: paid, not returned, not a test.
EARNED = and_(Purchase.amount > 0, Purchase.is_test.is_(False), *LIVE)


@dataclass(frozen=True)
class Totals:
    """Stars of the purchases in a list. `test` is no money and stands in neither of the others."""

    revenue: int
    sales: int
    returned: int
    test: int


@dataclass(frozen=True)
class Sale:
    """Everything about one payment or one gift. Absent parts are None."""

    title: str
    user: User | None
    purchase: Purchase | None
    order: Order | None
    line: OrderLine | None
    redemption: PromoRedemption | None
    payment: Payment | None
    refund: Refund | None
    refunded_by: User | None
    strays: Sequence[Payment]  # other payments for the same order, which went back
    dispatches: Sequence[Dispatch]

    @property
    def overdrawn(self) -> bool:
        """The code was used up by then, but its price had been promised and was honoured."""
        used = self.redemption is not None and self.redemption.state == "released"
        return used and self.purchase is not None


class SaleCRUD(PurchaseCRUD):
    filters: ClassVar[Mapping[str, Filter]] = {
        **PurchaseCRUD.filters,
        "state": lambda state: STATES[state],
        "earned": lambda on: EARNED if on else ~EARNED,
        "is_test": Purchase.is_test.is_,
        "promo_id": lambda promo_id: Purchase.order_line_id.in_(
            select(OrderLine.id).join(Order, Order.id == OrderLine.order_id).where(Order.promo_id == promo_id)
        ),
    }
    ordered = frozenset({"is_test"})
    seldom: ClassVar[Mapping[str, Container[Any]]] = {"is_test": (True,), "state": ("returned", "gift", "free")}

    @classmethod
    def list_statement(cls) -> AnySelect:
        statement = select(
            Purchase.id,
            Purchase.created_at,
            Purchase.amount,
            Purchase.status,
            Purchase.payment_id,
            Purchase.is_test,
            Purchase.revoked_at,
            Purchase.lesson_id,
            Purchase.course_id,
            Purchase.user_id,
            func.coalesce(Lesson.title, Course.title).label("title"),
            User.first_name,
            User.last_name,
            User.username,
        )
        return (
            statement.select_from(Purchase)
            .join(User, User.id == Purchase.user_id)
            .outerjoin(Lesson, Lesson.id == Purchase.lesson_id)
            .outerjoin(Course, Course.id == Purchase.course_id)
        )

    def totals(self, params: ListParams) -> Totals:
        """One query over everything that fits, so only for lists whose count is not capped."""

        def stars(condition: ColumnElement[bool]) -> ColumnElement[int]:
            return func.coalesce(func.sum(case((condition, Purchase.amount), else_=0)), 0)

        real = Purchase.is_test.is_(False)
        statement = select(
            stars(EARNED),
            func.coalesce(func.sum(case((EARNED, 1), else_=0)), 0),
            stars(and_(real, STATES["returned"])),
            stars(Purchase.is_test.is_(True)),
        ).where(*self.conditions(params))
        return Totals(*map(int, self.session.execute(statement).one()))

    def lessons(self) -> list[tuple[int, str]]:
        """For the filter: [(id, title)]."""
        return self._picks(Lesson)

    def courses(self) -> list[tuple[int, str]]:
        return self._picks(Course)

    def _picks(self, model: type[Lesson | Course]) -> list[tuple[int, str]]:
        statement = select(model.id, model.title).order_by(model.search_key, model.id)
        return [(row_id, title) for row_id, title in self.session.execute(statement.limit(PICKED))]

    def buyer(self, user_id: int | None) -> User | None:
        return self.session.get(User, user_id) if user_id is not None else None

    def promo(self, promo_id: int | None) -> PromoCode | None:
        return self.session.get(PromoCode, promo_id) if promo_id is not None else None

    # -- one sale

    def of_purchase(self, purchase_id: int) -> Sale:
        """Raises NotFoundError."""
        purchase = self.session.get(
            Purchase,
            purchase_id,
            options=[
                joinedload(Purchase.user),
                joinedload(Purchase.lesson),
                joinedload(Purchase.course),
                joinedload(Purchase.order_line).joinedload(OrderLine.order).joinedload(Order.promo),
            ],
        )
        if purchase is None:
            raise NotFoundError(self.missing(purchase_id))
        line = purchase.order_line
        thing = purchase.lesson or purchase.course
        assert thing is not None  # a CHECK holds exactly one of them
        payments = self._payments(line.order_id) if line else []
        paid = next((found for found in payments if found.status != "unmatched"), None)
        return self._sale(line.title if line else thing.title, purchase.user, purchase, line, paid)

    def of_payment(self, payment_id: int) -> Sale:
        """Raises NotFoundError."""
        payment = PaymentCRUD(self.session).get_by_id(payment_id)
        order = self._order(payment.order_id)
        payer = select(User).where(User.telegram_id == payment.payer_telegram_id, User.telegram_id.is_not(None))
        user = self.session.scalars(payer).one_or_none() or (order.user if order else None)
        line = order.lines[0] if order else None
        bought = select(Purchase).where(Purchase.payment_id == payment.provider_charge_id)
        purchase = self.session.scalars(bought).one_or_none()
        return self._sale(line.title if line else "", user, purchase, line, payment)

    def of_order(self, order_id: int) -> Sale:
        """Raises NotFoundError."""
        order = self._order(order_id)
        if order is None:
            raise NotFoundError(OrderCRUD(self.session).missing(order_id))
        line, payments = order.lines[0], self._payments(order_id)
        bought = self.session.scalars(select(Purchase).where(Purchase.order_line_id == line.id)).one_or_none()
        paid = next((found for found in payments if found.status != "unmatched"), None)
        return self._sale(line.title, order.user, bought, line, paid)

    def _order(self, order_id: int | None) -> Order | None:
        if order_id is None:
            return None
        found = [joinedload(Order.user), joinedload(Order.promo), selectinload(Order.lines)]
        return self.session.get(Order, order_id, options=found)

    def _sale(
        self,
        title: str,
        user: User | None,
        purchase: Purchase | None,
        line: OrderLine | None,
        payment: Payment | None,
    ) -> Sale:
        order = self._order(line.order_id) if line else None
        refund = self._refund(payment) if payment else None
        strays = self._payments(order.id) if order else []
        return Sale(
            title=title,
            user=user,
            purchase=purchase,
            order=order,
            line=line,
            redemption=self._redemption(order),
            payment=payment,
            refund=refund,
            refunded_by=self.buyer(refund.actor_id) if refund else None,
            strays=[found for found in strays if payment and found.id != payment.id],
            dispatches=self._dispatches(purchase, refund),
        )

    def _payments(self, order_id: int) -> Sequence[Payment]:
        statement = select(Payment).where(Payment.order_id == order_id).order_by(Payment.id)
        return self.session.scalars(statement).all()

    def _refund(self, payment: Payment) -> Refund | None:
        statement = select(Refund).where(Refund.payment_id == payment.id)
        return self.session.scalars(statement).one_or_none()

    def _redemption(self, order: Order | None) -> PromoRedemption | None:
        if order is None or order.promo_id is None:
            return None
        statement = select(PromoRedemption).where(PromoRedemption.order_id == order.id)
        return self.session.scalars(statement).one_or_none()

    def _dispatches(self, purchase: Purchase | None, refund: Refund | None) -> Sequence[Dispatch]:
        keys = [f"{kind}:{purchase.id}" for kind in ("receipt", "grant")] if purchase else []
        if refund is not None:
            keys += [f"refund:{refund.id}", f"refund-notice:{refund.id}"]
        statement = select(Dispatch).where(Dispatch.dedupe_key.in_(keys)).order_by(Dispatch.id)
        return self.session.scalars(statement).all()


UNSETTLED = (Payment.status != literal_column("'settled'"),)  # as the index has it


class PaymentListCRUD(PaymentCRUD):
    sorts: ClassVar[Mapping[str, Any]] = {
        "created_at": Payment.created_at,
        "amount": Payment.amount,
    }
    default_sort = "-created_at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "status": lambda status: and_(Payment.status == status, *(() if status == "settled" else UNSETTLED)),
        "refund": exact(Refund.status),
        "is_test": Payment.is_test.is_,
        "user_id": exact(User.id),
        "since": lambda moment: Payment.created_at >= moment,
        "until": lambda moment: Payment.created_at < moment,
    }
    ordered = frozenset({"status", "is_test"})
    seldom: ClassVar[Mapping[str, Container[Any]]] = {
        "status": ("unmatched", "refunded"),
        "refund": ANY,
        "is_test": (True,),
    }

    @classmethod
    def list_statement(cls) -> AnySelect:
        statement = select(
            Payment.id,
            Payment.created_at,
            Payment.amount,
            Payment.currency,
            Payment.status,
            Payment.provider_charge_id,
            Payment.payer_telegram_id,
            Payment.is_test,
            Refund.status.label("refund_status"),
            OrderLine.title,
            Purchase.id.label("purchase_id"),
            User.id.label("user_id"),
            User.first_name,
            User.last_name,
            User.username,
        )
        return (
            statement.select_from(Payment)
            .outerjoin(Refund, Refund.payment_id == Payment.id)
            .outerjoin(OrderLine, OrderLine.order_id == Payment.order_id)
            .outerjoin(Purchase, Purchase.payment_id == Payment.provider_charge_id)
            .outerjoin(User, User.telegram_id == Payment.payer_telegram_id)
        )

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        """`q` finds the payer, by name or Telegram ID, or the whole charge id."""
        found = super().conditions(params)
        if params.q:
            payers = select(User.telegram_id).where(search.matches(self.session, User, params.q))
            ways = [Payment.payer_telegram_id.in_(payers), Payment.provider_charge_id == params.q]
            if params.q.isdecimal() and int(params.q) <= MAX_ID:
                ways.append(Payment.payer_telegram_id == int(params.q))
            found.append(or_(*ways))
        return found
