"""Sending, editing and deleting, as Telegram allows it and no further."""

from typing import Any

import pytest
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramNotFound
from aiogram.methods import (
    CopyMessage,
    DeleteMessage,
    DeleteMessages,
    EditMessageReplyMarkup,
    EditMessageText,
    ForwardMessage,
    GetChat,
    GetChatMember,
    SendChatAction,
    SendMessage,
    SendPoll,
    TelegramMethod,
)
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputPollOption,
    KeyboardButton,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    ReplyParameters,
    WebAppInfo,
)

from backend.sandbox.student import SandboxClient, Student
from tests.sandbox.bots import Blocking, Scene, some

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


def keys(*buttons: InlineKeyboardButton) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[[button] for button in buttons])


def data(value: str, text: str = "Go") -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=value)


def refusal(bot: Blocking, method: TelegramMethod[Any]) -> str:
    with pytest.raises(TelegramBadRequest) as caught:
        bot(method)
    return caught.value.message


def test_a_sent_message_is_read_by_the_student(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text="Hello", reply_markup=keys(data("a", "Open"))))
    read = olga.last
    assert (read.id, read.text, read.rows) == (sent.message_id, "Hello", [["Open"]])
    assert sent.chat.id == olga.id
    assert sent.from_user is not None
    assert sent.from_user.is_bot


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "message text is empty"),
        ("   \n ", "message text is empty"),
        ("x" * 4097, "message is too long"),
        ("😀" * 2049, "message is too long"),
        ("<b></b>", "message text is empty"),
        ("<b>x", "can't parse entities: Can't find end tag corresponding to start tag \"b\""),
        ("a < b", "can't parse entities: Unclosed start tag at byte offset 2"),
        ("ж<div>x</div>", 'can\'t parse entities: Unsupported start tag "div" at byte offset 2'),
        ("x</b>", "can't parse entities: Unexpected end tag at byte offset 1"),
    ],
)
def test_bad_texts_are_refused(bot: Blocking, olga: Student, text: str, said: str) -> None:
    method = SendMessage(chat_id=olga.id, text=text, parse_mode="HTML")
    assert refusal(bot, method) == f"Bad Request: {said}"


def test_the_length_is_counted_after_the_markup(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text=f"<b>{'x' * 4096}</b>", parse_mode="HTML"))
    assert len(sent.text or "") == 4096


def test_other_markup_is_refused_clearly(bot: Blocking, olga: Student) -> None:
    method = SendMessage(chat_id=olga.id, text="*x*", parse_mode="MarkdownV2")
    assert "the sandbox reads HTML only" in refusal(bot, method)
    method = SendMessage(chat_id=olga.id, text="x", parse_mode="BBCode")
    assert refusal(bot, method) == "Bad Request: unsupported parse_mode"


