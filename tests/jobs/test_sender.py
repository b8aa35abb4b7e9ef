"""The looks of the sender at its queue: the lease, the pause, how much is on its way, and how long it rests."""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.dispatches import LEASE, DispatchCRUD
from backend.database.crud.leases import LeaseCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.models.dispatches import EMAIL, TELEGRAM, Dispatch
from backend.database.models.system import Lease
from backend.database.session import Database
from backend.jobs import outbox
from backend.jobs.outbox import IN_FLIGHT, Outbox, record
from backend.jobs.sending import UNREACHABLE, Again, Call, Outcome, Refused, Sent, Wait
from tests.factories import make_user
from tests.money.conftest import Later, later

__all__ = ["later"]


class Messenger:
    """The other side, as a test wants it: it answers with `outcomes`, then takes everything."""

    def __init__(self, *outcomes: Outcome, channel: str = TELEGRAM) -> None:
        self.channel = channel
        self.outcomes = list(outcomes)
        self.took: list[str] = []

    async def turn(self, call: Call) -> None:
        """At once."""

    async def send(self, call: Call) -> Outcome:
        self.took.append(call.params["text"])
        return self.outcomes.pop(0) if self.outcomes else Sent(88)


class Desk:
    def __init__(self, database: Database, db: Session) -> None:
        self.database, self.db = database, db
        self.messenger = Messenger()
        self.sender = Outbox(database, self.messenger, "test")

    def queue(self, *texts: str, **values: object) -> None:
        for chat_id, words in enumerate(texts, 1):
            params = {"text": words}
            DispatchCRUD(self.db).enqueue(words, chat_id=chat_id, method="sendMessage", params=params, **values)  # type: ignore[arg-type] # what a test wants different

    def states(self) -> list[tuple[str, int]]:
        statement = select(Dispatch.state, Dispatch.attempts).order_by(Dispatch.id)
        return [(row.state, row.attempts) for row in self.db.execute(statement)]

    def step(self) -> float:
        """How long the sender rests after a look; what it took is delivered."""

        async def look() -> float:
            pause = await self.sender._step()
            await asyncio.gather(*self.sender._tasks)
            return pause

        return asyncio.run(look())

    def lead(self) -> None:
        """The sender has had the lease for long: the pace of others is none of its business."""
        self.step()
        self.db.execute(update(Dispatch).values(sent_at=None))

    def lease(self) -> float:
        """Seconds until its end."""
        found = self.db.scalars(select(Lease).where(Lease.name == "outbox")).one()
        self.db.refresh(found)
        assert found.holder == "test"
        return (found.until - clock.now()).total_seconds()

    def quiet(self) -> float:
        """Seconds that nothing leaves."""
        return self.sender._quiet_until - time.monotonic()


@pytest.fixture
def desk(database: Database, db: Session) -> Desk:
    return Desk(database, db)


def about(seconds: float) -> object:
    """That, less the time that a busy machine took to look."""
    return pytest.approx(seconds - 0.9, abs=0.91)


def test_an_empty_queue_is_looked_at_once_a_second_under_a_lease_that_ends_early(desk: Desk) -> None:
    assert desk.step() == 1.0
    assert desk.lease() == about(15)
    assert desk.sender._lease_until - time.monotonic() == about(12)  # by its own clock it ends before


def test_a_lease_is_renewed_when_half_of_it_is_over(desk: Desk) -> None:
    desk.step()
    desk.db.execute(update(Lease).values(until=clock.now() + timedelta(seconds=11)))
    desk.sender._lease_until = time.monotonic() + 9.5
    desk.step()
    assert desk.lease() == about(11)
    desk.sender._lease_until = time.monotonic() + 6
    desk.step()
    assert desk.lease() == about(15)


def test_without_the_lease_nothing_leaves(desk: Desk, database: Database) -> None:
    database.run(lambda session: LeaseCRUD(session).hold("outbox", "elsewhere", 60))
    desk.queue("a")
    desk.sender._lease_until = time.monotonic() + 1  # it had it until now
    assert (desk.step(), desk.states(), desk.sender._lease_until) == (1.0, [("pending", 0)], 0.0)


