"""A real aiogram bot for plain tests, and what a test usually needs around it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.types import Update

from backend.sandbox.student import BotAccount, SandboxClient, Student

T = TypeVar("T")


def some(value: T | None) -> T:
    """What a test knows to be there."""
    assert value is not None
    return value


class Blocking:
    """A real aiogram bot over real HTTP, called from plain functions."""

    def __init__(self, api: str, token: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.token = token
        self.bot = Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(api)))
        self.offset = 0

    def begin(self, method: TelegramMethod[T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(self.bot(method), self._loop)

    def __call__(self, method: TelegramMethod[T]) -> T:
        return self.begin(method).result(30)

    def run(self, make: Callable[[Bot], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(make(self.bot), self._loop).result(30)

    def update(self, timeout: int = 5) -> Update:
        """The next update, confirmed."""
        found = self(GetUpdates(offset=self.offset, timeout=timeout, limit=1))
        assert found, "no update came"
        self.offset = found[0].update_id + 1
        return found[0]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        # aiogram's own close() sleeps for the sake of TLS, which there is none of here.
        inner = getattr(self.bot.session, "_session", None)
        if inner is not None:
            await inner.close()


@dataclass
class Scene:
    box: SandboxClient
    account: BotAccount
    bot: Blocking
    olga: Student
