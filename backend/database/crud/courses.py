"""Courses: lessons in order under one price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.interfaces import ORMOption

from backend.core import clock
from backend.core.errors import ConflictError, InvalidError
from backend.core.i18n import _
from backend.database import history
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.catalogue import buyers_by, repriced, sold_words
from backend.database.crud.revenue import RevenueCRUD, Sales
from backend.database.listing import API_CAP, Page
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from backend.database.models.orders import OrderLine
from backend.database.models.purchases import Purchase
from backend.database.schemas.base import ListParams
from backend.database.schemas.courses import MAX_LESSONS
from backend.database.verbs import DELETE, Verb, named, switching


@dataclass(frozen=True)
class Place:
    """A lesson in its course."""

    lesson_id: int
    title: str
    position: int
    price: int  # Stars, alone
    is_active: bool
    is_free: bool
    has_text: bool
    has_video: bool

    @property
    def asked_price(self) -> int:
        return 0 if self.is_free else self.price


@dataclass(frozen=True)
class CourseView:
    """A course with its lessons in order."""

    course: Course
    lessons: Sequence[Place]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.course, name)

    @property
    def apart(self) -> int:
        """What the lessons cost one by one, in Stars."""
        return sum(place.asked_price for place in self.lessons)


@dataclass(frozen=True)
class CourseLine:
    """A course as the CRM's list shows it."""

    course: Course
    lessons: int
    sales: Sales

    def __getattr__(self, name: str) -> Any:
        return getattr(self.course, name)


