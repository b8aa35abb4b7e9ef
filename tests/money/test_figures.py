"""What a person holds and has paid, kept beside them: it is what the purchases say, and no edit of the person."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.errors import AppError
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.revenue import RevenueCRUD
from backend.database.crud.stars import Entry, StarsCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.history import Change
from backend.database.models.lessons import Lesson
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.orders import OrderCreate
from backend.database.schemas.purchases import PurchaseCreate
from backend.database.schemas.users import UserUpdate
from backend.database.session import Database
from tests.factories import make_course, make_lesson, make_user
from tests.money.conftest import Later
from tests.money.till import Till, books_are_right

Work = Callable[[Session], object]


def figures(db: Session, user: User) -> tuple[int, int]:
    found = db.execute(select(User.purchases, User.spent).where(User.id == user.id)).one()
    return found.purchases, found.spent


def buy(session: Session, user: User, thing: dict[str, int], charge: str, *, is_test: bool = False) -> int:
    placed = OrderCRUD(session).place(OrderCreate(user_id=user.id, **thing), is_test=is_test)
    order = placed.order
    if placed.purchase is not None:  # it costs nothing
        return placed.purchase.id
    assert user.telegram_id is not None
    data = PurchaseCreate(
        payload=order.payload, telegram_id=user.telegram_id, payment_id=charge, amount=order.total, currency="XTR"
    )
    purchase = PurchaseCRUD(session).settle(data, is_test=is_test).purchase
    return purchase.id if purchase else 0


def give(session: Session, user_id: int, lesson_id: int) -> int:
    return PurchaseCRUD(session).grant(user_id, lesson_id=lesson_id).id


def refund(session: Session, purchase_id: int) -> None:
    PurchaseCRUD(session).refund(purchase_id)


def take_back(session: Session, purchase_id: int) -> None:
    PurchaseCRUD(session).revoke_grant(purchase_id)


def test_each_verb_counts(till: Till, maria: User, lesson: Lesson, db: Session, database: Database) -> None:
    other, free = make_lesson(db, price=50), make_lesson(db, price=0)
    assert figures(db, maria) == (0, 0)
    bought = till.buy(maria, lesson)
    assert figures(db, maria) == (1, 249)
    till.order(maria, free)
    assert figures(db, maria) == (2, 249)
    test_sale = {"lesson_id": make_lesson(db, price=7).id}
    database.run(partial(buy, user=maria, thing=test_sale, charge="sbx-1", is_test=True))
    assert figures(db, maria) == (3, 249)  # a test sale is no money
    gift = database.run(partial(give, user_id=maria.id, lesson_id=other.id))
    assert figures(db, maria) == (4, 249)
    for _ in range(2):  # the second time nothing more is taken
        database.run(partial(refund, purchase_id=bought["id"]))
        assert figures(db, maria) == (3, 0)
    for _ in range(2):
        database.run(partial(take_back, purchase_id=gift))
        assert figures(db, maria) == (2, 0)
    books_are_right(db)


def test_a_chargeback_leaves_every_sum(
    till: Till, maria: User, lesson: Lesson, db: Session, database: Database, later: Later
) -> None:
    purchase = till.buy(maria, lesson)
    later(timedelta(days=2))
    database.run(lambda session: RevenueCRUD(session).close_past())
    back = Entry(purchase["payment_id"], incoming=False, amount=249, telegram_id=maria.telegram_id or 0, payload="")
    assert database.run(lambda session: StarsCRUD(session).book(back, is_test=False)) == "chargeback"
    assert figures(db, maria) == (0, 0)
    books_are_right(db)


def test_a_sale_is_no_edit_of_the_buyer(till: Till, lesson: Lesson, db: Session, database: Database) -> None:
    maria = make_user(db, first_name="Maria")
    with database.transaction() as session:
        StudentCRUD(session).update(maria.id, UserUpdate(first_name="Mary"))
        edit = session.info["change_set_id"]
    told = select(func.count()).where(Change.entity == "users", Change.entity_id == maria.id)
    before = db.scalar(told), db.execute(select(User.version, User.updated_at).where(User.id == maria.id)).one()

    purchase = till.buy(maria, lesson)
    database.run(partial(refund, purchase_id=purchase["id"]))

    after = db.scalar(told), db.execute(select(User.version, User.updated_at).where(User.id == maria.id)).one()
    assert after == before
    with database.transaction() as session:
        assert UndoCRUD(session).undo(edit).clashes == []
    assert db.scalar(select(User.first_name).where(User.id == maria.id)) == "Maria"
    assert figures(db, maria) == (0, 0)


def test_a_student_who_comes_back_has_the_figures_of_who_went(db: Session, database: Database) -> None:
    maria = make_user(db)
    with database.transaction() as session:
        StudentCRUD(session).delete(maria.id)
        gone = session.info["change_set_id"]
    with database.transaction() as session:
        assert UndoCRUD(session).undo(gone).clashes == []
    assert figures(db, maria) == (0, 0)
    books_are_right(db)


def works(dice: random.Random, people: list[User], lessons: list[Lesson], course_id: int, thread: int) -> list[Work]:
    """What one clerk does, one after the other."""
    things = [{"lesson_id": lesson.id} for lesson in lessons] + [{"course_id": course_id}]
    made: list[Work] = []
    for step in range(25):
        person, verb = dice.choice(people), dice.choice("bbbgrrk")
        if verb == "b":
            charge, is_test = f"stx-{thread}-{step}", dice.random() < 0.3
            made.append(partial(buy, user=person, thing=dice.choice(things), charge=charge, is_test=is_test))
        elif verb == "g":
            made.append(partial(give, user_id=person.id, lesson_id=dice.choice(lessons).id))
        else:
            made.append(partial(refund if verb == "r" else take_back, purchase_id=dice.randint(1, 40)))
    return made


@pytest.mark.parametrize("game", [1, 2])
def test_random_buys_and_refunds_at_once(db: Session, database: Database, game: int) -> None:
    dice, people = random.Random(game), [make_user(db) for _ in range(3)]
    lessons = [make_lesson(db, price=10 * n) for n in range(3)]
    course = make_course(db, lessons[:1], total_price=300)

    def run(mine: list[Work]) -> None:
        for work in mine:
            with suppress(AppError):  # owned already, nothing to return: nothing may be counted
                database.run(work)

    clerks = [works(dice, people, lessons, course.id, number) for number in range(4)]
    threads = [threading.Thread(target=run, args=(mine,)) for mine in clerks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert db.scalar(select(func.count(Purchase.id)).where(Purchase.revoked_at.is_not(None)))
    for person in people:
        held = list(db.scalars(select(Purchase).where(Purchase.user_id == person.id, Purchase.revoked_at.is_(None))))
        assert figures(db, person) == (len(held), sum(row.amount for row in held if not row.is_test))
    books_are_right(db)
