"""A school with a history, for the tests of the chain over it."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.database import audit
from backend.database.chain.verifying import verify
from backend.database.models.lessons import Lesson
from backend.database.session import Database

ACTOR = Actor(Door.WEB, 1, ip="192.0.2.7", request_id="request-1")


def work(database: Database, times: int = 1) -> None:
    """A lesson made and changed, and what an account did, each in a transaction of its own."""
    for number in range(times):
        with database.transaction(ACTOR) as session:
            made = Lesson(title=f"Гамма “{number}”", price=number)
            session.add(made)
        with database.transaction(ACTOR) as session:
            session.get_one(Lesson, made.id).price += 1
            audit.note(session, Event.LOGIN_SUCCESS, user_agent='Mozilla, "5"', method="password")


def problem(database: Database, settings: Settings) -> str:
    return verify(database, settings).problem or "none"


def sql(db: Session, statement: str, **values: Any) -> None:
    db.execute(text(statement), values)
