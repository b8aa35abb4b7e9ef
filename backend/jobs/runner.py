"""Background work: in the web process by default, or as `python -m backend.jobs`."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiogram.utils.token import TokenValidationError

from backend.core.config import Settings
from backend.core.media import MediaFolder
from backend.database.session import Database
from backend.jobs import sealing, stars, work
from backend.jobs.mailing import ByMail, announce
from backend.jobs.media import tidy
from backend.jobs.outbox import Outbox
from backend.jobs.periodic import CHORES, Chore, repeat
from backend.jobs.sending import ByTelegram, make_bot

log = structlog.get_logger()
STOP_SECONDS = 25
DAY = 86_400


async def run_jobs(settings: Settings, database: Database, token: str, stop: asyncio.Event) -> None:
    """All jobs until `stop`. Without a bot token, or a mail server, what is queued for it waits."""
    async with asyncio.TaskGroup() as group:
        tidying = Chore("tidy-media", DAY, tidy(MediaFolder(settings.media_dir)))
        for chore in (*CHORES, tidying):
            group.create_task(repeat(database, chore, stop))
        group.create_task(work.follow(database, process_name(), stop))
        if settings.mail_on:
            group.create_task(Outbox(database, ByMail(settings, database), process_name()).run(stop))
        else:
            group.create_task(announce(database, stop))
        group.create_task(sealing.follow(database, settings, stop))
        if token:
            group.create_task(_with_bot(settings, database, token, stop))


async def _with_bot(settings: Settings, database: Database, token: str, stop: asyncio.Event) -> None:
    try:
        bot = make_bot(token, settings.bot_api_url)
    except TokenValidationError:
        log.error("outbox.off", reason="TELEGRAM_BOT_TOKEN is not a bot's token")
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(Outbox(database, ByTelegram(bot), process_name()).run(stop))
            group.create_task(stars.follow(database, bot, stop, is_test=settings.sandbox_on))
    finally:
        await bot.session.close()


@asynccontextmanager
async def jobs_running(settings: Settings, database: Database, token: str) -> AsyncIterator[None]:
    """The jobs beside the block; at its end they finish what they are doing."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_jobs(settings, database, token, stop), name="jobs")
    task.add_done_callback(_mourn)
    try:
        yield
    finally:
        stop.set()
        _done, late = await asyncio.wait({task}, timeout=STOP_SECONDS)
        if late:
            log.warning("jobs.cut_off")
            task.cancel()
            await asyncio.wait({task})


def _mourn(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("jobs.died", exc_info=error)


def process_name() -> str:
    """Tells the processes of all machines apart, also two with the same number."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
