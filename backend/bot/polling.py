"""Long polling that confirms nothing it has not finished, and never waits for one slow chat."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetUpdates
from aiogram.types import Update
from pydantic import ValidationError

from backend.bot.handlers import ALLOWED_UPDATES
from backend.bot.http import ApiUnavailableError
from backend.bot.payments import charge_of
from backend.bot.service import Service
from backend.bot.telegram import described

log = structlog.get_logger()

POLL_SECONDS = 25
NETWORK_SECONDS = 10
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
TOKEN_PAUSE = 60.0
FIRST_NAP, LONGEST_NAP = 0.2, 2.0
# An update still at work after so long (an upload) is confirmed all the same; a payment never is.
HOLD_SECONDS = 20.0
GRACE_SECONDS = 5.0
PAGE = 100  # updates that Telegram shows at once


class Poller:
    def __init__(self, service: Service, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.service = service
        self.sleep = sleep
        self.offset: int | None = None  # what Telegram may forget is below
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._held: dict[int, float] = {}  # until when an unfinished update holds the offset
        self._seen: set[int] = set()  # at or above the offset that Telegram knows

    async def run(self) -> None:
        """Until cancelled; then finishes what has begun, for a while, and confirms it."""
        pause, nap = FIRST_PAUSE, FIRST_NAP
        try:
            while True:
                asked = time.monotonic()
                try:
                    fresh = self._begin(await self._fetch())
                except (TelegramAPIError, ClientDecodeError, OSError) as error:
                    await self.sleep(self._pause(error, pause))
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                pause = FIRST_PAUSE
                nap = FIRST_NAP if fresh else min(LONGEST_NAP, nap * 1.5)
                if self._tasks:
                    await asyncio.wait(self._tasks.values(), timeout=nap)
                elif time.monotonic() - asked < FIRST_NAP:
                    await self.sleep(nap)  # a server that is stopping answers at once
        finally:
            await self._finish()

    async def _fetch(self) -> list[Update]:
        """Telegram shows what is unfinished again at once, so waiting is left to us then."""
        holding = self._confirm()
        timeout = 0 if holding else POLL_SECONDS
        ask = GetUpdates(offset=self.offset, timeout=timeout, limit=PAGE, allowed_updates=ALLOWED_UPDATES)
        try:
            return await self.service.bot(ask, request_timeout=timeout + NETWORK_SECONDS)
        except ClientDecodeError as error:
            return self._readable(error)

    def _readable(self, error: ClientDecodeError) -> list[Update]:
        """One update of a kind that we cannot read must not hide the others for ever."""
        rows = error.data.get("result") if isinstance(error.data, dict) else None
        if not isinstance(rows, list) or not all(_numbered(row) for row in rows):
            raise error
        updates = []
        for row in rows:
            try:
                updates.append(Update.model_validate(row, context={"bot": self.service.bot}))
            except ValidationError as problem:
                if row["update_id"] not in self._seen:
                    log.error("update_unreadable", update=row["update_id"], why=problem.errors(include_input=False)[:3])
                self._seen.add(row["update_id"])
        return updates

    def _confirm(self) -> bool:
        """Moves the offset behind what is finished; whether something still holds it."""
        now = asyncio.get_running_loop().time()
        self._held = {at: until for at, until in self._held.items() if until > now}
        self._move()
        while self._held and len(self._seen) >= PAGE:
            # Those behind would never be shown. A payment among the held goes on being tried, and if this
            # process ends before it is booked, Telegram's list of Stars has it.
            del self._held[min(self._held)]
            self._move()
        return bool(self._held)

    def _move(self) -> None:
        if self._held:
            self.offset = min(self._held)
        elif self._seen:
            self.offset = max(self._seen) + 1
        self._seen = {at for at in self._seen if self.offset is not None and at >= self.offset}

    def _begin(self, updates: list[Update]) -> int:
        """Starts what is new; how much that was."""
        fresh = [update for update in updates if update.update_id not in self._seen]
        now = asyncio.get_running_loop().time()
        for update in fresh:
            at = update.update_id
            paid = update.message is not None and charge_of(update.message) is not None
            self._held[at] = float("inf") if paid else now + HOLD_SECONDS
            self._seen.add(at)
            self._tasks[at] = asyncio.create_task(self._handle(update))
        return len(fresh)

    async def _handle(self, update: Update) -> None:
        try:
            while not await self._handled(update):
                await self.sleep(LONGEST_PAUSE)
        finally:
            self._tasks.pop(update.update_id, None)
        # Reached only when it was not cancelled: else Telegram shows the update again.
        self._held.pop(update.update_id, None)

    async def _handled(self, update: Update) -> bool:
        try:
            await self.service.handle(update)
        except ApiUnavailableError as error:
            log.error("payment_unacknowledged", update=update.update_id, cause=error.cause)
            return False
        return True

    def _pause(self, error: Exception, pause: float) -> float:
        log.warning("polling_failed", error=described(error, self.service.bot))
        if isinstance(error, TelegramRetryAfter):
            return float(error.retry_after)
        return TOKEN_PAUSE if isinstance(error, TelegramUnauthorizedError) else pause

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=GRACE_SECONDS)
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._confirm()
        if self.offset is None:
            return
        try:
            last = GetUpdates(offset=self.offset, timeout=0, limit=1, allowed_updates=ALLOWED_UPDATES)
            await self.service.bot(last, request_timeout=NETWORK_SECONDS)
        except (TelegramAPIError, ClientDecodeError, OSError) as error:
            log.info("last_updates_unconfirmed", error=described(error, self.service.bot))


def _numbered(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("update_id"), int)
