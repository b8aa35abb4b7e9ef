from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from backend.core.i18n import _
from backend.database.schemas.base import Id, Input, ListParams, Output, Stars, Title, UTCMoment
from backend.database.schemas.lessons import Description, filled

MAX_LESSONS = 200
CourseTitle = Annotated[Title, Field(examples=["Портрет от идеи до печати"])]
LessonIds = Annotated[list[Id], Field(max_length=MAX_LESSONS, description="In order", examples=[[3, 1, 2]])]


def cheaper(discount: int | None, total: int | None) -> None:
    """Raises ValueError when the discount price is above the full one."""
    if discount is not None and total is not None and discount > total:
        raise ValueError(_("The discounted price is higher than the full price."))


class CourseCreate(Input):
    title: CourseTitle
    description: Description = ""
    total_price: Annotated[Stars, Field(description="Stars", examples=[1490])]
    discount_price: Annotated[Stars | None, Field(description="Stars; asked instead of total_price")] = None
    is_active: bool = True
    lesson_ids: Annotated[LessonIds, Field(default_factory=list)]

    @field_validator("discount_price", mode="after")
    @classmethod
    def _discounted(cls, value: int | None, info: ValidationInfo) -> int | None:
        cheaper(value, info.data.get("total_price"))
        return value


class CourseUpdate(Input):
    title: CourseTitle | None = None
    description: Description | None = None
    total_price: Annotated[Stars | None, Field(description="Stars", examples=[1490])] = None
    discount_price: Annotated[Stars | None, Field(description="Stars; null takes the discount off")] = None
    is_active: bool | None = None
    lesson_ids: LessonIds | None = None
    version: Annotated[int | None, Field(description="As read; a stale one answers 409")] = None

    @field_validator("title", "description", "total_price", "is_active", "lesson_ids", mode="after")
    @classmethod
    def _not_null(cls, value: object) -> object:
        return filled(value)


class CourseForm(Input):
    """The form in the CRM; lessons are put in order on the course's page."""

    title: CourseTitle
    description: Description = ""
    total_price: Stars
    discount_price: Stars | None = None
    is_active: bool = False
    version: int | None = None

    @field_validator("discount_price", mode="after")
    @classmethod
    def _discounted(cls, value: int | None, info: ValidationInfo) -> int | None:
        cheaper(value, info.data.get("total_price"))
        return value


class CourseFilters(ListParams):
    is_active: bool | None = None


class CourseListFilters(CourseFilters):
    """The CRM's list: what a person may ask about courses besides."""

    price_min: Stars | None = None
    price_max: Stars | None = None
    discount: Literal["yes", "no"] | None = None
    lesson_id: Id | None = None


class CourseLessonResponse(Output):
    lesson_id: int
    title: str
    position: Annotated[int, Field(description="From 1")]
    is_active: bool
    is_free: bool
    price: int


class CourseResponse(Output):
    id: int
    title: str
    description: str
    total_price: int
    discount_price: int | None
    is_active: bool
    lessons: list[CourseLessonResponse]
    created_at: UTCMoment
    updated_at: UTCMoment
    version: int


class CourseDraft(Input):
    """What the preview shows of an unfinished form; prices are whatever was typed."""

    title: str = ""
    description: str = ""
    total_price: Annotated[str, Field(max_length=20)] = ""
    discount_price: Annotated[str, Field(max_length=20)] = ""


class AddLesson(Input):
    lesson_id: Id


class MoveLesson(Input):
    by: Annotated[int, Field(ge=-MAX_LESSONS, le=MAX_LESSONS, description="Places down")]


class PlaceLesson(Input):
    """A lesson dropped somewhere else."""

    id: Id
    position: Annotated[int, Field(ge=1, le=MAX_LESSONS, description="From 1")]
