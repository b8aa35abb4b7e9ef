"""A lesson's video: uploaded once, from then on sent under the name that Telegram gave it."""

import asyncio
from collections.abc import AsyncGenerator
from weakref import WeakValueDictionary

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import InputFile, Message

from backend.bot.client import Api
from backend.bot.http import ApiError
from backend.bot.texts.library import caption
from backend.database.schemas.lessons import LessonContent
from backend.database.schemas.media import MediaContent

log = structlog.get_logger()

UPLOAD_SECONDS = 300
# What Telegram plays in place; anything else it would turn into a document, named as one.
PLAYED = "video/mp4"
_uploading: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()


class StoredFile(InputFile):
    """The bytes as the school hands them out, passed on to Telegram without being kept."""

    def __init__(self, api: Api, media: MediaContent) -> None:
        super().__init__(filename=media.filename)
        self.api = api
        self.media_id = media.id

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:
        async for chunk in self.api.media(self.media_id):
            yield chunk


async def send_video(bot: Bot, api: Api, chat_id: int, user_id: int, lesson: LessonContent) -> None:
    """Protected from forwarding and saving. Raises TelegramAPIError, ApiError."""
    media = lesson.media
    assert media is not None
    if media.file_id and await _sent_again(bot, chat_id, lesson, media, media.file_id):
        return
    lock = _uploading.setdefault(media.id, asyncio.Lock())
    async with lock:
        # Someone else may have uploaded it while we waited.
        fresh = await api.content(user_id, lesson.lesson_id, bot.id)
        known = fresh.media.file_id if fresh.media and fresh.media.id == media.id else None
        if known and known != media.file_id and await _sent_again(bot, chat_id, lesson, media, known):
            return
        sent = await _send(bot, chat_id, lesson, media, StoredFile(api, media))
        await _remember(bot, api, media, sent)


async def _sent_again(bot: Bot, chat_id: int, lesson: LessonContent, media: MediaContent, file_id: str) -> bool:
    """False when the name is worth nothing any more."""
    try:
        await _send(bot, chat_id, lesson, media, file_id)
    except TelegramBadRequest as error:
        log.info("file_id_refused", media=media.id, why=error.message)
        return False
    return True


async def _send(bot: Bot, chat_id: int, lesson: LessonContent, media: MediaContent, source: InputFile | str) -> Message:
    text, seconds = caption(lesson), UPLOAD_SECONDS
    if media.mime == PLAYED:
        return await bot.send_video(
            chat_id,
            source,
            caption=text,
            protect_content=True,
            supports_streaming=True,
            request_timeout=seconds,
        )
    return await bot.send_document(chat_id, source, caption=text, protect_content=True, request_timeout=seconds)


async def _remember(bot: Bot, api: Api, media: MediaContent, sent: Message) -> None:
    file = sent.video if media.mime == PLAYED else sent.document
    if file is None:
        return
    try:
        await api.remember_file(media.id, bot.id, file.file_id)
    except ApiError as error:
        log.warning("file_id_not_kept", media=media.id, error=str(error))
