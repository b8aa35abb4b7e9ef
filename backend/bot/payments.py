"""Money that has moved: told to the school before anything else happens with the update."""

import asyncio
from dataclasses import dataclass

import structlog
from aiogram.types import Message

from backend.bot.client import Api, Charge
from backend.bot.http import ApiError, ApiRefusedError, Patience
from backend.database.schemas.purchases import PurchaseResponse

log = structlog.get_logger()

# The outbox sends a receipt at once; while it does not (Telegram asks it to wait, its process is down) nobody who has
# paid waits for long.
RECEIPT_SECONDS = 3.0
LOOK_SECONDS = 0.1
GLANCE = Patience(1.0)


@dataclass(frozen=True)
class Settlement:
    """What became of a payment: a purchase, or the code of a refusal."""

    charge: Charge
    purchase: PurchaseResponse | None = None
    code: str = ""


def charge_of(message: Message) -> Charge | None:
    payment = message.successful_payment
    if payment is None or message.from_user is None:
        return None
    return Charge(
        payload=payment.invoice_payload,
        telegram_id=message.from_user.id,
        amount=payment.total_amount,
        currency=payment.currency,
        payment_id=payment.telegram_payment_charge_id,
    )


async def settle(api: Api, charge: Charge) -> Settlement:
    """Repeats until the school has answered, as long as the api's patience lasts.

    Raises ApiUnavailableError after that: then the update must come again.
    """
    try:
        return Settlement(charge, await api.record_payment(charge))
    except ApiRefusedError as error:
        log.error("payment_refused", chat=charge.telegram_id, code=error.code, charge=charge.payment_id)
        return Settlement(charge, code=error.code)


async def receipt_first(api: Api, telegram_id: int) -> None:
    """Returns when the receipt stands in the chat, so that what was paid for comes below it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + RECEIPT_SECONDS
    try:
        while loop.time() < end and await api.patient(GLANCE).leaving(telegram_id):  # noqa: ASYNC110 - rows tell no event
            await asyncio.sleep(LOOK_SECONDS)
    except ApiError as error:
        log.info("receipt_unknown", chat=telegram_id, why=error.code)
