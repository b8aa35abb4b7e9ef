"""What reads cannot write, whatever it is asked for."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.contents import digest


def flush(session: Session) -> None:
    session.add(Role(name="Nobody's", permissions=[]))
    session.flush()


REFUSED = "(?i)read-?only"  # in the words of either database
WRITES: dict[str, Callable[[Session], object]] = {
    "update": lambda session: session.execute(update(User).values(first_name="x")),
    "delete": lambda session: session.execute(delete(Role)),
    "flush": flush,
    "table": lambda session: session.execute(text("CREATE TABLE x (y INTEGER)")),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_read_session_cannot_write(database: Database, db: Session, how: str) -> None:
    before = digest(db)
    with database.read() as session, pytest.raises(DBAPIError, match=REFUSED):
        WRITES[how](session)
    assert digest(db) == before
    database.run(lambda session: session.execute(update(User).values(first_name="x")))
    assert digest(db) != before


def test_neither_can_a_snapshot(database: Database, db: Session) -> None:
    before = digest(db)
    with database.snapshot() as connection, pytest.raises(DBAPIError, match=REFUSED):
        connection.execute(delete(Role))
    assert digest(db) == before


def test_what_postgresql_has_planned_for_a_page_is_kept_for_the_next_one(database: Database) -> None:
    """The end of a transaction would make the driver forget it, and the server plan each query of each page anew."""
    if database.is_sqlite:
        return
    for number in range(1, 11):
        with database.read() as session:
            session.execute(select(User.id).where(User.id == number)).all()
            assert session.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
    with database.read() as session:
        kept = session.execute(text("SELECT statement FROM pg_prepared_statements")).scalars().all()
    assert [sql for sql in kept if sql.startswith("SELECT users.id")]
