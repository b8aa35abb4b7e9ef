"""Telegram's own list of Stars against ours: what no update has told is booked from there.

Updates are kept for a day and may be lost; a bank may take money back without a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import AppError, NotFoundError
from backend.core.i18n import _
from backend.database import history
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.crud.orders import CURRENCY, OrderCRUD
from backend.database.crud.payments import STARS, PaymentCRUD, RefundCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.schemas.purchases import PurchaseCreate

READ = "stars"  # of table `settings`: {"bot", "offset"}, how far the list has been read
CHARGEBACK = "chargeback"


@dataclass(frozen=True)
class Entry:
    """One line of Telegram's list. A refund has the id of its payment, so the key is (id, direction)."""

    charge_id: str
    incoming: bool
    amount: int
    telegram_id: int
    payload: str


class StarsCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def offset(self, bot_id: int) -> int:
        """How many lines of this bot's list have been read."""
        found = SettingCRUD(self.session).find(READ) or {}
        return int(found["offset"]) if found.get("bot") == bot_id else 0

    def read_to(self, bot_id: int, offset: int) -> None:
        SettingCRUD(self.session).put(READ, {"bot": bot_id, "offset": offset})

    def news(self, entries: Sequence[Entry]) -> list[Entry]:
        """The lines that our books lack. Two queries whatever the number."""
        columns = select(Payment.provider_charge_id, Payment.status, Refund.status).outerjoin(Refund)
        ours = Payment.provider == STARS, Payment.provider_charge_id.in_([entry.charge_id for entry in entries])
        known = {charge: (status, refund) for charge, status, refund in self.session.execute(columns.where(*ours))}
        # The bot may have sold things before this school; those are none of our business.
        payloads = Order.payload.in_([entry.payload for entry in entries if entry.incoming])
        orders = set(self.session.scalars(select(Order.payload).where(payloads)))

        def lacking(entry: Entry) -> bool:
            if entry.incoming:
                return entry.charge_id not in known and entry.payload in orders
            return entry.charge_id in known and known[entry.charge_id][1] != "done"

        return [entry for entry in entries if lacking(entry)]

    def book(self, entry: Entry, *, is_test: bool) -> str:
        """Books one line; what was done: "settled", "sent_back", "returned", "chargeback" or a refusal's code."""
        if not entry.incoming:
            return self._returned(entry.charge_id)
        try:
            data = PurchaseCreate(
                payload=entry.payload,
                telegram_id=entry.telegram_id,
                payment_id=entry.charge_id,
                amount=entry.amount,
                currency=CURRENCY,
            )
            settled = PurchaseCRUD(self.session).settle(data, is_test=is_test)
        except ValidationError:
            return "unreadable"
        except AppError as error:
            return error.code
        return "settled" if settled.purchase is not None else "sent_back"

    def returned(self, charge_id: str, telegram_id: int) -> str:
        """A service message says that the Stars of a payment are back; what was done, as `book`.

        Raises NotFoundError for a payment that our books lack: if it is ours, Telegram's list brings it.
        """
        mine = Payment.provider == STARS, Payment.provider_charge_id == charge_id
        whose = select(Payment.id).where(*mine, Payment.payer_telegram_id == telegram_id)
        if self.session.scalar(whose) is None:
            raise NotFoundError(_("There is no such payment."))
        return self._returned(charge_id)

    def _returned(self, charge_id: str) -> str:
        """The Stars of a payment are back with the payer, whoever asked for it."""
        payment = PaymentCRUD(self.session).of_charge(charge_id)
        refund = self.session.scalars(select(Refund).where(Refund.payment_id == payment.id)).one_or_none()
        if refund is not None:
            RefundCRUD(self.session).refund_done(refund.id)
            return "returned"
        self._charge_back(payment)
        return CHARGEBACK

    def _charge_back(self, payment: Payment) -> None:
        """Nobody here has asked: the access ends as with a refund of ours."""
        purchases, orders, payments = PurchaseCRUD(self.session), OrderCRUD(self.session), PaymentCRUD(self.session)
        bought = select(Purchase).join(OrderLine, OrderLine.id == Purchase.order_line_id)
        purchase = self.session.scalars(bought.where(OrderLine.order_id == payment.order_id)).one()
        EntitlementCRUD(self.session).buyer(purchase.user_id)
        history.describe(self.session, CHARGEBACK)
        order = self.session.get_one(Order, payment.order_id)
        if not payments.update_where(payment, Payment.status == "settled", status="refunded"):
            return  # a refund of ours was faster
        purchases.revoke(purchase)
        orders.update_where(order, Order.status == "paid", status="refunded")
        now = clock.now()
        RefundCRUD(self.session).add(
            Refund(payment_id=payment.id, amount=payment.amount, reason=CHARGEBACK, status="done", done_at=now)
        )
