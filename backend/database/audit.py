"""Writes security events, in the transaction of what they tell or in one of their own."""

from collections.abc import Iterable
from typing import Any

import structlog
from sqlalchemy import insert
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.database.models.audit import SecurityEvent

log = structlog.get_logger()


def note(session: Session, kind: Event, *, user_id: int | None = None, user_agent: str = "", **data: Any) -> int:
    """One event. The actor is the session's (core.units sets it); `user_id`: whom it is about, by default the actor.

    `data` holds short JSON values and never a secret. Returns the event's id.
    """
    actor = actor_of(session)
    row = _row(actor, kind, actor.user_id if user_id is None else user_id, user_agent, data)
    made: int = session.connection().execute(insert(SecurityEvent).returning(SecurityEvent.id), row).scalar_one()
    if actor.door is not Door.CLI:  # whoever is at the terminal knows what they do
        log.info(kind.value, user_id=row["user_id"], actor_id=actor.user_id, ip=actor.ip)
    return made


def note_all(session: Session, kind: Event, user_ids: Iterable[int]) -> None:
    """The same event about many people, in one statement."""
    actor = actor_of(session)
    rows = [_row(actor, kind, user_id, "", {}) for user_id in user_ids]
    session.connection().execute(insert(SecurityEvent), rows)
    log.info(kind.value, people=len(rows), actor_id=actor.user_id, ip=actor.ip)


def actor_of(session: Session) -> Actor:
    found: Actor | None = session.info.get("actor")
    return found or Actor(Door.JOB)


def _row(actor: Actor, kind: Event, about: int | None, user_agent: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind.value,
        "user_id": about,
        "actor_id": actor.user_id,
        "impersonator_id": actor.impersonator_id,
        "token_id": actor.token_id,
        "door": actor.door.value,
        "ip": actor.ip,
        "user_agent": user_agent[:255],
        "request_id": actor.request_id,
        "data": data,
    }
