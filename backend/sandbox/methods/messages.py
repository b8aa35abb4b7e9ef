"""Sending: texts, files, albums, copies."""

import secrets
from typing import Any

from aiogram.methods import (
    CopyMessage,
    ForwardMessage,
    SendChatAction,
    SendDocument,
    SendMediaGroup,
    SendMessage,
    SendPhoto,
    SendVideo,
)
from aiogram.types import InputMediaDocument, InputMediaPhoto, InputMediaVideo

from backend.sandbox import rules
from backend.sandbox.errors import Json, bad_request
from backend.sandbox.hub import Call
from backend.sandbox.media import StoredFile
from backend.sandbox.methods.sending import deliver, find_reader, formatted, reader, with_text
from backend.sandbox.methods.table import performs
from backend.sandbox.models import Message
from backend.sandbox.requests import plain

ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
ALBUM = range(2, 11)


@performs(SendMessage)
def send_message(call: Call[SendMessage]) -> Json:
    request = call.method
    student, _chat = reader(call, request.chat_id)
    text, entities = formatted(request.text, request.parse_mode, request.entities)
    rules.text(text)
    call.note = text
    return deliver(call, student, with_text({}, "text", text, entities)).body


@performs(SendPhoto, SendVideo, SendDocument)
async def send_file(call: Call[Any]) -> Json:
    kind = type(call.method).__api_method__.removeprefix("send").lower()
    student, _chat = reader(call, call.method.chat_id)
    body, meta = await media_body(call, kind, getattr(call.method, kind), call.method)
    return deliver(call, student, body, meta).body


async def media_body(call: Call[Any], kind: str, source: object, given: Any) -> tuple[Json, Json]:
    """The part of a message that shows a file; and what the server keeps of it."""
    text, entities = formatted(given.caption or "", given.parse_mode, given.caption_entities)
    rules.caption(text)
    if not isinstance(source, str):
        raise bad_request(f"there is no {kind} in the request")
    stored = await call.hub.files.take(call.bot.id, kind, source, call.arguments)
    reused = not source.startswith("attach://")
    call.note = f"{stored.file_id[:12]}… {'file_id' if reused else stored.name}"
    body = with_text({}, "caption", text, entities)
    for flag in ("show_caption_above_media", "has_spoiler"):
        if plain(getattr(given, flag, None)):
            key = "has_media_spoiler" if flag == "has_spoiler" else flag
            body[key] = True
    body[kind] = describe(stored, given)
    return body, {"file_id": stored.file_id}


def describe(stored: StoredFile, given: Any = None) -> object:
    """A file as the Bot API shows it; for a photo, the list of its sizes."""
    shown: Json = {"file_id": stored.file_id, **stored.body}
    if stored.kind == "photo":
        return [shown]
    shown |= {"file_name": stored.name, "mime_type": stored.mime}
    if stored.kind == "video":
        for side in ("width", "height", "duration"):
            shown[side] = _number(getattr(given, side, None))
    return shown


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


@performs(SendMediaGroup)
async def send_media_group(call: Call[SendMediaGroup]) -> list[Json]:
    student, _chat = reader(call, call.method.chat_id)
    items = call.method.media
    if len(items) not in ALBUM:
        raise bad_request("wrong number of messages in the album: must be 2-10")
    kinds = {item.type for item in items}
    if "document" in kinds and len(kinds) > 1:
        raise bad_request("document can't be mixed with other media types")
    album, bodies = str(secrets.randbits(53)), []
    for item in items:
        if not isinstance(item, InputMediaPhoto | InputMediaVideo | InputMediaDocument):
            raise bad_request("can't use the media of the specified type in the album")
        bodies.append(await media_body(call, str(item.type), item.media, item))
    sent = []
    for body, meta in bodies:
        sent.append(deliver(call, student, {"media_group_id": album, **body}, meta).body)
    return sent


@performs(SendChatAction)
def send_chat_action(call: Call[SendChatAction]) -> bool:
    reader(call, call.method.chat_id)
    if call.method.action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    call.note = call.method.action
    return True


def _original(call: Call[Any], noun: str) -> Message:
    source = find_reader(call, call.method.from_chat_id)
    message = call.hub.world.find_message(call.bot.id, source.id, call.method.message_id)
    if message is None:
        raise bad_request(f"message to {noun} not found")
    return message


CARRIED = (
    "text",
    "entities",
    "photo",
    "video",
    "document",
    "caption",
    "caption_entities",
    "show_caption_above_media",
    "has_media_spoiler",
)


@performs(CopyMessage)
def copy_message(call: Call[CopyMessage]) -> Json:
    original = _original(call, "copy")
    rules.shareable(original, "copied")
    student, _chat = reader(call, call.method.chat_id)
    body = {key: original.body[key] for key in CARRIED if key in original.body}
    if not body:
        raise bad_request("message can't be copied")
    if call.method.caption is not None and "text" not in body:
        text, entities = formatted(call.method.caption, call.method.parse_mode, call.method.caption_entities)
        rules.caption(text)
        with_text(body, "caption", text, entities)
    return {"message_id": deliver(call, student, body, original.meta).message_id}


@performs(ForwardMessage)
def forward_message(call: Call[ForwardMessage]) -> Json:
    original = _original(call, "forward")
    rules.shareable(original, "forwarded")
    student, _chat = reader(call, call.method.chat_id)
    body = {key: original.body[key] for key in (*CARRIED, "invoice") if key in original.body}
    if not body:
        raise bad_request("message can't be forwarded")
    body["forward_origin"] = {
        "type": "user",
        "sender_user": original.body["from"],
        "date": original.date,
    }
    return deliver(call, student, body, original.meta).body
