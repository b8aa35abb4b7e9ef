"""What aiogram would never send but other clients do; and the student's tools themselves."""

import json

import httpx2
import pytest
from aiogram.methods import (
    DeleteMyCommands,
    EditMessageCaption,
    EditMessageReplyMarkup,
    GetChatMember,
    GetChatMenuButton,
    GetMyCommands,
    SendMessage,
    SetChatMenuButton,
    SetMyCommands,
)
from aiogram.types import BotCommand, MenuButtonDefault

from backend.sandbox.student import NoAnswerError, SandboxClient, Student, StudentRefusedError
from tests.sandbox.bots import Blocking, Scene
from tests.sandbox.clerk import Clerk
from tests.sandbox.test_messages import data, keys, refusal


def said(scene: Scene, **fields: object) -> str:
    """Telegram's complaint about a raw sendMessage."""
    given = {"chat_id": scene.olga.id, "text": "x", **fields}
    answer = httpx2.post(f"{scene.box.api}/bot{scene.account.token}/sendMessage", json=given)
    described: str = answer.json().get("description", "")
    return described.removeprefix("Bad Request: ")


@pytest.mark.parametrize(
    ("markup", "complaint"),
    [
        ("{", "can't parse reply keyboard markup JSON object"),
        ([], "object expected as reply markup"),
        (
            {"inline_keyboard": "x"},
            'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays',
        ),
        ({"keyboard": ["x"]}, 'field "keyboard" must be an Array of Arrays'),
        (
            {"inline_keyboard": [["x"]]},
            "can't parse inline keyboard button: InlineKeyboardButton must be an Object",
        ),
        (
            {"inline_keyboard": [[{"callback_data": "x"}]]},
            "can't parse inline keyboard button: Can't find field \"text\"",
        ),
        ({"keyboard": [[" "]]}, "keyboard button text must be non-empty"),
        ({"keyboard": [["Menu"]]}, ""),
        ({"remove_keyboard": True}, ""),
        ({"force_reply": True}, ""),
        ({"inline_keyboard": []}, ""),
        ({}, ""),
    ],
)
def test_raw_keyboards(scene: Scene, markup: object, complaint: str) -> None:
    assert said(scene, reply_markup=markup) == complaint


def test_a_button_of_the_wrong_shape_is_named(scene: Scene) -> None:
    markup = {"inline_keyboard": [[{"text": "x", "web_app": 5}]]}
    where = "can't parse reply keyboard markup: inline_keyboard.0.0.web_app"
    assert said(scene, reply_markup=markup).startswith(where)


def test_other_odd_requests(scene: Scene) -> None:
    assert said(scene, chat_id={}) == "chat not found"
    assert said(scene, entities="[") == "can't parse entities JSON object"
    far = [{"type": "bold", "offset": 0, "length": 9}]
    assert said(scene, entities=far) == "ENTITY_BOUNDS_INVALID"
    assert said(scene, business_connection_id="x") == "business connection not found"
    assert said(scene, text=["x"]).startswith('can\'t parse "text"')
    assert said(scene, unknown="ignored") == ""


def test_a_method_can_be_a_link(scene: Scene) -> None:
    query = {"chat_id": str(scene.olga.id), "text": "by GET"}
    httpx2.get(f"{scene.box.api}/bot{scene.account.token}/SENDMESSAGE", params=query)
    assert scene.olga.last.text == "by GET"


def test_the_menu_button_and_commands_are_kept(bot: Blocking, olga: Student) -> None:
    assert bot(GetChatMenuButton()).type == "commands"
    bot(SetChatMenuButton(chat_id=olga.id, menu_button=MenuButtonDefault()))
    assert bot(GetChatMenuButton(chat_id=olga.id)).type == "default"
    bot(SetChatMenuButton())
    assert bot(GetChatMenuButton()).type == "default"
    bot(SetMyCommands(commands=[BotCommand(command="/help", description="Help")]))
    assert [command.command for command in bot(GetMyCommands())] == ["help"]
    bot(DeleteMyCommands())
    assert bot(GetMyCommands()) == []


def test_members_and_markups(bot: Blocking, olga: Student) -> None:
    assert bot(GetChatMember(chat_id=olga.id, user_id=bot.bot.id)).status == "member"
    stranger = GetChatMember(chat_id=olga.id, user_id=5)
    assert refusal(bot, stranger) == "Bad Request: PARTICIPANT_ID_INVALID"
    sent = bot(SendMessage(chat_id=olga.id, text="x"))
    bot(EditMessageReplyMarkup(chat_id=olga.id, message_id=sent.message_id, reply_markup=keys(data("a", "New"))))
    assert olga.last.rows == [["New"]]
    inline = EditMessageCaption(inline_message_id="x", caption="x")
    assert refusal(bot, inline) == "Bad Request: MESSAGE_ID_INVALID"


# --- the student's tools


def test_duties_are_seen(box: SandboxClient) -> None:
    account = box.create_bot()
    clerk = Clerk(box.api, account.token)
    olga = box.student("Olga", bot=account)
    assert olga.duties() == {"/terms": True, "/support": True, "/paysupport": True}
    olga.rename(first_name="Olya", language_code="en")
    assert (olga.first_name, olga.profile["language_code"]) == ("Olya", "en")
    assert olga.ask("hello", "You said hello").text == "You said hello"
    assert [message.text for message in olga.quiet(0.3)] == ["You said hello"]
    clerk.close()


def test_waiting_in_vain_tells_what_was_there(bot: Blocking, olga: Student) -> None:
    bot(SendMessage(chat_id=olga.id, text="something else"))
    with pytest.raises(NoAnswerError, match="something else"):
        olga.wait("expected", timeout=0.2)
    with pytest.raises(NoAnswerError, match="no button 'Buy'"):
        olga.last.button("Buy")
    with pytest.raises(NoAnswerError):
        SandboxClient.wait_until(lambda: False, timeout=0.1)


@pytest.mark.parametrize(
    ("token", "username", "code"),
    [("nonsense", "good_bot", "bad_token"), ("12:abc", "x", "bad_username")],
)
def test_bots_need_a_proper_name(box: SandboxClient, token: str, username: str, code: str) -> None:
    with pytest.raises(StudentRefusedError) as caught:
        box.create_bot("School", username, token)
    assert caught.value.code == code


def test_students_have_ids_of_their_own(box: SandboxClient) -> None:
    anna = box.student("Anna", id=77)
    with pytest.raises(StudentRefusedError) as caught:
        box.student("Anna", id=77)
    assert caught.value.code == "taken"
    with pytest.raises(StudentRefusedError):
        box.known(78)
    with pytest.raises(StudentRefusedError):
        anna.send("x" * 4097)
    with pytest.raises(StudentRefusedError):
        anna.send("  ")


def test_the_journal_hides_no_call(scene: Scene) -> None:
    scene.bot(SendMessage(chat_id=scene.olga.id, text="note"))
    line = scene.box.calls("sendMessage", scene.account)[-1]
    assert (line["direction"], line["ok"], line["note"]) == ("out", True, "note")
    assert line["detail"] == {"chat_id": str(scene.olga.id), "text": "note"}
    assert scene.account.token not in json.dumps(scene.box.journal(bot=scene.account))
