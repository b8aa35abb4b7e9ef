"""Whole selections as columns of one statement, each a JSON text: what a page shows is one round trip.

The text is also the value that a drawn part of a page is kept by: equal text, equal part, and nothing is read.
"""

import json
from collections import namedtuple
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import JSON, Boolean, ScalarSelect, Text, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from backend.database.base import UTCDateTime, moment
from backend.database.listing import AnySelect


class packed_rows(FunctionElement[str]):  # noqa: N801 - a function of SQL
    """All rows of these columns: `[[1,"a"],[2,"b"]]`; null on PostgreSQL when there is none."""

    type = Text()
    inherit_cache = True


@compiles(packed_rows, "sqlite")
def _sqlite(element: packed_rows, compiler: SQLCompiler, **options: Any) -> str:
    values = [
        f"json({compiler.process(column, **options)})"
        if isinstance(column.type, JSON)
        else compiler.process(column, **options)
        for column in element.clauses
    ]
    # As plain text: what SQLite knows to be JSON, it puts into JSON as such.
    return f"json_group_array(json_array({', '.join(values)})) || ''"


@compiles(packed_rows, "postgresql")
def _postgresql(element: packed_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_agg(json_build_array({compiler.process(element.clauses, **options)})) AS TEXT)"


class Packed:
    """A selection of columns that travels as one text."""

    def __init__(self, statement: AnySelect) -> None:
        rows = statement.subquery()
        self.column: ScalarSelect[Any] = select(packed_rows(*rows.c)).scalar_subquery()
        self._make: Callable[..., Any] = cast("Any", namedtuple("Packed", rows.c.keys()))._make
        self._typed: list[tuple[int, Callable[[Any], Any]]] = []
        for place, column in enumerate(rows.c):
            if isinstance(column.type, UTCDateTime):
                self._typed.append((place, moment))
            elif isinstance(column.type, Boolean):
                self._typed.append((place, bool))  # SQLite has numbers

    def rows(self, text: str | None) -> list[Any]:
        """The selection's rows, their values as the database hands them out."""
        found = json.loads(text) if text else []
        for row in found:
            for place, typed in self._typed:
                if row[place] is not None:
                    row[place] = typed(row[place])
        return [self._make(row) for row in found]
