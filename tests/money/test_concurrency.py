"""Many at once, over real HTTP, against two web processes on one database."""

import itertools
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import POSTGRES, Api, Seed, reset
from tests.factories import make_promo, make_user
from tests.figures import Figure
from tests.money.server import Server, at_once
from tests.money.till import books_are_right, count, named, payment, refusal

FORGERIES: tuple[dict[str, Any], ...] = (
    {"amount": 1},
    {"telegram_id": 5},
    {"payload": "another"},
    {"currency": "USD"},
)
Post = Callable[[str, Any], httpx2.Response]


@pytest.fixture(scope="module")
def database_url(template_database: str, seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for the module, as the servers take longest to start."""
    if POSTGRES:
        reset(template_database, seed)
        return template_database
    copy = tmp_path_factory.mktemp("school") / "test.db"
    shutil.copy(make_url(template_database).database or "", copy)
    return f"sqlite:///{copy}"


@pytest.fixture(scope="module")
def servers(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    data = tmp_path_factory.mktemp("servers") / "data"
    started = [Server(database_url, data).start() for _ in range(2)]
    try:
        yield [server.ready() for server in started]
    finally:
        for server in started:
            server.stop()


@pytest.fixture
def post(servers: list[Server], api: Api) -> Iterator[Post]:
    """POSTs JSON to the two processes in turn."""
    headers = {"Authorization": api("bot", "purchases:refund").headers["Authorization"]}
    limits = httpx2.Limits(max_connections=40)
    turn = itertools.count()
    with httpx2.Client(headers=headers, timeout=60, limits=limits) as client:
        yield lambda path, body: client.post(servers[next(turn) % len(servers)].url + path, json=body)


def order(post: Post, user: User, lesson: Lesson, **more: Any) -> Any:
    return post("/api/orders", named(lesson) | {"user_id": user.id} | more).json()


@pytest.mark.parametrize("times", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_duplicates_of_one_payment_make_one_purchase(
    post: Post, maria: User, lesson: Lesson, db: Session, times: int, figure: Figure
) -> None:
    charge = f"stx-of-{times}"
    body = payment(order(post, maria, lesson), maria, charge)

    def send(n: int) -> httpx2.Response:
        """Each fiftieth has another value under the same charge id."""
        changes = FORGERIES[n // 50 % len(FORGERIES)] if n % 50 == 49 else {}
        return post("/api/purchases/create", body | changes)

    answers = at_once(send, range(times))

    honest = [answer for n, answer in enumerate(answers) if n % 50 != 49]
    assert Counter(answer.status_code for answer in honest) == {201: 1, 200: times - times // 50 - 1}
    assert len({answer.content for answer in honest}) == 1
    assert Counter(refusal(answers[n]) for n in range(49, times, 50)) == {(409, "payment_mismatch"): times // 50}
    purchase = honest[0].json()
    assert count(db, Payment, Payment.provider_charge_id == charge) == 1
    assert count(db, Purchase, Purchase.user_id == maria.id) == 1
    told = select(Dispatch.dedupe_key).where(Dispatch.user_id == maria.id)
    assert db.scalars(told).all() == [f"receipt:{purchase['id']}"]
    books_are_right(db)
    bought = count(db, Purchase, Purchase.user_id == maria.id)
    figure("A1", "purchases made of duplicates of one payment", bought, "1", len(honest))
    taken = sum(answers[n].status_code < 300 for n in range(49, times, 50))
    figure("A1", "altered duplicates that are taken", taken, "0", times // 50)


def buy_with(post: Post, code: str, lesson: Lesson, buyer: User) -> str:
    """How a student with a code fares: "paid 201", "refused" at the pre-checkout, or not at all."""
    placed = order(post, buyer, lesson, promo_code=code)
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


@contextmanager
def watching(database: Database, promo: PromoCode) -> Iterator[list[int]]:
    """The uses of a code as an onlooker sees them all the while."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            with database.read() as session:
                uses = select(PromoCode.current_uses).where(PromoCode.id == promo.id)
                seen.append(session.scalar(uses) or 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_a_hundred_buyers_of_ten_uses_make_ten_discounts(
    post: Post, lesson: Lesson, db: Session, database: Database, figure: Figure
) -> None:
    promo = make_promo(db, code="HALF", discount_percent=50, max_uses=10)
    buyers = [make_user(db) for _ in range(100)]

    with watching(database, promo) as seen:
        ends = Counter(at_once(lambda buyer: buy_with(post, "half", lesson, buyer), buyers))

    assert ends.pop("paid 201") == 10
    assert set(ends) <= {"refused", "promo_invalid"}
    assert sum(ends.values()) == 90
    db.refresh(promo)
    assert promo.current_uses == 10
    of_promo = PromoRedemption.promo_id == promo.id
    assert count(db, PromoRedemption, of_promo, PromoRedemption.state == "used") == 10
    assert count(db, Order, Order.promo_id == promo.id, Order.status == "paid") == 10
    assert max(seen) == 10
    assert seen == sorted(seen)
    books_are_right(db)
    figure("A3", "discounts by a code for ten uses", promo.current_uses, "10", len(buyers))


@pytest.mark.parametrize("times", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_buying_and_returning_one_lesson_many_times_at_once(
    post: Post, maria: User, lesson: Lesson, db: Session, times: int, figure: Figure
) -> None:
    bought: list[int] = []

    def step(n: int) -> int:
        if n % 2:
            path = f"/api/purchases/{bought[-1] if bought else 10**6}/refund"
            return post(path, {}).status_code
        placed = order(post, maria, lesson)
        if "error" in placed:
            assert placed["error"]["code"] == "already_owned"
            return 0
        paid = post("/api/purchases/create", payment(placed, maria, f"stx-{maria.id}-{n}"))
        if paid.status_code == 201:
            bought.append(paid.json()["id"])
        return paid.status_code

    ends = Counter(at_once(step, range(2 * times)))

    assert set(ends) <= {0, 200, 201, 404, 409}
    live = count(db, Purchase, Purchase.user_id == maria.id, Purchase.revoked_at.is_(None))
    assert live in (0, 1)
    assert count(db, Purchase, Purchase.user_id == maria.id) == ends[201] == len(set(bought))
    hers = Payment.payer_telegram_id == maria.telegram_id
    made = select(Payment.status, func.count()).where(hers).group_by(Payment.status)
    payments = Counter(dict(db.execute(made).all()))
    assert (payments["unmatched"], payments["settled"]) == (ends[409], live)
    back = payments["refunded"] + payments["unmatched"]
    returned = Dispatch.user_id == maria.id, Dispatch.method == "refundStarPayment"
    assert count(db, Dispatch, *returned) == back
    assert back == db.scalar(select(func.count(Refund.id)).join(Payment).where(hers))
    receipts = Dispatch.user_id == maria.id, Dispatch.dedupe_key.startswith("receipt:")
    assert count(db, Dispatch, *receipts) == ends[201]
    books_are_right(db)
    figure("A4", "purchases held beyond one after buys and returns at once", max(0, live - 1), "0", times)
    asked = count(db, Dispatch, *returned)
    figure("A4", "returns that Telegram is asked for too often or never", abs(asked - back), "0", back)
