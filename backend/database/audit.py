"""Writes security events, in the transaction of what they tell or in one of their own."""

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
    actor: Actor = session.info.get("actor") or Actor(Door.JOB)
    about = actor.user_id if user_id is None else user_id
    row = {
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
    made: int = session.connection().execute(insert(SecurityEvent).returning(SecurityEvent.id), row).scalar_one()
    if actor.door is not Door.CLI:  # whoever is at the terminal knows what they do
        log.info(kind.value, user_id=about, actor_id=actor.user_id, ip=actor.ip)
    return made
