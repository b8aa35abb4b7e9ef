from aiogram import F
from aiogram.enums import ContentType

from backend.bot.handlers.menu import show_menu
from backend.bot.routes import TalkRouter
from backend.bot.talk import Talk
from backend.bot.texts import menu as texts

# What a person may send; the rest are service messages, which want no answer.
SAID = {
    ContentType.TEXT,
    ContentType.PHOTO,
    ContentType.VIDEO,
    ContentType.VOICE,
    ContentType.VIDEO_NOTE,
    ContentType.AUDIO,
    ContentType.ANIMATION,
    ContentType.DOCUMENT,
    ContentType.STICKER,
    ContentType.CONTACT,
    ContentType.LOCATION,
    ContentType.POLL,
    ContentType.STORY,
}
LONGEST_DRAFT = 1500  # characters: the memory of a chat holds 8 KB


async def unknown_text(talk: Talk) -> None:
    text = talk.text
    # A mistyped command is no message to support.
    kept = text and not text.startswith("/") and len(text) <= LONGEST_DRAFT
    talk.memory.draft = text if kept else None
    await talk.show(texts.not_understood(draft=talk.memory.draft is not None))


async def unknown_button(talk: Talk) -> None:
    """Data of an older version, or made up by someone's own client."""
    await talk.toast(texts.stale_button())
    await show_menu(talk)


def make_router() -> TalkRouter:
    router = TalkRouter(name="fallback")
    router.said(unknown_text, F.content_type.in_(SAID))
    router.pressed(unknown_button)
    return router
