"""The checker of the books finds every kind of damage, and nothing in sound books."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import Api
from tests.factories import make_course, make_lesson, make_promo, make_user
from tests.money.till import Till

PROMOS = "I3 promo codes whose counter is not the number of their reserved and used redemptions: 1"
FIGURES = "people whose kept figures are not what their purchases say"
SUMS = "I4 orders whose total is not the sum of their lines less the discount: 1"
DAMAGE = [
    ("UPDATE promo_codes SET current_uses = 3 WHERE id = 1", [PROMOS]),
    (
        "UPDATE promo_redemptions SET user_id = 1 WHERE id = 1",
        ["I3 promo redemptions that are not of their order's code and buyer: 1"],
    ),
    (
        "UPDATE promo_redemptions SET state = 'reserved' WHERE id = 1",
        ["I3 paid orders with a code that has not been redeemed: 1"],
    ),
    (
        "UPDATE orders SET promo_id = NULL WHERE id = 1",
        ["I3 promo redemptions that are not of their order's code and buyer: 1"],
    ),
    (
        "UPDATE orders SET promo_id = 2 WHERE id = 1",
        ["I3 promo redemptions that are not of their order's code and buyer: 1"],
    ),
    (
        "DELETE FROM promo_redemptions WHERE id = 1",
        [PROMOS, "I3 paid orders with a code that has not been redeemed: 1"],
    ),
    (
        "UPDATE promo_redemptions SET state = 'released' WHERE id = 1",
        [PROMOS],
    ),
    ("UPDATE order_lines SET unit_price = 5, total = 5 WHERE id = 1", [SUMS]),
    (
        "UPDATE payments SET amount = 1 WHERE id = 1",
        [
            "I5 paid orders without exactly their money: 1",
        ],
    ),
    (
        "UPDATE orders SET status = 'cancelled' WHERE id = 1",
        [
            "I3 redemptions used by orders that were never paid: 1",
            "I5 orders that are not paid but have kept money: 1",
            "I6 purchases by orders that were never paid: 1",
        ],
    ),
    (
        "UPDATE payments SET status = 'settled' WHERE id = 2",
        [
            "I5 orders that are not paid but have kept money: 2",
            "I5 refunded orders whose money has not gone back: 2",
            "I5 refunds of money that was kept, or of another sum: 1",
        ],
    ),
    (
        "UPDATE payments SET status = 'settled' WHERE id = 3",
        [
            "I5 paid orders without exactly their money: 1",
            "I5 payments of an order that another payment has paid: 1, 3",
            "I5 refunds of money that was kept, or of another sum: 2",
        ],
    ),
    (
        "UPDATE payments SET status = 'refunded' WHERE id = 3",
        ["I5 payments of an order that another payment has paid: 1, 3"],
    ),
    (
        "UPDATE payments SET amount = 1 WHERE id = 2",
        [
            "I5 refunded orders whose money has not gone back: 2",
            "I5 refunds of money that was kept, or of another sum: 1",
        ],
    ),
    (
        "UPDATE payments SET order_id = NULL WHERE id = 2",
        [
            "I5 refunded orders whose money has not gone back: 2",
            "I5 honoured payments without an order: 2",
        ],
    ),
    (
        "UPDATE payments SET order_id = NULL WHERE id = 1",
        [
            "I5 paid orders without exactly their money: 1",
            "I5 honoured payments without an order: 1",
        ],
    ),
    (
        "DELETE FROM refunds",
        ["I5 payments to be given back that nobody gives back: 2, 3"],
    ),
    (
        "UPDATE refunds SET amount = 7 WHERE id = 1",
        ["I5 refunds of money that was kept, or of another sum: 1"],
    ),
    ("DELETE FROM purchases WHERE id = 1", ["I6 paid order lines without a purchase: 1", f"{FIGURES}: 2"]),
    ("DELETE FROM purchases WHERE id = 2", ["I6 paid order lines without a purchase: 2"]),
    ("UPDATE users SET spent = spent + 1 WHERE id = 2", [f"{FIGURES}: 2"]),
    ("UPDATE users SET purchases = 1", [f"{FIGURES}: 1, 2"]),
    (
        "UPDATE orders SET status = 'expired' WHERE id = 2",
        ["I6 purchases by orders that were never paid: 2"],
    ),
    (
        "UPDATE purchases SET revoked_at = NULL WHERE id = 2",
        ["I6 purchases that are open after a refund, or closed without one: 2", f"{FIGURES}: 3"],
    ),
    (
        "UPDATE purchases SET revoked_at = created_at WHERE id = 1",
        ["I6 purchases that are open after a refund, or closed without one: 1", f"{FIGURES}: 2"],
    ),
    (
        "UPDATE purchases SET user_id = 1 WHERE id = 1",
        ["I6 purchases that are not what their order says: 1", f"{FIGURES}: 1, 2"],
    ),
    (
        "UPDATE purchases SET amount = 1 WHERE id = 1",
        ["I6 purchases that are not what their order says: 1", f"{FIGURES}: 2"],
    ),
    ("UPDATE purchases SET lesson_id = 2 WHERE id = 1", ["I6 purchases that are not what their order says: 1"]),
    (
        "UPDATE purchases SET course_id = 2 WHERE order_line_id = 3",
        ["I6 purchases that are not what their order says: 3"],
    ),
    (
        "UPDATE purchases SET amount = 1 WHERE order_line_id IS NULL",
        ["I6 purchases that nobody paid for or granted: 4", f"{FIGURES}: 3"],
    ),
    (
        "UPDATE purchases SET order_line_id = NULL WHERE id = 1",
        [
            "I6 paid order lines without a purchase: 1",
            "I6 purchases that nobody paid for or granted: 1",
        ],
    ),
]


@pytest.fixture
def sold(till: Till, api: Api, maria: User, lesson: Lesson, db: Session, database: Database) -> None:
    """1: sold with a code; 2: sold and returned; 3: paid for order 1 once more, going back; a course sold by order 3
    with the code; a gift. There are a code that nobody used, an order that nobody paid, and another course.
    """
    make_promo(db, code="TEN", discount_percent=10, max_uses=3)
    make_promo(db)
    order = till.order(maria, lesson, "TEN").json()
    till.pay(order, maria, "stx-1")
    other = make_user(db)
    refunded = till.order(other, make_lesson(db)).json()
    till.pay(refunded, other, "stx-2")
    api("purchases:refund").post("/api/purchases/2/refund")
    till.pay(order, maria, "stx-3")
    till.pay(till.order(maria, make_course(db), "TEN").json(), maria, "stx-4")
    till.order(other, lesson)
    make_course(db)
    database.run(lambda session: PurchaseCRUD(session).grant(other.id, lesson_id=lesson.id))


@pytest.mark.usefixtures("sold")
def test_sound_books_have_no_problems(db: Session) -> None:
    assert LedgerCRUD(db).problems() == []


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize(("statement", "problems"), DAMAGE)
def test_damage_is_found(db: Session, statement: str, problems: list[str]) -> None:
    if "refunds" in statement:
        db.execute(text("UPDATE dispatches SET refund_id = NULL"))
    db.execute(text(statement))
    assert LedgerCRUD(db).problems() == problems


TWIN = (
    "INSERT INTO purchases (user_id, lesson_id, payment_id, amount, status, is_test, created_at,"
    " updated_at) SELECT user_id, lesson_id, 'grant:' || payment_id, 0, status, is_test,"
    " created_at, updated_at FROM purchases WHERE id = 1"
)


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize(
    ("wall", "statement", "problem"),
    [
        (
            "ALTER TABLE promo_codes DROP CONSTRAINT ck_promo_codes_uses",
            "UPDATE promo_codes SET current_uses = 9",
            "I3 promo codes used more often than allowed: 1",
        ),
        (
            "ALTER TABLE orders DROP CONSTRAINT ck_orders_sum",
            "UPDATE orders SET discount = 1 WHERE id = 1",
            SUMS,
        ),
        (
            "DROP INDEX uq_purchases_owned_lesson",
            TWIN,
            "I7 live purchases of what the person holds already: {twin}",
        ),
    ],
)
def test_what_the_schema_forbids_is_looked_for_all_the_same(
    database: Database, wall: str, statement: str, problem: str
) -> None:
    """The last walls may be down: a dump edited by hand, a constraint dropped."""
    with database.write_sessions() as session:
        if database.is_sqlite and "ALTER" in wall:  # a constraint cannot be dropped there
            session.execute(text("PRAGMA ignore_check_constraints = ON"))
        else:
            session.execute(text(wall))
        session.execute(text(statement))
        twin = session.execute(text("SELECT max(id) FROM purchases")).scalar()
        assert problem.format(twin=twin) in LedgerCRUD(session).problems()
        session.rollback()  # with the wall


def test_only_the_first_rows_are_named(till: Till, lesson: Lesson, bot: TestClient, db: Session) -> None:
    for _ in range(6):
        till.order(make_user(db), lesson)
    db.execute(text("UPDATE order_lines SET unit_price = 5, total = 5 WHERE id <= 5"))
    assert LedgerCRUD(db).problems() == [SUMS + ", 2, 3, 4, 5"]
    db.execute(text("UPDATE order_lines SET unit_price = 5, total = 5"))
    assert LedgerCRUD(db).problems() == [SUMS + ", 2, 3, 4, 5, ..."]
