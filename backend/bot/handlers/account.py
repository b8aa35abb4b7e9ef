from aiogram.filters import Command

from backend.bot.keyboards import Place, Speak, at
from backend.bot.profile import language_of
from backend.bot.routes import TalkRouter
from backend.bot.shelf import shelf_of
from backend.bot.talk import Talk
from backend.bot.texts import account as texts
from backend.core.i18n import current_language


async def profile(talk: Talk) -> None:
    shelf = await shelf_of(talk.api, talk.student.id)
    await talk.show(texts.profile(talk.student, purchases=len(shelf.items)))


async def language(talk: Talk) -> None:
    await talk.show(texts.language(talk.student.ui_language))


async def choose_language(talk: Talk, callback_data: Speak) -> None:
    chosen = None if callback_data.language == "auto" else callback_data.language
    talk.student = await talk.api.choose_language(talk.student.id, chosen)
    current_language.set(language_of(talk.student))
    await talk.show(texts.language(talk.student.ui_language, note=texts.language_chosen()))


def make_router() -> TalkRouter:
    router = TalkRouter(name="account")
    router.said(profile, Command("profile"))
    router.said(language, Command("language"))
    router.pressed(profile, at(Place.PROFILE))
    router.pressed(language, at(Place.LANGUAGE))
    router.pressed(choose_language, Speak.filter())
    return router
