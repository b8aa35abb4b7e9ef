"""Notes who was refused what, a few times a minute: a flood must not fill the disk."""

from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from backend.core.context import Actor
from backend.core.errors import AppError, ForbiddenError
from backend.core.events import Event
from backend.core.hosts import network
from backend.database import audit
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.session import Database

log = structlog.get_logger()
PER_MINUTE = 5


REFUSED = frozenset({ForbiddenError.code, "csrf", "viewing", "read_only"})  # not who only has to prove something first


def tell(database: Database, actor: Actor, route: str, error: ForbiddenError) -> None:
    """Someone lacks a right, looks through someone else's eyes at what stays closed, or sent a form of another site."""
    who, why = f"{actor.user_id or ''}:{actor.token_id or ''}", {}
    if error.code != ForbiddenError.code:
        why["why"] = error.code
    right = error.fields.get("permission", "")
    _note(database, actor, f"refused:{who}", Event.REFUSED, route=route, right=right, **why)


def tell_token(database: Database, actor: Actor, kind: str) -> None:
    """A bearer that we never gave out came. `kind`: "jwt", "api_token" or "other"."""
    _note(database, actor, f"token:{network(actor.ip or '')}", Event.TOKEN_REFUSED, sent=kind)


def tell_identity(database: Database, actor: Actor, provider: str, why: str) -> None:
    """Another service was used to come in, and it did not fit or names nobody here."""
    _note(database, actor, f"identity:{network(actor.ip or '')}", Event.IDENTITY_REFUSED, provider=provider, why=why)


def _note(database: Database, actor: Actor, who: str, event: Event, **data: Any) -> None:
    """In a transaction of its own, after the refused one. A database that cannot take it does not change the answer."""

    def note(session: Session) -> None:
        if not ThrottleCRUD(session).take([Limit(who, PER_MINUTE, 60)]):
            audit.note(session, event, **data)

    try:
        database.run(note, actor)
    except (SQLAlchemyError, AppError) as failure:
        log.warning("refusal_not_noted", error=type(failure).__name__)
