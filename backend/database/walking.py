"""How SQLite, which keeps no statistics, is led to read a list: it finds few rows and sorts them, or walks an order."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BinaryExpression, ColumnClause, ColumnElement, SelectBase
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from backend.database.listing import Order

FEW = 1_000  # rows are sorted faster than they are met by walking an order


class _Any(Container[Any]):
    def __contains__(self, _value: object) -> bool:
        return True


ANY = _Any()


def is_seldom(params: object, seldom: Mapping[str, Container[Any]]) -> bool:
    """Whether a filter is on that may leave few rows (BaseCRUD.seldom)."""
    asked = ((getattr(params, name, None), rare) for name, rare in seldom.items())
    return any(value is not None and value in rare for value, rare in asked)


def walking(
    narrowed: Iterable[ColumnElement[bool]],
    common: Sequence[ColumnElement[bool]],
    figures: Collection[str],
    order: Order,
    *,
    behind: bool,
) -> list[ColumnElement[bool]]:
    """The conditions of a page as a walk along its order meets them. `common`: those that many rows fulfil."""
    return [
        passed(condition)
        if any(condition.compare(one) for one in common)
        else met(condition, figures, order, behind=behind)
        for condition in narrowed
    ]


def met(condition: ColumnElement[bool], figures: Collection[str], order: Order, *, behind: bool) -> ColumnElement[bool]:
    """How a walk along the order should meet a range of figures ("column >= value").

    SQLite keeps no statistics: it would read and sort half of a table that a range lets through. A range of the order's
    own column is where the walk starts and ends; where a cursor starts it already, the range must not.
    """
    if not isinstance(condition, BinaryExpression) or getattr(condition.left, "key", None) not in figures:
        return condition
    start = operators.le if order.down else operators.ge
    if condition.left.key == order.name and not (behind and condition.operator is start):
        return condition
    return _aside(condition)


def passed(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition that many rows fulfil: SQLite would look up all of these and sort them."""
    if isinstance(condition, BinaryExpression) and isinstance(condition.left, ColumnClause):
        return _aside(condition)
    if any(isinstance(part, SelectBase) for part in visitors.iterate(condition)):
        return condition
    return visitors.replacement_traverse(condition, {}, _plain)


def _aside(condition: BinaryExpression[bool]) -> ColumnElement[bool]:
    """The comparison as SQLite looks for no index of its column."""
    found: ColumnElement[bool] = condition.operator(unindexed(condition.left), condition.right)
    return found


def _plain(element: Any, **_options: Any) -> Any:
    return unindexed(element) if isinstance(element, ColumnClause) else None


class unindexed(FunctionElement[Any]):  # noqa: N801 - stands in statements as a function does
    """The column as SQLite looks for no index of it; to PostgreSQL, which knows better, the column itself."""

    inherit_cache = True

    def __init__(self, column: Any) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(unindexed, "sqlite")
def _unindexed_sqlite(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(unindexed)
def _unindexed(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))
