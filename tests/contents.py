"""Whether anything changed."""

import hashlib

from sqlalchemy import select, true
from sqlalchemy.orm import Session

from backend.core.events import Event
from backend.database.base import Base
from backend.database.models.audit import SecurityEvent

# What merely looking may move: when a session or token was last used, how often an address tried. That a file with
# people was read is told, and who or what was refused.
NOTED = Event.EXPORTED, Event.REFUSED, Event.TOKEN_REFUSED, Event.IDENTITY_REFUSED
MOVING = {"last_seen_at", "seen_at", "last_used_at"}


def digest(db: Session) -> str:
    """One hash of all that the database holds."""
    seen = hashlib.sha256()
    for table in Base.metadata.sorted_tables:
        if table.name == "rate_buckets":
            continue
        told = SecurityEvent.kind.not_in(NOTED) if table.name == SecurityEvent.__tablename__ else true()
        columns = [column for column in table.columns if column.name not in MOVING]
        for row in db.execute(select(*columns).where(told).order_by(*table.primary_key.columns)):
            seen.update(repr((table.name, tuple(row))).encode())
    return seen.hexdigest()