def test_what_is_due_leaves_and_more_is_looked_for_at_once(desk: Desk) -> None:
    desk.queue("a", "b")
    assert desk.step() == 0.0
    assert (desk.messenger.took, desk.states()) == (["a", "b"], [("sent", 1)] * 2)
    assert desk.step() == 1.0


def test_a_new_leader_lets_the_second_of_another_one_pass(desk: Desk) -> None:
    desk.queue("a", "b")
    desk.db.execute(update(Dispatch).where(Dispatch.dedupe_key == "a").values(state="sent", sent_at=clock.now()))
    assert desk.step() == about(1)
    assert desk.messenger.took == []
    assert desk.step() == 0.0  # now it leads, and keeps the pace itself
    assert desk.messenger.took == ["b"]


def test_what_comes_soon_is_waited_for_until_then(desk: Desk) -> None:
    with time_machine.travel(clock.now(), tick=False):
        desk.queue("a", not_before=clock.now() + timedelta(seconds=0.75))
        assert desk.step() == 0.75
        desk.db.execute(update(Dispatch).values(not_before=clock.now() + timedelta(seconds=30)))
        assert desk.step() == 1.0


def test_no_more_is_on_its_way_than_is_allowed(desk: Desk) -> None:
    desk.lead()
    desk.queue(*(f"m{number}" for number in range(40)))

    async def look(busy: int) -> tuple[float, int]:
        waiting = [asyncio.create_task(asyncio.sleep(60)) for _ in range(busy)]
        desk.sender._tasks = set(waiting)
        pause = await desk.sender._step()
        taken = [task for task in desk.sender._tasks if task not in waiting]
        await asyncio.gather(*taken)
        for task in waiting:
            task.cancel()
        return pause, len(taken)

    assert asyncio.run(look(IN_FLIGHT)) == (1.0, 0)
    assert asyncio.run(look(IN_FLIGHT - 1)) == (1.0, 1)  # full again: the next look is no hurry
    assert asyncio.run(look(IN_FLIGHT - 6)) == (1.0, 6)
    assert asyncio.run(look(0)) == (0.0, 25)


def test_a_pause_of_another_process_is_obeyed(desk: Desk, database: Database) -> None:
    desk.lead()
    desk.queue("a")
    DispatchCRUD(desk.db).pause(clock.now() + timedelta(seconds=5))
    assert (desk.step(), desk.states()) == (1.0, [("pending", 0)])
    assert desk.quiet() == about(5)
    DispatchCRUD(desk.db).pause(clock.now() - timedelta(seconds=1))
    assert (desk.step(), desk.states()) == (1.0, [("pending", 0)])  # by its own clock it is not over
    desk.sender._quiet_until = 0.0
    assert (desk.step(), desk.states()) == (0.0, [("sent", 1)])


def test_a_pause_of_telegram_is_not_one_of_letters(desk: Desk, database: Database) -> None:
    DispatchCRUD(desk.db).pause(clock.now() + timedelta(seconds=5))
    values = {"address": "a@pupils.example", "method": "reset", "params": {"text": "a"}}
    DispatchCRUD(desk.db).queue("a", EMAIL, values | {"expires_at": clock.now() + timedelta(hours=1)})
    desk.sender = Outbox(database, messenger := Messenger(channel=EMAIL), "test")
    assert (desk.step(), messenger.took) == (0.0, ["a"])
    names = desk.db.scalars(select(Lease.name)).all()
    assert names == ["outbox-email"]


