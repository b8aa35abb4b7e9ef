import asyncio

import structlog
from aiogram import F
from aiogram.enums import ChatAction
from aiogram.exceptions import TelegramAPIError, TelegramForbiddenError
from aiogram.filters import Command
from aiogram.utils.chat_action import ChatActionSender

from backend.bot.client import Api, Item
from backend.bot.handlers.catalogue import show_item
from backend.bot.http import ApiError, ApiRefusedError
from backend.bot.keyboards import PER_PAGE, Act, Go, OpenLesson, Place, at
from backend.bot.media import send_video
from backend.bot.routes import TalkRouter
from backend.bot.shelf import shelf_of
from backend.bot.talk import Talk
from backend.bot.telegram import described
from backend.bot.texts import library as texts
from backend.bot.texts import menu
from backend.bot.texts.catalogue import Shown
from backend.bot.texts.library import Owned
from backend.database.schemas.lessons import LessonContent

log = structlog.get_logger()

NOT_ENTITLED = "not_entitled"


async def library(talk: Talk, callback_data: Go | None = None) -> None:
    items = (await shelf_of(talk.api, talk.student.id)).items
    pages = max(1, -(-len(items) // PER_PAGE))
    number = min(callback_data.page if callback_data else 0, pages - 1)
    some = items[number * PER_PAGE : (number + 1) * PER_PAGE]
    rows = await asyncio.gather(*(_titled(talk.api, item) for item in some))
    await talk.show(texts.library(rows, Shown(number, pages)))


async def _titled(api: Api, item: Item) -> Owned:
    thing = await (api.course(item.id) if item.kind == "course" else api.lesson(item.id))
    return Owned(item, thing.title)


async def open_lesson(talk: Talk, callback_data: Act | OpenLesson) -> None:
    if isinstance(callback_data, Act):
        await _keep_if_free(talk, callback_data.item)
        await deliver(talk, callback_data.id, via=callback_data.via)
    else:
        await deliver(talk, callback_data.id)


async def _keep_if_free(talk: Talk, item: Item) -> None:
    """A free lesson becomes the student's when it is opened, by an order of nothing.

    Whatever the school says against it (they have it already), its content decides who may read.
    """
    try:
        if (await talk.api.lesson(item.id)).is_free:
            await talk.api.order(talk.student.id, item, None)
    except ApiRefusedError as error:
        log.info("free_lesson_not_kept", lesson=item.id, code=error.code)


async def deliver(talk: Talk, lesson_id: int, *, via: str = "") -> None:
    """Sends a lesson's content, which stays in the chat, and puts the living message under it."""
    try:
        lesson = await talk.api.content(talk.student.id, lesson_id, talk.bot.id)
    except ApiRefusedError as error:
        if error.code == NOT_ENTITLED:
            await show_item(talk, Item("lesson", lesson_id), via=via)
            return
        await talk.show(menu.gone(error.told))
        return
    await talk.answer()  # an upload takes longer than a button may spin
    await talk.take_away()
    video = await _sent_video(talk, lesson)
    messages = texts.content(lesson)
    if (link := texts.link(lesson)) is not None:
        messages = [link, *messages]
    for message in messages:
        await talk.bot.send_message(talk.chat_id, message, protect_content=True)
    empty = lesson.media is None and not messages
    await talk.show(texts.after_content(lesson, empty=empty, without_video=not video, via=via))


async def _sent_video(talk: Talk, lesson: LessonContent) -> bool:
    """False when there is one and it could not be sent: the text is worth having without it."""
    if lesson.media is None:
        return True
    try:
        async with ChatActionSender(bot=talk.bot, chat_id=talk.chat_id, action=ChatAction.UPLOAD_VIDEO):
            await send_video(talk.bot, talk.api, talk.chat_id, talk.student.id, lesson)
    except TelegramForbiddenError:
        raise
    except (TelegramAPIError, ApiError) as error:
        log.error("video_not_sent", lesson=lesson.lesson_id, error=described(error, talk.bot))
        return False
    return True


def make_router() -> TalkRouter:
    router = TalkRouter(name="library")
    router.said(library, Command("my"))
    router.pressed(library, at(Place.LIBRARY))
    router.pressed(open_lesson, Act.filter(F.verb == "open"))
    router.pressed(open_lesson, OpenLesson.filter())
    return router
