"""Orders in the CRM: what students meant to buy, the unpaid ones too."""

import csv
import io

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR
from backend.database.models.orders import Order
from tests.conftest import SignIn
from tests.crm.test_sales import cells, listed
from tests.factories import make_lesson, make_order, make_promo, make_purchase, make_user

ORDERS = "/dashboard/sales/orders/"


@pytest.fixture
def orders(db: Session) -> list[Order]:
    """One that waits, one that expired with a code, one that was paid."""
    maria = make_user(db, first_name="Мария", last_name="Ковалёва", username="masha")
    timur = make_user(db, first_name="Тимур", last_name="Сафин")
    light, code = make_lesson(db, title="Свет", price=249), make_promo(db, code="AUTUMN")
    waits = make_order(db, maria, light)
    late = make_order(
        db, timur, light, status="expired", promo_id=code.id, subtotal=249, discount=49, total=200, is_test=True
    )
    make_purchase(db, maria, make_lesson(db, title="Ночь", price=99))
    return [waits, late, db.scalars(select(Order).where(Order.status == "paid")).one()]


def test_every_order_is_listed_with_what_became_of_it(admin: TestClient, orders: list[Order]) -> None:
    waits, late, paid = orders
    page = admin.get(ORDERS).text
    assert listed(page, "order") == [paid.id, late.id, waits.id]
    told = {order.id: " ".join(cells(page, f"order-{order.id}")) for order in orders}
    assert all(word in told[waits.id] for word in ("Свет", "Мария Ковалёва", "@masha", "249", "Awaiting payment"))
    assert all(word in told[late.id] for word in ("Тимур Сафин", "200", "Expired", "Test", "AUTUMN"))
    assert all(word in told[paid.id] for word in ("Ночь", "99", "Paid"))
    assert "None" not in told[paid.id]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"status": "awaiting_payment"}, [0]),
        ({"status": "paid"}, [2]),
        ({"with_code": "yes"}, [1]),
        ({"with_code": "no"}, [2, 0]),
        ({"is_test": "true"}, [1]),
        ({"q": "ковал"}, [2, 0]),
        ({"q": "@masha"}, [2, 0]),
        ({"since": "2999-01-01"}, []),
    ],
)
def test_orders_are_found(admin: TestClient, orders: list[Order], asked: dict[str, str], found: list[int]) -> None:
    assert listed(admin.get(ORDERS, params=asked).text, "order") == [orders[at].id for at in found]


def test_an_order_is_found_by_its_number_its_student_and_its_code(admin: TestClient, orders: list[Order]) -> None:
    late = orders[1]
    for asked in ({"q": str(late.id)}, {"user_id": late.user_id}, {"promo_id": late.promo_id}):
        assert listed(admin.get(ORDERS, params=asked).text, "order") == [late.id]


def test_the_page_of_one_shows_student_code_and_history(admin: TestClient, orders: list[Order], staff: SignIn) -> None:
    waits, late, paid = orders
    page = admin.get(f"{ORDERS}{late.id}").text
    assert all(word in page for word in ("Тимур Сафин", "AUTUMN", "expired", "/dashboard/users/", "History"))
    assert "Payment number" not in page
    assert "Payment number" in admin.get(f"{ORDERS}{paid.id}").text
    assert "awaiting payment" in admin.get(f"{ORDERS}{waits.id}").text
    gone = admin.get(f"{ORDERS}999")
    assert (gone.status_code, "Order 999 no longer exists." in gone.text) == (404, True)
    assert staff(AUTHOR).get(f"{ORDERS}{late.id}").status_code == 403


def test_orders_leave_as_a_file(admin: TestClient, orders: list[Order]) -> None:
    found = list(csv.DictReader(io.StringIO(admin.get(f"{ORDERS}export.csv").text.removeprefix("\ufeff"))))
    assert [(row["id"], row["total"], row["status"], row["code"]) for row in found] == [
        (str(orders[2].id), "99", "paid", ""),
        (str(orders[1].id), "200", "expired", "AUTUMN"),
        (str(orders[0].id), "249", "awaiting_payment", ""),
    ]


def test_no_order_yet(admin: TestClient) -> None:
    assert "No orders yet" in admin.get(ORDERS).text
