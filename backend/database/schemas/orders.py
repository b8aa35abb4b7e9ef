from typing import Annotated

from pydantic import Field

from backend.database.schemas.base import MAX_ID, Id, Input, Output, UTCMoment
from backend.database.schemas.promo_codes import Sellable


class OrderCreate(Sellable):
    user_id: Annotated[Id, Field(examples=[1])]
    promo_code: Annotated[str | None, Field(max_length=200, examples=["AUTUMN25"])] = None


class OrderResponse(Output):
    """An order. `payload`, `amount`, `title` and `description` are what an invoice is made of."""

    id: int
    payload: Annotated[str, Field(description="Random; goes into the invoice and comes back with the payment")]
    amount: Annotated[int, Field(description="Stars to pay")]
    currency: str
    title: str
    description: str
    status: Annotated[str, Field(description="awaiting_payment, paid, expired, cancelled or refunded")]
    expires_at: UTCMoment
    user_id: int
    lesson_id: int | None
    course_id: int | None
    full_price: int
    discount: int
    is_test: bool
    purchase_id: Annotated[int | None, Field(description="Set at once when nothing is to be paid")]


class PreCheckout(Input):
    """Telegram's pre_checkout_query. Wrong values are answered with words, not with an error."""

    payload: Annotated[str, Field(max_length=200, examples=["Jm4yW0mB2m0cQqkP0n5cXb1u4GJx2b8d"])]
    telegram_id: Annotated[int, Field(ge=-MAX_ID, le=MAX_ID, examples=[123456789])]
    total_amount: Annotated[int, Field(ge=-MAX_ID, le=MAX_ID, examples=[199])]
    currency: Annotated[str, Field(max_length=16, examples=["XTR"])]


class PreCheckoutResponse(Output):
    ok: bool
    error_message: Annotated[str | None, Field(description="For the buyer, in the language of the request")] = None
