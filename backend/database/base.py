"""The declarative base: naming of constraints, UTC datetimes, common columns."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from backend.core import clock

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on both databases; SQLite would hand back a naive one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """One function for a value: a list reads some hundred of them, and the usual three in a row take a while."""
        return moment if dialect.name == "sqlite" else _from_server


@lru_cache(maxsize=4_000)  # the same rows are read again and again
def moment(text: str | None) -> datetime | None:
    """What a database has written as text: PostgreSQL with its zone, which is UTC, SQLite without."""
    if text is None:
        return None
    return datetime.fromisoformat(text if text.endswith("+00:00") else f"{text}+00:00")


def _from_server(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


# SQLite numbers rows by itself only in a column declared exactly INTEGER.
BigInt = BigInteger().with_variant(Integer, "sqlite")


class seconds_of(FunctionElement[int]):  # noqa: N801 - a function of SQL
    """The whole seconds since the beginning of 1970 of a moment's column."""

    type = BigInt
    inherit_cache = True


@compiles(seconds_of, "sqlite")
def _seconds_sqlite(element: seconds_of, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite rounds parts of a second, up to the next one.
    return f"CAST(strftime('%s', substr({compiler.process(element.clauses, **options)}, 1, 19)) AS INTEGER)"


@compiles(seconds_of, "postgresql")
def _seconds_postgresql(element: seconds_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)})) AS BIGINT)"


def seldom(rule: str) -> dict[str, Any]:
    """Options of an index that holds only the rows which a rule of SQL lets through.

    SQLite uses it only where a statement has the same words.
    """
    of_sqlite = rule.replace("IS TRUE", "IS 1").replace("IS FALSE", "IS 0")
    return {"sqlite_where": text(of_sqlite), "postgresql_where": text(rule)}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInt,
        datetime: UTCDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }

    # A table whose rows people change; its inserts, updates and deletes go into the history.
    __history__: ClassVar[bool] = False
    # Columns that the history must not show (secrets) or that only mirror others.
    __history_skip__: ClassVar[frozenset[str]] = frozenset()
    # What not even the last image of a deleted row may hold, although an undo then restores less.
    __history_secret__: ClassVar[frozenset[str]] = frozenset()
    # A whole-number column that is unique among siblings: rows change places by way of negative numbers.
    __place__: ClassVar[str] = ""
    # Money and sent messages are never undone, only corrected by a new record.
    __undoable__: ClassVar[bool] = True


class Identified:
    id: Mapped[int] = mapped_column(BigInt, primary_key=True)


class Timestamped:
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)


class Versioned:
    """Optimistic lock: SQLAlchemy adds 1 per update; a stale form is refused by BaseCRUD.update."""

    version: Mapped[int] = mapped_column(Integer, default=1)
