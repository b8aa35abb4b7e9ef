"""The roles that every school has, brought up to date at a start."""

from sqlalchemy.exc import IntegrityError

from backend.core.context import Actor
from backend.database.crud.users import init_roles
from backend.database.session import Database


def ensure_roles(database: Database, actor: Actor | None = None) -> None:
    """`init_roles` in a transaction; another process may be doing the same at this moment."""
    try:
        database.run(init_roles, actor)
    except IntegrityError:  # it was first: what it made is seen now
        database.run(init_roles, actor)
