"""The connection to Telegram: patient with its limits and faults; its token reaches no log."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import InputFile

log = structlog.get_logger()

PAUSES = (0.3, 1.0, 3.0)
LONGEST_WAIT = 30  # seconds of a 429 that a student is kept waiting
# Sent again after a lost answer, these would stand in the chat twice.
ONCE = ("send", "copy", "forward")
FAULTS = (TelegramServerError, TelegramNetworkError, ClientDecodeError)


class Persistent(BaseRequestMiddleware):
    """Waits as long as a 429 asks; repeats what is safe to repeat after other faults."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.sleep = sleep

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        # The poller has its own patience.
        for pause in () if type(method) is GetUpdates else PAUSES:
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                if error.retry_after > LONGEST_WAIT:
                    raise
                await self.sleep(error.retry_after)
            except FAULTS as error:
                if not _repeatable(method, error):
                    raise
                await self.sleep(pause)
        return await make_request(bot, method)


def _repeatable(method: TelegramMethod[Any], error: Exception) -> bool:
    """A send is repeated only when Telegram says that it failed, not when its answer was lost."""
    if any(isinstance(value, InputFile) for _name, value in method):
        return False  # minutes of upload; the student may ask again
    return not isinstance(error, TelegramNetworkError) or not method.__api_method__.startswith(ONCE)


def make_bot(token: str, api_url: str) -> Bot:
    session = AiohttpSession(api=TelegramAPIServer.from_base(api_url))
    session.middleware.register(Persistent())
    defaults = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True)
    return Bot(token, session=session, default=defaults)


def described(error: BaseException, bot: Bot) -> str:
    """An error for the log. Addresses of the Bot API hold the token, undecoded answers what people write."""
    if isinstance(error, ClientDecodeError):
        return f"ClientDecodeError: {error.message} ({type(error.original).__name__})"
    return f"{type(error).__name__}: {error}".replace(bot.token, "***")[:500]
