"""A cash desk for the tests of money: an order, a pre-checkout, a payment, a refund, over /api."""

import itertools
from dataclasses import dataclass
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.base import Base
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.orders import OrderCRUD
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from backend.database.session import Database

charges = itertools.count(1)
OK = {"ok": True, "error_message": None}


@dataclass
class Till:
    bot: TestClient

    def order(self, user: User, thing: Lesson | Course, code: str | None = None) -> Response:
        body = named(thing) | {"user_id": user.id} | ({"promo_code": code} if code else {})
        return self.bot.post("/api/orders/", json=body)

    def check(self, user: User, thing: Lesson | Course, code: str) -> Any:
        body = named(thing) | {"code": code, "user_id": user.id}
        return self.bot.post("/api/promo-codes/check", json=body).json()

    def ask(self, order: Any, user: User, language: str = "en", **changes: Any) -> Any:
        """The pre-checkout; answers {"ok", "error_message"}."""
        body = {
            "payload": order["payload"],
            "telegram_id": user.telegram_id,
            "total_amount": order["amount"],
            "currency": "XTR",
        }
        headers = {"Accept-Language": language}
        answer = self.bot.post("/api/orders/pre-checkout", json=body | changes, headers=headers)
        assert answer.status_code == 200
        return answer.json()

    def pay(self, order: Any, user: User, charge: str, **changes: Any) -> Response:
        return self.bot.post("/api/purchases/create", json=payment(order, user, charge) | changes)

    def buy(self, user: User, thing: Lesson | Course, code: str | None = None) -> Any:
        """The whole way; answers the purchase."""
        order = self.order(user, thing, code).json()
        assert self.ask(order, user) == OK
        answer = self.pay(order, user, f"stx-{next(charges)}")
        assert answer.status_code == 201, answer.text
        return answer.json()


def named(thing: Lesson | Course) -> dict[str, int]:
    return {"lesson_id" if isinstance(thing, Lesson) else "course_id": thing.id}


def payment(order: Any, user: User, charge: str) -> dict[str, Any]:
    return {
        "payload": order["payload"],
        "telegram_id": user.telegram_id,
        "payment_id": charge,
        "amount": order["amount"],
        "currency": "XTR",
    }


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def count(db: Session, model: type[Base], *conditions: Any) -> int:
    return db.scalar(select(func.count()).select_from(model).where(*conditions)) or 0


def rows(db: Session, *columns: Any) -> list[tuple[Any, ...]]:
    """The columns of all rows in the order of ids, as they are now."""
    return [tuple(row) for row in db.execute(select(*columns).order_by(columns[0].class_.id))]


def expire(database: Database) -> int:
    """What the job does every minute."""
    return database.run(lambda session: OrderCRUD(session).expire_due())


def books_are_right(db: Session) -> None:
    assert LedgerCRUD(db).problems() == []
