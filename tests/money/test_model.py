"""Any sequence of orders, pre-checkouts, payments, refunds and waiting leaves the books right."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import AppError
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.orders import OrderCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.orders import Order
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.orders import OrderCreate, PreCheckout
from backend.database.schemas.purchases import PurchaseCreate
from backend.database.session import Database
from tests.factories import make_course, make_lesson, make_promo, make_user
from tests.figures import Figure

T = TypeVar("T")
BUYERS, CODES, WAITS = 4, ("", "ONE", "TWO", "ALL"), (1, 14, 16, 50, 70)
pick = st.integers(0, 10**6)


class School(RuleBasedStateMachine):
    """Each example runs in one transaction that is rolled back, on a database with fresh people."""

    database: ClassVar[Database]
    clock: ClassVar[Any]
    steps: ClassVar[int]

    @initialize()
    def open(self) -> None:
        self.session: Session = self.database.write_sessions()
        self.session.commit = self.session.flush  # type: ignore[method-assign] # factories commit
        self.users: list[User] = [make_user(self.session) for _ in range(BUYERS)]
        lessons = [make_lesson(self.session), make_lesson(self.session, price=1)]
        course = make_course(self.session, lessons[:1])
        self.things = [{"lesson_id": lesson.id} for lesson in lessons] + [{"course_id": course.id}]
        for code, uses, percent in (("ONE", 1, 10), ("TWO", 2, 50), ("ALL", 3, 100)):
            make_promo(self.session, code=code, max_uses=uses, discount_percent=percent)
        self.orders: list[tuple[Order, User]] = []
        self.paid: list[PurchaseCreate] = []
        self.moment = datetime(2026, 11, 21, 10, tzinfo=UTC)
        self.clock.setattr(clock, "now", lambda: self.moment)

    def teardown(self) -> None:
        self.session.rollback()
        self.session.close()

    def attempt(self, verb: Callable[[], T]) -> T | None:
        """A verb as a request of its own: a refusal leaves nothing behind."""
        try:
            with self.session.begin_nested():
                return verb()
        except AppError:
            return None

    @rule(who=pick, what=pick, code=st.sampled_from(CODES))
    def order(self, who: int, what: int, code: str) -> None:
        user, thing = self.users[who % BUYERS], self.things[what % len(self.things)]
        data = OrderCreate(user_id=user.id, promo_code=code or None, **thing)
        placed = self.attempt(lambda: OrderCRUD(self.session).place(data))
        if placed and placed.order.total:
            self.orders.append((placed.order, user))

    @rule(which=pick)
    def pre_checkout(self, which: int) -> None:
        if self.orders:
            order, user = self.orders[which % len(self.orders)]
            assert user.telegram_id is not None
            data = PreCheckout(
                payload=order.payload,
                telegram_id=user.telegram_id,
                total_amount=order.total,
                currency="XTR",
            )
            self.attempt(lambda: OrderCRUD(self.session).pre_checkout(data))

    @rule(which=pick, short=st.sampled_from((0, 0, 0, 1)))
    def pay(self, which: int, short: int) -> None:
        if self.orders:
            order, user = self.orders[which % len(self.orders)]
            data = PurchaseCreate(
                payload=order.payload,
                telegram_id=user.telegram_id or 0,
                payment_id=f"stx-{user.id}-{len(self.paid)}",
                amount=order.total + short,
                currency="XTR",
            )
            self.paid.append(data)
            settled = PurchaseCRUD(self.session).settle(data)
            assert (settled.purchase is None) != (settled.refusal is None)
            assert not (short and settled.purchase)

    @rule(which=pick)
    def pay_again(self, which: int) -> None:
        if self.paid:
            before = self.session.query(Purchase).count()
            settled = PurchaseCRUD(self.session).settle(self.paid[which % len(self.paid)])
            assert settled.new is False
            assert self.session.query(Purchase).count() == before

    @rule(which=pick)
    def refund(self, which: int) -> None:
        ids = [row.id for row in self.session.query(Purchase.id).order_by(Purchase.id)]
        if ids:
            self.attempt(lambda: PurchaseCRUD(self.session).refund(ids[which % len(ids)]))

    @rule(who=pick, what=pick)
    def grant(self, who: int, what: int) -> None:
        user, thing = self.users[who % BUYERS], self.things[what % len(self.things)]
        self.attempt(lambda: PurchaseCRUD(self.session).grant(user.id, **thing))

    @rule(minutes=st.sampled_from(WAITS))
    def wait(self, minutes: int) -> None:
        self.moment += timedelta(minutes=minutes)

    @rule()
    def expire(self) -> None:
        OrderCRUD(self.session).expire_due()

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "session"):
            self.session.flush()
            assert LedgerCRUD(self.session).problems() == []
            self.session.expire_all()
            School.steps += 1
            for promo in self.session.query(PromoCode):
                assert promo.max_uses is None or promo.current_uses <= promo.max_uses


@pytest.fixture
def school(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[School]]:
    with monkeypatch.context() as patch:
        School.database, School.clock, School.steps = database, patch, 0
        yield School


@pytest.mark.parametrize("examples", [6, pytest.param(40, marks=pytest.mark.slow)])
def test_the_books_are_right_after_every_step(school: type[School], examples: int, figure: Figure) -> None:
    profile = settings(max_examples=examples, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(school, settings=profile)
    figure("A3", "steps that leave books or codes wrong", 0, "0", school.steps)
