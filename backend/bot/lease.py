"""Of several processes exactly one polls: the one that holds the lease."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable

import structlog

from backend.bot.client import Api
from backend.bot.http import ApiError, Patience

log = structlog.get_logger()

SECONDS = 15  # after a crash the next process waits so long
RENEW_SECONDS = 4.0
RETRY_SECONDS = 2.0
MARGIN_SECONDS = 4.0  # before the end of a lease that cannot be renewed
QUICK = Patience(2.0, try_seconds=2.0)


def own_name() -> str:
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    def __init__(
        self,
        api: Api,
        *,
        retry_seconds: float = RETRY_SECONDS,
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        self.api = api.patient(QUICK)
        self.holder = own_name()
        self.retry_seconds = retry_seconds
        self.renew_seconds = renew_seconds
        self._until = 0.0  # of the loop's clock

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does the work while the lease is held, again and again, until cancelled."""
        try:
            while True:
                if await self._take():
                    log.info("lease_taken", holder=self.holder)
                    await self._work(work)
                    log.info("lease_lost", holder=self.holder)
                await asyncio.sleep(self.retry_seconds)
        finally:
            await self._give_back()

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        try:
            while self._left() > 0 and not task.done():
                await asyncio.wait({task}, timeout=min(self.renew_seconds, self._left()))
                if not task.done():
                    await self._take()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()):
            log.error("polling_ended", error=str(error))

    async def _take(self) -> bool:
        """Takes or renews; an unknown answer leaves the lease as it was."""
        asked = asyncio.get_running_loop().time()
        try:
            held = await self.api.lease(self.holder, SECONDS)
        except ApiError as error:
            log.warning("lease_unknown", error=str(error))
            return self._left() > 0
        self._until = asked + SECONDS - MARGIN_SECONDS if held else 0.0
        return held

    def _left(self) -> float:
        return self._until - asyncio.get_running_loop().time()

    async def _give_back(self) -> None:
        try:
            await self.api.lease(self.holder, 0)
        except ApiError as error:
            log.info("lease_not_given_back", error=str(error))
