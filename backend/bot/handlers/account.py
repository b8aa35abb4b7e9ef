import structlog
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.types import BotCommandScopeChat

from backend.bot.keyboards import Place, Speak, at
from backend.bot.profile import language_of
from backend.bot.routes import TalkRouter
from backend.bot.shelf import shelf_of
from backend.bot.talk import Talk
from backend.bot.texts import account as texts
from backend.bot.texts.menu import command_list
from backend.core.i18n import current_language

log = structlog.get_logger()


async def profile(talk: Talk) -> None:
    shelf = await shelf_of(talk.api, talk.student.id)
    await talk.show(texts.profile(talk.student, purchases=len(shelf.items)))


async def language(talk: Talk) -> None:
    await talk.show(texts.language(talk.student.ui_language))


async def choose_language(talk: Talk, callback_data: Speak) -> None:
    chosen = None if callback_data.language == "auto" else callback_data.language
    talk.student = await talk.api.choose_language(talk.student.id, chosen)
    current_language.set(language_of(talk.student))
    await _name_commands(talk, chosen)
    await talk.show(texts.language(talk.student.ui_language, note=texts.language_chosen()))


async def _name_commands(talk: Talk, chosen: str | None) -> None:
    """The list beside the field for typing follows the language of the chat; "auto" is Telegram's own choice again."""
    chat = BotCommandScopeChat(chat_id=talk.chat_id)
    try:
        if chosen is None:
            await talk.bot.delete_my_commands(scope=chat)
        else:
            await talk.bot.set_my_commands(command_list(), scope=chat)
    except TelegramAPIError as error:
        log.warning("commands_not_named", chat=talk.chat_id, why=error.message)


def make_router() -> TalkRouter:
    router = TalkRouter(name="account")
    router.said(profile, Command("profile"))
    router.said(language, Command("language"))
    router.pressed(profile, at(Place.PROFILE))
    router.pressed(language, at(Place.LANGUAGE))
    router.pressed(choose_language, Speak.filter())
    return router
