"""Routers whose handlers talk: they take a `talk` instead of Telegram's event."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from aiogram import Router

TalkHandler = Callable[..., Awaitable[None]]


class TalkRouter(Router):
    def said(self, handler: TalkHandler, *filters: Any) -> None:
        """The student has written."""
        self.message.register(_talking(handler), *filters)

    def pressed(self, handler: TalkHandler, *filters: Any) -> None:
        """The student has pressed a button."""
        self.callback_query.register(_talking(handler), *filters)


def _talking(handler: TalkHandler) -> Callable[..., Awaitable[None]]:
    # aiogram looks through `wraps` for the names that the handler takes.
    @wraps(handler)
    async def call(_event: object, **given: Any) -> None:
        await handler(**given)

    return call
