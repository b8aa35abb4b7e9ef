"""Starting and stopping, inside the web process or as a process of its own."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import structlog
from aiogram import Bot
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramUnauthorizedError

from backend.bot import webhook
from backend.bot.client import Api
from backend.bot.handlers import ALLOWED_UPDATES
from backend.bot.http import ApiError, Http, TokenSource
from backend.bot.lease import Lease
from backend.bot.markup import clip
from backend.bot.polling import LONGEST_PAUSE, TOKEN_PAUSE, Poller
from backend.bot.service import Service
from backend.bot.telegram import described, make_bot
from backend.bot.texts import menu
from backend.core.config import Settings
from backend.core.i18n import DEFAULT_LANGUAGE, LANGUAGES, current_language

log = structlog.get_logger()

SCHOOL = 100  # characters of its name that a screen has room for


def make_api(base_url: str, token: TokenSource, app: object | None = None, *, host: str = "") -> Api:
    """A client of /api over the network, or of `app` in this very process."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False) if app is not None else None  # type: ignore[arg-type] # an ASGI application
    return Api(Http(base_url, token, transport, host))


def make_service(settings: Settings, api: Api, token: str = "", school: Callable[[], str] | None = None) -> Service:
    """`token` is Telegram's; the sandbox gives its own. `school` answers the name of the moment."""
    bot = make_bot(token or settings.bot_token, settings.bot_api_url)
    name = school or (lambda: settings.school_name)
    return Service(bot, api, lambda: clip(name(), SCHOOL))


async def run_bot(settings: Settings, service: Service, *, by_webhook: bool | None = None) -> None:
    """Until cancelled. Neither the school nor Telegram being down ends it.

    By webhook when the school has a public https address, else by polling, which one process does.
    """
    hook = settings.https if by_webhook is None else by_webhook
    try:
        if hook:
            await _persistently(service.bot, lambda: _listen(settings, service))
            await asyncio.Event().wait()
        else:
            await Lease(service.api).run(lambda: _poll(service))
    finally:
        await service.bot.session.close()
        await service.api.http.aclose()


async def _poll(service: Service) -> None:
    await _persistently(service.bot, service.bot.delete_webhook)
    await _persistently(service.bot, lambda: _name_commands(service.bot))
    await _persistently(service.bot, lambda: _introduce(service))
    await Poller(service).run()


async def _listen(settings: Settings, service: Service) -> None:
    await service.bot.set_webhook(
        f"{settings.url}{webhook.PATH}",
        secret_token=webhook.secret(settings),
        allowed_updates=ALLOWED_UPDATES,
    )
    await _name_commands(service.bot)
    await _introduce(service)


async def _introduce(service: Service) -> None:
    """The school makes links of the bot's name."""
    me = await service.bot.get_me()
    if me.username is None:
        return
    try:
        await service.api.introduce(me.id, me.username)
    except ApiError as error:
        log.warning("bot_not_introduced", error=str(error))


async def _name_commands(bot: Bot) -> None:
    """English for whoever speaks neither of our languages."""
    for language in LANGUAGES:
        current_language.set(language)
        code = None if language == DEFAULT_LANGUAGE else language
        await bot.set_my_commands(menu.command_list(), language_code=code)


async def _persistently(bot: Bot, step: Callable[[], Awaitable[object]]) -> None:
    pause = 0.2
    while True:
        try:
            await step()
        except (TelegramAPIError, ClientDecodeError, OSError) as error:
            log.warning("telegram_not_ready", error=described(error, bot))
            await asyncio.sleep(TOKEN_PAUSE if isinstance(error, TelegramUnauthorizedError) else pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        else:
            return
