"""Purchases: what payments, gifts and refunds do to what people own."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, or_, select

from backend.core import clock
from backend.core.errors import AppError, ConflictError
from backend.core.i18n import _
from backend.database import history, search
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.entitlements import LIVE, EntitlementCRUD
from backend.database.crud.notices import Notices
from backend.database.crud.orders import PAYABLE, OrderCRUD
from backend.database.crud.payments import PaymentCRUD, RefundCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.revenue import RevenueCRUD
from backend.database.models.orders import Order, OrderLine, Payment
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.base import ListParams
from backend.database.schemas.purchases import PurchaseCreate


@dataclass(frozen=True)
class Settled:
    """What became of a payment: a purchase, or the refusal of money that is on its way back."""

    purchase: Purchase | None = None
    new: bool = False
    refusal: AppError | None = None


class PurchaseCRUD(BaseCRUD[Purchase]):
    model = Purchase
    sorts: ClassVar[Mapping[str, Any]] = {
        "created_at": Purchase.created_at,
        "amount": Purchase.amount,
    }
    default_sort = "-created_at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "status": exact(Purchase.status),
        "user_id": exact(Purchase.user_id),
        "lesson_id": exact(Purchase.lesson_id),
        "course_id": exact(Purchase.course_id),
        "is_test": exact(Purchase.is_test),
        "since": lambda moment: Purchase.created_at >= moment,
        "until": lambda moment: Purchase.created_at < moment,
        "revoked": lambda on: Purchase.revoked_at.is_not(None) if on else Purchase.revoked_at.is_(None),
    }

    def missing(self, row_id: int) -> str:
        return _("Purchase %s no longer exists.") % row_id

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        """`q` finds the buyer as the list of people does, or the whole charge id."""
        found = super().conditions(params)
        if params.q:
            buyers = select(User.id).where(search.matches(self.session, User, params.q))
            found.append(or_(Purchase.user_id.in_(buyers), Purchase.payment_id == params.q))
        return found

    # -- a payment has come

    def settle(self, data: PurchaseCreate, *, is_test: bool = False) -> Settled:
        """Books a payment of Telegram's under its charge id and hands over what it was for.

        The same charge again gives the same answer. Money that no order can honour is booked as
        "unmatched" and sent back in this very transaction, so the caller must not raise. Raises
        ConflictError `payment_mismatch` when the charge is known with other values.
        """
        orders, payments = OrderCRUD(self.session), PaymentCRUD(self.session)
        order = orders.find_by_payload(data.payload)
        if order is not None:
            # The person first, then the order: every verb locks in this sequence.
            EntitlementCRUD(self.session).buyer(order.user_id)
            orders.lock(order)
        refusal = self._refusal(order, data)
        status = "unmatched" if refusal else "settled"
        history.describe(self.session, "payment")
        payment = payments.record(data, order, status=status, is_test=is_test)
        if payment is None:
            return self._repeated(data)
        if order is not None and not refusal:
            refusal = self._use_promo(order, payment)
        if order is None or refusal:
            return self._send_back(payment, refusal, order)
        return Settled(self._hand_over(order, payment), new=True)

    def _refusal(self, order: Order | None, data: PurchaseCreate) -> str:
        """Why an order cannot honour a payment; "" when it can."""
        if order is None:
            return "unknown_order"
        entitlements = EntitlementCRUD(self.session)
        if entitlements.person(order.user_id).telegram_id != data.telegram_id:
            return "foreign_payer"
        if data.currency != order.currency:
            return "currency_mismatch"
        if data.amount != order.total:
            return "amount_mismatch"
        if order.status not in PAYABLE:
            return "already_paid"
        line = order.lines[0]
        thing = entitlements.sellable(line.lesson_id, line.course_id)
        return "already_owned" if entitlements.owns(order.user_id, thing) else ""

    def _use_promo(self, order: Order, payment: Payment) -> str:
        if order.promo_id is None:
            return ""
        used = PromoCodeCRUD(self.session).use(order)
        if used == "overdrawn":
            PaymentCRUD(self.session).note(payment, promo="honoured after its reservation had run out")
        return "promo_used_up" if used == "none" else ""

    def _hand_over(self, order: Order, payment: Payment) -> Purchase:
        entitlements, line = EntitlementCRUD(self.session), order.lines[0]
        paid = OrderCRUD(self.session).update_where(
            order, Order.status.in_(PAYABLE), status="paid", paid_at=clock.now()
        )
        assert paid  # locked and looked at before
        purchase = entitlements.give(
            order.user_id,
            entitlements.sellable(line.lesson_id, line.course_id),
            payment_id=payment.provider_charge_id,
            amount=payment.amount,
            order_line_id=line.id,
            is_test=payment.is_test,
        )
        Notices(self.session).receipt(entitlements.person(order.user_id), purchase, line.title)
        return purchase

    def _send_back(self, payment: Payment, code: str, order: Order | None) -> Settled:
        payments, refunds = PaymentCRUD(self.session), RefundCRUD(self.session)
        payments.assign(payment, {"status": "unmatched"})
        payments.note(payment, refused=code)
        payer = self.session.scalars(select(User).where(User.telegram_id == payment.payer_telegram_id)).one_or_none()
        refund = refunds.open(payment, reason=code, actor_id=None)
        if payer is not None:
            Notices(self.session).sent_back(payer, refund, order.lines[0].title if order else "")
        refunds.send(refund, payment, payer)
        return Settled(refusal=_sent_back(code), new=True)

    def _repeated(self, data: PurchaseCreate) -> Settled:
        payment = PaymentCRUD(self.session).of_charge(data.payment_id)
        known = (
            payment.raw.get("payload"),
            payment.payer_telegram_id,
            payment.amount,
            payment.currency,
        )
        if known != (data.payload, data.telegram_id, data.amount, data.currency):
            words = _("This payment is recorded already, with other values.")
            raise ConflictError(words, code="payment_mismatch")
        if payment.status == "unmatched":
            return Settled(refusal=_sent_back(payment.raw["refused"]))
        statement = select(Purchase).where(Purchase.payment_id == data.payment_id)
        return Settled(self.session.scalars(statement).one())

    # -- money back

    def refund(self, purchase_id: int, *, reason: str = "", actor_id: int | None = None) -> Purchase:
        """Takes the access away now and asks Telegram to return the Stars. Again: nothing more.

        Raises NotFoundError, and ConflictError `not_refundable` when nothing was paid.
        """
        purchase = self._locked(purchase_id)
        line = self._line(purchase)
        payment = PaymentCRUD(self.session).find_settled(line.order_id) if line else None
        if line is None or payment is None:
            raise ConflictError(
                _("Nothing was paid for this, so there is nothing to refund."),
                code="not_refundable",
            )
        buyer = EntitlementCRUD(self.session).person(purchase.user_id)
        if buyer.erased_at is not None:
            words = _("This person's data has been erased: there is no one to refund the Stars to.")
            raise ConflictError(words, code="erased")
        history.describe(self.session, "refund")
        if not self.revoke(purchase):
            return purchase
        order = OrderCRUD(self.session).get_by_id(line.order_id)
        OrderCRUD(self.session).update_where(order, Order.status == "paid", status="refunded")
        PaymentCRUD(self.session).update_where(payment, Payment.status == "settled", status="refunded")
        refunds = RefundCRUD(self.session)
        refund = refunds.open(payment, reason=reason, actor_id=actor_id)
        Notices(self.session).refunded(buyer, refund, line.title)
        refunds.send(refund, payment, buyer)
        return purchase

    def _locked(self, purchase_id: int) -> Purchase:
        purchase = self.get_by_id(purchase_id)
        EntitlementCRUD(self.session).buyer(purchase.user_id)
        self.session.refresh(purchase)
        return purchase

    def _line(self, purchase: Purchase) -> OrderLine | None:
        return self.session.get(OrderLine, purchase.order_line_id) if purchase.order_line_id else None

    def revoke(self, purchase: Purchase) -> bool:
        """Takes the access away, and the purchase out of all sums; False when somebody was faster."""
        revoked = self.update_where(purchase, *LIVE, revoked_at=clock.now())
        if revoked:
            RevenueCRUD(self.session).give_back(purchase)
            EntitlementCRUD(self.session).count(purchase, -1)
        return revoked

    # -- gifts

    def grant(
        self,
        user_id: int,
        *,
        lesson_id: int | None = None,
        course_id: int | None = None,
        reason: str | None = None,
    ) -> Purchase:
        """Access without payment. Raises NotFoundError, ConflictError `already_owned`."""
        entitlements = EntitlementCRUD(self.session)
        user = entitlements.buyer(user_id)
        thing = entitlements.sellable(lesson_id, course_id)
        if entitlements.owns(user_id, thing):
            words = _("This person already has it.")
            raise ConflictError(words, code="already_owned")
        history.describe(self.session, "grant")
        key = f"grant:{secrets.token_urlsafe(12)}"
        purchase = entitlements.give(user_id, thing, payment_id=key, amount=0, reason=reason)
        Notices(self.session).granted(user, purchase, thing.title)
        return purchase

    def revoke_grant(self, purchase_id: int) -> Purchase:
        """Takes a gift back; again: nothing more. Raises ConflictError `not_a_grant`."""
        purchase = self._locked(purchase_id)
        if not is_grant(purchase):
            raise ConflictError(_("This was purchased: issue a refund instead."), code="not_a_grant")
        history.describe(self.session, "revoke_grant")
        self.revoke(purchase)
        return purchase


def is_grant(purchase: Purchase) -> bool:
    return purchase.payment_id.startswith("grant:")


def _sent_back(code: str) -> ConflictError:
    words = {
        "unknown_order": _("No order has this payload."),
        "foreign_payer": _("The order belongs to another person."),
        "currency_mismatch": _("The currency does not match the order's."),
        "amount_mismatch": _("The amount does not match the order's."),
        "already_paid": _("The order has been paid by another payment."),
        "already_owned": _("The student already owns it."),
        "promo_used_up": _("The promo code had already been used up."),
    }[code]
    return ConflictError(_("%s The payment is recorded and is being refunded.") % words, code=code)
