"""Many at once, over real HTTP, against two web processes on one database."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.session import Database
from tests.factories import make_promo, make_user
from tests.money.server import Server, at_once
from tests.money.till import books_are_right, count, named, payment, rows

Post = Callable[[str, Any], httpx2.Response]


@pytest.fixture
def post(database_url: str, bot: TestClient, tmp_path: Path) -> Iterator[Post]:
    """POSTs JSON to the two processes in turn."""
    servers = [Server(database_url, tmp_path / "data") for _ in range(2)]
    headers = {"Authorization": bot.headers["Authorization"]}
    limits = httpx2.Limits(max_connections=40)
    turn = itertools.count()
    with httpx2.Client(headers=headers, timeout=60, limits=limits) as client:
        try:
            for server in servers:
                server.start()
            yield lambda path, body: client.post(
                servers[next(turn) % len(servers)].url + path, json=body
            )
        finally:
            for server in servers:
                server.stop()


def order(post: Post, user: User, lesson: Lesson, **more: Any) -> Any:
    return post("/api/orders", named(lesson) | {"user_id": user.id} | more).json()


def test_a_thousand_duplicates_of_one_payment_make_one_purchase(
    post: Post, maria: User, lesson: Lesson, db: Session
) -> None:
    body = payment(order(post, maria, lesson), maria, "stx-1000")

    answers = at_once(lambda _n: post("/api/purchases/create", body), range(1000))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 999}
    assert len({answer.content for answer in answers}) == 1
    counts = [count(db, model) for model in (Purchase, Payment, Dispatch)]
    assert counts == [1, 1, 1]
    assert rows(db, Dispatch.dedupe_key) == [("receipt:1",)]
    books_are_right(db)


def test_a_hundred_buyers_of_ten_uses_make_ten_discounts(
    post: Post, lesson: Lesson, db: Session, database: Database
) -> None:
    promo = make_promo(db, code="TEN", discount_percent=50, max_uses=10)
    buyers = [make_user(db) for _ in range(100)]
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            with database.read() as session:
                uses = select(PromoCode.current_uses).where(PromoCode.id == promo.id)
                seen.append(session.scalar(uses) or 0)

    def buy(buyer: User) -> str:
        placed = order(post, buyer, lesson, promo_code="TEN")
        if "error" in placed:
            return str(placed["error"]["code"])
        asked = {
            "payload": placed["payload"],
            "telegram_id": buyer.telegram_id,
            "total_amount": placed["amount"],
            "currency": "XTR",
        }
        # Telegram repeats itself.
        answers = [post("/api/orders/pre-checkout", asked).json()["ok"] for _ in range(2)]
        if not answers[0]:
            return "refused"
        assert answers == [True, True]
        paid = post("/api/purchases/create", payment(placed, buyer, f"stx-{buyer.id}"))
        return f"paid {paid.status_code}"

    watcher = threading.Thread(target=watch)
    watcher.start()
    ends = Counter(at_once(buy, buyers))
    over.set()
    watcher.join()

    assert ends.pop("paid 201") == 10
    assert set(ends) <= {"refused", "promo_invalid"}
    assert sum(ends.values()) == 90
    assert rows(db, PromoCode.current_uses) == [(10,)]
    assert count(db, PromoRedemption, PromoRedemption.state == "used") == 10
    assert count(db, Order, Order.status == "paid", Order.discount > 0) == 10
    assert max(seen) == 10
    assert seen == sorted(seen)
    books_are_right(db)


def test_buying_and_returning_one_lesson_two_hundred_times_at_once(
    post: Post, maria: User, lesson: Lesson, db: Session, api: Callable[..., TestClient]
) -> None:
    rights = {"Authorization": api("purchases:refund").headers["Authorization"]}
    bought: list[int] = []
    server = post("/api/orders", {}).request.url

    def step(n: int) -> int:
        if n % 2:
            purchase_id = bought[-1] if bought else 1
            path = f"/api/purchases/{purchase_id}/refund"
            url = server.copy_with(path=path)
            return httpx2.post(url, headers=rights, json={}, timeout=60).status_code
        placed = order(post, maria, lesson)
        if "error" in placed:
            assert placed["error"]["code"] == "already_owned"
            return 0
        paid = post("/api/purchases/create", payment(placed, maria, f"stx-{n}"))
        if paid.status_code == 201:
            bought.append(paid.json()["id"])
        return paid.status_code

    ends = Counter(at_once(step, range(400)))

    assert set(ends) <= {0, 200, 201, 404, 409}
    live = Purchase.revoked_at.is_(None)
    assert count(db, Purchase, live) <= 1
    assert count(db, Purchase) == ends[201] == len(set(bought))
    by_status = dict(
        db.execute(select(Payment.status, func.count()).group_by(Payment.status)).tuples().all()
    )
    assert by_status.get("unmatched", 0) == ends[409]
    assert by_status.get("settled", 0) == count(db, Purchase, live)
    back = by_status.get("refunded", 0) + by_status.get("unmatched", 0)
    refunds = count(db, Dispatch, Dispatch.method == "refundStarPayment")
    assert (count(db, Refund), refunds) == (back, back)
    assert count(db, Dispatch, Dispatch.dedupe_key.startswith("receipt:")) == ends[201]
    books_are_right(db)
