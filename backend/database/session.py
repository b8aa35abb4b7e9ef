"""Engines and the unit of work. `Database.transaction()` is the only place that commits."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Result, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from backend.core.config import Settings
from backend.core.context import Actor
from backend.core.errors import UnavailableError
from backend.database.listing import AnyRow, AnySelect

T = TypeVar("T")

TRIES = 3
BUSY_SECONDS = 5
STATEMENT_SECONDS = 20
AFTERWARDS = "afterwards"
ANSWERS, ANSWERS_KEPT = "answers", 64
RECYCLE_SECONDS = 1800  # a connection that is older is made anew: firewalls forget one that is silent
MAPPED = 0x7FFF0000  # bytes, the most that SQLite maps
STATEMENTS_KEPT = 24  # prepared by each connection of SQLite: some 20 KB each, of 128 without being told
# Serialisation failure, deadlock, lock not available (PostgreSQL); a lost connection is seen by its flag.
TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})


class Database:
    """One database of the process: a write side and a read side, which cannot write.

    `settings` come along with every session (`settings_of`): what is sealed at rest needs their keys.
    """

    def __init__(self, url: str, *, pool_size: int = 12, settings: Settings | None = None) -> None:
        self.url = url
        self.settings = settings
        self.engine = _engine(url, pool_size)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # Connections of their own for reading keep their prepared statements: to turn one round makes SQLite forget
        # them, a third of the time of a small write; the end of a transaction makes PostgreSQL plan each query anew.
        self.engines = [self.engine, _engine(url, pool_size, reading=True)]
        for engine in self.engines:
            engine.update_execution_options(lyceum_settings=settings)
        self.reader = self.engines[1]
        writing = self.engine.execution_options(lyceum_write=True)
        self.read_sessions = sessionmaker(self.reader, expire_on_commit=False, autoflush=False)
        self.write_sessions = sessionmaker(writing, expire_on_commit=False)
        self.readers = Readers(self.reader, at_rest=pool_size // 2)
        # SQLite has one writer at a time: threads queue here fairly instead of polling the file lock.
        self._writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that writes nothing. On SQLite it sees one moment, on PostgreSQL each statement sees its own."""
        with self.read_sessions() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection whose statements all see the same moment; PostgreSQL's usual transactions see a new one each."""
        engine = self.reader if self.is_sqlite else self.reader.execution_options(isolation_level="REPEATABLE READ")
        # Begun here: a Session on it would else begin it and end it, and what is asked next would see another moment.
        with engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def transaction(self, actor: Actor | None = None, session: Session | None = None) -> Iterator[Session]:
        """One unit of work, all or nothing. `actor` is whom the history names."""
        with self._turn(), session or self.write_sessions() as unit:
            unit.info["actor"] = actor
            unit.info.pop(AFTERWARDS, None)  # of a try that failed
            with unit.begin():
                yield unit
        for work in unit.info.pop(AFTERWARDS, ()):
            work()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise UnavailableError
        try:
            yield
        finally:
            self._writer.release()

    def run(self, work: Callable[[Session], T], actor: Actor | None = None) -> T:
        """`work` in a transaction of its own, again from the start when the database asks for it."""

        def once() -> T:
            with self.transaction(actor) as session:
                return work(session)

        return retrying(once)

    def dispose(self) -> None:
        self.readers.close()
        for engine in self.engines:
            engine.dispose()


@dataclass(frozen=True)
class Answers:
    """What a connection has answered since its data last changed."""

    raw: Any
    version: int
    found: dict[Hashable, Any] = field(default_factory=dict)


