"""Rule 9 and the planned faults: what a bot must survive."""

import time

import pytest
from aiogram.exceptions import (
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import EditMessageText, GetUpdates, SendMessage

from backend.sandbox.rates import Rates
from backend.sandbox.student import Student, StudentRefusedError
from tests.sandbox.bots import Blocking, Scene


def test_a_burst_in_one_chat_is_stopped(bot: Blocking, olga: Student) -> None:
    def flood() -> None:
        for number in range(20):
            bot(SendMessage(chat_id=olga.id, text=str(number)))

    with pytest.raises(TelegramRetryAfter) as caught:
        flood()
    assert caught.value.retry_after == 1
    assert 10 <= len(olga.from_bot()) <= 13


def test_edits_are_not_counted(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text="x"))
    for number in range(20):
        bot(EditMessageText(chat_id=olga.id, message_id=sent.message_id, text=str(number)))
    assert olga.last.text == "19"


def test_the_pace_can_be_switched_off(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.rules(scene.account, rate=False)
    for number in range(20):
        bot(SendMessage(chat_id=olga.id, text=str(number)))
    assert len(olga.from_bot()) == 20


def test_thirty_a_second_in_all_then_nothing_for_a_while() -> None:
    rates = Rates()
    answers = [rates.retry_after(1, chat, now=100.0 + chat / 1000) for chat in range(40)]
    assert answers == [0] * 30 + [1] * 10
    assert rates.retry_after(1, 99, now=100.9) == 1
    assert rates.retry_after(1, 99, now=101.1) == 0
    assert rates.retry_after(2, 1, now=100.5) == 0


def test_one_a_second_in_a_chat_after_the_burst() -> None:
    rates = Rates()
    answers = [rates.retry_after(1, 5, now=100.0) for _ in range(11)]
    assert answers == [0] * 10 + [1]
    assert rates.retry_after(1, 5, now=101.0) == 0
    assert rates.retry_after(1, 5, now=101.5) == 1


def test_paid_broadcast_goes_faster() -> None:
    rates = Rates()
    answers = [rates.retry_after(1, chat, now=100.0, paid=True) for chat in range(1001)]
    assert answers == [0] * 1000 + [1]


def test_a_planned_429_names_its_pause(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.fault("429", retry_after=7, times=2, bot=scene.account)
    for _ in range(2):
        with pytest.raises(TelegramRetryAfter) as caught:
            bot(SendMessage(chat_id=olga.id, text="x"))
        assert caught.value.retry_after == 7
    bot(SendMessage(chat_id=olga.id, text="x"))
    assert [line["note"] for line in scene.box.calls("sendMessage", scene.account)] == [
        "Too Many Requests: retry after 7",
        "Too Many Requests: retry after 7",
        "x",
    ]


def test_the_server_may_fail(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.fault("500", bot=scene.account)
    with pytest.raises(TelegramServerError):
        bot(SendMessage(chat_id=olga.id, text="x"))
    scene.box.fault("502", bot=scene.account)
    with pytest.raises(Exception, match="Failed to decode object"):
        bot(SendMessage(chat_id=olga.id, text="x"))
    assert olga.from_bot() == []


def test_a_timeout_does_nothing(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.fault("timeout", seconds=0.3, bot=scene.account)
    with pytest.raises(TelegramServerError):
        bot(SendMessage(chat_id=olga.id, text="x"))
    assert olga.from_bot() == []


def test_an_answer_may_be_lost_after_the_deed(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.fault("lost", seconds=25, bot=scene.account)
    started = time.monotonic()
    with pytest.raises(TelegramNetworkError):
        bot.run(lambda b: b(SendMessage(chat_id=olga.id, text="once"), request_timeout=1))
    assert time.monotonic() - started < 15
    assert [message.text for message in olga.from_bot()] == ["once"]


def test_polling_fails_only_when_it_is_named(bot: Blocking, olga: Student, scene: Scene) -> None:
    scene.box.fault("500", bot=scene.account)
    assert bot(GetUpdates(offset=bot.offset)) == []
    scene.box.clear_faults(scene.account)
    scene.box.fault("500", method="getUpdates", bot=scene.account)
    with pytest.raises(TelegramServerError):
        bot(GetUpdates(offset=bot.offset))
    bot(SendMessage(chat_id=olga.id, text="x"))


@pytest.mark.parametrize(("kind", "method"), [("418", None), ("500", "sendNothing")])
def test_a_nonsense_fault_is_refused(scene: Scene, kind: str, method: str | None) -> None:
    with pytest.raises(StudentRefusedError):
        scene.box.fault(kind, method=method, bot=scene.account)
