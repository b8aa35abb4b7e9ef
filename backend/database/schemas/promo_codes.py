from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from backend.core.i18n import _
from backend.core.text import current_timezone, from_local_input
from backend.database.schemas.base import (
    MAX_STARS,
    Id,
    Input,
    ListParams,
    Moment,
    Output,
    Stars,
    UTCMoment,
)

MAX_USES = 1_000_000


def one_word(value: str) -> str:
    if any(char.isspace() or not char.isprintable() for char in value):
        raise ValueError(_("A code is one word, without spaces."))
    return value


Code = Annotated[
    str,
    Field(min_length=1, max_length=64, examples=["AUTUMN25"], description="Matched without case"),
    AfterValidator(one_word),
]
Percent = Annotated[int, Field(ge=0, le=100, examples=[25])]
DiscountAmount = Annotated[
    int, Field(ge=0, le=MAX_STARS, description="Stars, taken off after the percent", examples=[50])
]
MaxUses = Annotated[int, Field(ge=1, le=MAX_USES, description="null: without end", examples=[100])]


def takes_something_off(percent: int | None, amount: int | None) -> None:
    """Raises ValueError for a code that would change no price."""
    if not percent and not amount:
        raise ValueError(_("Enter a percentage, an amount, or both."))


class PromoCodeTerms(Input):
    """What a code is worth, and how often."""

    code: Code
    # Declared before the percent, whose validator looks at it.
    discount_amount: DiscountAmount | None = None
    discount_percent: Annotated[Percent, Field(validate_default=True)] = 0
    max_uses: MaxUses | None = None

    @field_validator("discount_percent", mode="after")
    @classmethod
    def _useful(cls, value: int, info: ValidationInfo) -> int:
        if "discount_amount" in info.data:
            takes_something_off(value, info.data["discount_amount"])
        return value


class PromoCodeCreate(PromoCodeTerms):
    is_active: bool = True
    expires_at: Annotated[Moment | None, Field(examples=["2027-01-01T00:00:00Z"])] = None


class PromoCodeForm(PromoCodeTerms):
    """The form in the CRM. A checkbox that is off is not sent, so nothing is on by default."""

    is_active: bool = False
    expires_at: Annotated[str | None, Field(max_length=40, description="On the clock of whoever fills in the form")] = (
        None
    )
    version: int | None = None


class PromoCodeUpdate(Input):
    code: Code | None = None
    discount_percent: Percent | None = None
    discount_amount: DiscountAmount | None = None
    max_uses: MaxUses | None = None
    is_active: bool | None = None
    expires_at: Moment | None = None
    version: Annotated[int | None, Field(description="As read; a stale one answers 409")] = None

    @field_validator("code", "discount_percent", "is_active", mode="after")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError(_("Fill in this field."))
        return value


class PromoCodeFilters(ListParams):
    is_active: bool | None = None


class PromoCodeListFilters(PromoCodeFilters):
    """The CRM's list: what a person may ask about codes besides."""

    percent_min: Percent | None = None
    percent_max: Percent | None = None
    used_min: Annotated[int | None, Field(ge=0, le=MAX_USES)] = None
    used_max: Annotated[int | None, Field(ge=0, le=MAX_USES)] = None
    expires: Literal["yes", "no"] | None = None


class PromoCodeResponse(Output):
    id: int
    code: str
    discount_percent: int
    discount_amount: int | None
    max_uses: int | None
    current_uses: Annotated[int, Field(description="Reserved and used together")]
    is_active: bool
    expires_at: UTCMoment | None
    created_at: UTCMoment
    updated_at: UTCMoment
    version: int


class Sellable(Input):
    """What is bought: a lesson or a course."""

    lesson_id: Annotated[Id | None, Field(examples=[1])] = None
    course_id: Id | None = None

    @model_validator(mode="after")
    def _one(self) -> "Sellable":
        if (self.lesson_id is None) == (self.course_id is None):
            raise ValueError(_("Provide exactly one: lesson_id or course_id."))
        return self


class PromoCheck(Sellable):
    code: Annotated[str, Field(max_length=200, examples=["autumn25"])]
    user_id: Annotated[Id, Field(examples=[1])]


class PromoCheckResponse(Output):
    valid: bool
    code: Annotated[str | None, Field(description="As the school writes it; null when there is none")] = None
    price: Annotated[int, Field(description="Stars to pay; the full price when the code is not valid")]
    discount: Annotated[Stars, Field(description="Stars taken off")]
    reason: Annotated[str | None, Field(description="Why not, in the language of the request")]
    reason_code: Annotated[
        str | None,
        Field(description="unknown, off, expired, used_up, already_owned, not_on_sale or does_nothing"),
    ]


class PromoCodeEnd(Input):
    """When codes end; None: never. Without a time zone it is on the clock of whoever asks."""

    expires_at: Moment | None = None

    @field_validator("expires_at", mode="before")
    @classmethod
    def _on_the_clock(cls, value: object) -> object:
        if not isinstance(value, str) or not value:
            return value or None
        try:
            return from_local_input(value, current_timezone.get())
        except (ValueError, OverflowError):
            raise ValueError(_("Enter a date and time.")) from None
