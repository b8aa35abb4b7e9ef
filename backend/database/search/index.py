"""Who fits a text, and who fits it best: one index for the lists, the palette and the API.

The best first: a username, whole words, beginnings of words, fragments, one typo; within each the newest. That needs no
sorting: each level is read from the index in the order of ids until the page is full, however many fit.
"""

import re
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, not_, or_, select, true
from sqlalchemy.orm import Session

from backend.database.listing import AnyRow, AnySelect, count_up_to
from backend.database.search import near
from backend.database.search.keys import HANDLE_MARK, TRIGRAM, Term, ways
from backend.database.search.lookup import Found, Lookup, is_indexed, stands, widest
from backend.database.search.made import Begin, Formula, keys_of
from backend.database.session import ask
from backend.database.walking import unindexed

HANDLE, WHOLE, START, PART, NEAR = range(5)
USERNAME = re.compile(r"[a-z][a-z0-9_]{2,31}")
# SQLite keeps no statistics. Up to FEW hits are read and then sorted; with more, a walk along the list's own order soon
# meets a page of them, and up to SOME it is worth knowing beforehand which they are.
FEW, SOME = 500, 5_000
ENOUGH = 3  # with fewer exact finds, those that are one typo away follow
CANDIDATES, NEAREST = 300, 50


def pieces(words: Term, level: int) -> list[str]:
    """What stands in the key of a row where one of the words fits at this level."""
    if level == WHOLE:
        return [f" {word} " for word in words]
    if level == START:
        return [f" {word}" for word in words] + [f" {HANDLE_MARK}{word}" for word in words if USERNAME.fullmatch(word)]
    return [f" {word}" if len(words[0]) < TRIGRAM or word.startswith(HANDLE_MARK) else word for word in words]


