"""Which texts stand in a key, as SQL: through the trigram index of either database, or read from the row itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, column, false, func, literal_column, or_, select, table
from sqlalchemy.orm import Session

from backend.database.listing import AnyRow, AnySelect
from backend.database.search import made
from backend.database.search.keys import TRIGRAM
from backend.database.search.made import Formula, escaped, keys_of, like
from backend.database.session import ask, ask_driver
from backend.database.walking import unindexed

SMALL = 3  # of so few groups two are hardly read faster than all
LAST = "\U0010ffff"
Found = tuple[AnySelect, ColumnElement[int]]  # and the id in whose order the rows are read


class Lookup:
    """Formulas over the keys of one model."""

    def __init__(self, session: Session, model: type[Any]) -> None:
        self.session = session
        self.model: Any = model
        self.key = self.model.search_key
        self.sqlite = session.get_bind().dialect.name == "sqlite"

    def read(self, formula: Formula) -> ColumnElement[bool]:
        """Says it of a row at hand; SQLite has no index for it."""
        return or_(false(), *(and_(*(self._any(texts) for texts in group)) for group in formula))

    def looked_up(self, formula: Formula) -> ColumnElement[bool]:
        """Finds the rows first: for few. On PostgreSQL the planner sees the texts and chooses."""
        if not self.sqlite:
            return self.read(formula)
        index = self._index()
        ids = select(index.c.rowid).where(index.c[index.name].match(_matched(formula)))
        return and_(self.model.id.in_(ids), *self._letters(formula))

    def joined(self, statement: AnySelect, formula: Formula) -> Found:
        """The statement's rows, read in the order of their ids and no further than its LIMIT."""
        if not self.sqlite:
            return statement.where(self.read(formula)), self.model.id
        index = self._index()
        # The plus keeps FTS5 the outer loop: asked for one row at a time it is a thousand times slower.
        joined = self.model.id == unindexed(index.c.rowid)
        found = statement.where(index.c[index.name].match(_matched(formula)), joined)
        return found.where(*self._letters(formula)), index.c.rowid

    def newest(self, statement: AnySelect, formula: Formula, number: int) -> Iterable[AnyRow]:
        """The ids and keys of so many of the statement's rows that fit, the newest first; read as asked for."""
        if self.sqlite and is_indexed(formula):
            return ask(self.session, _matching(statement, self.model), text=_matched(formula), number=number)
        if self.sqlite:
            found, order = self.joined(keys_of(statement, self.model), formula)
            return self.first(found, order, number)
        rows = self.newest_groups(statement, formula, number)
        return rows if len(rows) == number else self.all_fitting(statement, formula, number)

    def newest_groups(self, statement: AnySelect, formula: Formula, number: int) -> Sequence[AnyRow]:
        """What of it is seldom enough to be found among the newest rows, or fewer; on PostgreSQL."""

        def read(groups: tuple[int, int]) -> Sequence[AnyRow]:
            put = made.in_groups(keys_of(statement, self.model), self.model, made.shape(formula))
            return self._run(put.among(groups), formula, number=number)

        return self._by_groups(read, number)

    def all_fitting(self, statement: AnySelect, formula: Formula, number: int) -> Sequence[AnyRow]:
        """The same of all rows: found first, then sorted; on PostgreSQL."""
        put = made.of_all(keys_of(statement, self.model), self.model, made.shape(formula))
        return self._run(put, formula, number=number)

    def any_fitting(self, formula: Formula, number: int, most: int) -> list[int]:
        """So many of the ids of the first `most` rows that are met, the newest of these first; on PostgreSQL."""
        put = made.some(self.model, made.shape(formula))
        return [row.id for row in self._run(put, formula, number=number, most=most)]

    def count_fitting(self, statement: AnySelect, formula: Formula, most: int) -> int:
        """How many of the statement's rows fit, counted up to a number; on PostgreSQL."""
        (found,) = self._run(made.counted(statement, self.model, made.shape(formula)), formula, most=most)
        return int(found[0])

    def _run(self, put: "made.Made", formula: Formula, **values: int) -> Sequence[AnyRow]:
        """The texts stand in the statement itself: a plan for any text is a bad one for most."""
        return ask_driver(self.session, put.about(formula), put.values | values)

    def first(
        self, found: AnySelect, order: ColumnElement[int], number: int, top: int | None = None
    ) -> Iterable[AnyRow]:
        """So many of these rows, the greatest ids first; none is greater than `top`."""
        if self.sqlite:
            return ask(self.session, found.order_by(order.desc()).limit(number))
        rows = self.among_newest(found, number, top)
        return rows if len(rows) == number else self.of_all(found, number)

    def among_newest(self, found: AnySelect, number: int, top: int | None = None) -> Sequence[AnyRow]:
        """So many of these rows, or fewer when they are seldom, for PostgreSQL.

        It does not guess well how many there are, and either reads all of them or walks through the whole table.
        Of a larger group as many more are expected as it is larger: one that will not do either is not asked.
        """

        def read(groups: tuple[int, int]) -> Sequence[AnyRow]:
            wanted: ColumnElement[Any] = literal_column(f"ARRAY[{groups[0]}, {groups[1]}]::bigint[]")
            near = found.where(made.is_in(self.model, wanted)).order_by(self.model.id.desc())
            rows: Sequence[AnyRow] = ask(self.session, near.limit(number)).all()
            return rows

        return self._by_groups(read, number, top)

    def _by_groups(
        self, read: Callable[[tuple[int, int]], Sequence[AnyRow]], number: int, top: int | None = None
    ) -> Sequence[AnyRow]:
        rows: Sequence[AnyRow] | None = None
        asked = 0
        for shift, groups in () if self.sqlite else _groups(self.greatest if top is None else top):
            if rows is None or len(rows) < number <= len(rows) << (shift - asked):
                rows, asked = read(groups), shift
        return rows or ()

    def of_all(self, found: AnySelect, number: int) -> Sequence[AnyRow]:
        """The same of all rows: found first, then sorted; on PostgreSQL."""
        few = found.cte("few").prefix_with("MATERIALIZED")
        return ask(self.session, select(few).order_by(few.c.id.desc()).limit(number)).all()

    @cached_property
    def greatest(self) -> int:
        """The greatest id of all."""
        return ask(self.session, _greatest(self.model)).scalar_one() or 0

    def some(self, formula: Formula, number: int) -> list[int]:
        """So many ids that fit an indexed formula, whichever are met first; on SQLite."""
        return list(ask(self.session, _some(self.model), text=_matched(formula), number=number).scalars())

    def of_these(self, statement: AnySelect, ids: list[int], number: int) -> Sequence[AnyRow]:
        """The ids and keys of those that are among the statement's rows, the newest first, so many at most."""
        found = keys_of(statement, self.model).where(self.model.id.in_(ids)).order_by(self.model.id.desc())
        return self.session.execute(found.limit(number)).all() if ids else []

    def begins(self, text: str, *, few: bool) -> ColumnElement[bool]:
        """The key begins so. `few`: through its index; otherwise a list's own order is walked."""
        if not self.sqlite:
            return self.key.like(_pattern(f"{escaped(text)}%"))  # type: ignore[no-any-return] # a column's method
        if few:
            return and_(self.key >= text, self.key < text + LAST)
        return func.instr(self.key, text) == 1

    def count_begun(self, text: str, most: int) -> int:
        """How many keys begin so, counted up to a number."""
        if self.sqlite:
            found = ask(self.session, _begun(self.model), low=text, high=text + LAST, most=most)
        else:
            some = select(self.model.id).where(self.begins(text, few=True)).limit(most).subquery()
            found = ask(self.session, select(func.count()).select_from(some))
        number: int = found.scalar_one()
        return number

    def _any(self, texts: list[str]) -> ColumnElement[bool]:
        if self.sqlite:
            return or_(*(func.instr(self.key, text) > 0 for text in texts))
        return or_(*(self.key.like(_pattern(like(text))) for text in texts))

    def _index(self) -> Any:
        return _index(self.model)

    def _letters(self, formula: Formula) -> list[ColumnElement[bool]]:
        """What trigrams cannot say: single letters are read from the rows that the rest has found."""
        if is_indexed(formula):
            return []
        return [self.read(formula)]


