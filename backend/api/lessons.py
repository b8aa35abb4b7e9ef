from dataclasses import replace
from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.responses import Response

from backend.core.deps import BAD_LIST, CONFLICT, NOT_FOUND, Caller, Routes, crud, require
from backend.core.permissions import Permission
from backend.database.crud.lessons import LessonCRUD
from backend.database.listing import Page
from backend.database.schemas.base import MAX_ID, Id, ListResponse
from backend.database.schemas.lessons import (
    LessonContent,
    LessonCreate,
    LessonFilters,
    LessonFullResponse,
    LessonResponse,
    LessonUpdate,
)

router = Routes(prefix="/api/lessons", tags=["lessons"])
content_router = Routes(prefix="/api/users/{user_id}/lessons/{lesson_id}", tags=["lessons"])
Lessons = Annotated[LessonCRUD, crud(LessonCRUD)]
LessonId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
can_read = [require(Permission.LESSONS_READ)]
can_write = [require(Permission.LESSONS_WRITE)]
Shown = LessonFullResponse | LessonResponse


@router.get(
    "/",
    response_model=ListResponse[Shown],
    dependencies=can_read,
    summary="List lessons",
    responses=BAD_LIST,
)
def list_lessons(lessons: Lessons, caller: Caller, params: Annotated[LessonFilters, Query()]) -> object:
    """Sorts by `created_at`, `price`, `title`, `id`.

    `text_content` and `video_path` only for those who may edit.
    """
    if caller.me.may(Permission.LESSONS_WRITE):
        return _shown(LessonFullResponse, lessons.get_all_full(params))
    return _shown(LessonResponse, lessons.get_all(params))


def _shown(shape: type[Shown], page: Page[Any]) -> Page[Any]:
    return replace(page, items=[shape.model_validate(row) for row in page.items])


@router.post(
    "/",
    response_model=LessonFullResponse,
    status_code=201,
    dependencies=can_write,
    summary="Create a lesson",
    responses=CONFLICT,
)
def create_lesson(lessons: Lessons, data: LessonCreate) -> object:
    return lessons.create(data)


@router.get(
    "/{lesson_id}",
    response_model=Shown,
    dependencies=can_read,
    summary="One lesson",
    responses=NOT_FOUND,
)
def get_lesson(lessons: Lessons, caller: Caller, lesson_id: LessonId) -> object:
    """`text_content` and `video_path` only for those who may edit."""
    full = caller.me.may(Permission.LESSONS_WRITE)
    return (LessonFullResponse if full else LessonResponse).model_validate(lessons.get_by_id(lesson_id))


@router.put(
    "/{lesson_id}",
    response_model=LessonFullResponse,
    dependencies=can_write,
    summary="Change a lesson",
    responses={**NOT_FOUND, **CONFLICT},
)
def update_lesson(lessons: Lessons, lesson_id: LessonId, data: LessonUpdate) -> object:
    """Replaces only the fields sent."""
    return lessons.update(lesson_id, data)


@router.delete(
    "/{lesson_id}",
    status_code=204,
    response_class=Response,
    dependencies=can_write,
    summary="Delete a lesson",
    responses={**NOT_FOUND, **CONFLICT},
)
def delete_lesson(lessons: Lessons, lesson_id: LessonId) -> Response:
    """Refused with `sold` once somebody bought it, with `in_course` while a course holds it.

    Hide it with `is_active` instead.
    """
    lessons.delete(lesson_id)
    return Response(status_code=204)


@content_router.get(
    "/content",
    response_model=LessonContent,
    dependencies=[require(Permission.BOT)],
    summary="What a student reads in a lesson",
    responses=NOT_FOUND,
)
def get_content(
    lessons: Lessons,
    user_id: Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])],
    lesson_id: LessonId,
    bot_id: Annotated[Id | None, Query(description="Whose cached `file_id` to answer")] = None,
) -> object:
    """403 `not_entitled` unless free, granted, or bought, itself or through a course."""
    return lessons.content_for(user_id, lesson_id, bot_id)
