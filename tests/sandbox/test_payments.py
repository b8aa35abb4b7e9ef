"""Stars: rules 1 to 5, from the invoice to the ledger."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import (
    AnswerPreCheckoutQuery,
    CreateInvoiceLink,
    ForwardMessage,
    GetMyStarBalance,
    GetStarTransactions,
    RefundStarPayment,
    SendInvoice,
)
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    PreCheckoutQuery,
    SuccessfulPayment,
    TransactionPartnerUser,
)
from aiogram.utils.web_app import safe_parse_webapp_init_data

from backend.sandbox.student import Payment, PurseError, Student
from tests.sandbox.bots import Blocking, Scene
from tests.sandbox.test_messages import data, refusal

TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


def invoice(olga: Student, **changes: Any) -> SendInvoice:
    given: dict[str, Any] = {
        "chat_id": olga.id,
        "title": "Light",
        "description": "One lesson",
        "payload": "order-token-1",
        "currency": "XTR",
        "prices": [LabeledPrice(label="Light", amount=199)],
        "provider_token": "",
        "start_parameter": "lesson_3",
    }
    return SendInvoice(**{**given, **changes})


def link(**changes: Any) -> CreateInvoiceLink:
    given: dict[str, Any] = {
        "title": "Light",
        "description": "One lesson",
        "payload": "order-token-1",
        "currency": "XTR",
        "prices": [LabeledPrice(label="Light", amount=199)],
    }
    return CreateInvoiceLink(**{**given, **changes})


def begin(pay: Any, **options: Any) -> "Future[Payment]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(pay, **options)
    pool.shutdown(wait=False)
    return future


def asked(bot: Blocking) -> PreCheckoutQuery:
    query = bot.update().pre_checkout_query
    assert query is not None
    return query


def charged(bot: Blocking) -> SuccessfulPayment:
    message = bot.update().message
    assert message is not None
    assert message.successful_payment is not None
    return message.successful_payment


def sell(bot: Blocking, olga: Student, **twist: Any) -> tuple[Payment, SuccessfulPayment]:
    """A whole honest sale, unless twisted."""
    bot(invoice(olga))
    paying = begin(olga.pay, **twist)
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=asked(bot).id, ok=True))
    return paying.result(10), charged(bot)


# --- rule 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"title": "x" * 33}, "INVOICE_TITLE_INVALID: title must be 1-32 characters"),
        (
            {"description": "x" * 256},
            "INVOICE_DESCRIPTION_INVALID: description must be 1-255 characters",
        ),
        ({"payload": "x" * 129}, "INVOICE_PAYLOAD_INVALID"),
        ({"payload": "ж" * 65}, "INVOICE_PAYLOAD_INVALID"),
        ({"payload": ""}, 'parameter "payload" is required'),
        ({"title": ""}, 'parameter "title" is required'),
        ({"currency": "USD"}, "PAYMENT_PROVIDER_INVALID"),
        ({"currency": "XTS"}, "PAYMENT_PROVIDER_INVALID"),
        ({"provider_token": "123:TEST"}, "STARS_INVOICE_INVALID"),
        ({"max_tip_amount": 10}, "STARS_INVOICE_INVALID"),
        ({"prices": []}, "there must be at least one price"),
        ({"prices": [LabeledPrice(label="a", amount=1)] * 2}, "STARS_INVOICE_INVALID"),
        ({"prices": [LabeledPrice(label="a", amount=0)]}, "CURRENCY_TOTAL_AMOUNT_INVALID"),
        ({"prices": [LabeledPrice(label="a", amount=-5)]}, "CURRENCY_TOTAL_AMOUNT_INVALID"),
        ({"prices": [LabeledPrice(label="", amount=5)]}, "LabeledPrice label must be non-empty"),
        ({"start_parameter": "a b"}, "START_PARAM_INVALID"),
        (
            {"start_parameter": ""},
            "sandbox rule 1: start_parameter is empty, a forwarded copy could be paid by strangers",
        ),
        (
            {"payload": '{"order": 1}'},
            "sandbox rule 1: the payload must be a random order token, not JSON",
        ),
    ],
)
def test_bad_invoices_are_refused(bot: Blocking, olga: Student, changes: dict[str, Any], said: str) -> None:
    assert refusal(bot, invoice(olga, **changes)) == f"Bad Request: {said}"


def test_the_stricter_checks_can_be_switched_off(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.rules(scene.account, strict=False)
    sent = bot(invoice(olga, start_parameter=None, payload="{}"))
    assert sent.invoice is not None
    assert sent.invoice.total_amount == 199


def test_the_pay_button_comes_first(bot: Blocking, olga: Student) -> None:
    pay, back = InlineKeyboardButton(text="Pay 199 ⭐️", pay=True), data("back", "Back")
    wrong = InlineKeyboardMarkup(inline_keyboard=[[back], [pay]])
    assert refusal(bot, invoice(olga, reply_markup=wrong)) == "Bad Request: BUTTON_POS_INVALID"
    bot(invoice(olga, reply_markup=InlineKeyboardMarkup(inline_keyboard=[[pay], [back]])))
    assert olga.last.rows == [["Pay 199 ⭐️"], ["Back"]]
    bot(invoice(olga))
    assert olga.last.rows == [["Pay ⭐️199"]]
    assert olga.last.buttons[0].pay


# --- rules 2 and 3


def test_a_sale(bot: Blocking, olga: Student, scene: Scene) -> None:
    purse = olga.stars
    bot(invoice(olga))
    paying = begin(olga.pay)
    query = asked(bot)
    assert (query.from_user.id, query.total_amount, query.currency, query.invoice_payload) == (
        olga.id,
        199,
        "XTR",
        "order-token-1",
    )
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True))
    paid, payment = paying.result(10), charged(bot)
    assert paid.status == "paid"
    assert paid.charge_id is not None
    assert paid.charge_id.startswith("sbx_")
    assert payment.telegram_payment_charge_id == paid.charge_id
    assert (payment.total_amount, payment.invoice_payload) == (199, "order-token-1")
    assert olga.stars == purse - 199
    assert scene.box.balance(scene.account) == 199
    assert [message.paid for message in olga.messages() if message.invoice] == [True]
    assert [message.payment["total_amount"] for message in olga.messages() if message.payment] == [199]


def test_a_refusal_carries_a_sentence(bot: Blocking, olga: Student, scene: Scene) -> None:
    bot(invoice(olga))
    paying = begin(olga.pay)
    query = asked(bot)
    bare = AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=False)
    assert refusal(bot, bare) == 'Bad Request: parameter "error_message" is required'
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=False, error_message="The price has changed."))
    paid = paying.result(10)
    assert (paid.status, paid.error) == ("refused", "The price has changed.")
    assert scene.box.balance(scene.account) == 0


def test_a_query_is_answered_once(bot: Blocking, olga: Student) -> None:
    bot(invoice(olga))
    paying = begin(olga.pay)
    answer = AnswerPreCheckoutQuery(pre_checkout_query_id=asked(bot).id, ok=True)
    bot(answer)
    assert refusal(bot, answer) == f"Bad Request: {TOO_OLD}"
    assert paying.result(10).status == "paid"


@pytest.mark.slow
def test_an_answer_after_ten_seconds_is_too_late(bot: Blocking, olga: Student) -> None:
    bot(invoice(olga))
    paying = begin(olga.pay)
    query = asked(bot)
    assert paying.result(15).status == "expired"
    answer = AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True)
    assert refusal(bot, answer) == f"Bad Request: {TOO_OLD}"


def test_paying_twice_makes_two_charges(bot: Blocking, olga: Student, scene: Scene) -> None:
    first, _payment = sell(bot, olga)
    paying = begin(olga.pay)
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=asked(bot).id, ok=True))
    second = paying.result(10)
    assert charged(bot).telegram_payment_charge_id == second.charge_id
    assert first.charge_id != second.charge_id
    assert scene.box.balance(scene.account) == 398


def test_a_payment_may_come_late(bot: Blocking, olga: Student) -> None:
    bot(invoice(olga))
    paying = begin(olga.pay, delay=0.8)
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=asked(bot).id, ok=True))
    accepted = time.monotonic()
    assert paying.result(10).status == "paid"
    assert charged(bot).total_amount == 199
    assert time.monotonic() - accepted >= 0.7


def test_amount_and_payload_can_be_altered(bot: Blocking, olga: Student) -> None:
    bot(invoice(olga))
    paying = begin(olga.pay, amount=1, payload="forged")
    query = asked(bot)
    assert (query.total_amount, query.invoice_payload) == (1, "forged")
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True))
    assert paying.result(10).status == "paid"
    assert charged(bot).total_amount == 1
    _paid, payment = sell(bot, olga, settle_amount=2)
    assert payment.total_amount == 2


def test_a_payment_may_skip_the_pre_checkout(bot: Blocking, olga: Student) -> None:
    bot(invoice(olga))
    assert olga.pay(skip_pre_checkout=True).status == "paid"
    assert charged(bot).total_amount == 199


def test_somebody_else_may_pay(bot: Blocking, olga: Student, scene: Scene) -> None:
    ivan = scene.box.student("Ivan", bot=scene.account)
    bot(invoice(olga))
    paying = begin(olga.pay, payer=ivan)
    query = asked(bot)
    assert query.from_user.id == ivan.id
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True))
    assert paying.result(10).status == "paid"
    assert [message.payment is not None for message in ivan.messages()] == [True]


def test_an_empty_purse_pays_nothing(bot: Blocking, olga: Student) -> None:
    bot(invoice(olga))
    olga.set_stars(198)
    with pytest.raises(PurseError):
        olga.pay()


def test_a_forwarded_invoice_keeps_its_price(bot: Blocking, olga: Student) -> None:
    sent = bot(invoice(olga))
    copy = bot(ForwardMessage(chat_id=olga.id, from_chat_id=olga.id, message_id=sent.message_id))
    assert copy.invoice == sent.invoice


# --- rule 4


def test_a_refund_returns_the_stars_once(bot: Blocking, olga: Student, scene: Scene) -> None:
    paid, _payment = sell(bot, olga)
    purse = olga.stars
    method = RefundStarPayment(user_id=olga.id, telegram_payment_charge_id=paid.charge_id or "")
    assert bot(method) is True
    message = bot.update().message
    assert message is not None
    assert message.refunded_payment is not None
    assert message.refunded_payment.telegram_payment_charge_id == paid.charge_id
    assert olga.stars == purse + 199
    assert refusal(bot, method) == "Bad Request: CHARGE_ALREADY_REFUNDED"
    ledger = [(line["id"], "source" in line) for line in scene.box.ledger(scene.account)]
    assert ledger == [(paid.charge_id, True), (paid.charge_id, False)]


def test_only_the_payer_is_refunded(bot: Blocking, olga: Student, scene: Scene) -> None:
    paid, _payment = sell(bot, olga)
    ivan = scene.box.student("Ivan", bot=scene.account)
    for user_id, charge_id in ((ivan.id, paid.charge_id or ""), (olga.id, "sbx_none")):
        method = RefundStarPayment(user_id=user_id, telegram_payment_charge_id=charge_id)
        assert refusal(bot, method) == "Bad Request: CHARGE_NOT_FOUND"


def test_a_charge_back_may_leave_a_debt(bot: Blocking, olga: Student, scene: Scene) -> None:
    first, _payment = sell(bot, olga)
    second, _payment = sell(bot, olga)
    assert olga.charge_back(first.charge_id or "") == 199
    assert olga.charge_back(second.charge_id or "", tell=True) == 0
    message = bot.update().message
    assert message is not None
    assert message.refunded_payment is not None
    assert bot(GetMyStarBalance()).amount == 0


def test_the_ledger_is_read_in_pages(bot: Blocking, olga: Student) -> None:
    charges = [sell(bot, olga)[0].charge_id for _ in range(3)]
    whole = bot(GetStarTransactions()).transactions
    assert [line.id for line in whole] == charges
    page = bot(GetStarTransactions(offset=1, limit=1)).transactions
    assert [line.id for line in page] == charges[1:2]
    partner = page[0].source
    assert isinstance(partner, TransactionPartnerUser)
    assert (partner.user.id, partner.invoice_payload) == (olga.id, "order-token-1")
    assert refusal(bot, GetStarTransactions(limit=101)) == "Bad Request: LIMIT_INVALID"
    assert refusal(bot, GetStarTransactions(offset=-1)) == "Bad Request: OFFSET_INVALID"


# --- rule 5 and links


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subscription_period": 86400}, "SUBSCRIPTION_PERIOD_INVALID"),
        (
            {"subscription_period": 2592000, "prices": [LabeledPrice(label="a", amount=10001)]},
            "SUBSCRIPTION_AMOUNT_INVALID",
        ),
        ({"title": "x" * 33}, "INVOICE_TITLE_INVALID: title must be 1-32 characters"),
    ],
)
def test_bad_links_are_refused(bot: Blocking, changes: dict[str, Any], said: str) -> None:
    assert refusal(bot, link(**changes)) == f"Bad Request: {said}"


def test_a_link_can_be_paid_by_anyone(bot: Blocking, scene: Scene, olga: Student) -> None:
    url = bot(link(subscription_period=2592000))
    assert url.startswith("https://t.me/$")
    ivan = scene.box.student("Ivan", bot=scene.account)
    paying = begin(ivan.pay, link=url)
    query = asked(bot)
    assert query.from_user.id == ivan.id
    bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True))
    assert paying.result(10).status == "paid"
    payment = charged(bot)
    assert payment.is_first_recurring is True
    assert payment.subscription_expiration_date is not None


def test_many_payments_at_once_each_count_once(bot: Blocking, olga: Student, scene: Scene) -> None:
    sent = bot(invoice(olga))
    message = next(m for m in olga.messages() if m.id == sent.message_id)
    with ThreadPoolExecutor(8) as pool:
        paying = [pool.submit(olga.pay, message, wait=0) for _ in range(20)]
        ids = {future.result(10).id for future in paying}
    answers = [AnswerPreCheckoutQuery(pre_checkout_query_id=i, ok=True) for i in sorted(ids)]
    done = [bot.begin(answer) for answer in answers + answers]
    failures = [future.exception(10) for future in done]
    assert sum(isinstance(failure, TelegramBadRequest) for failure in failures) == 20
    assert len({line["id"] for line in scene.box.ledger(scene.account)}) == 20
    assert olga.stars == 100_000 - 20 * 199


def test_mini_app_data_is_signed_by_the_bot(scene: Scene, olga: Student) -> None:
    signed = safe_parse_webapp_init_data(scene.account.token, olga.init_data())
    assert signed.user is not None
    assert signed.user.id == olga.id
    with pytest.raises(ValueError, match="Invalid init data signature"):
        safe_parse_webapp_init_data("1:other", olga.init_data())
