"""How fast messages may leave: telegram.md 9."""

import asyncio
import time
from collections.abc import Awaitable, Callable

# Telegram counts 30 in a second where they arrive; one less leaves room for the way there.
PER_SECOND = 29
CHAT_SECONDS = 1.05
GROUP_SECONDS = 3.1  # 20 a minute
MANY = 10_000


class Pace:
    """Lets sends pass one by one, evenly: a burst after a pause would break some second's limit."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._gate = asyncio.Lock()
        self._next = 0.0
        self._chats: dict[int, float] = {}

    async def turn(self, chat_id: int) -> None:
        """Returns when a message to this chat may leave, at once."""
        await self._until(lambda: self._chats.get(chat_id, 0.0))
        async with self._gate:
            await self._until(lambda: self._next)
            now = self._now()
            self._next = now + 1 / PER_SECOND
            self._chats[chat_id] = now + (CHAT_SECONDS if chat_id > 0 else GROUP_SECONDS)
        if len(self._chats) > MANY:
            self._chats = {chat: at for chat, at in self._chats.items() if at > now}

    async def _until(self, moment: Callable[[], float]) -> None:
        while (left := moment() - self._now()) > 0:
            await self._sleep(left)
