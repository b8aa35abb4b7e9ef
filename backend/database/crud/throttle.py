"""Attempts, counted before they are looked at, by one statement: parallel requests cannot slip
through together. `core.throttles` counts them in Redis instead when there is one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.models.auth import RateBucket
from backend.database.tries import take_back


@dataclass(frozen=True)
class Limit:
    """At most `count` attempts under `key` in a window of `seconds`, which begins with the first of
    them.
    """

    key: str
    count: int
    seconds: int


class ThrottleCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def take(self, limits: Iterable[Limit]) -> int:
        """Counts one attempt under each limit in order. 0, or the seconds to wait when one of them
        is used up.

        What stands behind the refusing limit is not counted: whoever is shut out for their address
        cannot also use up the account's tries.
        """
        for limit in limits:
            if self._count(limit) is None:
                return self._wait(limit)
        return 0

    def take_many(self, limit: Limit, size: int) -> tuple[int, int]:
        """Up to `size` attempts at once, for who always asks for as many: how many were left of them, and the seconds
        until the window ends. The last ones are fewer when `size` does not divide the limit.
        """
        count = self._count(limit, size)
        taken = 0 if count is None else count % size or size
        return taken, self._wait(limit)

    def _count(self, limit: Limit, size: int = 1) -> int | None:
        """The count with `size` more or as many as there is room for; None when there is none."""
        now = clock.now()
        over = RateBucket.expires_at <= now
        fresh = now + timedelta(seconds=limit.seconds)
        statement = self._insert().values(key=limit.key, count=min(size, limit.count), expires_at=fresh)
        more = case((RateBucket.count > limit.count - size, limit.count), else_=RateBucket.count + size)
        statement = statement.on_conflict_do_update(
            index_elements=[RateBucket.key],
            set_={
                "count": case((over, min(size, limit.count)), else_=more),
                "expires_at": case((over, fresh), else_=RateBucket.expires_at),
            },
            where=or_(over, RateBucket.count < limit.count),
        ).returning(RateBucket.count)
        return self.session.execute(statement).scalar_one_or_none()

    def _insert(self) -> Any:
        dialect = postgresql if self.session.get_bind().dialect.name == "postgresql" else sqlite
        return dialect.insert(RateBucket)

    def _wait(self, limit: Limit) -> int:
        ends = self.session.execute(select(RateBucket.expires_at).where(RateBucket.key == limit.key)).scalar_one()
        return max(1, ceil((ends - clock.now()).total_seconds()))

    def keep(self, key: str, count: int, seconds: float) -> None:
        """Writes down what has been counted elsewhere and stands for so long, unless more is known here."""
        now = clock.now()
        values = {"count": count, "expires_at": now + timedelta(seconds=seconds)}
        less = or_(RateBucket.expires_at <= now, RateBucket.count < count)
        statement = self._insert().values(key=key, **values)
        self.session.execute(statement.on_conflict_do_update(index_elements=[RateBucket.key], set_=values, where=less))

    def counted(self, limits: Iterable[Limit]) -> dict[str, tuple[int, float]]:
        """By key: how many attempts, and for how many seconds they still count."""
        now = clock.now()
        columns = RateBucket.key, RateBucket.count, RateBucket.expires_at
        still = RateBucket.key.in_([limit.key for limit in limits]), RateBucket.expires_at > now
        found = self.session.execute(select(*columns).where(*still))
        return {key: (count, (ends - now).total_seconds()) for key, count, ends in found}

    def used_up(self, limits: Iterable[Limit]) -> list[str]:
        """The keys of those whose next attempt will be refused."""
        limits = list(limits)
        counts = self.counted(limits)
        return [limit.key for limit in limits if counts.get(limit.key, (0, 0.0))[0] >= limit.count]

    def give_back(self, limits: Iterable[Limit]) -> None:
        """An attempt that turned out to be right does not count.

        Rows are locked in the order of `take`.
        """
        keys = [limit.key for limit in limits]
        for key in keys:
            statement = update(RateBucket).where(RateBucket.key == key, RateBucket.count > 0)
            self.session.execute(statement.values(count=RateBucket.count - 1))
        take_back(self.session, lambda tries: tries.give_back(keys))

    def reset(self, keys: Sequence[str]) -> None:
        self.session.execute(delete(RateBucket).where(RateBucket.key.in_(keys)))
        take_back(self.session, lambda tries: tries.forget(keys))

    def reset_beginning(self, *prefixes: str) -> int:
        """Forgets the attempts under all keys that begin so; the number of keys."""
        begins = [RateBucket.key.startswith(prefix, autoescape=True) for prefix in prefixes]
        take_back(self.session, lambda tries: tries.forget_beginning(prefixes))
        return len(self.session.scalars(delete(RateBucket).where(or_(*begins)).returning(RateBucket.key)).all())

    def purge(self) -> None:
        self.session.execute(delete(RateBucket).where(RateBucket.expires_at <= clock.now()))
