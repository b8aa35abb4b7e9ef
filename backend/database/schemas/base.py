"""What every schema shares: strict input, typed output, list parameters."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from backend.core.i18n import N_

T = TypeVar("T")
MAX_ID = 2**63 - 1
MAX_STARS = 1_000_000


def storable(value: str) -> bool:
    """A database or a browser can hold it: no NUL, no lone surrogate."""
    return not ("\0" in value or any("\ud800" <= char <= "\udfff" for char in value))


def clean_text(value: str) -> str:
    if not storable(value):
        raise ValueError(N_("This text contains a character that cannot be stored."))
    return value


def clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value


def to_utc(value: datetime) -> datetime:
    """Refuses a moment whose UTC value does not exist (the ends of the calendar)."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(N_("This date is out of range.")) from None


def rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Stars = Annotated[int, Field(ge=0, le=MAX_STARS)]
Moment = Annotated[AwareDatetime, AfterValidator(to_utc)]
UTCMoment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Title = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=20_000)]


# The context in which a form, a cell or a row of a file is validated: all that they hold is text.
FORM = {"text": True}
# JSON has types of its own. Pydantic would take true for 1, "199" for 199 and 0 for 1970.
STRICT: dict[type, tuple[str, str]] = {
    int: ("int_type", "Input should be a valid integer"),
    bool: ("bool_type", "Input should be a valid boolean"),
}


def _leaves(annotation: Any) -> set[Any]:
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _leaves(parts[0])
    return set().union(*map(_leaves, parts)) if parts else {annotation}


@cache
def kinds(schema: type[BaseModel]) -> dict[str, type]:
    """The fields that hold numbers alone, or switches alone."""
    found = {name: _leaves(field.annotation) - {type(None)} for name, field in schema.model_fields.items()}
    return {name: kind for name, leaves in found.items() for kind in STRICT if leaves == {kind}}


def _is_list(schema: type[BaseModel], name: str) -> bool:
    return get_origin(schema.model_fields[name].annotation) is list


def _refuse_other(value: Any, kind: type) -> None:
    for each in value if isinstance(value, list | tuple | set) else (value,):
        if each is not None and type(each) is not kind:
            raise PydanticCustomError(*STRICT[kind])


class Input(BaseModel):
    """The base of everything that comes from outside: unknown fields are refused, text is clean, and a number that
    is not a form's is no text.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, str_max_length=20_000)

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        # What should be a list and is none is told by an error of its own.
        if (
            info.context is not FORM
            and (kind := kinds(cls).get(name))
            and isinstance(value, list) >= _is_list(cls, name)
        ):
            _refuse_other(value, kind)
        return clean(value)


class Output(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ListParams(BaseModel):
    """Query parameters of every list. A form sends empty strings for what is not chosen: they mean None."""

    model_config = ConfigDict(str_strip_whitespace=True, str_max_length=500)

    q: Annotated[str | None, Field(max_length=100, description="Search text")] = None
    sort: Annotated[str | None, Field(max_length=40, description="Column, with `-` for descending")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[str | None, Field(max_length=4000, description="`next` of the page before")] = None

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any) -> Any:
        return None if value == "" else clean(value)

    @field_validator("limit", mode="before")
    @classmethod
    def _default_limit(cls, value: Any) -> Any:
        return cls.model_fields["limit"].default if value in (None, "") else value


class ListResponse(BaseModel, Generic[T]):
    """`next` is the cursor of the page behind this one; `total` is null above 10,000."""

    model_config = ConfigDict(from_attributes=True)

    items: list[T]
    next: str | None
    total: int | None


class FieldErrors(BaseModel):
    code: str
    message: str
    fields: dict[str, str] | None = None
    request_id: str


class ErrorResponse(BaseModel):
    error: FieldErrors
