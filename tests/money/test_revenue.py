"""The sum of revenue that is kept: equal to the purchases whatever is returned, and at whichever moment."""

import random
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.database.crud.analytics import Period
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.revenue import EPOCH, OPEN, QUARTER, REVENUE, RevenueCRUD, Sales
from backend.database.models.lessons import Lesson
from backend.database.models.purchases import ClosedQuarter, ClosedRevenue, Purchase
from backend.database.models.users import User
from backend.database.session import Database
from backend.demo.loading import load
from backend.demo.removing import remove
from backend.jobs.periodic import CHORES, do
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user
from tests.figures import Figure
from tests.money.conftest import Later
from tests.money.till import Till

CLOSE = next(chore for chore in CHORES if chore.name == "close-books")


def refund(session: Session, purchase_id: int) -> None:
    PurchaseCRUD(session).refund(purchase_id)


def close_until(session: Session, until: datetime) -> None:
    RevenueCRUD(session).close(until)


def quarter_of(moment: datetime) -> datetime:
    """Where the quarter of an hour of a moment begins."""
    return moment - (moment - EPOCH) % QUARTER


def kept(db: Session) -> tuple[datetime, int]:
    found = db.execute(select(ClosedRevenue.until, ClosedRevenue.stars)).one()
    return found.until, found.stars


def by_hand(db: Session, until: datetime) -> int:
    return sum(db.scalars(select(Purchase.amount).where(REVENUE, Purchase.created_at < until)))


def test_what_lies_behind_the_hold_is_kept_and_returned_stars_leave_it(
    till: Till, lesson: Lesson, db: Session, database: Database, later: Later, queries: list[str]
) -> None:
    sold = [till.buy(make_user(db), lesson) for _ in range(3)]
    assert do(database, CLOSE)
    assert kept(db)[1] == 0
    fresh = till.buy(make_user(db), lesson)
    later(timedelta(days=22))
    db.execute(update(Purchase).where(Purchase.id == fresh["id"]).values(created_at=clock.now()))
    assert do(database, CLOSE)

    until, stars = kept(db)
    assert (until, stars) == (quarter_of(clock.now() - OPEN), 3 * 249)
    for purchase in (sold[1], fresh):  # one behind the border, one before it
        database.run(partial(refund, purchase_id=purchase["id"]))
    database.run(partial(refund, purchase_id=sold[1]["id"]))  # again: nothing more
    assert kept(db) == (until, 2 * 249)
    queries.clear()
    with database.read() as session:
        assert RevenueCRUD(session).around(clock.now())[0] == by_hand(db, clock.now()) == 2 * 249
        assert LedgerCRUD(session).problems() == []
    assert "purchases.created_at >= " in queries[0]  # only what is not kept is added up
    earlier = until - timedelta(days=30)
    with database.read() as session:
        assert RevenueCRUD(session).around(earlier) == [0, 2 * 249]
    database.run(lambda session: RevenueCRUD(session).close(earlier))
    assert kept(db)[0] == until  # it never goes back


def test_a_gift_given_back_leaves_the_sum(
    bot: TestClient, db: Session, database: Database, lesson: Lesson, later: Later
) -> None:
    person = make_user(db)
    gift = database.run(lambda session: PurchaseCRUD(session).grant(person.id, lesson_id=lesson.id).id)
    later(timedelta(days=23))
    do(database, CLOSE)
    database.run(lambda session: PurchaseCRUD(session).revoke_grant(gift))
    assert kept(db)[1] == 0


