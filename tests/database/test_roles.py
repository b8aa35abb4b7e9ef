"""Roles at a start, when another process starts in the same moment."""

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.orm import Session

from backend.core.permissions import SUPPORT, SYSTEM_ROLES
from backend.database.crud.roles import ensure_roles
from backend.database.models.users import Role
from backend.database.session import Database
from tests.database.rivals import overtaken

RIGHTS = {name: sorted(permissions) for name, permissions in SYSTEM_ROLES.items()}


def test_whoever_is_overtaken_while_making_roles_begins_again(database: Database, db: Session) -> None:
    db.execute(delete(Role).where(Role.name == SUPPORT))
    made: list[int] = []

    def make(connection: Connection) -> None:
        values = {"name": SUPPORT, "permissions": RIGHTS[SUPPORT], "is_system": True}
        if database.is_sqlite:  # it has one writer: another one can only be first in the same transaction
            connection.execute(insert(Role).values(values))
            return
        with database.engine.begin() as other:
            made.append(other.execute(insert(Role).values(values).returning(Role.id)).scalar_one())

    with overtaken(database.engine, "INSERT INTO roles", make) as tried:
        ensure_roles(database)

    rows = db.execute(select(Role.name, Role.permissions, Role.is_system).order_by(Role.id)).all()
    assert sorted(row.name for row in rows) == sorted(RIGHTS)
    assert {row.name: row.permissions for row in rows} == RIGHTS
    assert {row.is_system for row in rows} == {True}
    if made:  # what the other one made stays
        assert (db.scalars(select(Role.id).where(Role.name == SUPPORT)).all(), len(tried)) == (made, 1)
    else:  # it was undone together with the first try
        assert len(tried) == 2
