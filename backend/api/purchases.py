from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import JSONResponse

from backend.core.deps import (
    BAD_LIST,
    CONFLICT,
    NOT_FOUND,
    Caller,
    Reply,
    Routes,
    SettingsDep,
    crud,
    recent,
    require,
)
from backend.core.handlers import describe
from backend.core.permissions import Permission
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.stars import StarsCRUD
from backend.database.crud.users import UserCRUD
from backend.database.schemas.base import MAX_ID, ListResponse
from backend.database.schemas.purchases import (
    PurchaseCreate,
    PurchaseFilters,
    PurchaseRefund,
    PurchaseResponse,
    PurchaseReturned,
    ReturnedResponse,
)

router = Routes(prefix="/api/purchases", tags=["purchases"])
of_user = Routes(prefix="/api/users", tags=["purchases"])
Purchases = Annotated[PurchaseCRUD, crud(PurchaseCRUD)]
PurchaseId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
can_read = [require(Permission.PURCHASES_READ)]


@router.get(
    "/",
    response_model=ListResponse[PurchaseResponse],
    dependencies=can_read,
    summary="List purchases",
    responses=BAD_LIST,
)
def list_purchases(purchases: Purchases, params: Annotated[PurchaseFilters, Query()]) -> object:
    """`q` finds the buyer, or the whole charge id."""
    return purchases.get_all(params)


@router.post(
    "/create",
    response_model=PurchaseResponse,
    status_code=201,
    dependencies=[require(Permission.BOT, Permission.PURCHASES_WRITE)],
    summary="Record a payment of Telegram's",
    responses={200: {"model": PurchaseResponse, "description": "Recorded before"}, **CONFLICT},
)
def create_purchase(purchases: Purchases, settings: SettingsDep, data: PurchaseCreate) -> object:
    """Books the payment and hands over what it was for, once for each `payment_id`.

    409 `payment_mismatch`: this `payment_id` is recorded with other values. Any other 409: no order
    can honour the money; it is recorded and the Stars are being returned.
    """
    settled = purchases.settle(data, is_test=settings.sandbox_on)
    if settled.refusal is not None:
        # Answered, not raised: raising would take back the record of the money and its refund.
        return JSONResponse({"error": describe(settled.refusal)}, settled.refusal.status)
    return Reply(settled.purchase, 201 if settled.new else 200)


@router.post(
    "/returned",
    response_model=ReturnedResponse,
    dependencies=[require(Permission.BOT, Permission.PURCHASES_WRITE)],
    summary="Record that Telegram has returned the Stars of a payment",
    responses=NOT_FOUND,
)
def record_return(stars: Annotated[StarsCRUD, crud(StarsCRUD)], data: PurchaseReturned) -> object:
    """Telegram's `refunded_payment`. When nobody here has asked for it, it is a charge-back and ends the access.

    Safe to repeat.
    """
    return ReturnedResponse(outcome=stars.returned(data.payment_id, data.telegram_id))


@router.get(
    "/{purchase_id}",
    response_model=PurchaseResponse,
    dependencies=can_read,
    summary="One purchase",
    responses=NOT_FOUND,
)
def get_purchase(purchases: Purchases, purchase_id: PurchaseId) -> object:
    return purchases.get_by_id(purchase_id)


@router.post(
    "/{purchase_id}/refund",
    response_model=PurchaseResponse,
    dependencies=[require(Permission.PURCHASES_REFUND), recent],
    summary="Return the Stars and close the access",
    responses={**NOT_FOUND, **CONFLICT},
)
def refund_purchase(
    purchases: Purchases,
    caller: Caller,
    purchase_id: PurchaseId,
    data: PurchaseRefund | None = None,
) -> object:
    """The access ends at once; Telegram is asked to return the Stars. Safe to repeat.

    409 `not_refundable` for what was free or granted.
    """
    reason = data.reason if data else ""
    return purchases.refund(purchase_id, reason=reason, actor_id=caller.me.user_id)


@of_user.get(
    "/{user_id}/purchases",
    response_model=ListResponse[PurchaseResponse],
    dependencies=[require(Permission.PURCHASES_READ)],
    summary="Purchases of one person",
    responses={**NOT_FOUND, **BAD_LIST},
)
def list_purchases_of_user(
    purchases: Purchases,
    users: Annotated[UserCRUD, crud(UserCRUD)],
    user_id: Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])],
    params: Annotated[PurchaseFilters, Query()],
) -> object:
    users.get_by_id(user_id)
    return purchases.get_all(params.model_copy(update={"user_id": user_id}))
