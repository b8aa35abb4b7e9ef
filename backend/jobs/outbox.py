"""The sender of a channel of the outbox. Of all processes one sends at a time: whoever holds the channel's lease.

Rows are claimed in a short transaction, sent outside of any, and finished in another one. Claims
are fenced by `attempts` and leases, so a sender that was suspended cannot undo what its successor
did; it notices by its own clock that its lease is over and sends nothing more.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database import outbox
from backend.database.crud.dispatches import BATCH, DispatchCRUD
from backend.database.crud.leases import LeaseCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.payments import RefundCRUD
from backend.database.models.dispatches import EMAIL, TELEGRAM
from backend.database.session import Database
from backend.jobs.sending import Again, Call, Carrier, Outcome, Refused, Sent, Wait

T = TypeVar("T")
log = structlog.get_logger()

LEASE_NAMES = {TELEGRAM: "outbox", EMAIL: "outbox-email"}
LEASE_SECONDS = 15.0
SAFETY_SECONDS = 3.0
POLL_SECONDS = 1.0
IN_FLIGHT = BATCH + 5  # when full of bulk there is still room for replies
FEW = 5
LONGEST_BREAK = 60.0
LONGEST_STUMBLE = 16.0
RECORD_TRIES = 5


@dataclass(frozen=True)
class Round:
    """What one look at the queue found."""

    held: bool
    calls: tuple[Call, ...] = ()
    paused_until: datetime | None = None
    next_due: datetime | None = None


class Outbox:
    def __init__(self, database: Database, carrier: Carrier, holder: str) -> None:
        self.database = database
        self.carrier = carrier
        self.channel = carrier.channel
        self.lease = LEASE_NAMES[carrier.channel]
        self.holder = holder
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lease_until = 0.0
        self._quiet_until = 0.0  # nothing leaves before: the other side said so or cannot be reached
        self._failures = 0
        self._stumbles = 0  # looks at the database that failed, in a row

    async def run(self, stop: asyncio.Event) -> None:
        """Sends until `stop`; then waits for what is on its way and gives the lease back."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake.set)

        unsubscribe = outbox.subscribe(wake)
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._sleep(await self._step(), stop)
        finally:
            unsubscribe()
            self._lease_until = 0.0  # what has not had its turn goes back
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(Exception):  # else it ends by itself
                await self._in_thread(lambda s: LeaseCRUD(s).release(self.lease, self.holder))

    async def _step(self) -> float:
        """One look at the queue; returns how long to wait for the next one, in seconds."""
        began = time.monotonic()
        fresh, quiet = not self._leading, self._quiet_until > began
        renew = self._lease_until - began < LEASE_SECONDS / 2  # an idle school's disk may sleep
        try:
            found = await self._in_thread(lambda session: self._look(session, renew=renew, fresh=fresh, quiet=quiet))
        except Exception as error:  # noqa: BLE001 - the database may be away; the queue is not lost
            self._stumbles += 1
            pause: float = min(POLL_SECONDS * 2 ** (self._stumbles - 1), LONGEST_STUMBLE)
            log.warning("outbox.database", error=type(error).__name__, seconds=pause)
            return pause
        self._stumbles = 0
        if renew:
            self._lease_until = began + LEASE_SECONDS - SAFETY_SECONDS if found.held else 0.0
        if found.paused_until is not None:
            self._be_quiet((found.paused_until - clock.now()).total_seconds())
        for call in found.calls:
            task = asyncio.create_task(self._deliver(call))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return self._rest(found)

    @property
    def _leading(self) -> bool:
        return time.monotonic() < self._lease_until

    def _rest(self, found: Round) -> float:
        if found.calls and len(self._tasks) < IN_FLIGHT:
            return 0.0
        if found.next_due is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, (found.next_due - clock.now()).total_seconds()))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if len(self._tasks) <= FEW:
            self._wake.set()

    async def _sleep(self, seconds: float, stop: asyncio.Event) -> None:
        """Until something is queued, a call is done, the time is over or it is time to stop."""
        if seconds <= 0:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (self._wake, stop)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _in_thread(self, work: Callable[[Session], T]) -> T:
        return await asyncio.to_thread(self.database.run, work)

    def _look(self, session: Session, *, renew: bool, fresh: bool, quiet: bool) -> Round:
        """In one transaction: the lease, the pause, the next rows."""
        if renew and not LeaseCRUD(session).hold(self.lease, self.holder, LEASE_SECONDS):
            return Round(held=False)
        room = min(BATCH, IN_FLIGHT - len(self._tasks))
        if quiet or room <= 0:
            return Round(held=True)
        dispatches = DispatchCRUD(session)
        if self.channel == TELEGRAM and (until := dispatches.paused_until()) is not None:
            return Round(held=True, paused_until=until)
        second = timedelta(seconds=1)
        if fresh and dispatches.sent_since(clock.now() - second, self.channel):
            # What another process has just sent counts for the pace: let that second pass.
            return Round(held=True, next_due=clock.now() + second)
        rows = dispatches.claim(room, self.channel)
        calls = tuple(Call.of(row) for row in rows)
        return Round(held=True, calls=calls, next_due=None if rows else dispatches.next_due(self.channel))

    # -- one message

    async def _deliver(self, call: Call) -> None:
        await self.carrier.turn(call)
        if not self._leading or time.monotonic() < self._quiet_until:
            await self._record(call, None)
            return
        outcome = await self.carrier.send(call)
        if isinstance(outcome, Wait):
            self._break(outcome)
        else:
            self._failures = 0
        await self._record(call, outcome)

    def _break(self, outcome: Wait) -> None:
        if outcome.flood:
            self._be_quiet(outcome.seconds)
        elif time.monotonic() >= self._quiet_until:  # one failure of many at once counts
            self._failures += 1
            self._be_quiet(min(outcome.seconds * 2 ** (self._failures - 1), LONGEST_BREAK))
        log.warning("outbox.pause", channel=self.channel, flood=outcome.flood, seconds=outcome.seconds)

    def _be_quiet(self, seconds: float) -> None:
        self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    async def _record(self, call: Call, outcome: Outcome | None) -> None:
        """Again and again: a message that was sent must not be forgotten."""
        for attempt in range(1, RECORD_TRIES + 1):
            try:
                await self._in_thread(lambda session: record(session, call, outcome))
                return
            except Exception as error:  # noqa: BLE001 - the lease gives the row back if all fails
                log.error("outbox.record", id=call.id, error=type(error).__name__)
                await asyncio.sleep(0.2 * attempt)


