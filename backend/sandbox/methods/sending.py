"""What every sent message goes through: its reader, its text, its keyboard and the pace."""

import time
from typing import Any

from aiogram.types import ForceReply, InlineKeyboardMarkup, MessageEntity, ReplyKeyboardMarkup

from backend.sandbox.entities import HtmlText, detect, trim, units
from backend.sandbox.errors import Json, bad_request, forbidden, too_many
from backend.sandbox.hub import Call
from backend.sandbox.keyboards import no_pay
from backend.sandbox.models import Chat, Message, Student
from backend.sandbox.requests import dump_model, plain


def reader(call: Call[Any], chat_id: object) -> tuple[Student, Chat]:
    """The student behind a chat, if the bot may write to them (rule 9: 403 marks the user)."""
    student = find_reader(call, chat_id)
    chat = call.hub.world.chat(call.bot.id, student.id)
    if student.deleted:
        raise forbidden("user is deactivated")
    if chat.blocked:
        raise forbidden("bot was blocked by the user")
    if not chat.started:
        raise forbidden("bot can't initiate conversation with a user")
    if plain(getattr(call.method, "business_connection_id", None)):
        raise bad_request("business connection not found")
    if plain(getattr(call.method, "message_thread_id", None)):
        # Rule 13: topics live in a supergroup, never in a private chat.
        raise bad_request("message thread not found")
    return student, chat


def find_reader(call: Call[Any], chat_id: object) -> Student:
    try:
        number = int(str(chat_id))
    except ValueError as error:
        raise bad_request("chat not found") from error
    student = call.hub.world.find_student(number) if abs(number) < 2**63 else None
    if student is None or not call.hub.world.chat(call.bot.id, number).rev:
        raise bad_request("chat not found")
    call.student_id = student.id
    return student


def formatted(text: str, parse_mode: object, entities: list[MessageEntity] | None) -> tuple[str, list[Json]]:
    """Plain text and entities, from HTML or from entities given as such."""
    mode = str(plain(parse_mode) or "").lower()
    if not mode or mode == "none":
        known = [dump_model(entity) for entity in entities or ()]
        whole = units(text)
        for entity in known:
            if entity["offset"] < 0 or entity["offset"] + entity["length"] > whole:
                raise bad_request("ENTITY_BOUNDS_INVALID")
    elif mode == "html":
        parsed = HtmlText(text).parse()
        text, known = parsed.plain, parsed.entities
    elif mode in {"markdown", "markdownv2"}:
        raise bad_request("can't parse entities: the sandbox reads HTML only, use parse_mode=HTML")
    else:
        raise bad_request("unsupported parse_mode")
    text, known = trim(text, known)
    return text, detect(text, known)


def with_text(body: Json, field: str, text: str, entities: list[Json]) -> Json:
    """`field` is "text" or "caption"; entities stand beside it under Telegram's name."""
    name = "entities" if field == "text" else "caption_entities"
    body.pop(name, None)
    body.pop(field, None)
    if text:
        body[field] = text
    if text and entities:
        body[name] = entities
    return body


def pace(call: Call[Any], chat_id: int) -> None:
    """Rule 9."""
    if not call.rule("rate"):
        return
    paid = bool(plain(getattr(call.method, "allow_paid_broadcast", None)))
    wait = call.hub.rates.retry_after(call.bot.id, chat_id, time.monotonic(), paid=paid)
    if wait:
        raise too_many(wait)


def deliver(call: Call[Any], student: Student, body: Json, meta: Json | None = None) -> Message:
    """Puts a message of the bot into the chat."""
    method, world = call.method, call.hub.world
    markup = plain(getattr(method, "reply_markup", None))
    if "invoice" not in body:
        no_pay(markup)
    body = {"from": call.bot.user, **body}
    if isinstance(markup, InlineKeyboardMarkup) and "reply_markup" not in body:
        body["reply_markup"] = dump_model(markup)
    if plain(getattr(method, "protect_content", None)):
        body["has_protected_content"] = True
    _reply(call, student, body)
    pace(call, student.id)
    with world.store.tx():
        _keyboard(call, student, markup)
        return world.add_message(call.bot.id, student.id, body, meta)


def _reply(call: Call[Any], student: Student, body: Json) -> None:
    asked = plain(getattr(call.method, "reply_parameters", None))
    if asked is None:
        return
    original = call.hub.world.find_message(call.bot.id, student.id, asked.message_id)
    if original is not None:
        kept = {key: value for key, value in original.body.items() if key != "reply_to_message"}
        body["reply_to_message"] = kept
    elif not plain(asked.allow_sending_without_reply):
        raise bad_request("message to be replied not found")


def _keyboard(call: Call[Any], student: Student, markup: object) -> None:
    """A reply keyboard belongs to the chat, not to the message."""
    if markup is None or isinstance(markup, InlineKeyboardMarkup):
        return
    chat = call.hub.world.chat(call.bot.id, student.id)
    chat.state.pop("keyboard", None)
    if isinstance(markup, ReplyKeyboardMarkup | ForceReply):
        chat.state["keyboard"] = dump_model(markup)
    call.hub.world.save_chat(chat)
