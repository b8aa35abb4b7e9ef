"""What runs beside the requests of a web process: the sandbox, the bot, the jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from backend.bot import webhook
from backend.bot.run import make_api, make_service, run_bot
from backend.core import security
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.deps import get_current_user_from_cookie
from backend.core.permissions import BOT_SCOPES
from backend.database.crud.auth import BUILT_IN_BOT, ApiTokenCRUD
from backend.database.session import Database
from backend.jobs.runner import jobs_running
from backend.sandbox import mount


def install_telegram(app: FastAPI, settings: Settings) -> None:
    """The webhook; and Telegram in a box under /sandbox/ when the settings ask for it, with a bot token of its own."""
    app.state.bot_token = settings.bot_token
    app.router.routes.insert(0, webhook.route)  # the busiest address first: routes are tried one by one
    if settings.sandbox_on:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        sandbox = mount(
            app,
            path=settings.data_dir / "sandbox.db",
            name=settings.school_name,
            viewer=get_current_user_from_cookie,
        )
        app.state.bot_token = sandbox.token


def bot_api_token(settings: Settings, database: Database) -> str:
    """The API token of the bot inside our own processes: the same in all of them, known to none outside."""
    text = security.API_TOKEN_PREFIX + security.sign(settings, "bot-api-token", "1")
    database.run(
        lambda session: ApiTokenCRUD(session).keep(BUILT_IN_BOT, text, frozenset(s.value for s in BOT_SCOPES)),
        Actor(Door.JOB),
    )
    return text


@asynccontextmanager
async def beside(app: FastAPI) -> AsyncIterator[None]:
    """Runs the jobs and the bot as long as the app serves; both outlive a Telegram that is down."""
    settings: Settings = app.state.settings
    database: Database = app.state.database
    token: str = app.state.bot_token
    if settings.sandbox_on:
        app.state.sandbox.rename(app.state.school.name)
    async with AsyncExitStack() as stack:
        if settings.run_jobs:
            await stack.enter_async_context(jobs_running(settings, database, token))
        if token and settings.bot_mode in ("auto", "web"):
            await stack.enter_async_context(_bot(app, settings, database, token))
        yield


@asynccontextmanager
async def _bot(app: FastAPI, settings: Settings, database: Database, token: str) -> AsyncIterator[None]:
    api_token = await asyncio.to_thread(bot_api_token, settings, database)
    api = make_api(settings.url, lambda: api_token, app)
    service = make_service(settings, api, token, lambda: str(app.state.school.name))
    app.state.bot = service
    running = asyncio.create_task(run_bot(settings, service), name="bot")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
