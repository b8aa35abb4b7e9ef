from typing import Annotated

from fastapi import Path, Query

from backend.core.deps import BAD_LIST, CONFLICT, NOT_FOUND, Routes, crud, require
from backend.core.permissions import Permission
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.schemas.base import MAX_ID, ListResponse
from backend.database.schemas.promo_codes import (
    PromoCheck,
    PromoCheckResponse,
    PromoCodeCreate,
    PromoCodeFilters,
    PromoCodeResponse,
    PromoCodeUpdate,
)

router = Routes(prefix="/api/promo-codes", tags=["promo codes"])
PromoCodes = Annotated[PromoCodeCRUD, crud(PromoCodeCRUD)]
PromoId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
can_read = [require(Permission.PROMO_CODES_READ)]
can_write = [require(Permission.PROMO_CODES_WRITE)]


@router.get(
    "/",
    response_model=ListResponse[PromoCodeResponse],
    dependencies=can_read,
    summary="List promo codes",
    responses=BAD_LIST,
)
def list_promo_codes(promos: PromoCodes, params: Annotated[PromoCodeFilters, Query()]) -> object:
    return promos.get_all(params)


@router.post(
    "/",
    response_model=PromoCodeResponse,
    status_code=201,
    dependencies=can_write,
    summary="Make a promo code",
    responses=CONFLICT,
)
def create_promo_code(promos: PromoCodes, data: PromoCodeCreate) -> object:
    """The percent is taken off first, then the amount; the price is cut down to whole Stars."""
    return promos.create(data)


@router.post(
    "/check",
    response_model=PromoCheckResponse,
    dependencies=[require(Permission.BOT)],
    summary="What a student would pay with a code",
    responses=NOT_FOUND,
)
def check_promo_code(promos: PromoCodes, data: PromoCheck) -> object:
    """Reserves nothing. `reason` is in the language of `Accept-Language`."""
    return promos.check(data)


@router.get(
    "/{promo_id}",
    response_model=PromoCodeResponse,
    dependencies=can_read,
    summary="One promo code",
    responses=NOT_FOUND,
)
def get_promo_code(promos: PromoCodes, promo_id: PromoId) -> object:
    return promos.get_by_id(promo_id)


@router.put(
    "/{promo_id}",
    response_model=PromoCodeResponse,
    dependencies=can_write,
    summary="Change a promo code",
    responses={**NOT_FOUND, **CONFLICT},
)
def update_promo_code(promos: PromoCodes, promo_id: PromoId, data: PromoCodeUpdate) -> object:
    """Replaces only the fields sent."""
    return promos.update(promo_id, data)


@router.delete(
    "/{promo_id}",
    status_code=204,
    dependencies=can_write,
    summary="Delete a promo code",
    responses={**NOT_FOUND, **CONFLICT},
)
def delete_promo_code(promos: PromoCodes, promo_id: PromoId) -> None:
    """409 once an order names it: switch it off instead."""
    promos.delete(promo_id)
