"""What the school has earned. Test sales and returned Stars are no revenue.

What is older than a day is kept as sums, for adding it up anew takes ever longer: of everything, of each lesson and
course, of each quarter of an hour. Only the return of Stars changes what is kept, in its own transaction. Each question
is one statement: more may be closed at any moment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import groupby, pairwise
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.base import BigInt, UTCDateTime, seconds_of
from backend.database.listing import AnyRow, AnySelect, within
from backend.database.models.purchases import ClosedQuarter, ClosedRevenue, ClosedSales, Purchase
from backend.database.rows import ask_within
from backend.database.session import ask

HOLD = timedelta(days=21)  # Stars can be withdrawn after (telegram.md 7)
# What is younger stays open: a purchase may be written later than its moment, by as much as clocks differ.
OPEN = timedelta(days=1)
QUARTER, EPOCH = timedelta(minutes=15), datetime(1970, 1, 1, tzinfo=UTC)
ONLY = 1  # the id of the one row
NEVER = datetime(1, 1, 2, tzinfo=UTC)  # before all sales
# As the indexes `ix_purchases_revenue` and `ix_purchases_lesson_revenue` have it: a bound zero would not fit them.
REVENUE = and_(
    Purchase.status == "completed",
    Purchase.revoked_at.is_(None),
    ~Purchase.is_test,
    Purchase.amount > literal_column("0"),
)
STARS = func.coalesce(func.sum(Purchase.amount), 0)
# A return of Stars that has not committed yet would be missed: PostgreSQL waits for whoever writes purchases; SQLite
# has one writer at a time.
WAIT = {"postgresql": text("LOCK TABLE purchases IN SHARE MODE"), "sqlite": text("SELECT 1")}
THINGS = (Purchase.lesson_id, Purchase.course_id)


@dataclass(frozen=True)
class Sales:
    count: int = 0
    revenue: int = 0  # Stars


def quarter_of(moment: Any) -> ColumnElement[int]:
    """The number of the quarter of an hour of a moment's column; `quarter` is the same in Python."""
    return seconds_of(moment) // literal_column("900", BigInt)


def quarter(moment: datetime) -> int:
    return (moment - EPOCH) // QUARTER


@cache
def _by_thing(name: str, sqlite: bool) -> AnySelect:
    """(id, sales, Stars) of these lessons or courses: what is closed and what was earned since."""
    thing, closed = getattr(Purchase, name), getattr(ClosedSales, name)
    recent = select(thing.label("id"), func.count().label("count"), func.sum(Purchase.amount).label("stars"))
    recent = recent.where(REVENUE, Purchase.created_at >= _closed_until(), within(thing, sqlite=sqlite))
    kept = select(closed.label("id"), ClosedSales.count, ClosedSales.stars).where(within(closed, sqlite=sqlite))
    both = union_all(recent.group_by(thing), kept).subquery()
    return select(both.c.id, func.sum(both.c.count), func.sum(both.c.stars)).group_by(both.c.id)


class RevenueCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def around(self, moment: datetime) -> Sequence[int]:
        """(Stars earned before the moment, Stars earned since)."""
        first = -((EPOCH - moment) // QUARTER)  # the first quarter that has not begun by then
        begin = EPOCH + first * QUARTER
        edge = _stars(Purchase.created_at >= moment, Purchase.created_at < begin)
        whole = select(func.coalesce(func.sum(ClosedQuarter.stars), 0)).where(ClosedQuarter.quarter >= first)
        since = edge + whole.scalar_subquery() + _stars(Purchase.created_at >= _later(literal(begin, UTCDateTime())))
        closed = func.coalesce(select(ClosedRevenue.stars).scalar_subquery(), 0)
        everything = closed + _stars(Purchase.created_at >= _closed_until())
        # PostgreSQL adds whole numbers up to a Decimal.
        both = self.session.execute(select(everything - since, since)).one()
        return [int(stars) for stars in both]

    def between(self, moments: Sequence[datetime]) -> list[Sales]:
        """The sales from each moment to the next one. All of them begin a quarter of an hour."""
        found: list[Sales] = []
        for first, behind, length in _runs(moments):
            counts, stars = ([0] * ((behind - first) // length) for _ in range(2))
            ends = {"start": EPOCH + first * QUARTER, "stop": EPOCH + behind * QUARTER}
            rows: Iterable[AnyRow] = ask(self.session, BY_PLACE, first=first, behind=behind, length=length, **ends)
            for place, number, sum_ in rows:
                counts[place] += int(number)
                stars[place] += int(sum_)
            found += map(Sales, counts, stars)
        return found

    def by_thing(self, thing: Any, ids: Sequence[int]) -> Mapping[int, Sales]:
        """Sales of lessons or courses (`thing`: a column of Purchase) by id."""
        found = ask_within(self.session, partial(_by_thing, thing.key), ids)
        return {row_id: Sales(int(count), int(stars)) for row_id, count, stars in found if count}

    # -- closing

    def close_past(self) -> None:
        """Keeps the sums of all that is no longer open."""
        self.close(clock.now() - OPEN)

    def close(self, until: datetime) -> None:
        """Keeps the sums of what was earned before the quarter of an hour of `until`, unless later ones are kept."""
        until = EPOCH + quarter(until) * QUARTER
        self.session.execute(WAIT[self.session.get_bind().dialect.name])
        closed = self._closed()
        if closed is None:
            closed = ClosedRevenue(id=ONLY, until=NEVER, stars=0)
            self.session.add(closed)
        if closed.until >= until:
            return
        added = REVENUE, Purchase.created_at >= closed.until, Purchase.created_at < until
        for thing in THINGS:
            self._add(thing, added)
        number = quarter_of(Purchase.created_at)
        quarters = select(number, func.count(), func.sum(Purchase.amount)).where(*added).group_by(number)
        self.session.execute(insert(ClosedQuarter).from_select(["quarter", "count", "stars"], quarters))
        closed.stars += int(self.session.scalar(select(STARS).where(*added)) or 0)
        closed.until = until
        self.session.flush()

    def _add(self, thing: Any, added: Iterable[ColumnElement[bool]]) -> None:
        """The sales of lessons or of courses to what is kept of each."""
        sold = select(thing, func.count(), STARS).where(*added, thing.is_not(None)).group_by(thing)
        column = getattr(ClosedSales, thing.key)
        known = set(self.session.scalars(select(column).where(column.is_not(None))))
        new = []
        for row_id, count, stars in self.session.execute(sold):
            if row_id in known:
                more = {"count": ClosedSales.count + count, "stars": ClosedSales.stars + int(stars)}
                self.session.execute(update(ClosedSales).where(column == row_id).values(more))
            else:
                new.append({thing.key: row_id, "count": count, "stars": int(stars)})
        if new:
            self.session.execute(insert(ClosedSales), new)

    def give_back(self, purchase: Purchase) -> None:
        """The Stars of a purchase that was revenue until now are so no longer."""
        if purchase.is_test or not purchase.amount:
            return
        counted = ClosedRevenue.until > purchase.created_at
        whole = update(ClosedRevenue).where(counted).values(stars=ClosedRevenue.stars - purchase.amount)
        parts: tuple[tuple[Any, ColumnElement[bool]], ...] = (
            (ClosedSales, _same_thing(purchase)),
            (ClosedQuarter, ClosedQuarter.quarter == quarter(purchase.created_at)),
        )
        closed = select(ClosedRevenue.id).where(counted).exists()
        less = [
            update(part).where(mine, closed).values(count=part.count - 1, stars=part.stars - purchase.amount)
            for part, mine in parts
        ]
        for statement in (whole, *less):
            self.session.execute(statement, execution_options={"synchronize_session": False})

    def reopen(self) -> None:
        """Nothing is kept any more: purchases of the past are being added or taken out (the demo school)."""
        for model in (ClosedSales, ClosedQuarter, ClosedRevenue):
            self.session.execute(delete(model))

    def _closed(self) -> ClosedRevenue | None:
        return self.session.get(ClosedRevenue, ONLY, populate_existing=True)


def _runs(moments: Sequence[datetime]) -> Iterator[tuple[int, int, int]]:
    """(first quarter, the one behind the last, quarters of a span) of neighbouring spans of the same length.

    All days of a year are one run, but for the two on which clocks are changed.
    """
    spans = pairwise(map(quarter, moments))
    for length, some in groupby(spans, lambda span: span[1] - span[0]):
        run = list(some)
        yield run[0][0], run[-1][1], length


def _same_thing(purchase: Purchase) -> ColumnElement[bool]:
    if purchase.lesson_id is not None:
        return ClosedSales.lesson_id == purchase.lesson_id
    return ClosedSales.course_id == purchase.course_id


def _closed_until() -> ColumnElement[datetime]:
    return func.coalesce(select(ClosedRevenue.until).scalar_subquery(), literal(NEVER, UTCDateTime()))


def _later(moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """The moment, or where the open part begins when that is later: one border, for one walk through an index."""
    return case((moment > _closed_until(), moment), else_=_closed_until())


def _stars(*conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    return select(STARS).where(REVENUE, *conditions).scalar_subquery()


def _by_place() -> AnySelect:
    """place, count, stars of each span of a run, for what is kept and for what is open."""
    first, length = bindparam("first", type_=BigInt), bindparam("length", type_=BigInt)
    closed = ((ClosedQuarter.quarter - first) // length).label("place")
    kept = select(closed, func.sum(ClosedQuarter.count).label("count"), func.sum(ClosedQuarter.stars).label("stars"))
    kept = kept.where(ClosedQuarter.quarter >= first, ClosedQuarter.quarter < bindparam("behind", type_=BigInt))
    still_open = ((quarter_of(Purchase.created_at) - first) // length).label("place")
    start, stop = (bindparam(name, type_=UTCDateTime()) for name in ("start", "stop"))
    new = REVENUE, Purchase.created_at >= _later(start), Purchase.created_at < stop
    recent = select(still_open, func.count(), func.sum(Purchase.amount)).where(*new)
    both = union_all(kept.group_by(closed), recent.group_by(still_open)).subquery()
    return select(both)


BY_PLACE = _by_place()
