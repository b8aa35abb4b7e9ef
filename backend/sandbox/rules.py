"""Telegram's rules for a bot that sells, by number. Each is enforced where it is named:

1 invoices in Stars: here. 2 pre-checkout within 10 s, 3 a charge settles once, 4 refunds and the
ledger: cashier. 5 subscriptions: here. 6 the duties (/terms, /support, /paysupport):
`Student.duties()`. 8 files and protected content: media, here. 9 the pace: rates; blocks:
methods.sending. 10 webhook and updates: here, methods.updates. 11 limits of texts, buttons and
deep links: here, keyboards. 12 Mini App data: `Student.init_data()`. 13 no topics in private chats:
methods.sending. (7 and 14 are about prices and wallets; a server cannot see them.)

A function here lets a lawful request pass and otherwise raises what Telegram would answer. Where
Telegram would accept something that harms us later, `strict` refuses it and says so.
"""

import ipaddress
import re
import time
from typing import TypeAlias
from urllib.parse import urlsplit

from aiogram.methods import CreateInvoiceLink, SendInvoice
from aiogram.types import BotCommand

from backend.sandbox.entities import units
from backend.sandbox.errors import StudentError, bad_request
from backend.sandbox.models import Message

AnyInvoice: TypeAlias = SendInvoice | CreateInvoiceLink

TEXT = 4096
CAPTION = 1024
DELETABLE = 48 * 3600
MONTH = 2_592_000
MAX_STARS = 100_000  # sandbox's own bound; Telegram's is set by its server
SUBSCRIPTION_STARS = 10_000
CHECKOUT_SECONDS = 10.0
CALLBACK_SECONDS = 30.0
TIPS = ("max_tip_amount", "suggested_tip_amounts")


def invoice(request: AnyInvoice, *, strict: bool) -> None:
    """Rule 1: an invoice in Stars has an empty provider token, one price and short texts."""
    if not 1 <= len(request.title) <= 32:
        raise bad_request("INVOICE_TITLE_INVALID: title must be 1-32 characters")
    if not 1 <= len(request.description) <= 255:
        raise bad_request("INVOICE_DESCRIPTION_INVALID: description must be 1-255 characters")
    if not 1 <= len(request.payload.encode()) <= 128:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    if request.currency != "XTR":
        # Any other currency needs a provider, which digital goods must not use (rule 6).
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    if request.provider_token or any(getattr(request, tip) for tip in TIPS):
        raise bad_request("STARS_INVOICE_INVALID")
    _one_price(request)
    if strict and request.payload.lstrip().startswith(("{", "[")):
        raise bad_request("sandbox rule 1: the payload must be a random order token, not JSON")


def _one_price(request: AnyInvoice) -> None:
    if not request.prices:
        raise bad_request("there must be at least one price")
    if any(not price.label for price in request.prices):
        raise bad_request("LabeledPrice label must be non-empty")
    if len(request.prices) != 1:
        raise bad_request("STARS_INVOICE_INVALID")
    if not 1 <= request.prices[0].amount <= MAX_STARS:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")


def start_parameter(request: SendInvoice, *, strict: bool) -> None:
    """Rule 1: without one, a forwarded copy of the invoice can be paid by strangers."""
    value = request.start_parameter or ""
    if value and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise bad_request("START_PARAM_INVALID")
    if strict and not value:
        raise bad_request("sandbox rule 1: start_parameter is empty, a forwarded copy could be paid by strangers")


def subscription(request: CreateInvoiceLink) -> None:
    """Rule 5: thirty days, by link only, at most 10000 Stars."""
    if request.subscription_period is None:
        return
    if request.subscription_period != MONTH:
        raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    if request.prices[0].amount > SUBSCRIPTION_STARS:
        raise bad_request("SUBSCRIPTION_AMOUNT_INVALID")


def text(value: str) -> None:
    """Rule 11. Length is counted after the markup is read."""
    if not value:
        raise bad_request("message text is empty")
    if units(value) > TEXT:
        raise bad_request("message is too long")


def caption(value: str) -> None:
    """Rule 11."""
    if units(value) > CAPTION:
        raise bad_request("message caption is too long")


def deletable(message: Message) -> None:
    """Rule 11: for 48 hours; editing has no limit of time."""
    if time.time() - message.date >= DELETABLE:
        raise bad_request("message can't be deleted for everyone")


def shareable(message: Message, verb: str) -> None:
    """Rule 8: what was sent with protect_content goes nowhere else."""
    if message.body.get("has_protected_content") or ("invoice" in message.body and verb == "copied"):
        raise bad_request(f"message can't be {verb}")


def secret_token(value: str) -> None:
    """Rule 10: 1-256 of A-Z a-z 0-9 _ -."""
    if len(value) > 256:
        raise bad_request("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", value):
        raise bad_request("secret token contains unallowed characters")


def webhook_url(url: str) -> None:
    """Rule 10. The sandbox reaches this machine only, so plain http is enough here."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise bad_request("invalid webhook URL specified") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise bad_request("invalid webhook URL specified")
    if not is_loopback(host):
        raise bad_request("bad webhook: the sandbox delivers to this machine only")


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def commands(given: list[BotCommand]) -> None:
    """Rule 11: names of 1-32 small letters, digits and _, described in 1-256 characters."""
    if len(given) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for command in given:
        if not re.fullmatch(r"/?[a-z0-9_]{1,32}", command.command):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(command.description.strip()) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")


def deep_link(payload: str) -> None:
    """Rule 11, the student's side: t.me would not open the bot with anything else."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", payload):
        raise StudentError("bad_payload", "A deep link carries 1-64 letters, digits, underscores and hyphens.")
