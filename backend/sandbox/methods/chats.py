"""Looking at chats, people and files; answering buttons."""

import time

from aiogram.methods import AnswerCallbackQuery, GetChat, GetChatMember, GetFile

from backend.sandbox import rules
from backend.sandbox.errors import QUERY_TOO_OLD, Json, bad_request
from backend.sandbox.hub import Call
from backend.sandbox.media import DOWNLOAD_BYTES
from backend.sandbox.methods.sending import find_reader
from backend.sandbox.methods.table import performs
from backend.sandbox.requests import plain
from backend.sandbox.store import dump

TOAST = 200


@performs(GetChat)
def get_chat(call: Call[GetChat]) -> Json:
    student = find_reader(call, call.method.chat_id)
    return {
        **student.chat,
        "accent_color_id": student.hue,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": True,
            "limited_gifts": True,
            "unique_gifts": True,
            "premium_subscription": True,
            "gifts_from_channels": True,
        },
    }


@performs(GetChatMember)
def get_chat_member(call: Call[GetChatMember]) -> Json:
    student = find_reader(call, call.method.chat_id)
    if call.method.user_id == call.bot.id:
        return {"status": "member", "user": call.bot.user}
    if call.method.user_id != student.id:
        raise bad_request("PARTICIPANT_ID_INVALID")
    return {"status": "member", "user": student.user}


@performs(GetFile)
def get_file(call: Call[GetFile]) -> Json:
    stored = call.hub.files.find(call.bot.id, call.method.file_id)
    if stored is None:
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    if stored.body["file_size"] > DOWNLOAD_BYTES:
        raise bad_request("file is too big")
    return {
        "file_id": stored.file_id,
        "file_unique_id": stored.body["file_unique_id"],
        "file_size": stored.body["file_size"],
        "file_path": stored.path,
    }


@performs(AnswerCallbackQuery)
def answer_callback(call: Call[AnswerCallbackQuery]) -> bool:
    hub, request = call.hub, call.method
    row = hub.store.one(
        "SELECT * FROM callbacks WHERE id = ? AND bot_id = ?",
        request.callback_query_id,
        call.bot.id,
    )
    if row is None or time.time() - row["created"] > rules.CALLBACK_SECONDS:
        raise bad_request(QUERY_TOO_OLD)
    call.student_id = row["student_id"]
    text = plain(request.text) or ""
    if len(text) > TOAST:
        raise bad_request("MESSAGE_TOO_LONG")
    call.note = text
    answer: Json = {"text": text, "alert": bool(request.show_alert), "url": plain(request.url)}
    hub.store.run(
        "UPDATE callbacks SET answer = ? WHERE id = ? AND answer IS NULL",
        dump(answer),
        request.callback_query_id,
    )
    hub.signals.wake(f"callback:{request.callback_query_id}")
    return True
