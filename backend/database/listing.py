"""Lists: keyset paging both ways on (sort column, id), capped counts, cursors that a client cannot break."""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BinaryExpression,
    Column,
    ColumnElement,
    Join,
    Row,
    ScalarSelect,
    Select,
    and_,
    any_,
    bindparam,
    func,
    join,
    literal,
    or_,
    select,
)
from sqlalchemy.sql import operators, visitors

from backend.core.errors import AppError
from backend.core.i18n import _

T = TypeVar("T")
# A SELECT of columns that only the caller knows, and a row of it.
AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]
API_CAP = 10_000
PAGE_CAP = 1_000
SEARCH_CAP = 100  # of a page while it searches: to count more would take longer than to find them


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list. `total` is None and `capped` True when there are more than the `cap`."""

    items: Sequence[T] = field(default_factory=list)
    next: str | None = None
    prev: str | None = None
    total: int | None = 0
    capped: bool = False
    cap: int = PAGE_CAP


@dataclass(frozen=True)
class Cursor:
    """Where a page starts: after (or, when `back`, before) the row with this sort value and id."""

    sort: str
    value: Any
    row_id: int
    back: bool = False

    def encode(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        raw = json.dumps([self.sort, value, self.row_id, int(self.back)], separators=(",", ":"), ensure_ascii=False)
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Dressed:
    """A row of columns with more than they hold; a list that has such rows adds fields to it."""

    row: AnyRow

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)

    def values(self) -> tuple[Any, ...]:
        """All that it is shown by."""
        return (*self.row, *(getattr(self, field.name) for field in fields(self)[1:]))


def values_of(row: object) -> tuple[Any, ...] | None:
    """What a row holds, to know it again by; None for an entity or whatever else a list is made of."""
    if isinstance(row, Row):
        return tuple(row)
    return row.values() if isinstance(row, Dressed) else None


def bad_cursor() -> AppError:
    return AppError(_("This page link is broken or out of date. Start from the first page."), code="bad_cursor")


def decode_cursor(text: str, sort: str, column: ColumnElement[Any]) -> Cursor:
    """Raises AppError `bad_cursor` for anything that `Cursor.encode` did not make for this sort."""
    try:
        raw = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        made_for, value, row_id, back = raw
        value = _typed(value, column.type.python_type)
    except (ValueError, TypeError, binascii.Error, UnicodeError, RecursionError, OverflowError) as error:
        raise bad_cursor() from error
    if made_for != sort or type(row_id) is not int or not 0 <= row_id < 2**63 or back not in (0, 1):
        raise bad_cursor()
    return Cursor(sort, value, row_id, bool(back))


def _typed(value: Any, python_type: type) -> Any:
    if python_type is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("naive")
        return moment.astimezone(UTC)
    if type(value) is not python_type or (isinstance(value, int) and abs(value) >= 2**63):
        raise ValueError("type")
    if isinstance(value, str) and "\0" in value.encode().decode():  # a lone surrogate does not encode
        raise ValueError("text")
    return value


def parse_sort(sort: str, known: Sequence[str]) -> tuple[str, bool]:
    """("price", True) for "-price". Raises AppError `bad_sort` for a column that this list does not sort by."""
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name not in known:
        names = ", ".join(known)
        raise AppError(_("This list cannot be sorted that way. It sorts by: %s.") % names, code="bad_sort")
    return name, descending


@dataclass(frozen=True)
class Order:
    """How a list is walked: by a column and the id, up or down; `back`: the page before a cursor."""

    sort: str
    name: str
    descending: bool
    back: bool

    @property
    def down(self) -> bool:
        return self.descending != self.back


def keyset(
    column: ColumnElement[Any], id_column: ColumnElement[int], value: Any, row_id: Any, *, down: bool
) -> ColumnElement[bool]:
    """Rows behind a place. Written so that both databases walk the (column, id) index."""
    if down:
        return and_(column <= value, or_(column < value, id_column < row_id))
    return and_(column >= value, or_(column > value, id_column > row_id))


def places(
    column: ColumnElement[Any], id_column: ColumnElement[int], order: Order, cursor: Cursor | None, *, tied: bool
) -> list[list[ColumnElement[bool]]]:
    """Where the rows of a page are read, one place after the other.

    `tied`: many rows have the same value. SQLite would walk through all of these up to the cursor's id.
    """
    if cursor is None:
        return [[]]
    value, row_id = literal(cursor.value, column.type), cursor.row_id
    if not tied:
        return [[keyset(column, id_column, value, row_id, down=order.down)]]
    if order.down:
        return [[column == value, id_column < row_id], [column < value]]
    return [[column == value, id_column > row_id], [column > value]]


def named(statement: AnySelect, model: Any, ids: Sequence[int], *, sqlite: bool) -> tuple[AnySelect, dict[str, Any]]:
    """The list's rows with these ids, in any order; and the values of the statement, which is made once."""
    return _named(statement, model, sqlite), given(ids, sqlite=sqlite)