def test_closing_while_stars_go_back_misses_none(till: Till, db: Session, database: Database, later: Later) -> None:
    lessons = [make_lesson(db, price=10 + n) for n in range(8)]
    maria = make_user(db)
    sold = [till.buy(maria, lesson)["id"] for lesson in lessons]
    later(timedelta(days=30))
    start = threading.Barrier(len(sold))

    def give_back(purchase_id: int) -> None:
        start.wait()
        database.run(partial(refund, purchase_id=purchase_id))

    def close() -> None:
        start.wait()
        for until in (clock.now() - timedelta(days=days) for days in (29, 28, 25, 21)):
            database.run(partial(close_until, until=until))

    work = [*(threading.Thread(target=give_back, args=(one,)) for one in sold[1:]), threading.Thread(target=close)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert kept(db)[1] == by_hand(db, clock.now()) == 10
    with database.read() as session:
        assert LedgerCRUD(session).problems() == []


def test_the_demo_school_comes_and_goes_with_its_revenue(database: Database, settings: Settings, db: Session) -> None:
    do(database, CLOSE)
    load(database, settings)
    assert db.scalars(select(ClosedRevenue.id)).all() == []
    database.run(lambda session: RevenueCRUD(session).close_past())
    until, stars = kept(db)
    assert stars == by_hand(db, until)
    remove(database)
    assert db.scalars(select(ClosedRevenue.id)).all() == []


def test_what_was_given_or_tried_out_is_no_sale(till: Till, db: Session, database: Database, lesson: Lesson) -> None:
    make_promo(db, code="GIFT", discount_percent=100)
    assert till.order(make_user(db), lesson, "GIFT").json()["status"] == "paid"
    make_purchase(db, make_user(db), lesson, is_test=True)
    till.buy(make_user(db), lesson)
    with database.read() as session:
        earned = RevenueCRUD(session)
        assert earned.by_thing(Purchase.lesson_id, [lesson.id]) == {lesson.id: Sales(1, 249)}


def test_a_wrong_sum_is_told(db: Session, database: Database) -> None:
    database.run(lambda session: RevenueCRUD(session).close_past())
    db.execute(update(ClosedRevenue).values(stars=7))
    with database.read() as session:
        assert LedgerCRUD(session).problems() == [
            "the kept sum of revenue is not what its purchases say: 1",
            "the kept sums of lessons and courses do not add up to the kept sum of revenue: 1",
            "the kept sums of quarters of an hour do not add up to the kept sum of revenue: 1",
        ]


def test_a_wrong_quarter_is_told(
    till: Till, db: Session, database: Database, maria: User, lesson: Lesson, later: Later
) -> None:
    till.buy(maria, lesson)
    later(timedelta(days=2))
    do(database, CLOSE)
    number, count, stars = db.execute(select(ClosedQuarter.quarter, ClosedQuarter.count, ClosedQuarter.stars)).one()
    assert (count, stars) == (1, 249)
    for wrong in ({"count": 2}, {"count": 1, "quarter": number + 1}):
        db.execute(update(ClosedQuarter).values(wrong))
        (told,) = LedgerCRUD(db).problems()
        found = number + (1 if "quarter" in wrong else 0)
        assert told == f"kept quarters of an hour that are not what their purchases say: {found}"


def test_every_day_begins_with_a_quarter_of_an_hour() -> None:
    months = [(year, month) for year in range(2020, 2041) for month in range(1, 13)]
    for name in available_timezones():
        zone = ZoneInfo(name)
        for year, month in months:
            moment = datetime(year, month, 1, tzinfo=zone).astimezone(UTC)
            assert quarter_of(moment) == moment, (name, moment)


ZONES = ("UTC", "Europe/Moscow", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe")


@pytest.mark.parametrize("closed", [None, 40, 10, 3, 0])
def test_sums_of_any_span_are_those_of_the_purchases(
    db: Session, database: Database, later: Later, closed: int | None, figure: Figure
) -> None:
    """`closed`: days ago, until when the sums are kept."""
    dice, lesson, now = random.Random(3), make_lesson(db), clock.now()
    edge = quarter_of(now - timedelta(days=10))
    moments = [now - timedelta(seconds=dice.randrange(30 * 86_400)) for _ in range(40)]
    # The last moments of a quarter, the first of the next.
    moments += [edge + timedelta(microseconds=by) for by in (-1, 0, 1)]
    for moment in moments:
        fields = {"is_test": dice.random() < 0.2, "amount": dice.randrange(1, 100)}
        make_purchase(db, make_user(db), lesson, created_at=moment, **fields)
    if closed is not None:
        database.run(partial(close_until, until=now - timedelta(days=closed)))
    gone = dice.sample(list(db.scalars(select(Purchase.id).where(~Purchase.is_test))), 8)
    for purchase_id in gone:
        database.run(partial(refund, purchase_id=purchase_id))

    for zone in ZONES:
        period = Period.ending_now(20, ZoneInfo(zone))
        starts = [*period.midnights, period.end]
        with database.read() as session:
            found = RevenueCRUD(session).between(starts)
        sold = [
            list(db.scalars(select(Purchase.amount).where(REVENUE, Purchase.created_at >= a, Purchase.created_at < b)))
            for a, b in pairwise(starts)
        ]
        assert found == [Sales(len(amounts), sum(amounts)) for amounts in sold]
    for border in (edge, edge + timedelta(microseconds=1), *moments[:5], now, now - timedelta(days=50)):
        with database.read() as session:
            earned, rest = RevenueCRUD(session).around(border)
        assert (earned, earned + rest) == (by_hand(db, border), by_hand(db, now + timedelta(days=1)))
    with database.read() as session:
        assert LedgerCRUD(session).problems() == []
    figure("A12", "days in five zones whose sum is not that of their sales", 0, "0", 20 * len(ZONES))


def test_each_lesson_and_course_has_its_part(
    till: Till, db: Session, database: Database, lesson: Lesson, later: Later
) -> None:
    other, course = make_lesson(db, price=50), make_course(db, [lesson], total_price=400)
    first, second = make_user(db), make_user(db)
    bought = [till.buy(first, lesson), till.buy(first, other), till.buy(second, lesson), till.buy(second, course)]

    def sums() -> tuple[object, object]:
        with database.read() as session:
            earned = RevenueCRUD(session)
            lessons = earned.by_thing(Purchase.lesson_id, [lesson.id, other.id])
            return lessons, earned.by_thing(Purchase.course_id, [course.id])

    before = sums()
    assert before == ({lesson.id: Sales(2, 498), other.id: Sales(1, 50)}, {course.id: Sales(1, 400)})
    later(timedelta(days=22))
    do(database, CLOSE)
    assert sums() == before
    fresh = till.buy(make_user(db), other)
    db.execute(update(Purchase).where(Purchase.id == fresh["id"]).values(created_at=clock.now()))
    assert sums()[0] == {lesson.id: Sales(2, 498), other.id: Sales(2, 100)}
    later(timedelta(days=22))
    do(database, CLOSE)
    assert sums()[0] == {lesson.id: Sales(2, 498), other.id: Sales(2, 100)}
    for purchase in (bought[0], bought[1], fresh, bought[3]):
        database.run(partial(refund, purchase_id=purchase["id"]))
    assert sums() == ({lesson.id: Sales(1, 249)}, {})
    with database.read() as session:
        assert LedgerCRUD(session).problems() == []
