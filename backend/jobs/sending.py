"""One row of the outbox on its way: what a carrier of a channel does, and one call of the Bot API."""

from dataclasses import dataclass
from typing import Any, Protocol

import aiogram.methods
import aiohttp
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import Message
from pydantic import ValidationError

from backend.database.models.dispatches import ONCE, TELEGRAM, Dispatch
from backend.jobs.pace import Pace

CALL_SECONDS = 15
ALREADY_REFUNDED = "CHARGE_ALREADY_REFUNDED"
METHODS: dict[str, type[TelegramMethod[Any]]] = {
    made.__api_method__: made
    for name in aiogram.methods.__all__
    if isinstance(made := getattr(aiogram.methods, name), type)
    and issubclass(made, TelegramMethod)
    and made is not TelegramMethod
}


@dataclass(frozen=True)
class Call:
    """A claimed row, apart from any session."""

    id: int
    attempt: int
    chat_id: int | None
    method: str
    params: dict[str, Any]
    refund_id: int | None
    channel: str = TELEGRAM
    address: str | None = None

    @classmethod
    def of(cls, row: Dispatch) -> "Call":
        params = {name: value for name, value in row.params.items() if name != ONCE}
        return cls(row.id, row.attempts, row.chat_id, row.method, params, row.refund_id, row.channel, row.address)


@dataclass(frozen=True)
class Sent:
    message_id: int | None = None


@dataclass(frozen=True)
class Refused:
    """It will not work next time either. `error` as DispatchCRUD.fail takes it."""

    error: str
    blocked: bool = False


@dataclass(frozen=True)
class Again:
    """It may work next time."""

    error: str


@dataclass(frozen=True)
class Wait:
    """Nothing may be sent for so long; this call was not performed and does not count."""

    seconds: float
    flood: bool  # the other side said so, else it cannot be reached


Outcome = Sent | Refused | Again | Wait
UNREACHABLE = Wait(2.0, flood=False)
REFUSALS = (TelegramBadRequest, TelegramNotFound, TelegramEntityTooLarge)


class Carrier(Protocol):
    """What takes the rows of one channel to where they belong."""

    channel: str

    async def turn(self, call: Call) -> None:
        """Returns when this row may leave."""

    async def send(self, call: Call) -> Outcome: ...


class ByTelegram:
    channel = TELEGRAM

    def __init__(self, bot: Bot, pace: Pace | None = None) -> None:
        self.bot = bot
        self.pace = pace or Pace()

    async def turn(self, call: Call) -> None:
        await self.pace.turn(call.chat_id or 0)

    async def send(self, call: Call) -> Outcome:
        return await send(self.bot, call)


def make_bot(token: str, api_url: str) -> Bot:
    return Bot(token, session=AiohttpSession(limit=256, api=TelegramAPIServer.from_base(api_url)))


async def send(bot: Bot, call: Call) -> Outcome:
    try:
        method = _typed(call)
    except (ValidationError, KeyError) as error:
        return Refused(f"invalid: {type(error).__name__} {call.method}")
    try:
        result = await bot(method, request_timeout=CALL_SECONDS)
    except AiogramError as error:
        return _outcome(error, bot.token)
    return Sent(result.message_id if isinstance(result, Message) else None)


def _typed(call: Call) -> TelegramMethod[Any]:
    method = METHODS[call.method]
    params = dict(call.params)
    if "chat_id" in method.model_fields:
        params.setdefault("chat_id", call.chat_id)
    return method.model_validate(params)


def _outcome(error: AiogramError, token: str) -> Outcome:
    words = getattr(error, "message", str(error)).replace(token, "***")
    wrong_token = isinstance(error, TelegramUnauthorizedError)
    if isinstance(error, TelegramRetryAfter):
        return Wait(float(error.retry_after), flood=True)
    if isinstance(error, TelegramForbiddenError):
        return Refused(f"blocked: {words}", blocked=True)
    if isinstance(error, TelegramBadRequest) and ALREADY_REFUNDED in words:
        return Sent()
    if isinstance(error, REFUSALS):
        return Refused(f"refused: {words}")
    if isinstance(error.__cause__, aiohttp.ClientConnectorError) or wrong_token:
        return UNREACHABLE
    # Whether it was performed is not known (a time limit, a 5xx): twice beats never.
    return Again(f"unreachable: {words}")
