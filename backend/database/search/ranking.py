"""The rows of a list by how well they fit, a page at a time; the place of a row is (level, id)."""

from collections.abc import Sequence

from sqlalchemy import literal, select

from backend.database import listing
from backend.database.listing import AnySelect, Cursor, Page
from backend.database.search.index import ENOUGH, NEAR, SearchIndex

READ = listing.SEARCH_CAP  # the newest that are looked at first: mostly they are all, or hold the page
BEST = "best"  # the sort that cursors of a search are made for
Place = tuple[int, int]


class Ranking:
    """`statement` is the list with its filters. The best first, the newest of them first."""

    def __init__(self, index: SearchIndex, statement: AnySelect, read: int = READ) -> None:
        self.index = index
        self.read = read
        self.session = index.session
        model = index.model
        self.ids: AnySelect = statement.with_only_columns(model.id, model.search_key, maintain_column_froms=True)
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
        newest = self._read_newest()
        if len(newest) <= self.read:
            return len(newest) + len(self._near())
        found, _order = self.index.newest(self.ids)
        counted = (
            cap + 1 if cap <= self.read else self.session.execute(select(listing.count_up_to(found, cap))).scalar_one()
        )
        return counted if counted <= cap else None

    def behind(self, place: Place | None, limit: int) -> Sequence[Place]:
        """What comes after the place, or first of all."""
        if place is None and len(newest := self._read_newest()) <= self.read:
            return sorted([*newest, *self._near()], key=lambda at: (at[0], -at[1]))[:limit]
        found: list[Place] = []
        for level in self.index.levels:
            if len(found) < limit and (place is None or level >= place[0]):
                past = place[1] if place is not None and level == place[0] else None
                found += self._at(level, limit - len(found), past=past)
        return found

    def before(self, place: Place, limit: int) -> Sequence[Place]:
        """What comes before the place."""
        found: list[Place] = []
        for level in reversed(self.index.levels):
            if len(found) < limit and level <= place[0]:
                past = place[1] if level == place[0] else None
                found += self._at(level, limit - len(found), past=past, back=True)
        return found[::-1]

    def _read_newest(self) -> list[Place]:
        if self._newest is None:
            found, order = self.index.newest(self.ids)
            rows = self.session.execute(found.order_by(order.desc()).limit(self.read + 1))
            self._newest = [(self.index.level_of(row.search_key), row.id) for row in rows]
        return self._newest

    def _near(self) -> list[Place]:
        if self._mistyped is None:
            ids = self.index.near(self.ids) if len(self._read_newest()) < ENOUGH else []
            self._mistyped = [(NEAR, row_id) for row_id in ids]
        return self._mistyped

    def _at(self, level: int, limit: int, *, past: int | None = None, back: bool = False) -> list[Place]:
        """The rows of one level; `past` the id of one of them."""
        if past is None and not back and self._newest is not None:
            known = [place for place in self._newest if place[0] == level]
            if len(known) >= limit:
                return known[:limit]
        if level == NEAR:
            found = [at for at in self._near() if past is None or (at[1] > past if back else at[1] < past)]
            return found[::-1][:limit] if back else found[:limit]
        statement, order = self.index.only(self.ids, level)
        if past is not None:
            statement = statement.where(order > past if back else order < past)
        rows = self.session.execute(statement.order_by(order.asc() if back else order.desc()).limit(limit))
        return [(level, row.id) for row in rows]
