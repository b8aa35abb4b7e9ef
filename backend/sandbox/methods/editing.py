"""Changing and removing what was sent."""

import time
from typing import Any

from aiogram.methods import (
    DeleteMessage,
    DeleteMessages,
    EditMessageCaption,
    EditMessageMedia,
    EditMessageReplyMarkup,
    EditMessageText,
)

from backend.sandbox import rules
from backend.sandbox.errors import NOT_MODIFIED, Json, bad_request
from backend.sandbox.hub import Call
from backend.sandbox.keyboards import no_pay, pay_button, pay_first
from backend.sandbox.methods.messages import media_body
from backend.sandbox.methods.sending import find_reader, formatted, reader, with_text
from backend.sandbox.methods.table import performs
from backend.sandbox.models import Message
from backend.sandbox.requests import dump_model

MEDIA = ("photo", "video", "document")
COMPARED = (
    "text",
    "entities",
    "caption",
    "caption_entities",
    "reply_markup",
    "show_caption_above_media",
    *MEDIA,
)
MANY = 100


def _editable(call: Call[Any]) -> Message:
    request = call.method
    if request.inline_message_id is not None:
        raise bad_request("MESSAGE_ID_INVALID")
    if request.chat_id is None:
        raise bad_request("chat_id is empty")
    if request.message_id is None:
        raise bad_request("message identifier is not specified")
    student, _chat = reader(call, request.chat_id)
    message = call.hub.world.find_message(call.bot.id, student.id, request.message_id)
    if message is None:
        raise bad_request("message to edit not found")
    if not message.by_bot:
        raise bad_request("message can't be edited")
    return message


def _save(call: Call[Any], message: Message, body: Json, meta: Json | None = None) -> Json:
    """Keeps the new body; an edit without a keyboard takes the old one away, as at Telegram."""
    markup = call.method.reply_markup
    body.pop("reply_markup", None)
    if "invoice" in body:
        pay_first(markup)
        body["reply_markup"] = pay_button(body["invoice"]["total_amount"])
    else:
        no_pay(markup)
    if markup is not None:
        body["reply_markup"] = dump_model(markup)
    if all(body.get(key) == message.body.get(key) for key in COMPARED):
        raise bad_request(NOT_MODIFIED)
    message.body = body | {"edit_date": int(time.time())}
    if meta is not None:
        message.meta = meta
    call.hub.world.save_message(message)
    return message.body


@performs(EditMessageText)
def edit_text(call: Call[EditMessageText]) -> Json:
    message = _editable(call)
    if "text" not in message.body:
        raise bad_request("there is no text in the message to edit")
    request = call.method
    text, entities = formatted(request.text or "", request.parse_mode, request.entities)
    rules.text(text)
    call.note = text
    return _save(call, message, with_text(dict(message.body), "text", text, entities))


@performs(EditMessageCaption)
def edit_caption(call: Call[EditMessageCaption]) -> Json:
    message = _editable(call)
    if not any(kind in message.body for kind in MEDIA):
        raise bad_request("there is no caption in the message to edit")
    request = call.method
    text, entities = formatted(request.caption or "", request.parse_mode, request.caption_entities)
    rules.caption(text)
    call.note = text
    return _save(call, message, with_text(dict(message.body), "caption", text, entities))


@performs(EditMessageMedia)
async def edit_media(call: Call[EditMessageMedia]) -> Json:
    message, item = _editable(call), call.method.media
    if item.type not in MEDIA:
        raise bad_request("unsupported type of media")
    if "media_group_id" in message.body and str(item.type) == "document":
        raise bad_request("can't use the media of the specified type in the album")
    shown, meta = await media_body(call, str(item.type), item.media, item)
    dropped = {*MEDIA, "text", "entities", "caption", "caption_entities", "has_media_spoiler"}
    body = {key: value for key, value in message.body.items() if key not in dropped}
    return _save(call, message, body | shown, meta)


@performs(EditMessageReplyMarkup)
def edit_markup(call: Call[EditMessageReplyMarkup]) -> Json:
    message = _editable(call)
    return _save(call, message, dict(message.body))


@performs(DeleteMessage)
def delete_message(call: Call[DeleteMessage]) -> bool:
    student = find_reader(call, call.method.chat_id)
    message = call.hub.world.find_message(call.bot.id, student.id, call.method.message_id)
    if message is None:
        raise bad_request("message to delete not found")
    rules.deletable(message)
    call.hub.world.delete_message(message)
    return True


@performs(DeleteMessages)
def delete_messages(call: Call[DeleteMessages]) -> bool:
    student = find_reader(call, call.method.chat_id)
    if not call.method.message_ids:
        raise bad_request("message identifiers are not specified")
    if len(call.method.message_ids) > MANY:
        raise bad_request("too many message identifiers specified")
    for message_id in call.method.message_ids:
        message = call.hub.world.find_message(call.bot.id, student.id, message_id)
        if message is not None and time.time() - message.date < rules.DELETABLE:
            call.hub.world.delete_message(message)
    return True
