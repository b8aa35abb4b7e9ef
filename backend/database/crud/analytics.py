"""The numbers of the dashboard. Test sales and returned Stars are not revenue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, bindparam, column, func, literal_column, select, values
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.base import UTCDateTime, seconds_of
from backend.database.crud.revenue import REVENUE, RevenueCRUD
from backend.database.listing import AnyRow, AnySelect
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import STUDENT_ROLE, User
from backend.database.session import ask

LATEST = 6
ANSWERED = 5000  # the median is over the latest of them at most
OPENED, REPLIED = SupportTicket.__table__.c.created_at, SupportTicket.__table__.c.first_reply_at
ANSWERS: AnySelect = (
    select(seconds_of(OPENED), seconds_of(REPLIED))
    .where(bindparam("start") <= OPENED, bindparam("stop") > OPENED, REPLIED.is_not(None))
    .order_by(OPENED.desc())
    .limit(ANSWERED)
)


@dataclass(frozen=True)
class Period:
    """Whole days of a time zone: `days` of them, the last is today."""

    days: int
    zone: ZoneInfo
    today: date

    @classmethod
    def ending_now(cls, days: int, zone: ZoneInfo) -> "Period":
        return cls(days, zone, clock.now().astimezone(zone).date())

    def before(self) -> "Period":
        """The period of the same length that ends where this one begins."""
        return Period(self.days, self.zone, self.today - timedelta(days=self.days))

    @property
    def dates(self) -> list[date]:
        return [self.today - timedelta(days=back) for back in range(self.days - 1, -1, -1)]

    @property
    def midnights(self) -> list[datetime]:
        """Where its days start."""
        return [self._midnight(day) for day in self.dates]

    @property
    def start(self) -> datetime:
        return self._midnight(self.dates[0])

    @property
    def end(self) -> datetime:
        """Exclusive."""
        return self._midnight(self.today + timedelta(days=1))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)


@dataclass(frozen=True)
class Series:
    """One figure by day, with the period before it for comparison."""

    values: Sequence[float]
    previous: Sequence[float]
    total: float
    before: float

    @property
    def change(self) -> float | None:
        """0.12 is 12 % more than before; None when there is nothing to compare with."""
        return (self.total - self.before) / self.before if self.before else None


class AnalyticsCRUD:
    """Reads all domains, is imported by none of them."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def earnings(self, period: Period) -> tuple[Series, Series]:
        """(Stars by day, sales by day)."""
        found = RevenueCRUD(self.session).between([*period.before().midnights, *period.midnights, period.end])
        return _compared(period, [day.revenue for day in found]), _compared(period, [day.count for day in found])

    def students(self, period: Period) -> Series:
        is_student = User.role_id == STUDENT_ROLE
        return self._series(period, User.created_at, func.count(), is_student)

    def first_reply(self, period: Period) -> Series:
        """Median minutes to the first answer, by the day on which the ticket was opened."""
        now, before = self._replies(period), self._replies(period.before())
        return Series(
            [_median(now.get(day, [])) for day in period.dates],
            [_median(before.get(day, [])) for day in period.before().dates],
            _median([wait for waits in now.values() for wait in waits]),
            _median([wait for waits in before.values() for wait in waits]),
        )

    def _replies(self, period: Period) -> dict[date, list[float]]:
        waits: dict[date, list[float]] = {}
        days = [(day, start.timestamp()) for day, start in zip(period.dates, period.midnights, strict=True)]
        rows: Iterable[AnyRow] = ask(self.session, ANSWERS, start=period.start, stop=period.end)
        for opened, answered in rows:
            while opened < days[-1][1]:
                days.pop()
            waits.setdefault(days[-1][0], []).append((answered - opened) / 60)
        return waits

    def _series(self, period: Period, at: Any, figure: Any, *conditions: ColumnElement[bool]) -> Series:
        """`figure` by day, now and in the period before: each day is a walk of its own through an index on `at`."""
        starts = [*period.before().midnights, *period.midnights]
        days = values(column("start", UTCDateTime()), column("stop", UTCDateTime()), name="days")
        day = days.data(list(pairwise([*starts, period.end]))).cte("days").c
        found = select(figure).where(*conditions, at >= day.start, at < day.stop).scalar_subquery()
        by_start = {start: value or 0 for start, value in self.session.execute(select(day.start, found))}
        return _compared(period, [by_start[start] for start in starts])

    def withdrawable(self, border: datetime) -> Sequence[int]:
        """(Stars that can be withdrawn, Stars still on hold); `border` is HOLD ago."""
        return RevenueCRUD(self.session).around(border)

    def waiting(self) -> tuple[int, Sequence[AnyRow]]:
        """(how many students wait for an answer, those who wait longest)."""
        waits = SupportTicket.waiting_since.is_not(None)
        statement = (
            select(SupportTicket.id, SupportTicket.subject, SupportTicket.waiting_since, *_person())
            .join(User, User.id == SupportTicket.user_id)
            .where(waits)
            .order_by(SupportTicket.waiting_since, SupportTicket.id)
            .limit(LATEST)
        )
        number = self.session.scalar(select(func.count()).select_from(SupportTicket).where(waits)) or 0
        return number, self.session.execute(statement).all()

    def latest_sales(self) -> Sequence[AnyRow]:
        statement = (
            select(
                Purchase.id,
                Purchase.amount,
                Purchase.status,
                Purchase.revoked_at,
                Purchase.payment_id,
                Purchase.is_test,
                Purchase.created_at,
                func.coalesce(Lesson.title, Course.title).label("title"),
                *_person(),
            )
            .join(User, User.id == Purchase.user_id)
            .outerjoin(Lesson, Lesson.id == Purchase.lesson_id)
            .outerjoin(Course, Course.id == Purchase.course_id)
            .order_by(Purchase.created_at.desc(), Purchase.id.desc())
            .limit(LATEST)
        )
        return self.session.execute(statement).all()

    def newest_lessons(self) -> Sequence[Lesson]:
        return self.session.scalars(
            select(Lesson).order_by(Lesson.created_at.desc(), Lesson.id.desc()).limit(LATEST)
        ).all()

    def best_lessons(self, period: Period) -> Sequence[AnyRow]:
        """(id, title, revenue in Stars, sales) of the lessons that earned most."""
        kept = (
            Purchase.lesson_id == Lesson.id,
            REVENUE,
            Purchase.created_at >= period.start,
            Purchase.created_at < period.end,
        )
        stars = select(func.coalesce(func.sum(Purchase.amount), 0)).where(*kept).scalar_subquery()
        best = (
            select(Lesson.id, Lesson.title, stars.label("revenue"))
            .order_by(literal_column("revenue").desc(), Lesson.id)
            .limit(LATEST)
            .subquery()
        )
        sales = select(func.count()).where(Purchase.lesson_id == best.c.id, *kept[1:]).scalar_subquery()
        statement = select(best, sales.label("sales")).order_by(best.c.revenue.desc(), best.c.id)
        return [row for row in self.session.execute(statement) if row.revenue]


def _person() -> Iterable[Any]:
    return User.id.label("user_id"), User.first_name, User.last_name, User.username


def _compared(period: Period, by_day: Sequence[float]) -> Series:
    """Of the days of the period before it and its own."""
    before, now = ([float(value) for value in part] for part in (by_day[: period.days], by_day[period.days :]))
    return Series(now, before, sum(now), sum(before))


def _median(values: Sequence[float]) -> float:
    return float(median(values)) if values else 0.0
