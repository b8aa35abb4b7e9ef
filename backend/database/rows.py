"""Rows without their objects: what many of them at once are read from and written to."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Column, ColumnElement, SQLColumnExpression, Table, any_, inspect, literal
from sqlalchemy.orm import Session

from backend.core.errors import NotFoundError
from backend.database import search
from backend.database.base import Base, UTCDateTime
from backend.database.listing import AnyRow, AnySelect, given
from backend.database.session import ask

CACHES = frozenset({"telegram_files"})  # rows that may go with what they are of


def among(session: Session, column: SQLColumnExpression[Any], ids: Collection[int]) -> ColumnElement[bool]:
    """`column IN ids`, for PostgreSQL as one array: a thousand parameters cost it more than the rows."""
    if session.get_bind().dialect.name == "sqlite":
        return column.in_(ids)
    found: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(BigInteger)))
    return found


def ask_within(session: Session, make: Callable[[bool], AnySelect], ids: Iterable[int]) -> Iterable[AnyRow]:
    """The rows of a statement that is made once for each database (`listing.within`); `make` is told if on SQLite."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    return ask(session, make(sqlite), **given(ids, sqlite=sqlite))


def with_keys(model: type[Base], values: dict[str, Any]) -> dict[str, Any]:
    """A row's values with those that only mirror others (search keys) made anew."""
    if not issubclass(model, search.Searchable):
        return values
    row: Any = model(**values)
    search.fill(row)
    return {name: value for name, value in inspect(row).dict.items() if name in table_of(model).c}


def typed(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values as the columns hold them; columns that are no more are left out."""
    return {
        name: datetime.fromisoformat(value)
        if value is not None and isinstance(table.c[name].type, UTCDateTime)
        else value
        for name, value in values.items()
        if name in table.c
    }


@cache
def naming(table: str) -> tuple[Column[Any], ...]:
    """The columns by which rows of other tables name a row of this one; caches go with it."""
    tables = [found for found in Base.metadata.sorted_tables if found.name not in CACHES]
    keys = [key for found in tables for key in found.foreign_keys]
    return tuple(key.parent for key in keys if key.column.table.name == table)


def table_of(model: type[Base]) -> Table:
    found = model.__table__
    assert isinstance(found, Table)
    return found


@cache
def model_of(entity: str) -> type[Base]:
    """Raises NotFoundError for a table that this version no longer has."""
    for mapper in Base.registry.mappers:
        if mapper.class_.__tablename__ == entity:
            found: type[Base] = mapper.class_
            return found
    raise NotFoundError
