"""Chores that come round. In each period one process does each of them: whoever takes its lease."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database import personal
from backend.database.crud.alerts import AlertCRUD
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.bot_chats import BotChatCRUD
from backend.database.crud.idempotency import IdempotencyCRUD
from backend.database.crud.identities import FlowCRUD
from backend.database.crud.imports import ImportCRUD
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.leases import LeaseCRUD
from backend.database.crud.letters import KEPT as LETTERS_KEPT
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.links import INVITE
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.places import PlaceCRUD
from backend.database.crud.registrations import RegistrationCRUD
from backend.database.crud.revenue import RevenueCRUD
from backend.database.crud.throttle import ThrottleCRUD
from backend.database.models.auth import OneTimeToken
from backend.database.session import Database
from backend.database.upkeep import put_together

log = structlog.get_logger()

KEYS_KEPT = timedelta(hours=48)
IMPORTS_KEPT = timedelta(days=3)
SESSIONS_KEPT = timedelta(days=1)
# A session may last 90 days (REMEMBER_DAYS): 90 days after the last use of a place at the least.
PLACES_KEPT = timedelta(days=180)
ROWS_KEPT = timedelta(days=7)  # which rows a job was meant for


@dataclass(frozen=True)
class Chore:
    """`work` does a bounded piece in one transaction; True asks for the next piece at once."""

    name: str
    seconds: float
    work: Callable[[Session], bool]


def expire_orders(session: Session) -> bool:
    return OrderCRUD(session).expire_due() > 0


def close_letters(session: Session) -> bool:
    return LetterCRUD(session).close()


def purge(session: Session) -> bool:
    """What nobody can use any more."""
    now = clock.now()
    SessionCRUD(session).purge(now - SESSIONS_KEPT)
    PlaceCRUD(session).purge(now - PLACES_KEPT)
    IdempotencyCRUD(session).purge(now - KEYS_KEPT)
    ThrottleCRUD(session).purge()
    RegistrationCRUD(session).purge(now)
    FlowCRUD(session).purge()
    BotChatCRUD(session).purge()
    link = OneTimeToken
    marks = (link.purpose == INVITE) & link.used_at.is_(None)  # of who has not come in yet: see `links.awaits`
    session.execute(delete(link).where(link.expires_at < now - SESSIONS_KEPT, ~marks))
    more = ImportCRUD(session).purge(now - IMPORTS_KEPT), LetterCRUD(session).purge(now - LETTERS_KEPT)
    return JobCRUD(session).purge(now - ROWS_KEPT) or any(more)


def close_books(session: Session) -> bool:
    RevenueCRUD(session).close_past()
    return False


def alert(session: Session) -> bool:
    return AlertCRUD(session).tell()


CHORES = (
    Chore("alert", 10, alert),
    Chore("expire-orders", 30, expire_orders),
    Chore("close-letters", 60, close_letters),
    Chore("put-searches-together", 600, put_together),
    Chore("purge", 3600, purge),
    Chore("erase-late", 3600, personal.erase_late),
    Chore("close-books", 3600, close_books),
)


async def repeat(database: Database, chore: Chore, stop: asyncio.Event) -> None:
    """Does a chore once a period until `stop`; a failure waits for the next one."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(do, database, chore)
        except Exception as error:  # noqa: BLE001 - one failure must not end the chores for good
            log.error("chore.failed", chore=chore.name, error=type(error).__name__)
        try:
            await asyncio.wait_for(stop.wait(), chore.seconds)
        except TimeoutError:
            continue


def do(database: Database, chore: Chore) -> bool:
    """False when this period's turn has been taken, by whichever process."""
    if not take_turn(database, chore.name, chore.seconds):
        return False
    while database.run(chore.work):
        pass
    return True


def take_turn(database: Database, name: str, seconds: float) -> bool:
    """Whether this process is the one that does a chore in this period."""
    turn = secrets.token_hex(8)
    return database.run(lambda session: LeaseCRUD(session).hold(f"chore:{name}", turn, seconds - 1))
