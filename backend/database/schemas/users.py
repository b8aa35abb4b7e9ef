from datetime import tzinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, EmailStr, Field, field_validator

from backend.core.i18n import _
from backend.database.schemas.base import MAX_ID, Id, Input, ListParams, Output, UTCMoment
from backend.database.schemas.sales import Day, begins, ends

Name = Annotated[str, Field(min_length=1, max_length=128)]
# Without a name there is none: nobody looks for an empty one.
Username = Annotated[str | None, Field(max_length=64), AfterValidator(lambda name: name or None)]
Figure = Annotated[int, Field(ge=0, le=MAX_ID)]
LanguageCode = Annotated[str, Field(min_length=2, max_length=16, pattern=r"^[A-Za-z0-9-]+$")]


class UserCreate(Input):
    """A student, as Telegram tells about them. A known telegram_id refreshes what changed."""

    telegram_id: Annotated[Id, Field(examples=[123456789])]
    first_name: Annotated[Name, Field(examples=["Мария"])]
    last_name: Annotated[str | None, Field(max_length=128)] = None
    username: Username = None
    language_code: LanguageCode = "en"
    source: Annotated[str | None, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = None


class UserUpdate(Input):
    first_name: Name | None = None
    last_name: Annotated[str | None, Field(max_length=128)] = None
    username: Username = None
    language_code: LanguageCode | None = None
    ui_language: Literal["ru", "en"] | None = None
    is_active: bool | None = None
    terms_accepted: Annotated[Literal[True] | None, Field(description="Consent to the terms; kept with its time")] = (
        None
    )
    version: int | None = None

    @field_validator("first_name", "language_code", "is_active", mode="after")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError(_("Fill in this field."))
        return value


class StudentForm(Input):
    """The student's page in the CRM: what a person may correct."""

    first_name: Name
    last_name: Annotated[str | None, Field(max_length=128)] = None
    username: Username = None
    email: EmailStr | None = None
    ui_language: Literal["ru", "en"] | None = None
    is_active: bool = False
    version: int | None = None


class EraseForm(Input):
    name: Annotated[str, Field(min_length=1, max_length=260, description="The person's name, typed to confirm")]


class NewStudentForm(Input):
    telegram_id: Id
    first_name: Name
    last_name: Annotated[str | None, Field(max_length=128)] = None
    username: Username = None
    language_code: Literal["ru", "en"] = "ru"


class UserFilters(ListParams):
    is_active: bool | None = None
    role: Annotated[str | None, Field(max_length=64)] = None
    telegram_id: Id | None = None


class StudentFilters(UserFilters):
    """The CRM's list: what a person may ask about students besides."""

    bought: Literal["yes", "no"] | None = None
    purchases_min: Figure | None = None
    purchases_max: Figure | None = None
    spent_min: Annotated[Figure | None, Field(description="Stars")] = None
    spent_max: Annotated[Figure | None, Field(description="Stars")] = None
    waiting: bool | None = None
    joined_since: Day | None = None
    joined_until: Day | None = None
    username: Literal["yes", "no"] | None = None
    lesson_id: Id | None = None
    course_id: Id | None = None
    tag: Id | None = None

    def asked(self, zone: tzinfo) -> "StudentFilters":
        """The same for the database: moments instead of days."""
        return self.model_copy(
            update={"joined_since": begins(self.joined_since, zone), "joined_until": ends(self.joined_until, zone)}
        )


class UserResponse(Output):
    id: int
    telegram_id: int | None
    username: str | None
    first_name: str
    last_name: str | None
    language_code: str
    ui_language: str | None
    is_active: bool
    terms_accepted_at: UTCMoment | None
    blocked_bot_at: UTCMoment | None = None
    created_at: UTCMoment
    updated_at: UTCMoment
    version: int
