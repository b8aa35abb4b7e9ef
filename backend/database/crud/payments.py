"""Money that moved, and money going back."""

from typing import Any

from sqlalchemy import select

from backend.core import clock
from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import _
from backend.database.crud.base import BaseCRUD
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.entitlements import insert_new
from backend.database.crud.notices import Notices
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.users import User
from backend.database.schemas.purchases import PurchaseCreate

STARS = "stars"  # any other provider (demo) has no money to send back


class PaymentCRUD(BaseCRUD[Payment]):
    model = Payment

    def missing(self, row_id: int) -> str:
        return _("Payment %s no longer exists.") % row_id

    def record(self, data: PurchaseCreate, order: Order | None, *, status: str, is_test: bool) -> Payment | None:
        """The first word about a charge: None when it is recorded already."""
        values: dict[str, Any] = {
            "order_id": order.id if order else None,
            "provider": STARS,
            "provider_charge_id": data.payment_id,
            "amount": data.amount,
            "currency": data.currency,
            "status": status,
            "payer_telegram_id": data.telegram_id,
            "is_test": is_test,
            "raw": {"payload": data.payload},
        }
        return insert_new(self.session, Payment, values)

    def of_charge(self, charge_id: str) -> Payment:
        condition = Payment.provider == STARS, Payment.provider_charge_id == charge_id
        return self.session.scalars(select(Payment).where(*condition)).one()

    def find_settled(self, order_id: int) -> Payment | None:
        """The payment that an order was paid with, given back or not."""
        statement = select(Payment).where(Payment.order_id == order_id, Payment.status != "unmatched")
        return self.session.scalars(statement).one_or_none()

    def note(self, payment: Payment, **facts: Any) -> None:
        """Keeps with a payment how it was taken."""
        payment.raw = payment.raw | facts
        self.flush()


class RefundCRUD(BaseCRUD[Refund]):
    model = Refund

    def open(self, payment: Payment, *, reason: str, actor_id: int | None) -> Refund:
        """The whole payment is to go back. What is said of it stands before `send`: the outbox keeps a chat's order."""
        return self.add(
            Refund(
                payment_id=payment.id,
                amount=payment.amount,
                reason=reason,
                actor_id=actor_id,
                status="requested",
            )
        )

    def send(self, refund: Refund, payment: Payment, user: User | None) -> None:
        """Telegram is asked through the outbox, after the commit."""
        if payment.provider == STARS and payment.payer_telegram_id is not None:
            Notices(self.session).give_back(payment, refund, user.id if user else None)
        else:
            self.refund_done(refund.id)

    def get_of_payment(self, payment_id: int) -> Refund:
        """Raises NotFoundError for a payment that is not going back."""
        found = self.session.scalars(select(Refund).where(Refund.payment_id == payment_id))
        refund = found.one_or_none()
        if refund is None:
            raise NotFoundError(_("This payment is not being refunded."))
        return refund

    def refund_done(self, refund_id: int) -> None:
        """Telegram has returned the Stars (CHARGE_ALREADY_REFUNDED says so too). Safe to repeat."""
        refund = self.get_by_id(refund_id)
        self.update_where(refund, Refund.status != "done", status="done", done_at=clock.now(), error=None)

    def refund_failed(self, refund_id: int, error: str) -> None:
        """Telegram has refused for good; a person has to look."""
        refund = self.get_by_id(refund_id)
        self.update_where(refund, Refund.status == "requested", status="failed", error=error[:500])

    def retry(self, refund_id: int) -> Refund:
        """Asks Telegram once more. Raises ConflictError unless it has refused."""
        refund = self.get_by_id(refund_id)
        statement = select(Dispatch).where(Dispatch.refund_id == refund_id)
        dispatch = self.session.scalars(statement).one_or_none()
        if dispatch is None and refund.status == "failed":
            words = _("This person's data has been erased: there is no one to refund the Stars to.")
            raise ConflictError(words, code="erased")
        if not self.update_where(refund, Refund.status == "failed", status="requested", error=None):
            raise ConflictError(_("Only a refund that failed can be tried again."), code="not_failed")
        if dispatch is not None and dispatch.state == "failed":
            DispatchCRUD(self.session).resend(dispatch.id)
        return refund
