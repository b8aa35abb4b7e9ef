"""Around every message and button of a student: memory, language, and no error without words."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramAPIError, TelegramForbiddenError
from aiogram.types import CallbackQuery, Message, TelegramObject, User

from backend.bot.client import Api
from backend.bot.http import ApiError, ApiRefusedError
from backend.bot.keyboards import Go, OpenTicket, Place, Reply, Show
from backend.bot.memory import Ask, Memory
from backend.bot.profile import language_of, resolve
from backend.bot.talk import TOAST, Talk
from backend.bot.telegram import described
from backend.bot.texts import account, menu
from backend.core.i18n import current_language, negotiate

log = structlog.get_logger()

SUPPORT_PLACES = (Place.SUPPORT, Place.TICKETS, Place.NEW_TICKET)
SUPPORT_BUTTONS = (
    *(f"{Go.__prefix__}:{place}:" for place in SUPPORT_PLACES),
    f"{Show.__prefix__}:ticket:",
    f"{OpenTicket.__prefix__}:",
    f"{Reply.__prefix__}:",
)
SUPPORT_STATES = {Ask.subject.state, Ask.message.state, Ask.reply.state}
Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class Conversation(BaseMiddleware):
    """Gives handlers a `talk`; whatever happens, the button is answered and the memory saved."""

    def __init__(self, school: Callable[[], str]) -> None:
        self.school = school

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        assert isinstance(event, Message | CallbackQuery)
        person, bot = event.from_user, data["bot"]
        if person is None or person.is_bot or not await _in_private(event):
            return None
        api: Api = data["api"].on_behalf(language=negotiate(person.language_code))
        current_language.set(api.language)
        try:
            talk = await self._begin(bot, api, person, event)
        except ApiError as error:
            log.warning("student_unknown", chat=person.id, error=str(error))
            return await _say_plainly(bot, event, error.message)
        # What a button or a payment does is done once by its key; a lesson that was paid for is rather shown twice.
        if isinstance(event, Message) and not event.successful_payment and not talk.memory.hears(api.cause):
            return None
        if talk.student.blocked_bot_at is not None:
            # Whoever writes has taken the bot back; Telegram's word of that may be lost.
            await _quietly(talk, talk.api.blocked(talk.chat_id, blocked=False))
        if talk.student.is_active or _about_support(talk):
            data |= {"talk": talk, "raw_state": talk.memory.state}
            step = handler(event, data)
        else:
            step = talk.show(account.suspended())
        return await self._guarded(step, talk)

    async def _begin(self, bot: Bot, api: Api, person: User, event: Message | CallbackQuery) -> Talk:
        memory = await Memory.load(api, person.id)
        student = await resolve(api, memory, person, event)
        language = language_of(student)
        current_language.set(language)
        if isinstance(event, CallbackQuery) or (event.text or "").startswith("/"):
            memory.forget_dialogue()
        return Talk(bot, api.on_behalf(language=language), memory, student, self.school(), event)

    @staticmethod
    async def _guarded(step: Awaitable[Any], talk: Talk) -> None:
        try:
            await step
        except TelegramForbiddenError:
            await _quietly(talk, talk.api.blocked(talk.chat_id, blocked=True))
        except ApiError as error:
            log.info("refused", chat=talk.chat_id, error=str(error))
            words = error.told if isinstance(error, ApiRefusedError) else error.message
            await _quietly(talk, _tell(talk, words))
        except TelegramAPIError as error:
            log.warning("telegram_failed", chat=talk.chat_id, error=described(error, talk.bot))
            await _quietly(talk, _tell(talk, menu.broken()))
        except Exception as error:
            log.error(
                "handler_failed",
                chat=talk.chat_id,
                error=described(error, talk.bot),
                exc_info=error,
            )
            await _quietly(talk, _tell(talk, menu.broken()))
        finally:
            await _quietly(talk, talk.answer())
            await _quietly(talk, talk.memory.save(talk.api))


def _about_support(talk: Talk) -> bool:
    """The one thing that is left to a student whose account is closed."""
    if isinstance(talk.event, CallbackQuery):
        return (talk.event.data or "").startswith(SUPPORT_BUTTONS)
    said = talk.text.startswith(("/support", "/paysupport"))
    return said or talk.memory.state in SUPPORT_STATES


async def _quietly(talk: Talk, step: Awaitable[Any]) -> None:
    """For what comes after the work: its failure is worth a line, not a second apology."""
    try:
        await step
    except (ApiError, TelegramAPIError) as error:
        log.warning("afterwards_failed", chat=talk.chat_id, error=described(error, talk.bot))


async def _tell(talk: Talk, words: str) -> None:
    if isinstance(talk.event, CallbackQuery) and not talk.answered:
        await talk.toast(words, alert=True)
    else:
        await talk.show(menu.trouble(words))


async def _in_private(event: Message | CallbackQuery) -> bool:
    message = event if isinstance(event, Message) else event.message
    if message is None or message.chat.type == ChatType.PRIVATE:
        return True
    if isinstance(event, CallbackQuery):
        await event.answer(menu.private_only())
    return False


async def _say_plainly(bot: Bot, event: Message | CallbackQuery, words: str) -> None:
    """While the school cannot be reached nothing is remembered: no screen, only the sentence."""
    try:
        if isinstance(event, CallbackQuery):
            await event.answer(words[:TOAST], show_alert=True)
        else:
            await bot.send_message(event.chat.id, menu.trouble(words).text)
    except TelegramAPIError as error:
        log.warning(
            "telegram_failed",
            chat=event.from_user and event.from_user.id,
            error=described(error, bot),
        )
