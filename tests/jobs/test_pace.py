"""Never over thirty in any second nor two a second in a chat, on a clock that the test moves."""

import asyncio
from bisect import bisect_left
from itertools import pairwise

from backend.jobs.pace import Pace


class Clock:
    """Sleeping moves the time; some sleeps take longer than asked, as on a busy machine."""

    def __init__(self, hiccup: float = 0.0) -> None:
        self.time = 100.0
        self.naps = 0
        self.hiccup = hiccup

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.naps += 1
        late = self.hiccup if self.naps % 40 == 0 else 0.0
        until = self.time + seconds + late
        await asyncio.sleep(0)
        self.time = max(self.time, until)


def sent_times(chats: list[int], hiccup: float = 0.0) -> list[tuple[float, int]]:
    clock, times = Clock(hiccup), list[tuple[float, int]]()

    async def main() -> None:
        pace = Pace(clock.now, clock.sleep)
        for chat in chats:
            await pace.turn(chat)
            times.append((clock.now(), chat))

    asyncio.run(main())
    return times


def most_in_a_second(times: list[float]) -> int:
    return max(at + 1 - bisect_left(times, moment - 1 + 1e-9) for at, moment in enumerate(times))


def test_three_hundred_messages_leave_evenly() -> None:
    times = [moment for moment, _chat in sent_times(list(range(1, 301)))]
    assert most_in_a_second(times) == 29
    assert round(times[-1] - times[0], 2) == round(299 / 29, 2)


def test_a_pause_of_the_machine_is_not_made_up_for() -> None:
    times = [moment for moment, _chat in sent_times(list(range(1, 301)), hiccup=0.4)]
    assert most_in_a_second(times) <= 29


def test_a_chat_gets_one_message_a_second_and_a_group_twenty_a_minute() -> None:
    times = [moment for moment, _chat in sent_times([7] * 5)]
    assert [round(b - a, 2) for a, b in pairwise(times)] == [1.05] * 4
    times = [moment for moment, _chat in sent_times([-7] * 3)]
    assert [round(b - a, 2) for a, b in pairwise(times)] == [3.1] * 2


def test_a_slow_chat_does_not_hold_up_the_others() -> None:
    clock, order = Clock(), list[tuple[float, int]]()

    async def main() -> None:
        pace = Pace(clock.now, clock.sleep)
        await pace.turn(1)

        async def one(chat: int) -> None:
            await pace.turn(chat)
            order.append((round(clock.now() - 100, 1), chat))

        await asyncio.gather(one(1), one(2), one(3))

    asyncio.run(main())
    assert [chat for _moment, chat in order] == [2, 3, 1]
