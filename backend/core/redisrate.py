"""A count of requests in Redis. Apart, because its library takes 2 MB that a school without Redis never needs."""

import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter


class RedisWindow:
    """`limit` requests in any minute of a caller of this school; an answer that takes longer than `patience` seconds is
    an error.
    """

    def __init__(self, redis_url: str, school: str, limit: int, patience: float) -> None:
        self.limit = RateLimitItemPerMinute(limit)
        storage = RedisStorage(
            f"async+{redis_url}",
            implementation="redispy",
            key_prefix=f"lyceum:{school}:rate",
            socket_connect_timeout=patience,
            socket_timeout=patience,
        )
        self.window = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, caller: str) -> int:
        """Counts one request; seconds to wait when it is over the limit, 0 for none."""
        if await self.window.hit(self.limit, caller):
            return 0
        until = (await self.window.get_window_stats(self.limit, caller)).reset_time
        return max(1, int(until - time.time()) + 1)
