"""Reads Telegram's list of Stars every few minutes: a payment whose update was lost is booked from it."""

import asyncio
from datetime import timedelta

import structlog
from aiogram import Bot
from aiogram.types import StarTransaction, TransactionPartnerUser
from sqlalchemy.exc import SQLAlchemyError

from backend.core import clock
from backend.core.errors import UnavailableError
from backend.database.crud.stars import Entry, StarsCRUD
from backend.database.session import Database
from backend.jobs.periodic import take_turn

log = structlog.get_logger()

PERIOD = 300.0
PAGE = 100  # Telegram's limit
OVERLAP = 20  # read again, should two lines have changed places since
# An update is faster, and brings a screen with it.
GRACE = timedelta(minutes=1)
CALL_SECONDS = 15


async def follow(database: Database, bot: Bot, stop: asyncio.Event, *, is_test: bool) -> None:
    """Until `stop`; of several processes one does each round."""
    while not stop.is_set():
        try:
            if await asyncio.to_thread(take_turn, database, "stars", PERIOD):
                await reconcile(database, bot, is_test=is_test)
        except Exception as error:  # noqa: BLE001 - Telegram or the database is away: the next round comes
            log.warning("stars.failed", error=type(error).__name__)
        try:
            await asyncio.wait_for(stop.wait(), PERIOD)
        except TimeoutError:
            continue


async def reconcile(database: Database, bot: Bot, *, is_test: bool, grace: timedelta = GRACE) -> int:
    """Books what is missing; how many lines that was."""
    read = await asyncio.to_thread(database.run, lambda session: StarsCRUD(session).offset(bot.id))
    offset, booked = max(0, read - OVERLAP), 0
    while True:
        found = await bot.get_star_transactions(offset=offset, limit=PAGE, request_timeout=CALL_SECONDS)
        before = clock.now() - grace
        ripe = [line for line in found.transactions if line.date <= before]
        offset += len(ripe)
        booked += await asyncio.to_thread(_book, database, bot.id, ripe, offset, is_test)
        if len(ripe) < PAGE:
            return booked


def _book(database: Database, bot_id: int, lines: list[StarTransaction], offset: int, is_test: bool) -> int:
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    with database.read() as session:
        news = StarsCRUD(session).news(entries)
    for entry in news:
        log.warning("stars.booked", charge=entry.charge_id, done=_booked(database, entry, is_test))
    database.run(lambda session: StarsCRUD(session).read_to(bot_id, offset))
    return len(news)


def _booked(database: Database, entry: Entry, is_test: bool) -> str:
    try:
        return database.run(lambda session: StarsCRUD(session).book(entry, is_test=is_test))
    except (SQLAlchemyError, UnavailableError):
        raise  # the round comes again from the same line
    except Exception as error:
        log.error("stars.not_booked", charge=entry.charge_id, exc_info=error)
        return "failed"  # a mistake of ours must not hide the lines behind it


def _entry(line: StarTransaction) -> Entry | None:
    """None for what is no payment of a person: withdrawals, gifts, advertisements."""
    incoming, partner = line.source is not None, line.source or line.receiver
    if not isinstance(partner, TransactionPartnerUser):
        return None
    return Entry(line.id, incoming, line.amount, partner.user.id, partner.invoice_payload or "")