@lru_cache(maxsize=100)
def _named(statement: AnySelect, model: Any, sqlite: bool) -> AnySelect:
    return statement.where(within(model.id, sqlite=sqlite))


def within(column: Any, *, sqlite: bool) -> ColumnElement[bool]:
    """`column IN ids` of a statement that is made once; `given` is what it is asked with."""
    ids = bindparam("ids", type_=None if sqlite else ARRAY(BigInteger))
    found: ColumnElement[bool] = (
        column.in_(select(func.json_each(ids).table_valued("value").c.value)) if sqlite else column == any_(ids)
    )
    return found


def given(ids: Iterable[int], *, sqlite: bool) -> dict[str, Any]:
    return {"ids": json.dumps(list(ids)) if sqlite else list(ids)}


def walked(statement: AnySelect, column: Any, id_column: Any, order: Order) -> AnySelect:
    return statement.order_by(*(by.desc() if order.down else by.asc() for by in (column, id_column)))


def count_up_to(statement: AnySelect, cap: int) -> ScalarSelect[int]:
    """The number of rows of a list, cap + 1 when there are more; a column of the list's own query.

    It depends on no row, so both databases compute it once; a query of its own costs a round trip more.
    """
    inner = statement.with_only_columns(literal(1), maintain_column_froms=True).order_by(None).limit(cap + 1)
    return select(func.count()).select_from(inner.subquery()).scalar_subquery()


def count_of(whole: AnySelect, conditions: Sequence[ColumnElement[bool]], cap: int) -> ScalarSelect[int]:
    """The same for a list whose statement is made once, narrowed by conditions: without what it only shows."""
    source, own = _read_from(whole)
    if source is None:
        return count_up_to(whole.where(*conditions), cap)
    found = select(literal(1)).select_from(_needed(source, _tables(*conditions) | _tables(*own)))
    return count_up_to(found.where(*own, *conditions), cap)


@lru_cache(maxsize=200)
def _read_from(whole: AnySelect) -> tuple[Join | None, list[ColumnElement[bool]]]:
    """The joins of a list, None when there are none, and its own conditions."""
    froms = whole.get_final_froms()
    joined = froms[0] if len(froms) == 1 and isinstance(froms[0], Join) else None
    return joined, [whole.whereclause] if whole.whereclause is not None else []


def _tables(*clauses: Any) -> set[Any]:
    """Whose columns stand in them."""
    return {part.table for clause in clauses for part in visitors.iterate(clause) if isinstance(part, Column)}


def _needed(source: Any, used: set[Any]) -> Any:
    """The joins without those that neither take rows away nor are asked: each row of a list is one record."""
    if not isinstance(source, Join):
        return source
    if (source.isouter or _is_always_there(source.onclause)) and source.right not in used:
        return _needed(source.left, used)
    assert source.onclause is not None
    return join(
        _needed(source.left, used | _tables(source.onclause)), source.right, source.onclause, isouter=source.isouter
    )


def _is_always_there(on: Any) -> bool:
    """Whether a join is along a foreign key that is never null."""
    if not isinstance(on, BinaryExpression) or on.operator is not operators.eq:
        return False
    pair = [(one, other) for one, other in ((on.left, on.right), (on.right, on.left)) if isinstance(one, Column)]
    return any(not one.nullable and isinstance(other, Column) and one.references(other) for one, other in pair)