class CourseCRUD(BaseCRUD[Course]):
    model = Course
    sorts: ClassVar[Mapping[str, Any]] = {
        "created_at": Course.created_at,
        "title": Course.search_key,
        "total_price": Course.total_price,
    }
    default_sort = "-created_at"
    called = (Course.title,)
    filters: ClassVar[Mapping[str, Filter]] = {
        "is_active": exact(Course.is_active),
        "price_min": lambda stars: Course.total_price >= stars,
        "price_max": lambda stars: Course.total_price <= stars,
        "discount": lambda value: (
            Course.discount_price.is_not(None) if value == "yes" else Course.discount_price.is_(None)
        ),
        "lesson_id": lambda lesson_id: Course.id.in_(
            select(CourseLesson.course_id).where(CourseLesson.lesson_id == lesson_id)
        ),
    }
    verbs: ClassVar[Mapping[str, Verb]] = named(
        switching("put_on_sale", on=True),
        switching("hide", on=False),
        repriced("total_price", "discount_price"),
        DELETE,
    )

    def missing(self, row_id: int) -> str:
        return _("Course %s no longer exists.") % row_id

    # -- reading

    def get_views(self, params: ListParams | None = None, *, cap: int = API_CAP) -> Page[CourseView]:
        """The list with the lessons of each: three queries whatever the rows."""
        page = self.get_all(params, cap=cap)
        places = self.places([course.id for course in page.items])
        return replace(page, items=[CourseView(course, places.get(course.id, [])) for course in page.items])

    def dressed(self, rows: Sequence[Any]) -> Sequence[CourseLine]:
        """The rows with sales and numbers of lessons: two queries whatever their number."""
        ids = [course.id for course in rows]
        sales, lessons = self.sales(ids), self._lesson_counts(ids)
        return [CourseLine(c, lessons.get(c.id, 0), sales.get(c.id, Sales())) for c in rows]

    def view(self, course_id: int) -> CourseView:
        """Raises NotFoundError."""
        return self.view_of(self.get_by_id(course_id))

    def view_of(self, course: Course) -> CourseView:
        return CourseView(course, self.places([course.id]).get(course.id, []))

    def sales(self, course_ids: Sequence[int]) -> Mapping[int, Sales]:
        return RevenueCRUD(self.session).by_thing(Purchase.course_id, course_ids)

    def buyers(self, course_id: int) -> Sequence[Any]:
        """The latest purchases of the course, with the person."""
        return buyers_by(self, Purchase.course_id, course_id)

    def holders(self, course_id: int) -> int:
        """How many people may read the course now."""
        live = Purchase.status == "completed", Purchase.revoked_at.is_(None)
        statement = select(func.count()).where(Purchase.course_id == course_id, *live)
        return self.session.scalars(statement).one()

    def places(self, course_ids: Sequence[int]) -> Mapping[int, list[Place]]:
        """The lessons of courses in order; positions count from 1 without gaps."""
        statement = (
            select(
                CourseLesson.course_id,
                Lesson.id,
                Lesson.title,
                Lesson.price,
                Lesson.is_active,
                Lesson.is_free,
            )
            .add_columns(
                (func.coalesce(Lesson.text_content, "") != "").label("has_text"),
                (Lesson.media_id.is_not(None)).label("has_video"),
            )
            .join(Lesson, Lesson.id == CourseLesson.lesson_id)
            .where(CourseLesson.course_id.in_(course_ids))
            .order_by(CourseLesson.course_id, CourseLesson.position)
        )
        found: dict[int, list[Place]] = {}
        for course_id, lesson_id, title, price, active, free, text, video in self.session.execute(statement):
            places = found.setdefault(course_id, [])
            places.append(Place(lesson_id, title, len(places) + 1, price, active, free, text, video))
        return found

    def addable(self, course_id: int) -> Sequence[tuple[int, str]]:
        """(id, title) of lessons that a course does not hold yet, by title; at most 500."""
        inside = select(CourseLesson.lesson_id).where(CourseLesson.course_id == course_id)
        statement = (
            select(Lesson.id, Lesson.title).where(Lesson.id.not_in(inside)).order_by(Lesson.search_key, Lesson.id)
        )
        return [(row.id, row.title) for row in self.session.execute(statement.limit(500))]

    def _lesson_counts(self, course_ids: Sequence[int]) -> Mapping[int, int]:
        statement = (
            select(CourseLesson.course_id, func.count())
            .where(CourseLesson.course_id.in_(course_ids))
            .group_by(CourseLesson.course_id)
        )
        return dict(self.session.execute(statement).all())

    # -- writing

    def create(self, data: BaseModel) -> Course:
        values = data.model_dump(exclude={"version"})
        lesson_ids = values.pop("lesson_ids", [])
        self._check_price(values)
        self._check_lessons(lesson_ids)
        course = Course(**values)
        course.course_lessons = [
            CourseLesson(lesson_id=lesson_id, position=at) for at, lesson_id in enumerate(lesson_ids, 1)
        ]
        return self.add(course)

    def update(self, row_id: int, data: BaseModel) -> Course:
        """Replaces only the fields sent; `lesson_ids` replaces the whole order.

        Raises ConflictError `stale`, InvalidError that names `discount_price` or `lesson_ids`.
        """
        course = self._get_with_lessons(row_id)
        values = data.model_dump(exclude_unset=True)
        self.check_version(course, values.pop("version", None))
        lesson_ids = values.pop("lesson_ids", None)
        self._check_price({"total_price": course.total_price, "discount_price": course.discount_price} | values)
        if lesson_ids is not None:
            self._arrange(course, lesson_ids)
        return self.assign(course, values)

    def arrange(self, course_id: int, lesson_ids: Sequence[int], version: int | None = None) -> Course:
        """The lessons become exactly these, in this order. Raises ConflictError, InvalidError."""
        course = self._get_with_lessons(course_id)
        self.check_version(course, version)
        self._arrange(course, lesson_ids)
        self.flush()
        return course

    def move(self, course_id: int, lesson_id: int, by: int) -> Course:
        """One lesson `by` places down (negative: up); beyond the ends it stops there."""
        course = self._get_with_lessons(course_id)
        order = [link.lesson_id for link in course.course_lessons]
        at = order.index(lesson_id) if lesson_id in order else None
        return course if at is None else self._put(course, order, at, at + by)

    def place(self, course_id: int, lesson_id: int, position: int) -> Course:
        """One lesson to a position (from 1); beyond the end it becomes the last."""
        course = self._get_with_lessons(course_id)
        order = [link.lesson_id for link in course.course_lessons]
        at = order.index(lesson_id) if lesson_id in order else None
        return course if at is None else self._put(course, order, at, position - 1)

    def _put(self, course: Course, order: list[int], old: int, new: int) -> Course:
        order.insert(max(0, min(len(order) - 1, new)), order.pop(old))
        self._arrange(course, order)
        self.flush()
        return course

    def add_lesson(self, course_id: int, lesson_id: int) -> Course:
        """At the end. Raises InvalidError when it is there already or unknown."""
        course = self._get_with_lessons(course_id)
        self._arrange(course, [*(link.lesson_id for link in course.course_lessons), lesson_id])
        self.flush()
        return course

    def remove_lesson(self, course_id: int, lesson_id: int) -> Course:
        course = self._get_with_lessons(course_id)
        self._arrange(
            course,
            [link.lesson_id for link in course.course_lessons if link.lesson_id != lesson_id],
        )
        self.flush()
        return course

    def set_active(self, course_id: int, active: bool) -> Course:
        """On sale or hidden. Those who bought it keep it either way."""
        return self.assign(self.get_by_id(course_id), {"is_active": active})

    def delete(self, row_id: int) -> Course:
        """Deletes the course, not its lessons. Raises ConflictError `sold`: money points at it."""
        lines = select(func.count()).where(OrderLine.course_id == row_id).scalar_subquery()
        bought = select(func.count()).where(Purchase.course_id == row_id).scalar_subquery()
        ordered, sold = self.session.execute(select(lines, bought)).one()
        if sold or ordered:
            raise ConflictError(sold_words(sold=bool(sold)), code="sold")
        return super().delete(row_id)

    def children(self) -> Sequence[ORMOption]:
        return (selectinload(Course.course_lessons),)

    def _get_with_lessons(self, course_id: int) -> Course:
        return self.get_by_id(course_id, *self.children())

    def _check_price(self, values: Mapping[str, Any]) -> None:
        discount = values.get("discount_price")
        if discount is not None and discount > values["total_price"]:
            message = _("The discounted price is higher than the full price.")
            raise InvalidError(fields={"discount_price": message})

    def _check_lessons(self, lesson_ids: Sequence[int]) -> None:
        if len(set(lesson_ids)) < len(lesson_ids):
            raise InvalidError(fields={"lesson_ids": _("A lesson can be in a course only once.")})
        if len(lesson_ids) > MAX_LESSONS:
            raise InvalidError(fields={"lesson_ids": _("A course holds at most %s lessons.") % MAX_LESSONS})
        known = set(self.session.scalars(select(Lesson.id).where(Lesson.id.in_(lesson_ids))))
        unknown = [lesson_id for lesson_id in lesson_ids if lesson_id not in known]
        if unknown:
            raise InvalidError(fields={"lesson_ids": _("There is no lesson %s.") % unknown[0]})

    def _arrange(self, course: Course, lesson_ids: Sequence[int]) -> None:
        links = {link.lesson_id: link for link in course.course_lessons}
        if list(links) == list(lesson_ids):
            return
        self._check_lessons(lesson_ids)
        # The version moves with the order, so that two people do not arrange over each other.
        course.updated_at = clock.now()
        for lesson_id in links.keys() - set(lesson_ids):
            course.course_lessons.remove(links[lesson_id])
            self.session.delete(links[lesson_id])  # said aloud: the history does not see orphans
        self.flush()
        moved = {
            links[lesson_id]: at
            for at, lesson_id in enumerate(lesson_ids, 1)
            if lesson_id in links and links[lesson_id].position != at
        }
        history.step_aside(self.session, CourseLesson, [link.id for link in moved])
        for link, at in moved.items():
            link.position = at
        self.flush()
        for at, lesson_id in enumerate(lesson_ids, 1):
            if lesson_id not in links:
                course.course_lessons.append(CourseLesson(lesson_id=lesson_id, position=at))
        self.flush()
