"""The request rate of an API client: a moving window in memory, or in Redis when several processes
share it.
"""

import asyncio
import time
from collections import OrderedDict

import structlog
from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter as SharedWindow
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from backend.core import security
from backend.core.auth import client_ip
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.permissions import Permission
from backend.core.signin import network
from backend.core.units import is_api

log = structlog.get_logger()
REDIS_SECONDS = 0.25  # an answer that takes longer is not waited for
REDIS_PAUSE = 10.0  # seconds that each process counts alone after Redis failed
KNOWN_TOKENS = 10_000


class RateLimiter:
    """`API_RATE_LIMIT` requests a minute for a token or, without a valid one, for an address; 0 is
    off.
    """

    def __init__(self, settings: Settings) -> None:
        self.limit = RateLimitItemPerMinute(settings.api_rate_limit) if settings.api_rate_limit else None
        self.window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self.shared = _shared_window(settings.redis_url) if self.limit and settings.redis_url else None
        self._redis_again = 0.0
        # Bearers that were valid when last seen -> whether they are exempt: Telegram's own rate
        # bounds the bot. A made-up one counts for its address, so that inventing tokens buys
        # nothing.
        self._known: OrderedDict[str, bool] = OrderedDict()

    async def hit(self, request: Request) -> int | None:
        """Counts one request; seconds to wait when it is over the limit."""
        if self.limit is None or not is_api(request.scope["path"]):
            return None
        bearer = _bearer(request)
        if self._known.get(bearer):
            return None
        caller = bearer if bearer in self._known else f"ip:{network(client_ip(request))}"
        shared = await self._hit_shared(caller)
        if shared is not None:
            return shared or None
        if self.window.hit(self.limit, caller):
            return None
        return _seconds_until(self.window.get_window_stats(self.limit, caller).reset_time)

    async def _hit_shared(self, caller: str) -> int | None:
        """Seconds to wait by the count in Redis, 0 for none; None when Redis does not answer."""
        if self.shared is None or self.limit is None or time.monotonic() < self._redis_again:
            return None
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                if await self.shared.hit(self.limit, caller):
                    return 0
                return _seconds_until((await self.shared.get_window_stats(self.limit, caller)).reset_time)
        except Exception as error:  # noqa: BLE001 - whatever breaks in Redis must not break a request
            self._redis_again = time.monotonic() + REDIS_PAUSE
            log.warning("rate_limit_without_redis", error=type(error).__name__)
            return None

    def learn(self, request: Request, me: Principal) -> None:
        """Remembers whether the request's bearer turned out to be valid."""
        bearer = _bearer(request)
        if self.limit is None or not bearer or not is_api(request.scope["path"]):
            return
        if not me.signed_in:
            self._known.pop(bearer, None)
            return
        self._known[bearer] = me.may(Permission.BOT)
        self._known.move_to_end(bearer)
        if len(self._known) > KNOWN_TOKENS:
            self._known.popitem(last=False)


def _bearer(request: Request) -> str:
    sent = request.headers.get("authorization", "")
    return security.digest(sent)[:32] if sent else ""


def _seconds_until(moment: float) -> int:
    return max(1, int(moment - time.time()) + 1)


def _shared_window(redis_url: str) -> SharedWindow:
    storage = RedisStorage(
        f"async+{redis_url}",
        implementation="redispy",
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
    )
    return SharedWindow(storage)