@pytest.mark.parametrize(
    ("button", "said"),
    [
        (data("x" * 65), "BUTTON_DATA_INVALID"),
        (data("ж" * 33), "BUTTON_DATA_INVALID"),
        (
            InlineKeyboardButton(text="Go"),
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (
            data(""),
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (data("a", text=" "), "inline keyboard button text must be non-empty"),
        (
            InlineKeyboardButton(text="Go", url="http://localhost/x"),
            "inline keyboard button URL 'http://localhost/x' is invalid: Wrong HTTP URL",
        ),
        (
            InlineKeyboardButton(text="Go", web_app=WebAppInfo(url="http://school.example")),
            ("inline keyboard button Web App URL 'http://school.example' is invalid: Only HTTPS links are allowed"),
        ),
        (InlineKeyboardButton(text="Pay", pay=True), "BUTTON_TYPE_INVALID"),
    ],
)
def test_bad_buttons_are_refused(bot: Blocking, olga: Student, button: InlineKeyboardButton, said: str) -> None:
    method = SendMessage(chat_id=olga.id, text="x", reply_markup=keys(button))
    assert refusal(bot, method) == f"Bad Request: {said}"


def test_callback_data_may_have_64_bytes(bot: Blocking, olga: Student) -> None:
    bot(SendMessage(chat_id=olga.id, text="x", reply_markup=keys(data("ж" * 32))))
    assert olga.last.buttons[0].data == "ж" * 32


def test_a_keyboard_has_its_limits(bot: Blocking, olga: Student) -> None:
    many = InlineKeyboardMarkup(inline_keyboard=[[data("a")]] * 101)
    wide = InlineKeyboardMarkup(inline_keyboard=[[data("a")] * 9])
    for markup in (many, wide):
        method = SendMessage(chat_id=olga.id, text="x", reply_markup=markup)
        assert refusal(bot, method) == "Bad Request: reply markup is too long"


def test_a_reply_keyboard_belongs_to_the_chat(bot: Blocking, olga: Student) -> None:
    menu = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Help")]])
    sent = bot(SendMessage(chat_id=olga.id, text="x", reply_markup=menu))
    assert sent.reply_markup is None
    assert olga.keyboard == [["Help"]]
    bot(SendMessage(chat_id=olga.id, text="y", reply_markup=ReplyKeyboardRemove()))
    assert olga.keyboard == []


def test_strangers_cannot_be_written_to(bot: Blocking, scene: Scene) -> None:
    newcomer = scene.box.student("New", bot=scene.account)
    assert refusal(bot, SendMessage(chat_id=newcomer.id, text="x")) == "Bad Request: chat not found"
    assert refusal(bot, SendMessage(chat_id=1, text="x")) == "Bad Request: chat not found"
    assert refusal(bot, SendMessage(chat_id="@nobody", text="x")) == "Bad Request: chat not found"
    assert refusal(bot, SendMessage(chat_id=2**70, text="x")) == "Bad Request: chat not found"


def test_a_block_is_told_and_holds(bot: Blocking, olga: Student) -> None:
    olga.block()
    change = bot.update().my_chat_member
    assert change is not None
    assert (change.old_chat_member.status, change.new_chat_member.status) == ("member", "kicked")
    methods: list[TelegramMethod[Any]] = [
        SendMessage(chat_id=olga.id, text="x"),
        SendChatAction(chat_id=olga.id, action="typing"),
    ]
    for method in methods:
        with pytest.raises(TelegramForbiddenError) as caught:
            bot(method)
        assert caught.value.message == "Forbidden: bot was blocked by the user"
    olga.start()
    change = bot.update().my_chat_member
    assert change is not None
    assert change.new_chat_member.status == "member"
    assert some(bot.update().message).text == "/start"
    bot(SendMessage(chat_id=olga.id, text="x"))


def test_a_deleted_account_is_gone(bot: Blocking, olga: Student) -> None:
    olga.delete_account()
    with pytest.raises(TelegramForbiddenError) as caught:
        bot(SendMessage(chat_id=olga.id, text="x"))
    assert caught.value.message == "Forbidden: user is deactivated"


def test_topics_do_not_exist_in_private_chats(bot: Blocking, olga: Student) -> None:
    method = SendMessage(chat_id=olga.id, text="x", message_thread_id=3)
    assert refusal(bot, method) == "Bad Request: message thread not found"


def test_a_reply_names_its_message(bot: Blocking, olga: Student) -> None:
    asked = olga.send("When?")
    sent = bot(SendMessage(chat_id=olga.id, text="Now", reply_parameters=ReplyParameters(message_id=asked.id)))
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "When?"
    method = SendMessage(chat_id=olga.id, text="Now", reply_parameters=ReplyParameters(message_id=9999))
    assert refusal(bot, method) == "Bad Request: message to be replied not found"


# --- editing


def test_an_edit_changes_text_and_takes_the_keyboard_away(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text="a", reply_markup=keys(data("x"))))
    bot(EditMessageText(chat_id=olga.id, message_id=sent.message_id, text="b"))
    read = olga.last
    assert (read.id, read.text, read.rows) == (sent.message_id, "b", [])
    assert read.edited is not None


def test_an_edit_that_changes_nothing_is_refused(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text="<b>a</b>", parse_mode="HTML"))
    same = EditMessageText(chat_id=olga.id, message_id=sent.message_id, text="<strong>a</strong> ", parse_mode="HTML")
    assert refusal(bot, same) == f"Bad Request: {NOT_MODIFIED}"
    markup = EditMessageReplyMarkup(chat_id=olga.id, message_id=sent.message_id)
    assert refusal(bot, markup) == f"Bad Request: {NOT_MODIFIED}"


