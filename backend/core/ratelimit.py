"""The request rate of an API client, one count for all processes: in the database, or in Redis when there is one.

A statement for every request would cost more than many requests do. Each process takes a twentieth of the minute's
requests at a time and lets that many through by itself: never more than the limit in all, a few less when a client's
last requests fall to another process than the one that still has some.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

import structlog
from fastapi import Request

from backend.core import clock, security
from backend.core.auth import client_ip
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.hosts import network
from backend.core.permissions import Permission
from backend.core.units import is_api
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.session import Database
from backend.database.tries import school_of

if TYPE_CHECKING:
    from backend.core.redisrate import RedisWindow

log = structlog.get_logger()
WINDOW_SECONDS = 60
SHARES = 20  # of the limit, each taken by one statement
PATIENCE_SECONDS = 0.25  # a count that takes longer is not waited for
REDIS_PAUSE = 10.0  # seconds that the database counts after Redis failed
KNOWN_CALLERS = 10_000


@dataclass
class Share:
    """What this process may still let through for one caller."""

    left: int
    until: datetime
    was_last: bool = False  # until then all processes together have none to take


class RateLimiter:
    """`API_RATE_LIMIT` requests a minute for a token or, without a valid one, for an address; 0 is
    off.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.limit = settings.api_rate_limit
        self.database = database
        self.shared = _shared_window(settings) if self.limit and settings.redis_url else None
        self._redis_again = 0.0
        self._shares: OrderedDict[str, Share] = OrderedDict()
        # Bearers that were valid when last seen -> whose they are, "" when exempt: Telegram's own
        # rate bounds the bot. A made-up one counts for its address, so that inventing tokens buys
        # nothing, and a fresh one of the same sign-in has what is left of its minute.
        self._known: OrderedDict[str, str] = OrderedDict()

    async def hit(self, request: Request) -> int | None:
        """Counts one request; seconds to wait when it is over the limit."""
        if not self.limit or not is_api(request.scope["path"]):
            return None
        caller = self._known.get(_bearer(request))
        if caller == "":
            return None
        caller = caller or f"ip:{network(client_ip(request))}"
        wait = await self._hit_redis(caller)
        if wait is None:
            wait = self._spend(caller)
        if wait is None:
            wait = await self._take(caller)
        return wait or None

    async def _hit_redis(self, caller: str) -> int | None:
        """Seconds to wait by the count in Redis, 0 for none; None when Redis does not answer."""
        if self.shared is None or time.monotonic() < self._redis_again:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self.shared.hit(caller)
        except Exception as error:  # noqa: BLE001 - whatever breaks in Redis must not break a request
            self._redis_again = time.monotonic() + REDIS_PAUSE
            log.warning("rate_limit_without_redis", error=type(error).__name__)
            return None

    def _spend(self, caller: str) -> int | None:
        """Seconds to wait, 0 for none, by what this process has taken; None when it has to take more."""
        share, now = self._shares.get(caller), clock.now()
        if share is None or share.until <= now:
            return None
        if share.left:
            share.left -= 1
            return 0
        return ceil((share.until - now).total_seconds()) if share.was_last else None

    async def _take(self, caller: str) -> int:
        """One request of a new share; seconds to wait when all are given out."""
        limit = Limit(f"api:{caller}", self.limit, WINDOW_SECONDS)
        size = max(1, self.limit // SHARES)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                taken, seconds = await asyncio.to_thread(
                    self.database.run, lambda session: ThrottleCRUD(session).take_many(limit, size)
                )
        except Exception as error:  # noqa: BLE001 - a database that is busy or full must not refuse a reader
            log.warning("rate_limit_not_counted", error=type(error).__name__)
            return 0
        return self._keep(caller, taken, seconds)

    def _keep(self, caller: str, taken: int, seconds: int) -> int:
        """Adds it to what another request of the caller may have taken meanwhile, less the one that asked."""
        now = clock.now()
        share = self._shares.get(caller)
        if share is None or share.until <= now:
            share = self._shares[caller] = Share(0, now + timedelta(seconds=seconds - 1))  # they were rounded up
        self._shares.move_to_end(caller)
        if len(self._shares) > KNOWN_CALLERS:
            self._shares.popitem(last=False)
        if not taken:
            share.was_last = True
            return seconds
        share.left += taken - 1
        return 0

    def learn(self, request: Request, me: Principal) -> None:
        """Remembers whether the request's bearer turned out to be valid."""
        bearer = _bearer(request)
        if not self.limit or not bearer or not is_api(request.scope["path"]):
            return
        if not me.signed_in:
            self._known.pop(bearer, None)
            return
        whose = f"session:{me.session_id}" if me.token_id is None else f"token:{me.token_id}"
        self._known[bearer] = "" if me.may(Permission.BOT) else whose
        self._known.move_to_end(bearer)
        if len(self._known) > KNOWN_CALLERS:
            self._known.popitem(last=False)


def _bearer(request: Request) -> str:
    sent = request.headers.get("authorization", "")
    return security.digest(sent)[:32] if sent else ""


def _shared_window(settings: Settings) -> "RedisWindow":
    from backend.core.redisrate import RedisWindow  # noqa: PLC0415 - see there

    return RedisWindow(settings.redis_url, school_of(settings), settings.api_rate_limit, PATIENCE_SECONDS)
