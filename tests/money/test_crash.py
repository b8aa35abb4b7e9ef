"""kill -9 in the middle of payments: no acknowledged sale is lost and nothing is granted twice."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy.orm import Session

from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Payment
from backend.database.models.purchases import Purchase
from tests.conftest import Api
from tests.factories import make_promo, make_user
from tests.figures import Figure
from tests.money.server import Server, at_once
from tests.money.till import OK, Till, books_are_right, count, payment, rows

BUYERS = 60
QUICK, THOROUGH = (7,), (7, 12, 3, 10)  # killed after so many answers
Pay = Callable[[Any], httpx2.Response | None]


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(database_url, tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def pay(server: Server, api: Api) -> Iterator[Pay]:
    """Sends a payment; None when the server died before it answered."""
    headers = {"Authorization": api("bot").headers["Authorization"]}
    limits = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(headers=headers, timeout=30, limits=limits) as client:

        def send(body: Any) -> httpx2.Response | None:
            try:
                return client.post(f"{server.url}/api/purchases/create", json=body)
            except httpx2.TransportError:
                return None

        yield send


@pytest.fixture
def payments(till: Till, lesson: Lesson, db: Session) -> dict[str, Any]:
    """Payments that Telegram is about to report, by charge id; each holds a use of a code."""
    make_promo(db, code="TEN", discount_percent=10, max_uses=BUYERS)
    bodies = {}
    for n in range(BUYERS):
        buyer = make_user(db)
        order = till.order(buyer, lesson, "TEN").json()
        assert till.ask(order, buyer) == OK
        bodies[f"stx-{n}"] = payment(order, buyer, f"stx-{n}")
    return bodies


def pay_until_killed(server: Server, pay: Pay, waiting: dict[str, Any], after: int) -> Any:
    """What the server acknowledged before it was killed, by charge id.

    It dies at the `after`th answer, with a dozen other payments inside.
    """
    server.start().ready()
    told = itertools.count(1)

    def send(body: Any) -> httpx2.Response | None:
        answer = pay(body)
        if answer is not None and next(told) == after:
            server.kill()
        return answer

    answers = dict(zip(waiting, at_once(send, waiting.values()), strict=True))
    heard = {charge: answer for charge, answer in answers.items() if answer is not None}
    assert after <= len(heard) < len(waiting)
    assert {answer.status_code for answer in heard.values()} <= {200, 201}
    return {charge: answer.json() for charge, answer in heard.items()}


@pytest.mark.parametrize("kills", [QUICK, pytest.param(THOROUGH, marks=pytest.mark.slow)], ids=["once", "often"])
@pytest.mark.timeout(300)
def test_kill_9_loses_no_acknowledged_sale_and_grants_nothing_twice(
    server: Server, pay: Pay, payments: dict[str, Any], db: Session, kills: tuple[int, ...], figure: Figure
) -> None:
    acknowledged: dict[str, Any] = {}
    for after in kills:
        waiting = {charge: payments[charge] for charge in payments if charge not in acknowledged}
        acknowledged |= pay_until_killed(server, pay, waiting, after)
        books_are_right(db)
        kept = {charge: number for number, charge in rows(db, Purchase.id, Purchase.payment_id)}
        assert {charge: sale["id"] for charge, sale in acknowledged.items()}.items() <= kept.items()

    # Telegram has had no answer to some of them, and repeats itself.
    server.start().ready()
    answers = dict(zip(payments, at_once(pay, payments.values()), strict=True))
    for charge, answer in answers.items():
        assert answer.status_code in ((200,) if charge in kept else (200, 201))
        assert answer.json() == acknowledged.get(charge, answer.json())

    assert [count(db, model) for model in (Purchase, Payment, Dispatch)] == [BUYERS] * 3
    receipts = sorted(key for (key,) in rows(db, Dispatch.dedupe_key))
    assert receipts == sorted(f"receipt:{number}" for (number,) in rows(db, Purchase.id))
    books_are_right(db)
    lost = acknowledged.keys() - {charge for (charge,) in rows(db, Purchase.payment_id)}
    figure("A9", f"acknowledged sales lost by {len(kills)} x kill -9", len(lost), "0", len(acknowledged))
    figure("A9", "sales granted twice after it", count(db, Purchase) - BUYERS, "0", BUYERS)