def test_only_own_messages_can_be_edited(bot: Blocking, olga: Student) -> None:
    said = olga.send("mine")
    method = EditMessageText(chat_id=olga.id, message_id=said.id, text="b")
    assert refusal(bot, method) == "Bad Request: message can't be edited"
    method = EditMessageText(chat_id=olga.id, message_id=9999, text="b")
    assert refusal(bot, method) == "Bad Request: message to edit not found"
    assert refusal(bot, EditMessageText(text="b")) == "Bad Request: chat_id is empty"


def test_a_deleted_message_is_gone(bot: Blocking, olga: Student) -> None:
    first, second = (bot(SendMessage(chat_id=olga.id, text=text)) for text in "ab")
    assert bot(DeleteMessage(chat_id=olga.id, message_id=first.message_id)) is True
    assert [message.text for message in olga.from_bot()] == ["b"]
    method = DeleteMessage(chat_id=olga.id, message_id=first.message_id)
    assert refusal(bot, method) == "Bad Request: message to delete not found"
    bot(DeleteMessages(chat_id=olga.id, message_ids=[first.message_id, second.message_id]))
    assert olga.from_bot() == []


# --- copies


def test_protected_content_cannot_leave(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text="lesson", protect_content=True))
    assert olga.last.protected
    ids: dict[str, Any] = {
        "chat_id": olga.id,
        "from_chat_id": olga.id,
        "message_id": sent.message_id,
    }
    assert refusal(bot, ForwardMessage(**ids)) == "Bad Request: message can't be forwarded"
    assert refusal(bot, CopyMessage(**ids)) == "Bad Request: message can't be copied"


def test_open_content_can_be_forwarded_and_copied(bot: Blocking, olga: Student) -> None:
    sent = bot(SendMessage(chat_id=olga.id, text="news"))
    ids: dict[str, Any] = {
        "chat_id": olga.id,
        "from_chat_id": olga.id,
        "message_id": sent.message_id,
    }
    assert bot(ForwardMessage(**ids)).forward_origin is not None
    assert bot(CopyMessage(**ids)).message_id == sent.message_id + 2
    assert [message.text for message in olga.from_bot()] == ["news"] * 3


# --- the rest


def test_unknown_methods_are_not_found(bot: Blocking, box: SandboxClient) -> None:
    class Nothing(SendMessage):
        __api_method__ = "sendNothing"

    with pytest.raises(TelegramNotFound) as caught:
        bot(Nothing(chat_id=1, text="x"))
    assert caught.value.message == "Not Found: method not found"


def test_what_the_sandbox_does_not_do_is_said(bot: Blocking, olga: Student) -> None:
    options: list[InputPollOption | str] = ["a", "b"]
    with pytest.raises(Exception, match="Not Implemented: the sandbox has no sendPoll"):
        bot(SendPoll(chat_id=olga.id, question="?", options=options))


def test_chats_and_members_are_known(bot: Blocking, olga: Student) -> None:
    chat = bot(GetChat(chat_id=olga.id))
    assert (chat.id, chat.type, chat.username) == (olga.id, "private", "olga")
    assert bot(GetChatMember(chat_id=olga.id, user_id=olga.id)).status == "member"


def test_a_chat_action_must_be_known(bot: Blocking, olga: Student) -> None:
    assert bot(SendChatAction(chat_id=olga.id, action="typing")) is True
    method = SendChatAction(chat_id=olga.id, action="dancing")
    assert refusal(bot, method) == "Bad Request: wrong parameter action in request"


def test_several_people_have_several_chats(scene: Scene, bot: Blocking, olga: Student) -> None:
    ivan = scene.box.student("Ivan", bot=scene.account)
    ivan.start()
    bot(SendMessage(chat_id=ivan.id, text="for Ivan"))
    assert [message.text for message in ivan.from_bot()] == ["for Ivan"]
    assert olga.from_bot() == []
