from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import Response

from backend.core.deps import BAD_LIST, CONFLICT, NOT_FOUND, Routes, crud, require
from backend.core.permissions import Permission
from backend.database.crud.courses import CourseCRUD
from backend.database.schemas.base import MAX_ID, ListResponse
from backend.database.schemas.courses import (
    CourseCreate,
    CourseFilters,
    CourseResponse,
    CourseUpdate,
)

router = Routes(prefix="/api/courses", tags=["courses"])
Courses = Annotated[CourseCRUD, crud(CourseCRUD)]
CourseId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
can_read = [require(Permission.COURSES_READ)]
can_write = [require(Permission.COURSES_WRITE)]


@router.get(
    "/",
    response_model=ListResponse[CourseResponse],
    dependencies=can_read,
    summary="List courses",
    responses=BAD_LIST,
)
def list_courses(courses: Courses, params: Annotated[CourseFilters, Query()]) -> object:
    """Sorts by `created_at`, `title`, `total_price`, `id`."""
    return courses.get_views(params)


@router.post(
    "/",
    response_model=CourseResponse,
    status_code=201,
    dependencies=can_write,
    summary="Create a course",
    responses=CONFLICT,
)
def create_course(courses: Courses, data: CourseCreate) -> object:
    return courses.view_of(courses.create(data))


@router.get(
    "/{course_id}",
    response_model=CourseResponse,
    dependencies=can_read,
    summary="One course",
    responses=NOT_FOUND,
)
def get_course(courses: Courses, course_id: CourseId) -> object:
    return courses.view(course_id)


@router.put(
    "/{course_id}",
    response_model=CourseResponse,
    dependencies=can_write,
    summary="Change a course",
    responses={**NOT_FOUND, **CONFLICT},
)
def update_course(courses: Courses, course_id: CourseId, data: CourseUpdate) -> object:
    """Replaces only the fields sent; `lesson_ids` replaces the whole order."""
    return courses.view_of(courses.update(course_id, data))


@router.delete(
    "/{course_id}",
    status_code=204,
    response_class=Response,
    dependencies=can_write,
    summary="Delete a course",
    responses={**NOT_FOUND, **CONFLICT},
)
def delete_course(courses: Courses, course_id: CourseId) -> Response:
    """Its lessons stay. Refused with `sold` once somebody bought it: hide it instead."""
    courses.delete(course_id)
    return Response(status_code=204)
