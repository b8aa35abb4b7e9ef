"""Selling for Stars: rules 1-5."""

from dataclasses import asdict

from aiogram.methods import (
    AnswerPreCheckoutQuery,
    CreateInvoiceLink,
    GetMyStarBalance,
    GetStarTransactions,
    RefundStarPayment,
    SendInvoice,
)

from backend.sandbox import rules
from backend.sandbox.cashier import Invoice
from backend.sandbox.errors import Json, bad_request
from backend.sandbox.hub import Call
from backend.sandbox.keyboards import pay_button, pay_first
from backend.sandbox.methods.sending import deliver, reader
from backend.sandbox.methods.table import performs
from backend.sandbox.requests import dump_model


def _for_sale(request: SendInvoice | CreateInvoiceLink) -> Invoice:
    return Invoice(
        title=request.title,
        description=request.description,
        payload=request.payload,
        amount=request.prices[0].amount,
    )


@performs(SendInvoice)
def send_invoice(call: Call[SendInvoice]) -> Json:
    request, strict = call.method, call.rule("strict")
    student, _chat = reader(call, request.chat_id)
    rules.invoice(request, strict=strict)
    rules.start_parameter(request, strict=strict)
    pay_first(request.reply_markup)
    invoice = _for_sale(request)
    invoice.start_parameter = request.start_parameter or ""
    call.note = f"{invoice.amount} XTR · {invoice.payload}"
    body: Json = {"invoice": invoice.shown()}
    if request.reply_markup is None:
        body["reply_markup"] = pay_button(invoice.amount)
    else:
        body["reply_markup"] = dump_model(request.reply_markup)
    kept = asdict(invoice)
    del kept["message_id"]
    return deliver(call, student, body, {"for_sale": kept}).body


@performs(CreateInvoiceLink)
def create_invoice_link(call: Call[CreateInvoiceLink]) -> str:
    request = call.method
    rules.invoice(request, strict=call.rule("strict"))
    rules.subscription(request)
    invoice = _for_sale(request)
    if request.subscription_period is not None:
        invoice.subscription_period = rules.MONTH
    call.note = f"{invoice.amount} XTR · {invoice.payload}"
    return call.hub.cashier.link(call.bot, invoice)


@performs(AnswerPreCheckoutQuery)
def answer_pre_checkout(call: Call[AnswerPreCheckoutQuery]) -> bool:
    request = call.method
    if not request.ok and not request.error_message:
        raise bad_request('parameter "error_message" is required')
    call.student_id, seconds = call.hub.cashier.answer(
        call.bot,
        request.pre_checkout_query_id,
        ok=request.ok,
        error=request.error_message or "",
    )
    call.note = f"{'ok' if request.ok else request.error_message} · {seconds * 1000:.0f} ms"
    return True


@performs(RefundStarPayment)
def refund(call: Call[RefundStarPayment]) -> bool:
    request = call.method
    if call.hub.world.find_student(request.user_id) is None:
        raise bad_request("USER_ID_INVALID")
    call.student_id, call.note = request.user_id, request.telegram_payment_charge_id
    call.hub.cashier.refund(call.bot, request.user_id, request.telegram_payment_charge_id)
    return True


@performs(GetStarTransactions)
def star_transactions(call: Call[GetStarTransactions]) -> Json:
    offset = call.method.offset or 0
    limit = 100 if call.method.limit is None else call.method.limit
    if offset < 0 or not 1 <= limit <= 100:
        raise bad_request("LIMIT_INVALID" if offset >= 0 else "OFFSET_INVALID")
    return {"transactions": call.hub.cashier.transactions(call.bot.id, offset, limit)}


@performs(GetMyStarBalance)
def star_balance(call: Call[GetMyStarBalance]) -> Json:
    return {"amount": call.hub.cashier.balance(call.bot.id)}
