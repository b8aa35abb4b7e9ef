"""Lessons: the catalogue, its content, and who may read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import joinedload

from backend.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from backend.core.i18n import _, ngettext
from backend.core.permissions import Permission
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.catalogue import buyers_by, repriced, sold_words
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.media import MediaCRUD
from backend.database.crud.revenue import RevenueCRUD, Sales
from backend.database.crud.tags import TAG, UNTAG, TagCRUD, tagged, tags_of
from backend.database.listing import API_CAP, AnySelect, Dressed, Page, within
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media, TelegramFile
from backend.database.models.orders import OrderLine
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.rows import ask_within
from backend.database.schemas.base import ListParams
from backend.database.schemas.lessons import ToCourse
from backend.database.schemas.media import MediaContent
from backend.database.verbs import DELETE, Verb, named, switching


@dataclass(frozen=True)
class CourseName:
    id: int
    title: str


@dataclass(frozen=True)
class LessonLine(Dressed):
    """A lesson as the CRM's list shows it."""

    sales: Sales
    courses: Sequence[CourseName]


@dataclass(frozen=True)
class Content:
    """What a student who may read a lesson gets."""

    lesson_id: int
    title: str
    text_content: str | None
    video_path: str | None
    media: MediaContent | None


class LessonCRUD(BaseCRUD[Lesson]):
    model = Lesson
    sorts: ClassVar[Mapping[str, Any]] = {
        "created_at": Lesson.created_at,
        "price": Lesson.price,
        "title": Lesson.search_key,
    }
    default_sort = "-created_at"
    called = (Lesson.title,)
    filters: ClassVar[Mapping[str, Filter]] = {
        "is_active": exact(Lesson.is_active),
        "is_free": exact(Lesson.is_free),
        "price_min": lambda stars: Lesson.price >= stars,
        "price_max": lambda stars: Lesson.price <= stars,
        "video": lambda value: _has_video() if value == "yes" else ~_has_video(),
        "course_id": lambda course_id: Lesson.id.in_(
            select(CourseLesson.lesson_id).where(CourseLesson.course_id == course_id)
        ),
        "tag": tagged(Lesson),
    }
    verbs: ClassVar[Mapping[str, Verb]] = named(
        switching("put_on_sale", on=True),
        switching("hide", on=False),
        repriced("price"),
        Verb(
            "add_to_course",
            lambda lessons, row_id, given: lessons.add_to_course(row_id, given.course_id),
            ToCourse,
            right=Permission.COURSES_WRITE,
        ),
        TAG,
        UNTAG,
        DELETE,
    )

    def missing(self, row_id: int) -> str:
        return _("Lesson %s no longer exists.") % row_id

    # -- reading

    @classmethod
    def list_statement(cls) -> Any:
        return select(
            Lesson.id,
            Lesson.title,
            Lesson.description,
            Lesson.price,
            Lesson.is_free,
            Lesson.is_active,
            Lesson.created_at,
            Lesson.updated_at,
            Lesson.version,
            Lesson.search_key,
            (func.coalesce(Lesson.text_content, "") != "").label("has_text"),
            _has_video().label("has_video"),
            tags_of(Lesson).label("tags"),
        )

    def get_all_full(self, params: ListParams | None = None, *, cap: int = API_CAP) -> Page[Lesson]:
        """The list with the content, for those who may edit it."""
        return _FullLessonCRUD(self.session).get_all(params, cap=cap)

    def dressed(self, rows: Sequence[Any]) -> Sequence[LessonLine]:
        """The rows with sales and courses: two queries whatever their number."""
        ids = [row.id for row in rows]
        sales, courses = self.sales(ids), self.courses(ids)
        return [LessonLine(row, sales.get(row.id, Sales()), courses.get(row.id, ())) for row in rows]

    def sales(self, lesson_ids: Sequence[int]) -> Mapping[int, Sales]:
        """Sales of lessons by themselves (not through a course)."""
        return RevenueCRUD(self.session).by_thing(Purchase.lesson_id, lesson_ids)

    def courses(self, lesson_ids: Sequence[int]) -> Mapping[int, Sequence[CourseName]]:
        """The courses that hold each lesson, by title."""
        found: dict[int, tuple[CourseName, ...]] = {}
        for lesson_id, course_id, title in ask_within(self.session, _courses, lesson_ids):
            found[lesson_id] = (*found.get(lesson_id, ()), CourseName(course_id, title))
        return found

    def buyers(self, lesson_id: int) -> Sequence[Any]:
        """The latest purchases of the lesson by itself, with the person."""
        return buyers_by(self, Purchase.lesson_id, lesson_id)

    def get_with_media(self, lesson_id: int) -> Lesson:
        return self.get_by_id(lesson_id, joinedload(Lesson.media))

    def content_for(self, user_id: int, lesson_id: int, bot_id: int | None = None) -> Content:
        """What a student reads: free, granted, or bought by itself or in a course that holds it.

        `bot_id` names the bot whose cached file_id is wanted. One query.
        Raises NotFoundError, and ForbiddenError `not_entitled`.
        """
        entitled = select(Purchase.id).where(
            Purchase.user_id == user_id,
            Purchase.status == "completed",
            Purchase.revoked_at.is_(None),
            or_(
                Purchase.lesson_id == lesson_id,
                Purchase.course_id.in_(select(CourseLesson.course_id).where(CourseLesson.lesson_id == lesson_id)),
            ),
        )
        known_as = (TelegramFile.media_id == Media.id) & (TelegramFile.bot_id == (bot_id or 0))
        statement = (
            select(
                Lesson,
                Media,
                TelegramFile.file_id,
                entitled.exists().label("entitled"),
                select(User.id).where(User.id == user_id).exists().label("known"),
            )
            .outerjoin(Media, Media.id == Lesson.media_id)
            .outerjoin(TelegramFile, known_as)
            .where(Lesson.id == lesson_id)
        )
        found: Any = self.session.execute(statement).one_or_none()
        if found is None:
            raise NotFoundError(self.missing(lesson_id))
        lesson, media, file_id, is_entitled, is_known = found
        if not is_known:
            raise NotFoundError(_("Person %s no longer exists.") % user_id)
        # A hidden lesson is a draft to everyone but those who hold it already.
        if not is_entitled and not (lesson.is_free and lesson.is_active):
            raise ForbiddenError(_("This lesson opens after the purchase."), code="not_entitled")
        return Content(
            lesson.id,
            lesson.title,
            lesson.text_content,
            lesson.video_path,
            _media(media, file_id) if media is not None else None,
        )

    # -- writing

    def create(self, data: BaseModel) -> Lesson:
        return self.add(Lesson(**self._linked(data.model_dump())))

    def update(self, row_id: int, data: BaseModel) -> Lesson:
        """Replaces only the fields sent. Raises ConflictError `stale`, InvalidError."""
        lesson = self.get_by_id(row_id)
        values = data.model_dump(exclude_unset=True)
        self.check_version(lesson, values.pop("version", None))
        return self.assign(lesson, self._linked(values))

    def set_active(self, lesson_id: int, active: bool) -> Lesson:
        """On sale or hidden. Those who bought it keep it either way."""
        return self.assign(self.get_by_id(lesson_id), {"is_active": active})

    def add_to_course(self, lesson_id: int, course_id: int) -> None:
        """At its end, unless it stands there already. Raises NotFoundError, InvalidError."""
        if all(course.id != course_id for course in self.courses([lesson_id]).get(lesson_id, ())):
            CourseCRUD(self.session).add_lesson(course_id, lesson_id)

    def delete(self, row_id: int) -> Lesson:
        """Raises ConflictError `sold` (money points at it) or `in_course` (a course holds it)."""
        lesson = self.get_by_id(row_id)
        lines = select(func.count()).where(OrderLine.lesson_id == row_id).scalar_subquery()
        bought = select(func.count()).where(Purchase.lesson_id == row_id).scalar_subquery()
        ordered, sold = self.session.execute(select(lines, bought)).one()
        if sold or ordered:
            raise ConflictError(sold_words(sold=bool(sold)), code="sold")
        if courses := self.courses([row_id]).get(row_id, ()):
            raise ConflictError(_in_courses(len(courses)), code="in_course")
        TagCRUD(self.session).clear("lessons", row_id)
        self.session.delete(lesson)
        self.flush()
        return lesson

    def _linked(self, values: dict[str, Any]) -> dict[str, Any]:
        """Keeps `media_id` and `video_path` together: the path of a stored file names that file.

        Besides the columns, `values` may hold `drop_video` (the form's switch) and `version`.
        """
        values.pop("version", None)
        drop, media_id = values.pop("drop_video", False), values.pop("media_id", None)
        files = MediaCRUD(self.session)
        if media_id is not None:
            media = files.find_by_id(media_id)
            if media is None:
                raise InvalidError(fields={"media_id": _("This file is no longer here. Choose it again.")})
            return values | {"video_path": media.path, "media_id": media.id}
        if drop:
            return values | {"video_path": None, "media_id": None}
        if "video_path" in values:
            path = values["video_path"] or None
            found = files.find_by_path(path) if path else None
            return values | {"video_path": path, "media_id": found.id if found else None}
        return values


class _FullLessonCRUD(LessonCRUD):
    @classmethod
    def list_statement(cls) -> Select[Any]:
        return select(Lesson)


@cache
def _courses(sqlite: bool) -> AnySelect:
    return (
        select(CourseLesson.lesson_id, Course.id, Course.title)
        .join(Course, Course.id == CourseLesson.course_id)
        .where(within(CourseLesson.lesson_id, sqlite=sqlite))
        .order_by(Course.search_key, Course.id)
    )


def _in_courses(courses: int) -> str:
    """Without their names: whoever may change lessons need not know the courses."""
    return ngettext(
        "This lesson is in %(num)s course. Remove it from there first, or hide it.",
        "This lesson is in %(num)s courses. Remove it from there first, or hide it.",
        courses,
    ) % {"num": courses}


def _has_video() -> ColumnElement[bool]:
    return or_(Lesson.media_id.is_not(None), func.coalesce(Lesson.video_path, "") != "")


def _media(media: Media, file_id: str | None) -> MediaContent:
    return MediaContent(
        id=media.id,
        url=f"/api/media/{media.id}",
        path=media.path,
        filename=media.filename,
        mime=media.mime,
        size=media.size,
        file_id=file_id,
    )
