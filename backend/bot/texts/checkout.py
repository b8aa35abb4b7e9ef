"""From the decision to buy to the word that the money has come."""

from dataclasses import dataclass

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from markupsafe import Markup

from backend.bot.client import Item
from backend.bot.keyboards import Act, Place, Show, button, cancel_row, go, keyboard, menu_row
from backend.bot.markup import clip
from backend.bot.screen import Screen, fill, page
from backend.bot.texts.catalogue import CODE
from backend.core.i18n import _
from backend.core.text import money_text
from backend.database.schemas.orders import OrderResponse

# Telegram's limits of an invoice, in characters.
INVOICE_TITLE, INVOICE_DESCRIPTION = 32, 255


@dataclass(frozen=True)
class Invoice:
    """What `sendInvoice` is made of; `start_parameter` opens the thing from a forwarded copy."""

    title: str
    description: str
    payload: str
    amount: int
    start_parameter: str
    keyboard: InlineKeyboardMarkup


def invoice(order: OrderResponse, item: Item, via: str = "") -> Invoice:
    title = clip(order.title, INVOICE_TITLE) or _("Lesson")
    pay = _("Pay %(price)s") % {"price": money_text(order.amount)}
    return Invoice(
        title=title,
        description=clip(order.description, INVOICE_DESCRIPTION) or title,
        payload=order.payload,
        amount=order.amount,
        start_parameter=f"{item.kind}_{item.id}",
        keyboard=keyboard(
            [InlineKeyboardButton(text=pay, pay=True)],
            [button(_("‹ Back"), _show(item, via))],
        ),
    )


def _show(item: Item, via: str) -> Show:
    return Show.model_validate({"kind": item.kind, "id": item.id, "via": via})


def terms_text(school: str) -> Markup:
    rules = (
        _("The seller is <b>%(school)s</b>. You buy access to lessons and courses in this chat."),
        _("The price in Telegram Stars is shown on the invoice. Nothing else is charged."),
        _("You get access as soon as Telegram confirms the payment, and it never expires."),
        _("Lessons are for your personal use: please do not copy or share them."),
        _("If something is wrong, write to /paysupport: we will answer and refund the Stars where that is fair."),
        _("Telegram's own support cannot help with purchases made in this bot."),
    )
    lines = [fill(f"{number}. {rule}", school=school) for number, rule in enumerate(rules, 1)]
    return Markup("\n").join(lines)


def terms(school: str, *, accepted: bool) -> Screen:
    state = fill(_("✓ You have accepted these terms.")) if accepted else None
    agree = [] if accepted else [go(_("✓ I accept"), Place.AGREE)]
    return Screen(
        page(fill(_("<b>Terms of sale</b>")), terms_text(school), state),
        keyboard(agree, menu_row()),
    )


def consent(school: str, act: Act) -> Screen:
    """Before the first invoice; `act` is what the student wants."""
    question = fill(_("Before your first purchase, please read and accept the terms."))
    return Screen(
        page(question, terms_text(school)),
        keyboard(
            [button(_("✓ I accept, continue"), act.model_copy(update={"verb": "agree"}))],
            [button(_("‹ Back"), _show(act.item, act.via))],
        ),
    )


def ask_promo(*, refusal: str | None = None) -> Screen:
    refused = refusal and fill("⚠️ %(words)s", words=refusal)
    return Screen(page(refused, fill(_("Send me the promo code as a message."))), keyboard(cancel_row()))


def promo_counts(code: str) -> Markup:
    return fill(_("Promo code <b>%(code)s</b> applied."), code=clip(code, CODE))


def promo_removed() -> Markup:
    return fill(_("The promo code is removed."))


def promo_refused(reason: str) -> Markup:
    return fill(_("The promo code was not applied: %(reason)s"), reason=reason)


def paid_course(title: str) -> Markup:
    return fill(_("Thank you! The course “%(title)s” is yours. Where shall we begin?"), title=title)


def taken(title: str) -> Markup:
    """Something that cost nothing."""
    return fill(_("“%(title)s” is yours."), title=title)


def not_paid() -> str:
    """Refuses at pre-checkout when the school cannot be asked."""
    return _("The school is not answering, so nothing was charged. Try again in a minute.")


def refused(code: str, stars: int) -> Screen:
    """A payment that no order can honour: it goes back, or a person has to look at it."""
    why = {
        "unknown_order": _("The school has no such invoice."),
        "foreign_payer": _("This invoice was issued to someone else."),
        "currency_mismatch": _("This invoice is wrong."),
        "amount_mismatch": _("The amount differs from the order."),
        "already_paid": _("This order has already been paid."),
        "already_owned": _("You already own this, so there was nothing to pay for."),
        "promo_used_up": _("The promo code had been used up by then."),
    }.get(code)
    if why is None:
        words = _("Your payment of %(stars)s needs a manual check. Please write to us, and we will sort it out today.")
        return Screen(page(fill(words, stars=money_text(stars))), _after_payment())
    returned = fill(
        _("We are refunding you %(stars)s. It usually takes a few minutes."),
        stars=money_text(stars),
    )
    return Screen(page(fill("⚠️ %(why)s", why=why), returned), _after_payment())


def revoked(stars: int) -> Screen:
    """A charge that has been returned since."""
    words = fill(
        _("This payment of %(stars)s has been refunded, so access is closed."),
        stars=money_text(stars),
    )
    return Screen(page(words), _after_payment())


def refunded(stars: int) -> Screen:
    words = fill(_("%(stars)s are back on your balance."), stars=money_text(stars))
    return Screen(page(words), _after_payment())


def _after_payment() -> InlineKeyboardMarkup:
    return keyboard(
        [go(_("Ask a question"), Place.NEW_TICKET)],
        [go(_("My lessons"), Place.LIBRARY), *menu_row()],
    )


def paysupport() -> Screen:
    return Screen(
        page(
            fill(_("<b>Questions about a payment</b>")),
            fill(
                _(
                    "The school itself is responsible for purchases in this bot. Telegram's support cannot "
                    "help with them."
                )
            ),
            fill(
                _(
                    "Tell us what you paid for and when: a person will check, answer here and refund the "
                    "Stars if needed."
                )
            ),
        ),
        keyboard(
            [go(_("Ask a question"), Place.NEW_TICKET), go(_("My questions"), Place.TICKETS)],
            [go(_("Terms of sale"), Place.TERMS), *menu_row()],
        ),
    )