def record(session: Session, call: Call, outcome: Outcome | None) -> None:
    """Writes the outcome of a call (None: its turn never came) with all that follows from it."""
    dispatches = DispatchCRUD(session)
    match outcome:
        case None:
            dispatches.give_back(call.id, call.attempt)
        case Wait():
            dispatches.give_back(call.id, call.attempt)
            if outcome.flood:
                dispatches.pause(clock.now() + timedelta(seconds=outcome.seconds))
        case Sent():
            if dispatches.finish(call.id, call.attempt, outcome.message_id):
                _done(session, call)
        case Again() if not dispatches.last_try(call.attempt):
            dispatches.retry(call.id, call.attempt, outcome.error)
        case _:
            _fail(session, call, outcome)


def _done(session: Session, call: Call) -> None:
    if call.refund_id:
        RefundCRUD(session).refund_done(call.refund_id)
    if call.channel == EMAIL:
        LetterCRUD(session).forget(call.id)


def _fail(session: Session, call: Call, outcome: Again | Refused) -> None:
    log.warning("outbox.failed", id=call.id, method=call.method, error=outcome.error)
    if not DispatchCRUD(session).fail(call.id, call.attempt, outcome.error):
        return
    if isinstance(outcome, Refused) and outcome.blocked and call.chat_id:
        DispatchCRUD(session).mark_blocked(call.chat_id)
    if call.refund_id:
        RefundCRUD(session).refund_failed(call.refund_id, outcome.error)
