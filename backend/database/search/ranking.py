"""The rows of a list by how well they fit, a page at a time; the place of a row is (level, id)."""

from collections.abc import Iterable, Sequence

from sqlalchemy import literal

from backend.database import listing
from backend.database.listing import AnyRow, AnySelect, Cursor, Page
from backend.database.search.index import ENOUGH, NEAR, PART, SearchIndex
from backend.database.search.made import keys_of

READ = listing.SEARCH_CAP  # the newest that are looked at first: mostly they are all, or hold the page
BEST = "best"  # the sort that cursors of a search are made for
Place = tuple[int, int]


class Ranking:
    """`statement` is the list with its filters. The best first, the newest of them first."""

    def __init__(self, index: SearchIndex, statement: AnySelect, read: int = READ) -> None:
        self.index = index
        self.read = read
        self.session = index.session
        self.statement = statement
        self._newest: list[Place] | None = None
        self._mistyped: list[Place] | None = None

    def page(self, cursor_text: str | None, limit: int, cap: int) -> Page[int]:
        """The ids of a page. Raises AppError `bad_cursor`."""
        cursor = listing.decode_cursor(cursor_text, BEST, literal(0)) if cursor_text else None
        back = cursor is not None and cursor.back
        place = (cursor.value, cursor.row_id) if cursor else None
        found = self.before(place, limit + 1) if place and back else self.behind(place, limit + 1)
        more = len(found) > limit
        found = found[-limit:] if back else found[:limit]
        total = self.total(cap)
        return Page(
            items=[row_id for _level, row_id in found],
            next=Cursor(BEST, *found[-1]).encode() if found and (more or back) else None,
            prev=Cursor(BEST, *found[0], back=True).encode() if found and (more if back else cursor) else None,
            total=total,
            capped=total is None,
            cap=cap,
        )

    def total(self, cap: int) -> int | None:
        """How many fit; None when they are more than the cap."""
        if not self.index.flat:
            newest = self._read_newest()
            if len(newest) <= self.read:
                return len(newest) + len(self._near())
            if cap <= self.read:
                return None
        counted = self.index.count(self.statement, cap)
        return counted if counted <= cap else None

    def behind(self, place: Place | None, limit: int) -> Sequence[Place]:
        """What comes after the place, or first of all."""
        if self.index.flat and place is None:
            return [(PART, row.id) for row in self.index.read_newest(self.statement, PART, limit)]
        if self.index.flat:
            return self._at(PART, limit, past=place and place[1])
        if place is None and len(newest := self._read_newest()) <= self.read:
            return sorted([*newest, *self._near()], key=lambda at: (at[0], -at[1]))[:limit]
        found: list[Place] = []
        for level in self.index.levels:
            if len(found) < limit and (place is None or level >= place[0]):
                past = place[1] if place is not None and level == place[0] else None
                found += self._at(level, limit - len(found), past=past) if place else self._next(level, limit, found)
        return found

    def before(self, place: Place, limit: int) -> Sequence[Place]:
        """What comes before the place."""
        if self.index.flat:
            return self._at(PART, limit, past=place[1], back=True)[::-1]
        found: list[Place] = []
        for level in reversed(self.index.levels):
            if len(found) < limit and level <= place[0]:
                past = place[1] if level == place[0] else None
                found += self._at(level, limit - len(found), past=past, back=True)
        return found[::-1]

    def _read_newest(self) -> list[Place]:
        if self._newest is None:
            rows = self.index.read_newest(self.statement, PART, self.read + 1)
            self._newest = [(self.index.level_of(row.id, row.search_key), row.id) for row in rows]
        return self._newest

    def _near(self) -> list[Place]:
        if self._mistyped is None:
            ids = self.index.near(self.statement) if len(self._read_newest()) < ENOUGH else []
            self._mistyped = [(NEAR, row_id) for row_id in ids]
        return self._mistyped

    def _next(self, level: int, limit: int, better: Sequence[Place]) -> list[Place]:
        """The rows of one level for a page of so many, when all that are better are known."""
        wanted = limit - len(better)
        known = [place for place in self._read_newest() if place[0] == level]
        if len(known) >= wanted or level == NEAR:
            return (self._near() if level == NEAR else known)[:wanted]
        ids = {row_id for _level, row_id in better}
        rows = self.index.read_newest(self.statement, level, limit)
        return [(level, row.id) for row in rows if row.id not in ids][:wanted]

    def _at(self, level: int, limit: int, *, past: int | None = None, back: bool = False) -> list[Place]:
        """The rows of one level; `past` the id of one of them."""
        if level == NEAR:
            found = [at for at in self._near() if past is None or (at[1] > past if back else at[1] < past)]
            return found[::-1][:limit] if back else found[:limit]
        statement, order = self.index.only(keys_of(self.statement, self.index.model), level)
        if back:
            rows: Iterable[AnyRow] = self.session.execute(
                (statement.where(order > past) if past is not None else statement).order_by(order).limit(limit)
            )
        else:
            behind = statement.where(order < past) if past is not None else statement
            rows = self.index.lookup.first(behind, order, limit, top=past)
        return [(level, row.id) for row in rows]
