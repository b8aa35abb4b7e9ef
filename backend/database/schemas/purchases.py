from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from backend.core.i18n import _
from backend.database.schemas.base import (
    MAX_STARS,
    Id,
    Input,
    ListParams,
    Moment,
    Output,
    UTCMoment,
)

# payment_id of a purchase without a payment begins like this, so no charge may.
OWN_PREFIXES = ("free:", "grant:")


def telegrams(value: str) -> str:
    if value.startswith(OWN_PREFIXES):
        raise ValueError(_("This is not a Telegram charge ID."))
    return value


ChargeId = Annotated[
    str,
    Field(min_length=1, max_length=255, description="telegram_payment_charge_id", examples=["stxQ3p8aB0"]),
    AfterValidator(telegrams),
]


class PurchaseCreate(Input):
    """Telegram's successful_payment."""

    payload: Annotated[str, Field(min_length=1, max_length=128, examples=["Jm4yW0mB2m0cQqkP0n5cXb1u4GJx2b8d"])]
    telegram_id: Annotated[Id, Field(description="Who paid", examples=[123456789])]
    payment_id: ChargeId
    amount: Annotated[int, Field(ge=1, le=MAX_STARS, description="Stars", examples=[199])]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["XTR"])]


class PurchaseReturned(Input):
    """Telegram's refunded_payment."""

    payment_id: ChargeId
    telegram_id: Annotated[Id, Field(description="Who has the Stars again", examples=[123456789])]


class ReturnedResponse(Output):
    outcome: Annotated[
        Literal["returned", "chargeback"],
        Field(description="returned: as the school had asked; chargeback: nobody had, and the access has ended"),
    ]


class PurchaseRefund(Input):
    reason: Annotated[str, Field(max_length=500, examples=["Bought by mistake"])] = ""


class GrantForm(Input):
    """What a student is given without payment, and why."""

    thing: Annotated[str, Field(pattern=r"^(lesson|course):[1-9][0-9]{0,17}$", description="lesson:3 or course:2")]
    reason: Annotated[str, Field(min_length=1, max_length=500)]

    @property
    def named(self) -> dict[str, int]:
        """{"lesson_id": 3} or {"course_id": 2}."""
        kind, _sep, number = self.thing.partition(":")
        return {f"{kind}_id": int(number)}


class PurchaseFilters(ListParams):
    status: Literal["pending", "completed", "failed"] | None = None
    user_id: Id | None = None
    lesson_id: Id | None = None
    course_id: Id | None = None
    since: Annotated[Moment | None, Field(description="Not before this moment")] = None
    until: Annotated[Moment | None, Field(description="Before this moment")] = None
    is_test: bool | None = None
    revoked: bool | None = None


class PurchaseResponse(Output):
    id: int
    user_id: int
    lesson_id: int | None
    course_id: int | None
    payment_id: Annotated[str, Field(description="Telegram's charge id, or free:... or grant:...")]
    amount: int
    status: Annotated[Literal["pending", "completed", "failed"], Field(examples=["completed"])]
    is_test: bool
    revoked_at: UTCMoment | None
    created_at: UTCMoment
    updated_at: UTCMoment
