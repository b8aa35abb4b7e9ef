from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from backend.core.i18n import _
from backend.database.schemas.base import (
    Id,
    Input,
    ListParams,
    Output,
    Stars,
    Text,
    Title,
    UTCMoment,
)
from backend.database.schemas.media import MediaContent

LessonTitle = Annotated[Title, Field(examples=["Свет из окна"])]
Description = Annotated[str, Field(max_length=3000, description="Shown before the purchase")]
VideoPath = Annotated[
    str,
    Field(
        max_length=255,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="`path` of an uploaded video, or an address of your own",
        examples=["Q0x1mBv7p8Yh.mp4"],
    ),
]


def filled(value: object) -> object:
    """For fields of a partial update: they may be left out, but not emptied."""
    if value is None:
        raise ValueError(_("Fill in this field."))
    return value


class LessonCreate(Input):
    """A lesson on sale. A free one needs no price."""

    title: LessonTitle
    description: Description = ""
    is_free: bool = False
    price: Annotated[Stars | None, Field(description="Stars", examples=[199], validate_default=True)] = None
    is_active: bool = True
    video_path: VideoPath | None = None
    text_content: Annotated[Text | None, Field(description="Markdown", examples=["**Боком** к свету."])] = None

    @field_validator("price", mode="after")
    @classmethod
    def _priced(cls, value: int | None, info: ValidationInfo) -> int:
        if value is None:
            if not info.data.get("is_free"):
                raise ValueError(_("Fill in this field."))
            return 0
        return value


class LessonUpdate(Input):
    title: LessonTitle | None = None
    description: Description | None = None
    is_free: bool | None = None
    price: Annotated[Stars | None, Field(description="Stars", examples=[249])] = None
    is_active: bool | None = None
    video_path: VideoPath | None = None
    text_content: Text | None = None
    version: Annotated[int | None, Field(description="As read; a stale one answers 409")] = None

    @field_validator("title", "description", "is_free", "price", "is_active", mode="after")
    @classmethod
    def _not_null(cls, value: object) -> object:
        return filled(value)


class LessonForm(LessonCreate):
    """The form in the CRM. A checkbox that is off is not sent, so nothing is on by default."""

    is_active: bool = False
    media_id: Annotated[Id | None, Field(description="The uploaded video")] = None
    drop_video: bool = False
    version: int | None = None


class LessonFilters(ListParams):
    is_active: bool | None = None
    is_free: bool | None = None
    price_min: Annotated[Stars | None, Field(description="Stars")] = None
    price_max: Annotated[Stars | None, Field(description="Stars")] = None
    tag: Annotated[Id | None, Field(description="Number of a tag")] = None


class LessonListFilters(LessonFilters):
    """The CRM's list: what a person may ask about lessons besides."""

    video: Literal["yes", "no"] | None = None
    course_id: Id | None = None


class LessonResponse(Output):
    """What anyone who sees lessons sees of one."""

    id: int
    title: str
    description: str
    price: int
    is_free: bool
    is_active: bool
    has_text: bool
    has_video: bool
    created_at: UTCMoment
    updated_at: UTCMoment
    version: int


class LessonFullResponse(LessonResponse):
    """With its content, for those who may edit it."""

    video_path: str | None
    text_content: str | None
    media_id: int | None


class LessonContent(Output):
    """What a student who may read the lesson gets."""

    lesson_id: int
    title: str
    text_content: str | None
    video_path: str | None
    media: MediaContent | None


class LessonDraft(Input):
    """What the preview shows of an unfinished form; the price is whatever was typed."""

    title: str = ""
    description: str = ""
    is_free: bool = False
    price: Annotated[str, Field(max_length=20)] = ""
    text_content: str = ""
    has_video: bool = False


class Switch(Input):
    """A button that puts something on sale or hides it."""

    is_active: bool = False


class PricePercent(Input):
    """A price changed by percent: 10 is a tenth more, -10 a tenth less."""

    percent: Annotated[int, Field(ge=-99, le=1000)]


class ToCourse(Input):
    course_id: Id
