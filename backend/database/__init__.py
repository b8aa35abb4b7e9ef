"""The shared data layer. `get_db` serves scripts and shells; requests get their session from core.deps."""

from collections.abc import Iterator
from functools import cache

from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.database.base import Base
from backend.database.session import Database

__all__ = ["Base", "Database", "get_db"]


@cache
def _default() -> Database:
    settings = Settings()
    return Database(settings.database_url, settings=settings)


def get_db() -> Iterator[Session]:
    """A session of the configured database in one transaction, committed when the consumer is done."""
    with _default().transaction() as session:
        yield session
