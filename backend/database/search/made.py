"""Statements of a search on PostgreSQL, made once for every search of the same shape; the texts are put into them.

To put such a statement together takes Python longer than PostgreSQL takes to answer it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    String,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, array, psycopg
from sqlalchemy.types import TypeEngine

from backend.database.listing import AnySelect

# Any of: all of: any of these texts, somewhere in the key.
Formula = list[list[list[str]]]
Shape = tuple[tuple[int, ...], ...]  # how many texts there are in each group's each part

# PostgreSQL's index of trigrams says of each row in which group of ids it stands, of 4,096, of 32,768 and of 262,144:
# the newest rows that fit are found without reading all that do. KIND tells a group's number from one of another size.
SHIFTS, KIND = (12, 15, 18), 1 << 40
KEPT = 200
PLACE = re.compile(r"%\(t(\d+)\)s")
LATER = re.compile(r"t\d+|newest|before|number|most")


@dataclass(frozen=True)
class Made:
    """A statement in the driver's words, with what is bound to it already."""

    sql: str
    values: dict[str, Any]

    def about(self, formula: Formula) -> str:
        """The statement with the formula's texts."""
        texts = [quoted(like(text)) for group in formula for texts in group for text in texts]
        # In one pass: what was put in is read no more, whatever it holds.
        return PLACE.sub(lambda place: texts[int(place[1])], self.sql)

    def among(self, groups: tuple[int, int]) -> "Made":
        newest, before = groups
        return Made(self.sql.replace("%(newest)s", str(newest)).replace("%(before)s", str(before)), self.values)


def shape(formula: Formula) -> Shape:
    return tuple(tuple(map(len, group)) for group in formula)


def quoted(text: str) -> str:
    """As a constant of a statement that has parameters besides."""
    from psycopg.sql import Literal  # noqa: PLC0415 - with PostgreSQL alone

    return Literal(text).as_string().replace("%", "%%")


class Begin(str):
    """A text of a formula with which the key begins."""

    __slots__ = ()


def like(text: str) -> str:
    """The pattern of a text somewhere in a key."""
    return f"{escaped(text)}%" if isinstance(text, Begin) else f"%{escaped(text)}%"


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@lru_cache(maxsize=100)
def keys_of(statement: AnySelect, model: Any) -> AnySelect:
    """The ids and keys of a list. One that nothing narrows is the same statement every time."""
    return statement.with_only_columns(model.id, model.search_key, maintain_column_froms=True)


@lru_cache(maxsize=KEPT)
def in_groups(statement: AnySelect, model: Any, of: Shape) -> Made:
    """The statement's newest `number` rows that fit, of the groups `newest` and `before`."""
    groups = cast(array([_later("newest", BigInteger), _later("before", BigInteger)]), ARRAY(BigInteger))
    found = (
        statement.where(_fits(model, of), is_in(model, groups))
        .order_by(model.id.desc())
        .limit(_later("number", BigInteger))
    )
    return _made(found)


@lru_cache(maxsize=KEPT)
def of_all(statement: AnySelect, model: Any, of: Shape) -> Made:
    """The newest `number` of all that fit, found first and then sorted."""
    few = statement.where(_fits(model, of)).cte("few").prefix_with("MATERIALIZED")
    return _made(select(few).order_by(few.c.id.desc()).limit(_later("number", BigInteger)))


@lru_cache(maxsize=KEPT)
def counted(statement: AnySelect, model: Any, of: Shape) -> Made:
    """How many fit, counted no further than `most`."""
    met = statement.with_only_columns(literal(1), maintain_column_froms=True).where(_fits(model, of))
    return _made(select(func.count()).select_from(met.order_by(None).limit(_later("most", BigInteger)).subquery()))


@lru_cache(maxsize=KEPT)
def some(model: Any, of: Shape) -> Made:
    """The newest `number` of the first `most` rows of the model that are met."""
    met = (
        select(model.id)
        .where(_fits(model, of))
        .limit(_later("most", BigInteger))
        .cte("few")
        .prefix_with("MATERIALIZED")
    )
    return _made(select(met).order_by(met.c.id.desc()).limit(_later("number", BigInteger)))


def is_in(model: Any, groups: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row stands in one of these groups; word by word as the index has it (migration 202611301000)."""
    name = f"{model.__tablename__}.id"
    held = ", ".join(f"({name} >> {shift}) | {kind * KIND}::bigint" for kind, shift in enumerate(SHIFTS))
    return literal_column(f"ARRAY[{held}]").op("&&")(groups)


def _fits(model: Any, of: Shape) -> ColumnElement[bool]:
    numbers = count()
    return or_(*(and_(*(_any(model, many, numbers) for many in group)) for group in of))


def _any(model: Any, many: int, numbers: Iterator[int]) -> ColumnElement[bool]:
    return or_(*(model.search_key.like(_later(f"t{next(numbers)}", String)) for _text in range(many)))


def _later(name: str, of: type[TypeEngine[Any]]) -> BindParameter[Any]:
    """What the statement is given when it is asked."""
    return bindparam(name, None, of)


def _made(statement: AnySelect) -> Made:
    compiled: Any = statement.compile(dialect=_driver(), compile_kwargs={"render_postcompile": True})
    types = compiled._bind_processors  # noqa: SLF001 - as SQLAlchemy itself binds values
    own = {name: value for name, value in compiled.params.items() if not LATER.fullmatch(name)}
    return Made(str(compiled), {name: types[name](value) if name in types else value for name, value in own.items()})


@cache
def _driver() -> Any:
    return psycopg.dialect()  # type: ignore[no-untyped-call] # of SQLAlchemy
