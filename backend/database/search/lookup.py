"""Which texts stand in a key, as SQL: through the trigram index of either database, or read from the row itself."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Result,
    String,
    and_,
    any_,
    bindparam,
    column,
    false,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.orm import Session

from backend.database.listing import AnyRow, AnySelect
from backend.database.search.keys import TRIGRAM
from backend.database.session import ask
from backend.database.walking import unindexed

PROBED, WALKED = 200, 10_000  # rows that say how many fit; rows that may be walked through
TEXTS = ARRAY(String)
LAST = "\U0010ffff"
# Any of: all of: any of these texts, somewhere in the key.
Formula = list[list[list[str]]]
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

    def newest(self, statement: AnySelect, formula: Formula, number: int, *, seldom: bool | None = None) -> Result[Any]:
        """The ids and keys of so many of the statement's rows that fit, the newest first. `seldom`: None: not known."""
        if not self.sqlite or not is_indexed(formula):
            found, order = self.joined(keys_of(statement, self.model), formula)
            if not self.sqlite and (self.is_seldom(formula, number) if seldom is None else seldom):
                few = found.cte("few").prefix_with("MATERIALIZED")
                found, order = select(few), few.c.id
            return ask(self.session, found.order_by(order.desc()).limit(number))
        return ask(self.session, _matching(statement, self.model), text=_matched(formula), number=number)

    def some(self, formula: Formula, number: int) -> list[int]:
        """So many ids that fit an indexed formula, whichever are met first; on SQLite."""
        return list(ask(self.session, _some(self.model), text=_matched(formula), number=number).scalars())

    def of_these(self, statement: AnySelect, ids: list[int]) -> Sequence[AnyRow]:
        """The ids and keys of those that are among the statement's rows, the newest first."""
        found = keys_of(statement, self.model).where(self.model.id.in_(ids)).order_by(self.model.id.desc())
        return self.session.execute(found).all() if ids else []

    def is_seldom(self, formula: Formula, number: int) -> bool:
        """Whether so many are better all found first than met by a walk from the newest row on, as the newest rows say.

        PostgreSQL guesses, and walks through tens of thousands of rows where its index would find a thousand.
        """
        texts = {
            f"texts_{place}_{nth}": [f"%{_escaped(text)}%" for text in texts]
            for place, group in enumerate(formula)
            for nth, texts in enumerate(group)
        }
        fit: int = ask(self.session, _probe(self.model, tuple(map(len, formula))), **texts).scalar_one()
        return fit * WALKED < number * PROBED

    def begins(self, text: str, *, few: bool) -> ColumnElement[bool]:
        """The key begins so. `few`: through its index; otherwise a list's own order is walked."""
        if not self.sqlite:
            return self.key.like(_pattern(f"{_escaped(text)}%"))  # type: ignore[no-any-return] # a column's method
        if few:
            return and_(self.key >= text, self.key < text + LAST)
        return func.instr(self.key, text) == 1

    def _any(self, texts: list[str]) -> ColumnElement[bool]:
        if self.sqlite:
            return or_(*(func.instr(self.key, text) > 0 for text in texts))
        return or_(*(self.key.like(_pattern(f"%{_escaped(text)}%")) for text in texts))

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
def keys_of(statement: AnySelect, model: Any) -> AnySelect:
    """The ids and keys of a list."""
    return statement.with_only_columns(model.id, model.search_key, maintain_column_froms=True)


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
def _probe(model: Any, terms: tuple[int, ...]) -> AnySelect:
    """How many of the newest rows fit a formula of groups of so many terms."""
    newest = select(model.search_key).order_by(model.id.desc()).limit(PROBED).subquery()
    groups = (
        and_(*(newest.c.search_key.like(any_(bindparam(f"texts_{place}_{nth}", type_=TEXTS))) for nth in range(number)))
        for place, number in enumerate(terms)
    )
    return select(func.count()).select_from(newest).where(or_(false(), *groups))


def _index(model: Any) -> Any:
    name = f"{model.__tablename__}_search"
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


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _pattern(pattern: str) -> ColumnElement[str]:
    """Stands in the statement itself: a plan for any text is a bad one for most."""
    return bindparam(None, pattern, literal_execute=True)
