"""The request rate of an API client: a moving window in memory, or in Redis when several processes share it."""

import time

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

from backend.core import security
from backend.core.auth import client_ip
from backend.core.config import Settings
from backend.core.units import is_api


class RateLimiter:
    """`API_RATE_LIMIT` requests a minute for a token or an address; 0 is off."""

    def __init__(self, settings: Settings) -> None:
        self.limit = RateLimitItemPerMinute(settings.api_rate_limit) if settings.api_rate_limit else None
        storage: Storage = RedisStorage(settings.redis_url) if settings.redis_url else MemoryStorage()
        self.window = SlidingWindowCounterRateLimiter(storage)  # type: ignore[arg-type] # both storages support it
        # Tokens seen to carry the bot scope: Telegram's own rate bounds them (security.md 10).
        self.exempt: set[str] = set()

    def hit(self, request: Request) -> int | None:
        """Counts one request; seconds to wait when it is over the limit."""
        if self.limit is None or not is_api(request.url.path):
            return None
        caller = self.caller(request)
        if caller in self.exempt or self.window.hit(self.limit, caller):
            return None
        reset = self.window.get_window_stats(self.limit, caller).reset_time
        return max(1, int(reset - time.time()) + 1)

    @staticmethod
    def caller(request: Request) -> str:
        bearer = request.headers.get("authorization", "")
        return security.digest(bearer)[:32] if bearer else f"ip:{client_ip(request)}"
