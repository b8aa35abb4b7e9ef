"""What a student owns, and lists of any length in pages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from backend.bot.client import Api, Item
from backend.bot.keyboards import PER_PAGE
from backend.bot.texts.catalogue import Shown
from backend.database.schemas.base import ListResponse
from backend.database.schemas.courses import CourseResponse

T = TypeVar("T")


class Fetch(Protocol[T]):
    """Answers the rows behind a cursor; None is the start."""

    def __call__(self, cursor: str | None, /) -> Awaitable[ListResponse[T]]: ...


@dataclass(frozen=True)
class Shelf:
    """`items` are what was bought or given, newest first; a course brings its lessons."""

    items: tuple[Item, ...] = ()
    courses: frozenset[int] = frozenset()
    lessons: frozenset[int] = frozenset()

    def holds(self, item: Item) -> bool:
        return item.id in (self.courses if item.kind == "course" else self.lessons)


async def shelf_of(api: Api, user_id: int) -> Shelf:
    items = [
        Item("lesson", row.lesson_id) if row.lesson_id else Item("course", row.course_id or 0)
        async for row in walk(lambda cursor: api.purchases(user_id, cursor))
    ]
    courses = await asyncio.gather(*(api.course(item.id) for item in items if item.kind == "course"))
    return Shelf(
        items=tuple(items),
        courses=frozenset(course.id for course in courses),
        lessons=frozenset(item.id for item in items if item.kind == "lesson") | _inside(courses),
    )


def _inside(courses: Sequence[CourseResponse]) -> frozenset[int]:
    return frozenset(lesson.lesson_id for course in courses for lesson in course.lessons)


async def walk(fetch: Fetch[T]) -> AsyncIterator[T]:
    """Every row of a list."""
    cursor: str | None = None
    while True:
        found = await fetch(cursor)
        for row in found.items:
            yield row
        cursor = found.next
        if cursor is None:
            return


async def turn(fetch: Fetch[T], number: int) -> tuple[list[T], Shown]:
    """One page of a list, `number` from 0; beyond the end it is the last one.

    Answers hold a hundred rows, so nearly every catalogue takes a single request.
    """
    wanted = (number + 1) * PER_PAGE
    rows: list[T] = []
    found = await fetch(None)
    while True:
        rows += found.items
        if len(rows) >= wanted or found.next is None:
            break
        found = await fetch(found.next)
    total = len(rows) if found.next is None else max(found.total or 0, len(rows) + 1)
    pages = max(1, -(-total // PER_PAGE))
    here = min(number, max(0, -(-len(rows) // PER_PAGE) - 1))
    return rows[here * PER_PAGE : (here + 1) * PER_PAGE], Shown(here, pages)