class SearchIndex:
    """The rows of one model that fit one text."""

    def __init__(self, session: Session, model: type[Any], q: str) -> None:
        self.session = session
        self.model: Any = model
        self.lookup = Lookup(session, model)
        read = [way for way in ways(q) if way]
        # Single letters alone say how a key begins, and how its other words do.
        self.letters = [way for way in read if all(len(term[0]) == 1 for term in way)]
        self.ways = [way for way in read if way not in self.letters]
        self.asks = bool(read)
        self.flat = bool(self.letters) and not self.ways  # all who fit do so equally well
        self.many = ENOUGH if self.lookup.sqlite else FEW
        self._hits: int | None = None
        self._better: list[tuple[int, Formula]] | None = None

    @cached_property
    def levels(self) -> list[int]:
        """Those at which rows can fit, the best first."""
        terms = [term for way in self.ways for term in way]
        if not terms:
            return [PART, NEAR]
        word = terms[0][0].removeprefix(HANDLE_MARK)
        if len(terms) > 1 or not USERNAME.fullmatch(word):
            return [WHOLE, START, PART, NEAR]
        # What can be nothing but a username is no whole word besides.
        whole = [] if "_" in word or word != terms[0][0] else [WHOLE]
        return [*([HANDLE] if self.called else []), *whole, START, PART, NEAR]

    @cached_property
    def called(self) -> list[int]:
        """The ids of those whose username is the word that was typed: the trigrams of a username are everybody's."""
        word = next((term[0].removeprefix(HANDLE_MARK) for way in self.ways for term in way), "")
        if not self.model.__handle__ or not USERNAME.fullmatch(word):
            return []
        return list(ask(self.session, _called(self.model), word=word).scalars())

    def level_of(self, row_id: int, key: str) -> int:
        """How well a row fits whose key is known to fit exactly."""
        if self._better is None:
            self._better = [(level, self._formula(level)) for level in self.levels if HANDLE < level < PART]
        if HANDLE in self.levels and row_id in self.called:
            return HANDLE
        for level, formula in self._better:
            if stands(formula, key):
                return level
        return PART

    # -- conditions

    def fits(self) -> ColumnElement[bool]:
        """Every row that fits, for the WHERE of any statement."""
        if not self.asks:
            return true()
        typos = self.near(_all(self.model))
        return self.model.id.in_([*self.few, *typos]) if typos else self._exact(PART)

    def sought(self, statement: AnySelect) -> tuple[AnySelect, AnySelect, bool]:
        """The statement's rows that fit, for any order; the same to count; whether SQLite better finds them first."""
        typos = self.near(_all(self.model))
        if typos:
            found = statement.where(self.model.id.in_([*self.few, *typos]))
            return found, found, self.lookup.sqlite
        found, _order = self.newest(statement)
        few = self.lookup.sqlite and self.hits() <= FEW
        return found if few else statement.where(self._exact(PART)), found, few

    def within(self, named: Any, target: Any) -> ColumnElement[bool]:
        """Rows of another table whose column `named` is the `target` of a fitting row."""
        found = select(target).where(self.fits())
        if self.hits() <= SOME:
            return named.in_(found)  # type: ignore[no-any-return] # a column's method
        return found.where(target == named).correlate(named.class_).exists()

    def newest(self, statement: AnySelect, level: int = PART) -> Found:
        """The statement's rows that fit at this level or a better one, and the id in whose order they are read."""
        if self.letters or level == HANDLE:
            few = self.lookup.sqlite and level != HANDLE and self.hits() <= SOME
            # A walk would meet few at its end.
            return statement.where(self._exact(level)), unindexed(self.model.id) if few else self.model.id
        return self.lookup.joined(statement, self._formula(level))

    def read_newest(self, statement: AnySelect, level: int, number: int) -> Sequence[AnyRow]:
        """The ids and keys of the statement's newest rows that fit at this level or a better one."""
        if level == HANDLE:
            return self.lookup.of_these(statement, self.called, number)
        if not self.letters:
            formula = self._formula(level)
            return (
                list(self.lookup.newest(statement, formula, number))
                if level < PART
                else self._fitting(statement, number)
            )
        if self.flat and not self.lookup.sqlite:
            return list(self.lookup.newest(statement, self._lettered(), number))
        found, order = self.newest(keys_of(statement, self.model), level)
        return ask(self.session, found.order_by(order.desc()).limit(number)).all()

    def _fitting(self, statement: AnySelect, number: int) -> Sequence[AnyRow]:
        """By the ids of all who fit, where they are few."""
        formula = self._formula(PART)
        if self.lookup.sqlite:
            if len(self.few) < self.many:
                return self.lookup.of_these(statement, self.few, number)
            return list(self.lookup.newest(statement, formula, number))
        rows = self.lookup.newest_groups(statement, formula, number)
        if len(rows) == number:
            return rows
        if len(rows) < ENOUGH and len(self.few) < self.many:
            return self.lookup.of_these(statement, self.few, number)
        return self.lookup.all_fitting(statement, formula, number)

    def count(self, statement: AnySelect, cap: int) -> int:
        """How many of the statement's rows fit, in whatever order they are met; cap + 1 when there are more."""
        if self.flat and not self.lookup.sqlite:
            return self.lookup.count_fitting(statement, self._lettered(), cap + 1)
        fitting = statement.where(or_(*self._begun(PART, few=True))) if self.flat else self.newest(statement)[0]
        return int(self.session.execute(select(count_up_to(fitting, cap))).scalar_one())

    def only(self, statement: AnySelect, level: int) -> Found:
        """The same without those who fit better."""
        better = [not_(self._read(other)) for other in self.levels if other < level]
        found, order = self.newest(statement, level)
        return found.where(*better), order

    def _exact(self, level: int) -> ColumnElement[bool]:
        if level == HANDLE or not self.lookup.sqlite or self.hits() > SOME:
            return self._read(level)
        found = [self.lookup.looked_up(self._formula(level))] if self.ways else []
        return or_(*found, *self._begun(level, few=True))

    def _read(self, level: int) -> ColumnElement[bool]:
        if level == HANDLE:
            return self.model.id.in_(self.called)  # type: ignore[no-any-return] # a column's method
        return or_(self.lookup.read(self._formula(level)), *self._begun(level, few=False))

    def _begun(self, level: int, *, few: bool) -> list[ColumnElement[bool]]:
        """Rows whose first word begins with the first letter, and any word with each of the others."""
        return [
            and_(
                or_(*(self.lookup.begins(text, few=few) for text in pieces(way[0], START))),
                self.lookup.read([[pieces(term, START) for term in way]]),
            )
            for way in self.letters
            if level == PART
        ]

    # -- how many

    def hits(self) -> int:
        """Exact finds, counted a little beyond SOME; of single letters those that begin with the first, doubles too."""
        if self._hits is None and self.letters and not self.ways:
            self._hits = 0
            for text in (text for way in self.letters for text in pieces(way[0], START)):
                if self._hits <= SOME:
                    self._hits += self.lookup.count_begun(text, SOME + 1)
        if self._hits is None:
            found = select(self.model.id)
            if self.ways:
                found, _order = self.lookup.joined(found, self._formula(PART))
            if self.letters:
                found = found.where(or_(*self._begun(PART, few=True)))
            counted = select(func.count()).select_from(found.limit(SOME + 1).subquery())
            self._hits = self.session.execute(counted).scalar_one()
        return self._hits

    # -- typos

    def near(self, statement: AnySelect) -> list[int]:
        """The statement's ids that fit but for one typo, the newest first.

        Nobody while enough fit exactly, whatever else the statement asks.
        """
        formula = self._mistyped()
        if not formula or len(self.few) >= ENOUGH:
            return []
        check = near.check(self.ways[-1])
        found = (row.id for row in self.lookup.newest(statement, formula, CANDIDATES) if check(row.search_key))
        return list(islice(found, NEAREST))

    @cached_property
    def few(self) -> list[int]:
        """The ids of all who fit exactly; when they are `many`, of so many."""
        formula = self._formula(PART)
        if self.lookup.sqlite and not self.letters and is_indexed(formula):
            return self.lookup.some(formula, self.many)
        if not self.lookup.sqlite and not self.letters:
            return self.lookup.any_fitting(formula, self.many, SOME)
        found, _order = self.newest(_all(self.model))
        if self.lookup.sqlite:
            return list(self.session.scalars(found.limit(self.many)))
        return [row.id for row in self.lookup.of_all(found.limit(SOME), self.many)]

    # -- formulas

    def _formula(self, level: int) -> Formula:
        return [[pieces(term, level) for term in way] for way in self.ways]

    def _lettered(self) -> Formula:
        """Rows whose first word begins with the first letter, and any word with each of the others."""
        return [
            [[Begin(text) for text in pieces(way[0], START)], *(pieces(term, START) for term in way)]
            for way in self.letters
        ]

    def _mistyped(self) -> Formula:
        """Rows that fit but for a typo in one term hold what the typo leaves of it."""
        way = self.ways[-1] if self.ways else ()
        exact = [pieces(term, PART) for term in way]
        return widest(
            [
                [*exact[:place], *([text] for text in texts), *exact[place + 1 :]]
                for place, term in enumerate(way)
                for texts in near.remains(term)
            ]
        )


@cache
def _all(model: Any) -> AnySelect:
    return select(model.id)


@cache
def _called(model: Any) -> AnySelect:
    return select(model.id).where(func.lower(getattr(model, model.__handle__)) == bindparam("word"))


def asks(q: str) -> bool:
    """Whether the text asks for anything at all."""
    return any(ways(q))


def matches(session: Session, model: type[Any], q: str) -> ColumnElement[bool]:
    """The rows of a searchable model that fit the text."""
    return SearchIndex(session, model, q).fits()
