import structlog
from aiogram import F
from aiogram.filters import Command
from aiogram.types import Message, PreCheckoutQuery

from backend.bot.client import Api, Charge, Item
from backend.bot.handlers.catalogue import show_item
from backend.bot.handlers.library import deliver
from backend.bot.handlers.menu import keep_promo, show_menu
from backend.bot.http import ApiError, ApiRefusedError, Patience
from backend.bot.keyboards import Act, Go, Place, at
from backend.bot.markup import clip
from backend.bot.memory import Ask, Memory
from backend.bot.payments import Settlement, receipt_first
from backend.bot.profile import language_of
from backend.bot.routes import TalkRouter
from backend.bot.talk import Talk
from backend.bot.texts import checkout as texts
from backend.core.i18n import current_language, negotiate
from backend.database.schemas.orders import OrderResponse
from backend.database.schemas.purchases import PurchaseResponse

log = structlog.get_logger()

# Telegram waits ten seconds for the answer; a buyer should not.
CHECKOUT = Patience(4.0, try_seconds=3.0)
GLANCE = Patience(0.5, try_seconds=0.5)
REFUSAL = 255  # characters of Telegram's sentence at the payment sheet
MAX_CODE = 64
OWNED = "already_owned"
PROMO_INVALID = "promo_invalid"
CHARGEBACK = "chargeback"


async def buy(talk: Talk, callback_data: Act) -> None:
    await place_order(talk, callback_data)


async def agree_and_buy(talk: Talk, callback_data: Act) -> None:
    talk.student = await talk.api.accept_terms(talk.student.id)
    await place_order(talk, callback_data)


async def place_order(talk: Talk, act: Act) -> None:
    """What costs nothing at once, else an invoice; before the first one the terms."""
    item, code = act.item, None if act.full else talk.memory.promo
    try:
        order = await talk.api.order(talk.student.id, item, code)
    except ApiRefusedError as error:
        if error.code == OWNED:
            await _open(talk, item, act.via)
        elif error.code == PROMO_INVALID:
            talk.memory.promo = None
            await show_item(talk, item, note=texts.promo_refused(error.message), via=act.via)
        else:
            raise
        return
    if order.status == "paid":
        await _given(talk, act, order)
    elif talk.student.terms_accepted_at is None:
        await talk.show(texts.consent(talk.school, act))
    else:
        await talk.show_invoice(texts.invoice(order, item, act.via))


async def _given(talk: Talk, act: Act, order: OrderResponse) -> None:
    if order.discount:
        talk.memory.promo = None
    await talk.toast(texts.taken(order.title).unescape())
    await _open(talk, act.item, act.via)


async def _open(talk: Talk, item: Item, via: str) -> None:
    if item.kind == "lesson":
        await deliver(talk, item.id, via=via)
    else:
        await show_item(talk, item, via=via)


# --- promo codes


async def ask_promo(talk: Talk, callback_data: Act | Go | None = None) -> None:
    """For one thing when its card asked, else for whatever is bought next."""
    asked = callback_data if isinstance(callback_data, Act) else None
    about = {"kind": asked.kind, "id": asked.id, "via": asked.via} if asked else {}
    talk.memory.expect(Ask.promo, **about)
    await talk.show(texts.ask_promo())


async def take_promo(talk: Talk) -> None:
    code, item = talk.text.strip()[:MAX_CODE], talk.memory.about_item
    if item is None:
        if refusal := await keep_promo(talk, code):
            await talk.show(texts.ask_promo(refusal=refusal))
            return
        talk.memory.forget_dialogue()
        await show_menu(talk)
        return
    checked = await talk.api.check_promo(code, talk.student.id, item)
    if not checked.valid:
        await talk.show(texts.ask_promo(refusal=checked.reason))
        return
    via = str(talk.memory.about.get("via", ""))
    talk.memory.forget_dialogue()
    talk.memory.promo = code = checked.code or code
    await show_item(talk, item, note=texts.promo_counts(code), via=via)


# --- the money


async def pre_checkout(query: PreCheckoutQuery, api: Api) -> None:
    """The last moment to refuse; whatever happens, Telegram gets an answer in time."""
    api = api.on_behalf(language=await _language_of(api, query)).patient(CHECKOUT)
    current_language.set(api.language)
    charge = Charge(query.invoice_payload, query.from_user.id, query.total_amount, query.currency)
    try:
        answer = await api.pre_checkout(charge)
        ok, words = answer.ok, answer.error_message
    except ApiRefusedError as error:
        ok, words = False, error.told
    except ApiError as error:
        log.warning("pre_checkout_failed", chat=query.from_user.id, error=str(error))
        ok, words = False, texts.not_paid()
    refusal = None if ok else clip(words or texts.not_paid(), REFUSAL)
    await query.answer(ok=ok, error_message=refusal)


async def _language_of(api: Api, query: PreCheckoutQuery) -> str:
    """The student's own language if it is known at once: the payment must not wait for it."""
    told = negotiate(query.from_user.language_code)
    try:
        memory = await Memory.load(api.patient(GLANCE), query.from_user.id)
        student = await api.patient(GLANCE).user(memory.user_id) if memory.user_id else None
    except ApiError:
        return told
    return language_of(student) if student else told


async def paid(talk: Talk, settlement: Settlement) -> None:
    """The school has acknowledged the payment, or said why it cannot keep it, before this runs."""
    talk.leave_invoice()
    purchase, stars = settlement.purchase, settlement.charge.amount
    if purchase is None:
        await talk.show(texts.refused(settlement.code, stars))
    elif purchase.revoked_at is not None:
        await talk.show(texts.revoked(stars))
    else:
        talk.memory.promo = None
        await receipt_first(talk.api, talk.chat_id)
        await _hand_over(talk, purchase)


async def _hand_over(talk: Talk, purchase: PurchaseResponse) -> None:
    if purchase.lesson_id is not None:
        await deliver(talk, purchase.lesson_id)
    elif purchase.course_id is not None:
        title = (await talk.api.course(purchase.course_id)).title
        bought = Item("course", purchase.course_id)
        await show_item(talk, bought, note=texts.paid_course(title))


async def refunded(talk: Talk) -> None:
    assert isinstance(talk.event, Message)
    payment = talk.event.refunded_payment
    assert payment is not None  # chosen by the filter
    try:
        outcome = await talk.api.record_return(talk.chat_id, payment.telegram_payment_charge_id)
    except ApiError as error:  # Telegram's list of Stars tells the school later
        log.warning("return_not_recorded", chat=talk.chat_id, code=error.code)
        outcome = ""
    stars = payment.total_amount
    await talk.show(texts.revoked(stars) if outcome == CHARGEBACK else texts.refunded(stars))


async def paysupport(talk: Talk) -> None:
    await talk.show(texts.paysupport())


def make_router() -> TalkRouter:
    router = TalkRouter(name="checkout")
    router.pre_checkout_query.register(pre_checkout)
    router.said(paid, F.successful_payment)
    router.said(refunded, F.refunded_payment)
    router.said(paysupport, Command("paysupport"))
    router.said(ask_promo, Command("promo"))
    router.said(take_promo, Ask.promo, F.text)
    router.pressed(buy, Act.filter(F.verb == "buy"))
    router.pressed(agree_and_buy, Act.filter(F.verb == "agree"))
    router.pressed(ask_promo, Act.filter(F.verb == "promo"))
    router.pressed(ask_promo, at(Place.PROMO))
    return router
