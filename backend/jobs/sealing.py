"""Puts what was written under the chain of the history, every few seconds; one process does each round."""

import asyncio

import structlog
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.events import Event
from backend.database import audit
from backend.database.chain.digests import ChainError
from backend.database.chain.sealing import BROKEN, SEALER, is_behind, seal
from backend.database.crud.settings import SettingCRUD
from backend.database.session import Database
from backend.jobs.periodic import take_turn

log = structlog.get_logger()
PERIOD = 5.0


async def follow(database: Database, settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop`. An idle school costs a glance a round."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(once, database, settings)
        except Exception as error:  # noqa: BLE001 - a busy database: the next round comes
            log.warning("audit.not_sealed", error=type(error).__name__)
        try:
            await asyncio.wait_for(stop.wait(), PERIOD)
        except TimeoutError:
            continue


def once(database: Database, settings: Settings) -> int:
    """Seals what waits, if it is this process's turn; how many rows. A broken chain is told once and grows no more."""
    if not is_behind(database) or not take_turn(database, "seal", PERIOD):
        return 0
    try:
        return seal(database, settings)
    except ChainError as error:
        problem = str(error)
        log.error("audit.broken", problem=problem)
        database.run(lambda session: _tell(session, problem), SEALER)
        return 0


def _tell(session: Session, problem: str) -> None:
    known = SettingCRUD(session).find(BROKEN)
    if known is None or known["problem"] != problem:
        SettingCRUD(session).put(BROKEN, {"problem": problem, "at": clock.now().isoformat()})
        audit.note(session, Event.AUDIT_BROKEN, problem=problem)