def is_indexed(formula: Formula) -> bool:
    """Whether trigrams say all of it: single letters have none."""
    return all(_has_trigrams(texts) for group in formula for texts in group)


def stands(formula: Formula, key: str) -> bool:
    """Says it of a key at hand. A search asks it hundreds of times: plain loops take a third of any() and all()."""
    for group in formula:
        for texts in group:
            for text in texts:
                if text in key:
                    break
            else:
                break
        else:
            return True
    return False


def widest(formula: Formula) -> Formula:
    """The same rows from fewer groups: without those whose rows another group holds as well."""
    kept: Formula = []
    for group in formula:
        if not any(_is_within(group, other) for other in kept):
            kept = [*(other for other in kept if not _is_within(other, group)), group]
    return kept


def _is_within(group: list[list[str]], wider: list[list[str]]) -> bool:
    """Wherever all of `group` stands, all of `wider` does."""
    return all(any(all(any(part in text for part in wide) for text in texts) for texts in group) for wide in wider)


# A list that nothing narrows is the same statement every time; to put a query together takes longer than to run it.


@lru_cache(maxsize=100)
def _matching(statement: AnySelect, model: Any) -> AnySelect:
    index = _index(model)
    joined = model.id == unindexed(index.c.rowid)
    found = keys_of(statement, model).where(index.c[index.name].match(bindparam("text")), joined)
    return found.order_by(index.c.rowid.desc()).limit(bindparam("number"))


@lru_cache(maxsize=100)
def _some(model: Any) -> AnySelect:
    index = _index(model)
    return select(index.c.rowid).where(index.c[index.name].match(bindparam("text"))).limit(bindparam("number"))


@lru_cache(maxsize=100)
def _begun(model: Any) -> AnySelect:
    key = model.search_key
    some = select(model.id).where(key >= bindparam("low"), key < bindparam("high")).limit(bindparam("most")).subquery()
    return select(func.count()).select_from(some)


@lru_cache(maxsize=100)
def _greatest(model: Any) -> AnySelect:
    return select(func.max(model.id))


def _groups(top: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """The two newest groups of each size that hold a small part of the rows only, with their shift."""
    for kind, shift in enumerate(made.SHIFTS):
        newest = top >> shift
        if newest >= SMALL:
            yield shift, (newest | kind * made.KIND, newest - 1 | kind * made.KIND)


def index_name(model: Any) -> str:
    """Of a searchable model, on both databases: a table on SQLite."""
    return f"{model.__tablename__}_search"


def _index(model: Any) -> Any:
    name = index_name(model)
    return table(name, column("rowid"), column(name))


def _has_trigrams(texts: list[str]) -> bool:
    return all(len(text) >= TRIGRAM for text in texts)


def _matched(formula: Formula) -> str:
    """The formula in FTS5's words."""
    groups = [
        " AND ".join(f"({' OR '.join(map(_quoted, texts))})" for texts in group if _has_trigrams(texts))
        for group in formula
    ]
    return " OR ".join(f"({group})" for group in groups)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _pattern(pattern: str) -> ColumnElement[str]:
    """Stands in the statement itself: a plan for any text is a bad one for most."""
    return bindparam(None, pattern, literal_execute=True)