def test_whoever_cannot_be_reached_is_left_alone_longer_and_longer(desk: Desk) -> None:
    waits = []
    for _ in range(7):
        desk.sender._quiet_until = 0.0
        desk.sender._break(UNREACHABLE)
        desk.sender._break(UNREACHABLE)  # of many at once, one counts
        waits.append(math.ceil(desk.quiet()))
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_flood_control_holds_for_as_long_as_it_says_and_never_less(desk: Desk) -> None:
    desk.sender._break(Wait(30, flood=True))
    assert desk.quiet() == about(30)
    desk.sender._break(Wait(5, flood=True))
    assert desk.quiet() == about(30)
    assert desk.sender._failures == 0


def test_a_success_ends_the_count_of_failures(desk: Desk) -> None:
    desk.queue("a", "b")
    desk.messenger.outcomes = [UNREACHABLE]
    desk.step()
    assert desk.sender._failures == 1
    assert ("pending", 0) in desk.states()
    desk.sender._quiet_until = 0.0
    desk.lead()
    desk.step()
    assert (desk.sender._failures, desk.states()) == (0, [("sent", 1)] * 2)


@pytest.mark.parametrize("late", ["the lease is over", "it has to be quiet"])
def test_what_gets_its_turn_too_late_goes_back_untried(desk: Desk, late: str) -> None:
    desk.queue("a")
    (row,) = DispatchCRUD(desk.db).claim()
    desk.sender._lease_until = 0.0 if late == "the lease is over" else time.monotonic() + 5
    desk.sender._quiet_until = 0.0 if late == "the lease is over" else time.monotonic() + 5
    asyncio.run(desk.sender._deliver(Call.of(row)))
    assert (desk.messenger.took, desk.states()) == ([], [("pending", 0)])


def test_a_database_that_is_away_is_asked_less_and_less(desk: Desk) -> None:
    desk.db.execute(text("ALTER TABLE leases RENAME TO leases_away"))
    try:
        assert [desk.step() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]
    finally:
        desk.db.execute(text("ALTER TABLE leases_away RENAME TO leases"))
    assert (desk.step(), desk.sender._stumbles) == (1.0, 0)


def test_an_outcome_is_written_down_again_and_again(desk: Desk) -> None:
    desk.queue("a")
    (row,) = DispatchCRUD(desk.db).claim()
    desk.db.execute(text("ALTER TABLE dispatches RENAME TO dispatches_away"))

    async def back() -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(desk.db.execute, text("ALTER TABLE dispatches_away RENAME TO dispatches"))

    async def both(work: Awaitable[None]) -> None:
        await asyncio.gather(work, back())

    asyncio.run(both(desk.sender._record(Call.of(row), Sent(5))))
    assert desk.states() == [("sent", 1)]


def test_what_could_not_be_written_down_is_sent_once_more_when_its_lease_is_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, later: Later, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outbox, "RECORD_TRIES", 2)
    desk.queue("a")
    (row,) = DispatchCRUD(desk.db).claim()
    call = Call.of(row)
    desk.db.execute(text("ALTER TABLE dispatches RENAME TO dispatches_away"))
    try:
        asyncio.run(desk.sender._record(call, Sent(5)))
    finally:
        desk.db.execute(text("ALTER TABLE dispatches_away RENAME TO dispatches"))
    logs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["id"]) for line in logs] == [("outbox.record", call.id)] * 2
    assert (DispatchCRUD(desk.db).claim(), desk.states()) == ([], [("sending", 1)])

    later(LEASE + timedelta(seconds=1))
    assert [(found.id, found.attempts) for found in DispatchCRUD(desk.db).claim()] == [(call.id, 2)]


def test_the_last_messages_on_their_way_wake_the_sender(desk: Desk) -> None:
    async def woken(others: int) -> bool:
        done = asyncio.create_task(asyncio.sleep(0))
        await done
        rest = [asyncio.create_task(asyncio.sleep(60)) for _ in range(others)]
        desk.sender._tasks = {done, *rest}
        desk.sender._wake.clear()
        desk.sender._done(done)
        for task in rest:
            task.cancel()
        assert done not in desk.sender._tasks
        return desk.sender._wake.is_set()

    assert [asyncio.run(woken(others)) for others in (0, 5, 6)] == [True, True, False]