class Readers:
    """Sessions of requests that only read, which keep their connection from one request to the next.

    From the pool to a transaction and back is a third of what a small request costs.
    """

    def __init__(self, engine: Engine, *, at_rest: int) -> None:
        self._make = sessionmaker(engine.execution_options(lyceum_by_hand=True), autoflush=False)
        self._sqlite = engine.dialect.name == "sqlite"
        self.at_rest = at_rest
        self._idle: deque[Session] = deque()

    def take(self) -> Session:
        """Costs no I/O: the connection is made, or found, by the first statement."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._make(info={"since": monotonic()})
        if monotonic() - session.info["since"] > RECYCLE_SECONDS:
            session.close()
            session.info["since"] = monotonic()
        return session

    def give_back(self, session: Session) -> None:
        if len(self._idle) < self.at_rest:
            self._idle.append(session)
        elif self.at_rest:
            session.close()
        else:
            session.invalidate()  # the pool that would take its connection back is gone

    @contextmanager
    def reading(self, session: Session) -> Iterator[None]:
        """What `Database.read` promises, on a session of ours. After an error the session starts anew."""
        try:
            raw: Any = session.connection().connection.dbapi_connection if self._sqlite else None
            if raw is not None:
                raw.execute("BEGIN")
                _forget_if_written(session, raw)
            yield
            if raw is not None:
                raw.rollback()
        except BaseException:
            session.close()
            raise
        if session.identity_map:
            session.expunge_all()

    def close(self) -> None:
        """Sessions that are still in use end when they are given back."""
        self.at_rest = 0
        while self._idle:
            self._idle.pop().close()


def _forget_if_written(session: Session, raw: Any) -> None:
    """This connection only reads: its version of the data changes with every commit of another one, of any process."""
    version = raw.execute("PRAGMA data_version").fetchone()[0]
    known: Answers | None = session.info.get(ANSWERS)
    if known is None or known.raw is not raw or known.version != version:
        session.info[ANSWERS] = Answers(raw, version)


def while_unwritten(session: Session, key: Hashable, ask: Callable[[], T]) -> T:
    """What `ask` answers, asked once for as long as nobody writes into the database: the session behind each request,
    and a page that asks again by itself, then cost SQLite nothing.

    The answer must depend on `key` and the database alone, not on the time, and must not be changed. On PostgreSQL, and
    in a session that may write, it is asked every time.
    """
    known: Answers | None = session.info.get(ANSWERS)
    if known is None:
        return ask()
    if key not in known.found:
        if len(known.found) >= ANSWERS_KEPT:
            known.found.clear()
        known.found[key] = ask()
    answer: T = known.found[key]
    return answer


def row_while_unwritten(session: Session, statement: AnySelect, **values: Any) -> AnyRow | None:
    """The same for the one row of a statement that is made once."""
    key = statement, *values.values()
    return while_unwritten(session, key, lambda: ask(session, statement, **values).one_or_none())


def afterwards(session: Session, work: Callable[[], None]) -> None:
    """Has `work` done after the commit of `Database.transaction`, when nobody waits for it any more."""
    session.info.setdefault(AFTERWARDS, []).append(work)


def known_settings(session: Session) -> Settings | None:
    """Of the process that opened this session's database; None for one that was opened without."""
    found: Settings | None = session.connection().get_execution_options().get("lyceum_settings")
    return found


def settings_of(session: Session) -> Settings:
    """The same. Raises RuntimeError where there are none."""
    found = known_settings(session)
    if found is None:
        raise RuntimeError("this needs Database(url, settings=settings)")
    return found


def ask(session: Session, statement: AnySelect, **values: Any) -> Result[Any]:
    """Rows of plain columns for a statement that is made once, past the ORM: half of what `session.execute` costs."""
    if session.autoflush:
        session.flush()
    return session.connection().execute(statement, values)


def ask_driver(session: Session, sql: str, values: dict[str, Any]) -> Sequence[Any]:
    """The same for a statement in the words of PostgreSQL's driver."""
    if session.autoflush:
        session.flush()
    return session.connection().exec_driver_sql(sql, values).all()


def retrying(once: Callable[[], T]) -> T:
    """Run a whole transaction, at most three times while the failure is transient; then UnavailableError."""
    for attempt in range(1, TRIES + 1):
        try:
            return once()
        except DBAPIError as error:
            if not is_transient(error):
                raise
            if attempt == TRIES:
                raise UnavailableError from error
    raise AssertionError("unreachable")


def is_transient(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return state in TRANSIENT_STATES or "database is locked" in str(error.orig)


def _engine(url: str, pool_size: int, *, reading: bool = False) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        options = (
            f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c lock_timeout={BUSY_SECONDS * 1000} -c timezone=UTC"
            " -c jit=off"  # it takes longer to compile a page's query than to answer it
        )
        if reading:
            options += " -c default_transaction_read_only=on"
        return create_engine(
            parsed,
            isolation_level="AUTOCOMMIT" if reading else "READ COMMITTED",
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_recycle=RECYCLE_SECONDS,
            hide_parameters=True,  # an error message goes into the log, values may be secrets
            connect_args={"options": options, "connect_timeout": 3},
        )
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": STATEMENTS_KEPT},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "connect", _for_reading if reading else _for_writing)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
        # Pages are read in the file's mapping, which all processes share; a cache of its own would hold them again in
        # each connection of each process.
        f"mmap_size={MAPPED}",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _for_reading(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA cache_size=-500")


def _for_writing(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA cache_size=-2000")


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that may write takes the write lock at once.

    A read that turns into a write later gets SQLITE_BUSY_SNAPSHOT, which no timeout waits out (security.md 15).
    """
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT" or options.get("lyceum_by_hand"):
        return
    if options.get("lyceum_write", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # may wait and fail as any statement does
    else:
        connection.connection.dbapi_connection.execute("BEGIN")  # type: ignore[union-attr] # sqlite3's, it is open
