"""What a student is told about money, in their language, through the outbox."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from backend.core.i18n import DEFAULT_LANGUAGE, LANGUAGES, N_, _, current_language
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.models.orders import Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.users import User

# Why money that has come goes back: the codes of PurchaseCRUD.settle.
SENT_BACK = {
    "unknown_order": N_("We could not match your payment of %(stars)s ★ to an order, so we are refunding it."),
    "foreign_payer": N_("The invoice you paid was issued to someone else, so we are refunding your %(stars)s ★."),
    "currency_mismatch": N_("The invoice for “%(title)s” was in another currency, so we are refunding your payment."),
    "amount_mismatch": N_(
        "Your payment of %(stars)s ★ is not the price of the order for “%(title)s”, so we are refunding it."
    ),
    "already_paid": N_(
        "The order for “%(title)s” had already been paid, so we are refunding the second payment of %(stars)s ★."
    ),
    "already_owned": N_("You already own “%(title)s”, so we are refunding your payment of %(stars)s ★."),
    "promo_used_up": N_(
        "The promo code for “%(title)s” had been used up before you paid, so we are refunding your %(stars)s ★."
    ),
}


def language_of(user: User) -> str:
    """What the person chose, else what Telegram reports of them."""
    told = user.ui_language or user.language_code.split("-")[0].lower()
    return told if told in LANGUAGES else DEFAULT_LANGUAGE


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Translations in here are made for the reader, not for whoever sent the request."""
    token = current_language.set(language)
    try:
        yield
    finally:
        current_language.reset(token)


class Notices:
    def __init__(self, session: Session) -> None:
        self.dispatches = DispatchCRUD(session)

    def receipt(self, user: User, purchase: Purchase, title: str) -> None:
        with speaking(language_of(user)):
            text = _("Payment received: %(stars)s ★.\n“%(title)s” is yours.")
            self._send(
                f"receipt:{purchase.id}",
                user,
                text % {"stars": purchase.amount, "title": title},
                purchase,
            )

    def granted(self, user: User, purchase: Purchase, title: str) -> None:
        with speaking(language_of(user)):
            text = _("The school has given you access to “%s”.") % title
            self._send(f"grant:{purchase.id}", user, text, purchase)

    def refunded(self, user: User, refund: Refund, title: str) -> None:
        with speaking(language_of(user)):
            text = _("We are refunding %(stars)s ★ for “%(title)s”. Your access is now closed.")
            self._send(f"refund-notice:{refund.id}", user, text % {"stars": refund.amount, "title": title})

    def sent_back(self, user: User, refund: Refund, title: str) -> None:
        """`refund.reason` is the code of the refusal, `title` what the order was for, if there is one."""
        with speaking(language_of(user)):
            text = _(SENT_BACK[refund.reason]) % {"stars": refund.amount, "title": title}
            self._send(f"refund-notice:{refund.id}", user, text)

    def _send(self, key: str, user: User, text: str, opens: Purchase | None = None) -> None:
        if user.telegram_id is None:
            return
        params: dict[str, object] = {"text": text}
        if opens is not None:
            params["reply_markup"] = {"inline_keyboard": [[_button(opens)]]}
        self.dispatches.enqueue(key, chat_id=user.telegram_id, method="sendMessage", params=params, user_id=user.id)

    def give_back(self, payment: Payment, refund: Refund, user_id: int | None) -> None:
        """Asks Telegram to return the Stars of a payment."""
        assert payment.payer_telegram_id is not None
        self.dispatches.enqueue(
            f"refund:{refund.id}",
            chat_id=payment.payer_telegram_id,
            method="refundStarPayment",
            params={
                "user_id": payment.payer_telegram_id,
                "telegram_payment_charge_id": payment.provider_charge_id,
            },
            user_id=user_id,
            refund_id=refund.id,
        )


def _button(purchase: Purchase) -> dict[str, str]:
    """Opens what was bought; the bot knows these words."""
    if purchase.lesson_id is not None:
        return {"text": _("Open the lesson"), "callback_data": f"lesson:{purchase.lesson_id}"}
    return {"text": _("Open the course"), "callback_data": f"course:{purchase.course_id}"}
