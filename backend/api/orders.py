from typing import Annotated

from backend.core.deps import CONFLICT, NOT_FOUND, Routes, SettingsDep, crud, require
from backend.core.errors import AppError
from backend.core.permissions import Permission
from backend.database.crud.orders import OrderCRUD, Placed
from backend.database.schemas.orders import (
    OrderCreate,
    OrderResponse,
    PreCheckout,
    PreCheckoutResponse,
)

router = Routes(prefix="/api/orders", tags=["orders"], dependencies=[require(Permission.BOT)])
Orders = Annotated[OrderCRUD, crud(OrderCRUD)]


@router.post(
    "/",
    response_model=OrderResponse,
    status_code=201,
    summary="Order a lesson or a course",
    responses={**NOT_FOUND, **CONFLICT},
)
def create_order(orders: Orders, settings: SettingsDep, data: OrderCreate) -> object:
    """What an invoice is made of. What costs nothing is the student's at once (`status` is `paid`).

    409 `already_owned`, `not_on_sale` or `user_inactive`; 422 `promo_invalid` with the reason in
    `message`.
    """
    return answer(orders.place(data, is_test=settings.sandbox_on))


@router.post("/pre-checkout", response_model=PreCheckoutResponse, summary="May this invoice be paid now?")
def pre_checkout(orders: Orders, data: PreCheckout) -> object:
    """Checks everything once more and reserves the promo use for 15 minutes. Safe to repeat."""
    try:
        orders.pre_checkout(data)
    except AppError as refusal:
        return PreCheckoutResponse(ok=False, error_message=refusal.message)
    return PreCheckoutResponse(ok=True)


def answer(placed: Placed) -> OrderResponse:
    order, line = placed.order, placed.line
    return OrderResponse(
        id=order.id,
        payload=order.payload,
        amount=order.total,
        currency=order.currency,
        title=line.title,
        description=placed.description,
        status=order.status,
        expires_at=order.expires_at,
        user_id=order.user_id,
        lesson_id=line.lesson_id,
        course_id=line.course_id,
        full_price=order.subtotal,
        discount=order.discount,
        is_test=order.is_test,
        purchase_id=placed.purchase.id if placed.purchase else None,
    )
