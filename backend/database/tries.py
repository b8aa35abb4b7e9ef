"""Attempts counted in Redis, when there is one: whoever guesses passwords by the thousand then writes nothing into the
database.

Only what is not used up yet stands in Redis alone. A lock is written into the database (`core.throttles`), with the
longer windows as they stand then, so that it outlives Redis and can be seen and lifted; what the database has counted
is where the count in Redis begins. `ThrottleCRUD` says here what it takes back, and Redis is told after the commit.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.errors import UnavailableError
from backend.core.i18n import _
from backend.database.session import afterwards, known_settings

log = structlog.get_logger()
PATIENCE_SECONDS = 1.0
PAUSE_SECONDS = 10.0  # that the database counts after Redis failed

# For each key: the most, the milliseconds of its window, what the database has counted, how long that is valid.
# Answers which key refuses (0: none), then of each key up to that one its count and how many milliseconds it stands.
TAKE = """
local told = {0}
for i, key in ipairs(KEYS) do
  local most, window = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local known, valid = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local count, left = tonumber(redis.call('GET', key) or '0'), redis.call('PTTL', key)
  if left < 0 then left = known > 0 and valid or window end
  if known > count then count = known; left = math.max(left, valid) end
  left = math.max(left, 1)
  told[#told + 1] = math.min(count + 1, most)
  told[#told + 1] = left
  if count >= most then told[1] = i; return told end
  redis.call('SET', key, count + 1, 'PX', left)
end
return told
"""
GIVE_BACK = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
"""


@dataclass(frozen=True)
class Told:
    """What became of an attempt: 0 or the seconds to wait; by key how many there were and for how many seconds more."""

    wait: float
    counts: dict[str, tuple[int, float]]


class Tries:
    def __init__(self, redis_url: str, school: str) -> None:
        self.prefix = f"lyceum:{school}:tries:"
        # Its library takes 2 MB that a school without Redis never needs.
        from redis import Redis  # noqa: PLC0415 - see above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - likewise
        from redis.retry import Retry  # noqa: PLC0415 - likewise

        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = self._redis.register_script(TAKE)
        self._give_back = self._redis.register_script(GIVE_BACK)
        self._again = 0.0

    def take(self, limits: Sequence[tuple[str, int, int]], known: dict[str, tuple[int, float]]) -> Told | None:
        """Counts one attempt under each (key, most, seconds) in order, up to the one that refuses.

        `known`: what the database has counted, and for how many seconds more. None when Redis does not answer.
        """
        keys = [key for key, _most, _seconds in limits]
        values: list[int] = []
        for key, most, seconds in limits:
            count, valid = known.get(key, (0, 0.0))
            values += [most, seconds * 1000, count, int(valid * 1000) + 1]
        told = self._ask(lambda: self._take([self.prefix + key for key in keys], values))
        if told is None:
            return None
        pairs = zip(told[1::2], told[2::2], strict=True)
        counts = {key: (count, left / 1000) for key, (count, left) in zip(keys, pairs, strict=False)}
        return Told(counts[keys[told[0] - 1]][1] if told[0] else 0.0, counts)

    def give_back(self, keys: Sequence[str]) -> None:
        self._ask(lambda: self._give_back([self.prefix + key for key in keys]))

    def forget(self, keys: Sequence[str]) -> None:
        self._ask(lambda: self._redis.unlink(*(self.prefix + key for key in keys)))

    def forget_beginning(self, prefixes: Sequence[str]) -> None:
        def work() -> None:
            for prefix in prefixes:
                found = list(self._redis.scan_iter(_literally(self.prefix + prefix) + "*", count=1000))
                if found:
                    self._redis.unlink(*found)

        self._ask(work)

    def answers(self) -> bool:
        self._again = 0.0
        return self._ask(self._redis.ping) is not None

    def _ask(self, work: Callable[[], Any]) -> Any:
        """None when Redis does not answer, and for a while after that without asking it."""
        if time.monotonic() < self._again:
            return None
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever breaks in Redis must not break a sign-in
            self._again = time.monotonic() + PAUSE_SECONDS
            log.warning("tries_without_redis", error=type(error).__name__)
            return None


def _literally(text: str) -> str:
    """For a pattern of Redis."""
    return "".join(f"\\{char}" if char in r"*?[]^\-" else char for char in text)


def tries_of(settings: Settings | None) -> Tries | None:
    """One for all of this process; None without an address. Schools that share a Redis have keys of their own."""
    if settings is None or not settings.redis_url:
        return None
    return _tries(settings.redis_url, school_of(settings))


def school_of(settings: Settings) -> str:
    """What tells this school's keys in Redis from another's; the same in all of its processes."""
    return hashlib.sha256(f"redis {settings.secret_keys[-1]}".encode()).hexdigest()[:16]


_tries = cache(Tries)


def take_back(session: Session, work: Callable[[Tries], None]) -> None:
    """Has `work` done after the commit of this transaction: nothing waits for the network inside one."""
    if tries := tries_of(known_settings(session)):
        afterwards(session, lambda: work(tries))


def demand_answer(session: Session) -> None:
    """Raises UnavailableError when there is a Redis that does not answer: what is lifted must not come back with it."""
    tries = tries_of(known_settings(session))
    if tries and not tries.answers():
        raise UnavailableError(_("Redis does not answer, so attempts that it has counted cannot be forgotten now."))
