"""Waking those who wait: long polls, live pages and payments in progress."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Another process may write to the same state file and cannot wake us: look again this often.
RECHECK = 0.25


class Signals:
    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.stopping = False

    def wake(self, topic: str) -> None:
        for waiter in self._waiting.get(topic, ()):
            if not waiter.done():
                waiter.set_result(None)

    def stop(self) -> None:
        """Ends every wait at once, so that a server can shut down without waiting for polls."""
        self.stopping = True
        for topic in list(self._waiting):
            self.wake(topic)

    async def until(
        self,
        topic: str,
        check: Callable[[], T | None],
        seconds: float,
        alive: Callable[[], Awaitable[bool]] | None = None,
    ) -> T | None:
        """The first result of `check` that is not None; None when time is up or nobody listens."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (found := check()) is None:
            left = deadline - loop.time()
            if left <= 0 or self.stopping:
                return None
            await self.nap(topic, min(left, RECHECK))
            if alive is not None and not await alive():
                return None
        return found

    async def nap(self, topic: str, seconds: float) -> None:
        """Sleeps until the topic is woken, or for so long."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, set()).add(waiter)
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            pass
        finally:
            self._waiting[topic].discard(waiter)
            if not self._waiting[topic]:
                del self._waiting[topic]
