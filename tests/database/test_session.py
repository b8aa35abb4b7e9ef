"""What reads cannot write, whatever it is asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.database.models.users import Role, User
from backend.database.session import RECYCLE_SECONDS, Database
from tests.contents import digest
from tests.factories import make_user


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


@pytest.fixture
def student(db: Session) -> User:
    return make_user(db, first_name="Before")


@contextmanager
def reading(database: Database) -> Iterator[Session]:
    """As a request that only reads does."""
    session = database.readers.take()
    try:
        with database.readers.reading(session):
            yield session
    finally:
        database.readers.give_back(session)


def name_of(session: Session, user_id: int) -> str:
    found = session.get(User, user_id)
    assert found is not None
    return found.first_name


def rename(database: Database, user_id: int, name: str) -> None:
    database.run(lambda session: session.execute(update(User).where(User.id == user_id).values(first_name=name)))


@pytest.mark.parametrize("how", WRITES)
def test_a_request_that_reads_cannot_write_either(database: Database, db: Session, how: str) -> None:
    before = digest(db)
    with pytest.raises(DBAPIError, match=REFUSED), reading(database) as session:
        WRITES[how](session)
    assert digest(db) == before


def test_a_request_reads_on_the_connection_of_the_one_before_and_what_has_changed_since(
    database: Database, student: User
) -> None:
    with reading(database) as session:
        first = session
        connection = session.connection().connection.dbapi_connection
        assert name_of(session, student.id) == "Before"
    rename(database, student.id, "After")
    with reading(database) as session:
        assert session is first
        assert session.connection().connection.dbapi_connection is connection
        assert name_of(session, student.id) == "After"


def test_a_request_sees_one_moment_on_sqlite(database: Database, student: User) -> None:
    query = select(User.first_name).where(User.id == student.id)
    with reading(database) as session:
        assert session.scalar(query) == "Before"
        rename(database, student.id, "After")
        assert session.scalar(query) == ("Before" if database.is_sqlite else "After")
    with reading(database) as session:
        assert session.scalar(query) == "After"


def test_after_an_error_the_next_request_begins_anew(database: Database, student: User) -> None:
    with pytest.raises(DBAPIError), reading(database) as session:
        session.execute(text("SELECT nothing FROM nowhere"))
    assert not session.in_transaction()
    assert database.reader.pool.checkedout() == 0  # type: ignore[attr-defined] # of a QueuePool
    with reading(database) as again:
        assert again is session
        assert name_of(again, student.id) == student.first_name


def test_no_more_connections_are_kept_than_threads_use(database: Database) -> None:
    readers, pool = database.readers, database.reader.pool
    taken = [readers.take() for _ in range(readers.at_rest + 3)]
    for session in taken:
        with readers.reading(session):
            session.execute(select(User.id).limit(1)).all()
    assert pool.checkedout() == len(taken)  # type: ignore[attr-defined] # of a QueuePool
    for session in taken:
        readers.give_back(session)
    assert pool.checkedout() == readers.at_rest  # type: ignore[attr-defined] # the same


def test_an_old_connection_is_left_to_the_pool(database: Database) -> None:
    with reading(database) as session:
        session.execute(select(User.id).limit(1)).all()
    session.info["since"] -= RECYCLE_SECONDS + 1
    assert database.readers.take() is session
    assert not session.in_transaction()


def test_a_session_that_is_given_back_after_the_end_keeps_no_connection(database: Database) -> None:
    session = database.readers.take()
    with database.readers.reading(session):
        session.execute(select(User.id).limit(1)).all()
    database.dispose()
    database.readers.give_back(session)
    assert not session.in_transaction()
    assert database.readers.take() is not session
