"""Orders: the intent to buy, from the invoice to the moment before the money moves."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import selectinload

from backend.core import clock
from backend.core.errors import ConflictError, InvalidError
from backend.core.i18n import _
from backend.database import history
from backend.database.crud.base import BaseCRUD
from backend.database.crud.entitlements import EntitlementCRUD, already_owned
from backend.database.crud.promo_codes import PromoCodeCRUD, Quote, reason_text
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, OrderLine
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.orders import OrderCreate, PreCheckout

CURRENCY = "XTR"
TTL = timedelta(hours=1)
# An open order is offered again only while there is time left to pay it.
REUSABLE = timedelta(minutes=20)
# A payment may come late (Telegram keeps updates for a day): who has paid gets what they paid for.
PAYABLE = ("awaiting_payment", "expired", "cancelled")


@dataclass(frozen=True)
class Placed:
    """An order as the buyer sees it; `purchase` when it was given at once."""

    order: Order
    line: OrderLine
    description: str
    purchase: Purchase | None = None


class OrderCRUD(BaseCRUD[Order]):
    model = Order

    def missing(self, row_id: int) -> str:
        return _("Order %s no longer exists.") % row_id

    # -- placing

    def place(self, data: OrderCreate, *, is_test: bool = False) -> Placed:
        """An order to pay, or, when nothing is to be paid, the thing itself at once.

        An open order on the same terms is given again; any other for the same thing is closed.
        Raises NotFoundError, ConflictError (`already_owned`, `not_on_sale`, `user_inactive`),
        InvalidError (`promo_invalid`).
        """
        entitlements = EntitlementCRUD(self.session)
        buyer = entitlements.buyer(data.user_id)
        thing = entitlements.sellable(data.lesson_id, data.course_id)
        self._sellable_to(buyer, thing)
        quote = self._quote(data.promo_code, buyer, thing)
        history.describe(self.session, "order" if quote.price else "free")
        same = self._reuse(buyer, thing, quote, is_test=is_test)
        order = same or self._new(buyer, thing, quote, is_test=is_test)
        purchase = self._give_free(order, thing) if order.total == 0 else None
        return Placed(order, order.lines[0], thing.description or thing.title, purchase)

    def _sellable_to(self, buyer: User, thing: Lesson | Course) -> None:
        if not buyer.is_active:
            raise ConflictError(_("This account is closed. Contact the school."), code="user_inactive")
        if not thing.is_active:
            raise ConflictError(reason_text("not_on_sale"), code="not_on_sale")
        if EntitlementCRUD(self.session).owns(buyer.id, thing):
            raise already_owned()

    def _quote(self, code: str | None, buyer: User, thing: Lesson | Course) -> Quote:
        if not code:
            return Quote(thing.asked_price)
        quote = PromoCodeCRUD(self.session).quote(code, buyer.id, thing)
        if quote.reason is not None:
            raise _promo_invalid(quote.reason)
        return quote

    def _new(self, buyer: User, thing: Lesson | Course, quote: Quote, *, is_test: bool) -> Order:
        full, now = thing.asked_price, clock.now()
        order = Order(
            payload=secrets.token_urlsafe(24),
            user_id=buyer.id,
            status="awaiting_payment" if quote.price else "paid",
            currency=CURRENCY,
            subtotal=full,
            discount=quote.discount,
            total=quote.price,
            promo_id=quote.promo.id if quote.promo else None,
            is_test=is_test,
            expires_at=now + TTL,
            paid_at=None if quote.price else now,
        )
        line = OrderLine(title=thing.title, unit_price=full, qty=1, total=full)
        line.lesson_id, line.course_id = (thing.id, None) if isinstance(thing, Lesson) else (None, thing.id)
        order.lines = [line]
        return self.add(order)

    def _reuse(self, buyer: User, thing: Lesson | Course, quote: Quote, *, is_test: bool) -> Order | None:
        offer = (
            quote.price,
            quote.discount,
            quote.promo.id if quote.promo else None,
            thing.title,
            is_test,
        )
        enough, found = clock.now() + REUSABLE, None
        for order in self._open(buyer.id, thing):
            same = offer == (
                order.total,
                order.discount,
                order.promo_id,
                order.lines[0].title,
                order.is_test,
            )
            if same and found is None and order.expires_at > enough:
                found = order
            else:
                self._close(order)
        return found

    def _open(self, user_id: int, thing: Lesson | Course) -> Sequence[Order]:
        column = OrderLine.lesson_id if isinstance(thing, Lesson) else OrderLine.course_id
        statement = (
            select(Order)
            .join(OrderLine, OrderLine.order_id == Order.id)
            .where(Order.user_id == user_id, Order.status == "awaiting_payment", column == thing.id)
            .options(selectinload(Order.lines))
            .order_by(Order.id.desc())
        )
        return self.session.scalars(statement).all()

    def _close(self, order: Order) -> None:
        late = order.expires_at <= clock.now()
        open_still = Order.status == "awaiting_payment"
        if self.update_where(order, open_still, status="expired" if late else "cancelled"):
            PromoCodeCRUD(self.session).release(order)

    def _give_free(self, order: Order, thing: Lesson | Course) -> Purchase:
        if order.promo_id is not None and PromoCodeCRUD(self.session).use(order) != "used":
            raise _promo_invalid(reason_text("used_up"))
        return EntitlementCRUD(self.session).give(
            order.user_id,
            thing,
            payment_id=f"free:{order.id}",
            amount=0,
            order_line_id=order.lines[0].id,
            is_test=order.is_test,
        )

    # -- the moment before the money moves

    def find_by_payload(self, payload: str) -> Order | None:
        statement = select(Order).where(Order.payload == payload).options(selectinload(Order.lines))
        return self.session.scalars(statement).one_or_none()

    def lock(self, order: Order) -> None:
        """Nobody else changes the order until this transaction ends."""
        self.session.refresh(order, ["status", "expires_at"], with_for_update={"key_share": True})

    def pre_checkout(self, data: PreCheckout) -> None:
        """Lets a buyer through to pay, with the promo use reserved for 15 minutes.

        Raises AppError in words for the buyer; nothing has changed then.
        """
        order = self.find_by_payload(data.payload)
        if order is None:
            raise _refuse(_("Invoice not found. Open the lesson and request a new one."))
        self.lock(order)
        buyer = EntitlementCRUD(self.session).person(order.user_id)
        self._same_deal(order, buyer, data)
        self._still_open(order)
        self._still_offered(order, buyer)
        if order.promo_id is not None and not PromoCodeCRUD(self.session).reserve(order):
            raise _refuse(reason_text("used_up"))

    @staticmethod
    def _same_deal(order: Order, buyer: User, data: PreCheckout) -> None:
        if buyer.telegram_id != data.telegram_id:
            raise _refuse(_("This invoice is for someone else. Open the lesson and buy it for yourself."))
        if data.currency != order.currency or data.total_amount != order.total:
            raise _refuse(_("The amount on this invoice is wrong. Open the lesson and request a new one."))

    @staticmethod
    def _still_open(order: Order) -> None:
        if order.status in ("paid", "refunded"):
            raise _refuse(_("This invoice has been paid already."))
        if order.status != "awaiting_payment" or order.expires_at <= clock.now():
            raise _refuse(_("This invoice has expired. Open the lesson and request a new one."))

    def _still_offered(self, order: Order, buyer: User) -> None:
        line = order.lines[0]
        thing = EntitlementCRUD(self.session).sellable(line.lesson_id, line.course_id)
        self._sellable_to(buyer, thing)
        price = thing.asked_price
        if order.promo_id is not None:
            promos = PromoCodeCRUD(self.session)
            quote = promos.quote_for(promos.get_by_id(order.promo_id), buyer.id, thing)
            if quote.reason is not None:
                raise _refuse(quote.reason)
            price = quote.price
        if price != order.total:
            raise _refuse(_("The price has changed. Open the lesson and request a new invoice."))

    # -- time

    def expire_due(self, limit: int = 200) -> int:
        """Frees promo uses whose time is over and closes unpaid orders. Returns how many rows.

        Exact beside a late payment: whoever locks the row first decides, and the other sees it.
        """
        history.describe(self.session, "expire")
        released = PromoCodeCRUD(self.session).release_due(limit)
        overdue: tuple[ColumnElement[bool], ...] = (
            Order.status == "awaiting_payment",
            Order.expires_at <= clock.now(),
        )
        orders = self.session.scalars(
            select(Order).where(*overdue).order_by(Order.id).limit(limit).with_for_update(skip_locked=True)
        ).all()
        for order in orders:
            self.update_where(order, *overdue, status="expired")
        return released + len(orders)


def _promo_invalid(reason: str) -> InvalidError:
    return InvalidError(reason, code="promo_invalid", fields={"promo_code": reason})


def _refuse(words: str) -> ConflictError:
    return ConflictError(words, code="refused")