def test_it_rests_until_it_is_woken_or_stopped(desk: Desk) -> None:
    async def rested(seconds: float, act: Callable[[asyncio.Event], None]) -> float:
        stop, began = asyncio.Event(), time.monotonic()
        desk.sender._wake = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, act, stop)
        await desk.sender._sleep(seconds, stop)
        return time.monotonic() - began

    assert asyncio.run(rested(30, lambda stop: stop.set())) < 20
    assert asyncio.run(rested(30, lambda _stop: desk.sender._wake.set())) < 20
    assert asyncio.run(rested(0.2, lambda _stop: None)) >= 0.19


@pytest.mark.parametrize(
    ("outcome", "row", "paused", "blocked"),
    [
        (None, ("pending", 0, None), False, False),
        (Wait(30, flood=True), ("pending", 0, None), True, False),
        (Wait(30, flood=False), ("pending", 0, None), False, False),
        (Sent(88), ("sent", 1, None), False, False),
        (Again("unreachable: 502"), ("pending", 1, "unreachable: 502"), False, False),
        (Refused("rejected: no"), ("failed", 1, "rejected: no"), False, False),
        (Refused("blocked: no", blocked=True), ("failed", 1, "blocked: no"), False, True),
    ],
)
def test_each_outcome_is_written_down_with_what_follows(
    desk: Desk, outcome: Outcome | None, row: tuple[str, int, str | None], *, paused: bool, blocked: bool
) -> None:
    person = make_user(desk.db, telegram_id=1)
    desk.queue("a")
    (claimed,) = DispatchCRUD(desk.db).claim()
    call = Call.of(claimed)
    desk.database.run(lambda session: record(session, call, outcome))
    found = desk.db.execute(select(Dispatch.state, Dispatch.attempts, Dispatch.error)).one()
    desk.db.refresh(person)
    assert tuple(found) == row
    assert (DispatchCRUD(desk.db).paused_until() is not None, person.blocked_bot_at is not None) == (paused, blocked)
    desk.database.run(lambda session: record(session, call, Refused("rejected: late", blocked=True)))
    desk.db.refresh(person)
    if row[0] == "sent":  # nothing follows from what comes after
        assert (desk.states(), person.blocked_bot_at) == ([("sent", 1)], None)


def test_a_pause_lasts_as_long_as_telegram_said(desk: Desk) -> None:
    desk.queue("a")
    (claimed,) = DispatchCRUD(desk.db).claim()
    call = Call.of(claimed)
    desk.database.run(lambda session: record(session, call, Wait(30, flood=True)))
    until = DispatchCRUD(desk.db).paused_until()
    assert until is not None
    assert (until - clock.now()).total_seconds() == about(30)


def test_a_sender_that_lost_its_row_settles_nothing_of_what_it_sent(desk: Desk) -> None:
    """Its successor sends the letter anew, and needs the link in it."""
    link = "http://127.0.0.1:8000/reset/secret"
    row = LetterCRUD(desk.db).post("reset", to="anna@pupils.example", language="en", name="Anna", link=link)
    (claimed,) = DispatchCRUD(desk.db).claim(channel=EMAIL)
    first = Call.of(claimed)
    desk.db.execute(update(Dispatch).values(lease_until=clock.now() - timedelta(seconds=1)))
    (claimed,) = DispatchCRUD(desk.db).claim(channel=EMAIL)
    second = Call.of(claimed)

    def kept() -> tuple[str, int, bool]:
        found = desk.db.execute(select(Dispatch.state, Dispatch.attempts, Dispatch.params)).one()
        return found.state, found.attempts, "sealed" in found.params

    desk.database.run(lambda session: record(session, first, Sent()))
    assert (row.id, kept()) == (second.id, ("sending", 2, True))
    desk.database.run(lambda session: record(session, second, Sent()))
    assert kept() == ("sent", 2, False)
