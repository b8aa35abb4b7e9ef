"""Counting an attempt before anything of it is looked at: a password, a code, a letter, a registration."""

from collections.abc import Mapping, Sequence
from math import ceil

from sqlalchemy.orm import Session

from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.session import Database
from backend.database.tries import tries_of

Counted = tuple[int, float]  # attempts, and for how many seconds they stand


def count(database: Database, limits: Sequence[Limit]) -> int:
    """Counts one attempt under each limit in order, the same in all processes. 0, or the seconds to wait when one of
    them is used up; what stands behind that one is not counted. Never call it inside a transaction.

    With `REDIS_URL` the count is in Redis and only what is used up in the database; without it, and while Redis does
    not answer, all of it is in the database.
    """
    if tries := tries_of(database.settings):
        with database.read() as session:
            known = ThrottleCRUD(session).counted(limits)
        told = tries.take([(limit.key, limit.count, limit.seconds) for limit in limits], known)
        if told is not None:
            _keep(database, limits, known, told.counts)
            return ceil(told.wait)
    return database.run(lambda session: ThrottleCRUD(session).take(limits))


def _keep(
    database: Database, limits: Sequence[Limit], known: Mapping[str, Counted], counts: Mapping[str, Counted]
) -> None:
    """When something is used up that does not stand in the database yet, writes down all that Redis has counted: of
    five tries in five minutes and fifty a day a Redis that forgets loses the last four, and not the day.
    """

    def used_up(of: Mapping[str, Counted], limit: Limit) -> bool:
        return of.get(limit.key, (0, 0.0))[0] >= limit.count

    def work(session: Session) -> None:
        for limit in limits:
            if limit.key in counts:
                ThrottleCRUD(session).keep(limit.key, *counts[limit.key])

    if any(used_up(counts, limit) and not used_up(known, limit) for limit in limits):
        database.run(work)
