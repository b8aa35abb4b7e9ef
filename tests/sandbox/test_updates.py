"""Receiving: offsets, kinds, conflicts, repeats."""

import time
from typing import Any

import pytest
from aiogram.exceptions import TelegramConflictError, TelegramUnauthorizedError
from aiogram.methods import (
    Close,
    DeleteWebhook,
    GetMe,
    GetMyCommands,
    GetMyName,
    GetUpdates,
    GetWebhookInfo,
    LogOut,
    SendMessage,
    SetMyCommands,
    SetMyName,
    SetWebhook,
)
from aiogram.types import BotCommand

from backend.sandbox.student import SandboxClient, Student, StudentRefusedError
from tests.sandbox.bots import Blocking, Scene
from tests.sandbox.test_messages import data, keys, refusal


def texts(bot: Blocking, **options: Any) -> list[str | None]:
    return [u.message.text for u in bot(GetUpdates(**options)) if u.message]


def test_updates_stay_until_they_are_confirmed(bot: Blocking, olga: Student) -> None:
    for text in ("a", "b", "c"):
        olga.send(text)
    assert texts(bot) == ["a", "b", "c"]
    assert texts(bot, limit=2) == ["a", "b"]
    second = bot(GetUpdates())[1].update_id
    assert texts(bot, offset=second) == ["b", "c"]
    assert texts(bot) == ["b", "c"]
    assert texts(bot, offset=-1) == ["c"]
    assert texts(bot, offset=second + 2) == []


def test_a_long_poll_answers_as_soon_as_there_is_something(bot: Blocking, olga: Student) -> None:
    waiting = bot.begin(GetUpdates(timeout=20))
    time.sleep(0.3)
    olga.send("now")
    assert [u.message.text for u in waiting.result(15) if u.message] == ["now"]


def test_the_second_poll_ends_the_first(bot: Blocking) -> None:
    first = bot.begin(GetUpdates(timeout=20))
    time.sleep(0.3)
    second = bot.begin(GetUpdates(timeout=1))
    with pytest.raises(TelegramConflictError) as caught:
        first.result(5)
    assert caught.value.message == (
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    )
    assert second.result(5) == []


def test_polling_and_webhook_exclude_each_other(bot: Blocking) -> None:
    bot(SetWebhook(url="http://127.0.0.1:9/hook"))
    with pytest.raises(TelegramConflictError) as caught:
        bot(GetUpdates())
    assert caught.value.message.startswith("Conflict: can't use getUpdates method while webhook")
    bot(DeleteWebhook())
    assert bot(GetUpdates()) == []


def test_the_list_of_kinds_is_sticky(bot: Blocking, olga: Student) -> None:
    bot(GetUpdates(offset=bot.offset, allowed_updates=["callback_query"]))
    bot(SendMessage(chat_id=olga.id, text="x", reply_markup=keys(data("a"))))
    olga.send("unheard")
    olga.press("Go", wait=0)
    found = bot(GetUpdates())
    assert [update.event_type for update in found] == ["callback_query"]
    assert bot(GetWebhookInfo()).allowed_updates == ["callback_query"]
    bot(GetUpdates(allowed_updates=[]))
    olga.send("heard")
    assert texts(bot) == ["heard"]


def test_an_update_is_repeated_under_its_id(bot: Blocking, olga: Student, scene: Scene) -> None:
    olga.send("once")
    first = bot.update()
    scene.box.repeat_update(bot=scene.account)
    again = bot(GetUpdates(offset=bot.offset, timeout=2))
    assert again == [first]
    assert bot(GetUpdates(offset=bot.offset)) == []


def test_a_wrong_token_is_unauthorized(box: SandboxClient, scene: Scene) -> None:
    other = Blocking(box.api, f"{scene.account.id}:sbx-wrong")
    with pytest.raises(TelegramUnauthorizedError):
        other(GetMe())
    other.close()


def test_logging_out_takes_effect(bot: Blocking) -> None:
    assert bot(LogOut()) is True
    assert refusal(bot, GetMe()) == "Bad Request: Logged out"


def test_close_is_refused_in_the_first_ten_minutes(bot: Blocking) -> None:
    with pytest.raises(Exception, match="Too Many Requests: retry after"):
        bot(Close())


def test_commands_are_kept_by_language(bot: Blocking) -> None:
    given = [BotCommand(command="help", description="Помощь")]
    bot(SetMyCommands(commands=given, language_code="ru"))
    kept = bot(GetMyCommands(language_code="ru"))
    assert [(c.command, c.description) for c in kept] == [("help", "Помощь")]
    assert bot(GetMyCommands()) == []


@pytest.mark.parametrize(
    ("command", "description", "said"),
    [
        ("Help", "x", "BOT_COMMAND_INVALID"),
        ("x" * 33, "x", "BOT_COMMAND_INVALID"),
        ("help", " ", "BOT_COMMAND_DESCRIPTION_INVALID"),
        ("help", "x" * 257, "BOT_COMMAND_DESCRIPTION_INVALID"),
    ],
)
def test_bad_commands_are_refused(bot: Blocking, command: str, description: str, said: str) -> None:
    method = SetMyCommands(commands=[BotCommand(command=command, description=description)])
    assert refusal(bot, method) == f"Bad Request: {said}"


def test_the_name_is_kept(bot: Blocking) -> None:
    assert bot(GetMyName()).name == "School"
    bot(SetMyName(name="Школа", language_code="ru"))
    assert bot(GetMyName(language_code="ru")).name == "Школа"
    assert refusal(bot, SetMyName(name="x" * 65)) == "Bad Request: name is too long"


# --- the student's own app


@pytest.mark.parametrize("payload", ["x" * 65, "a b", "é", "a=b"])
def test_deep_links_carry_64_safe_characters(olga: Student, payload: str) -> None:
    with pytest.raises(StudentRefusedError) as caught:
        olga.start(payload)
    assert caught.value.code == "bad_payload"


def test_a_deep_link_arrives_as_a_command(bot: Blocking, olga: Student) -> None:
    olga.start("promo_MAY-25")
    message = bot.update().message
    assert message is not None
    assert message.text == "/start promo_MAY-25"
    assert message.from_user is not None
    assert (message.from_user.id, message.from_user.language_code) == (olga.id, "ru")


def test_a_button_waits_for_its_answer(bot: Blocking, olga: Student) -> None:
    bot(SendMessage(chat_id=olga.id, text="x", reply_markup=keys(data("a"))))
    assert olga.press("Go", wait=0.2) is None
    query = bot.update().callback_query
    assert query is not None
    assert query.data == "a"
    assert refusal(bot, query.answer(text="x" * 201)) == "Bad Request: MESSAGE_TOO_LONG"
    unknown = type(query.answer())(callback_query_id="1")
    assert refusal(bot, unknown) == (
        "Bad Request: query is too old and response timeout expired or query ID is invalid"
    )


def test_a_forged_callback_reaches_the_bot(bot: Blocking, olga: Student) -> None:
    bot(SendMessage(chat_id=olga.id, text="x"))
    olga.press_data("admin:1", wait=0)
    query = bot.update().callback_query
    assert query is not None
    assert query.data == "admin:1"


def test_a_blocked_bot_hears_nothing(olga: Student) -> None:
    olga.block()
    with pytest.raises(StudentRefusedError) as caught:
        olga.send("hi")
    assert caught.value.code == "blocked"
