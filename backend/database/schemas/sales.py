"""Parameters of the CRM's lists of purchases, payments and orders."""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from backend.core.i18n import N_
from backend.database.schemas.base import Id, ListParams, Moment
from backend.database.schemas.purchases import PurchaseFilters

DAY_LENGTH = len("2026-11-21")
YEARS = range(1971, 9999)
_moment = TypeAdapter[datetime](Moment)


def _day_or_moment(value: object) -> object:
    """A form sends a day, a link may name a moment. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if len(value) != DAY_LENGTH:
        return _moment_of(value)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueError(N_("Enter a date.")) from None
    if day.year not in YEARS:
        raise ValueError(N_("This date is out of range."))
    return day


def _moment_of(value: str) -> datetime:
    try:
        return _moment.validate_python(value)
    except ValidationError:
        raise ValueError(N_("Enter a date.")) from None


Day = Annotated[datetime | date, BeforeValidator(_day_or_moment)]


def begins(day: date | None, zone: tzinfo) -> datetime | None:
    """The first moment of a day on somebody's clock; a moment is itself."""
    if day is None or isinstance(day, datetime):
        return day
    return datetime.combine(day, time(), zone)


def ends(day: date | None, zone: tzinfo) -> datetime | None:
    """The first moment after a day; a moment is itself."""
    if day is None or isinstance(day, datetime):
        return day
    return datetime.combine(day + timedelta(days=1), time(), zone)


def _moments(params: "SaleFilters | PaymentFilters | OrderFilters", zone: tzinfo) -> dict[str, Any]:
    """What was asked, with moments instead of days."""
    return params.model_dump() | {"since": begins(params.since, zone), "until": ends(params.until, zone)}


class SaleFilters(ListParams):
    """What a person may ask about purchases."""

    state: Literal["paid", "returned", "gift", "free", "open"] | None = None
    earned: Annotated[bool | None, Field(description="Counts as revenue")] = None
    is_test: bool | None = None
    user_id: Id | None = None
    lesson_id: Id | None = None
    course_id: Id | None = None
    promo_id: Id | None = None
    since: Day | None = None
    until: Day | None = None

    def asked(self, zone: tzinfo) -> "SaleQuery":
        """The same for the database: moments instead of days."""
        return SaleQuery.model_construct(**_moments(self, zone))


class SaleQuery(PurchaseFilters):
    state: str | None = None
    earned: bool | None = None
    promo_id: int | None = None


class PaymentFilters(ListParams):
    status: Literal["settled", "unmatched", "refunded"] | None = None
    refund: Literal["requested", "done", "failed"] | None = None
    is_test: bool | None = None
    user_id: Id | None = None
    since: Day | None = None
    until: Day | None = None

    def asked(self, zone: tzinfo) -> "PaymentQuery":
        return PaymentQuery.model_construct(**_moments(self, zone))


class PaymentQuery(ListParams):
    status: str | None = None
    refund: str | None = None
    is_test: bool | None = None
    user_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class OrderFilters(ListParams):
    status: Literal["awaiting_payment", "paid", "expired", "cancelled", "refunded"] | None = None
    with_code: Literal["yes", "no"] | None = None
    promo_id: Id | None = None
    is_test: bool | None = None
    user_id: Id | None = None
    since: Day | None = None
    until: Day | None = None

    def asked(self, zone: tzinfo) -> "OrderQuery":
        return OrderQuery.model_construct(**_moments(self, zone))


class OrderQuery(ListParams):
    status: str | None = None
    with_code: str | None = None
    promo_id: int | None = None
    is_test: bool | None = None
    user_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
