"""All orders as the CRM lists them: what students meant to buy, paid or not."""

from collections.abc import Container, Mapping
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, or_, select

from backend.database import search
from backend.database.crud.base import Filter, exact
from backend.database.crud.orders import OrderCRUD
from backend.database.listing import AnySelect
from backend.database.models.orders import Order, OrderLine
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID, ListParams
from backend.database.walking import ANY


class OrderListCRUD(OrderCRUD):
    sorts: ClassVar[Mapping[str, Any]] = {"created_at": Order.created_at}
    default_sort = "-created_at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "status": exact(Order.status),
        "promo_id": exact(Order.promo_id),
        "with_code": lambda yes: Order.promo_id.is_not(None) if yes == "yes" else Order.promo_id.is_(None),
        "is_test": Order.is_test.is_,
        "user_id": exact(Order.user_id),
        "since": lambda moment: Order.created_at >= moment,
        "until": lambda moment: Order.created_at < moment,
    }
    seldom: ClassVar[Mapping[str, Container[Any]]] = {
        "status": ("awaiting_payment", "cancelled", "refunded"),
        "promo_id": ANY,
        "user_id": ANY,
    }

    @classmethod
    def list_statement(cls) -> AnySelect:
        statement = select(
            Order.id,
            Order.created_at,
            Order.expires_at,
            Order.paid_at,
            Order.status,
            Order.subtotal,
            Order.discount,
            Order.total,
            Order.is_test,
            OrderLine.title,
            PromoCode.code,
            User.id.label("user_id"),
            User.first_name,
            User.last_name,
            User.username,
        )
        return (
            statement.select_from(Order)
            .join(OrderLine, OrderLine.order_id == Order.id)
            .join(User, User.id == Order.user_id)
            .outerjoin(PromoCode, PromoCode.id == Order.promo_id)
        )

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        """`q` finds the student, or the order by its number."""
        found = super().conditions(params)
        if params.q:
            students = select(User.id).where(search.matches(self.session, User, params.q))
            ways: list[ColumnElement[bool]] = [Order.user_id.in_(students)]
            if params.q.isdecimal() and int(params.q) <= MAX_ID:
                ways.append(Order.id == int(params.q))
            found.append(or_(*ways))
        return found
