from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core import conflicts
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import InvalidError
from backend.core.exports import csv_response
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import (
    flash,
    render,
    render_list,
    render_part,
    see_other,
    wants_fragment,
)
from backend.crm.deeplinks import deep_link
from backend.database import history, listing
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.listing import Page
from backend.database.models.courses import Course
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.courses import (
    AddLesson,
    CourseDraft,
    CourseFilters,
    CourseForm,
    MoveLesson,
    PlaceLesson,
)
from backend.database.schemas.lessons import Switch

router = Routes(prefix="/dashboard/courses", dependencies=[require(Permission.COURSES_READ)])
can_write = [require(Permission.COURSES_WRITE)]
Courses = Annotated[CourseCRUD, crud(CourseCRUD)]
Settings = Annotated[SettingCRUD, crud(SettingCRUD)]
Filters = Annotated[CourseFilters, Query()]
CourseId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[CourseForm], form_of(CourseForm)]
FIELDS = ("title", "description", "total_price", "discount_price", "is_active")
CSV = (
    "id",
    "title",
    "total_price",
    "discount_price",
    "is_active",
    "lessons",
    "sales",
    "revenue",
    "created_at",
)
PICK = 30  # courses in the column beside an open one


@router.get("/", name="crm:courses:index")
def index(request: Request, courses: Courses, params: Filters) -> Response:
    page = courses.catalogue(params, cap=listing.PAGE_CAP)
    return render_list(request, "courses", page=page, params=params)


@router.get("/export.csv", name="crm:courses:csv")
def export(courses: Courses, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = params.model_copy(update={"limit": listing.API_CAP, "cursor": None})
    rows = courses.catalogue(everything, cap=listing.API_CAP).items
    return csv_response("courses", CSV, (_cells(row) for row in rows))


def _cells(row: Any) -> list[object]:
    figures = {"sales": row.sales.count, "revenue": row.sales.revenue}
    return [figures[name] if name in figures else getattr(row, name) for name in CSV]


@router.get("/new", name="crm:courses:new", dependencies=can_write)
def new(request: Request) -> Response:
    return render(request, "courses/new.html", **_editor(Form(values={"is_active": True})))


@router.post("/preview", name="crm:courses:preview", dependencies=can_write)
def preview(request: Request, form: Annotated[Form[CourseDraft], form_of(CourseDraft)]) -> Response:
    if "title" not in form.values:  # typed a moment before the form made way for something else
        return Response(status_code=204)
    return render(request, "courses/_preview.html", draft=form.data or CourseDraft())


@router.post("/", name="crm:courses:create", dependencies=can_write)
def create(request: Request, caller: Caller, courses: Courses, form: Sent) -> Response:
    course = _tried(form, courses.create)
    if course is None:
        parts = "courses/new.html", "courses/_form.html"
        return render_part(request, *parts, 422, **_editor(form))
    flash(
        request,
        _("Course created. Now put lessons in."),
        undo=history.change_set_id(caller.session),
    )
    return see_other(request, "crm:courses:detail", course_id=course.id)


@router.get("/{course_id}", name="crm:courses:detail")
def detail(request: Request, caller: Caller, courses: Courses, settings: Settings, course_id: CourseId) -> Response:
    me, course = caller.me, courses.view(course_id)
    return render(
        request,
        "courses/detail.html",
        pick=courses.catalogue(CourseFilters(limit=PICK), cap=listing.PAGE_CAP),
        sold=courses.line(course_id).sales,
        buyers=courses.buyers(course_id) if me.may(Permission.PURCHASES_READ) else None,
        timeline=_timeline(caller, course_id) if me.may(Permission.HISTORY_READ) else None,
        link=deep_link(request, settings, f"course_{course_id}"),
        **_order(caller, courses, course),
    )


@router.get("/{course_id}/edit", name="crm:courses:edit", dependencies=can_write)
def edit(request: Request, courses: Courses, course_id: CourseId) -> Response:
    course = courses.get_by_id(course_id)
    context = _editor(Form.of(course, (*FIELDS, "version")), course)
    return render(request, "courses/edit.html", **context)


@router.post("/{course_id}", name="crm:courses:update", dependencies=can_write)
def update(request: Request, caller: Caller, courses: Courses, form: Sent, course_id: CourseId) -> Response:
    course = courses.get_by_id(course_id)
    if form.data is not None and form.data.version not in (None, course.version):
        found = _compare(caller, form.data, course)
        if found.clashes:
            parts = "courses/edit.html", "courses/_conflict.html"
            return render_part(request, *parts, 409, **_editor(form, course) | {"conflict": found})
        form.data.version = course.version
    saved = _tried(form, lambda data: courses.update(course_id, data))
    if saved is None:
        parts = "courses/edit.html", "courses/_form.html"
        return render_part(request, *parts, 422, **_editor(form, course))
    flash(request, _("Course saved"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:courses:detail", course_id=course_id)


@router.post("/{course_id}/toggle", name="crm:courses:toggle", dependencies=can_write)
def toggle(
    request: Request,
    caller: Caller,
    courses: Courses,
    course_id: CourseId,
    form: Annotated[Form[Switch], form_of(Switch)],
) -> Response:
    """Says which state is wanted, so that a double click or two people do not undo each other."""
    course = courses.set_active(course_id, form.data is not None and form.data.is_active)
    told = _("“%s” is on sale") if course.is_active else _("“%s” is hidden")
    flash(request, told % course.title, undo=history.change_set_id(caller.session))
    if wants_fragment(request):
        return render(request, "courses/_row.html", page=Page(items=[courses.line(course_id)]))
    return see_other(request, "crm:courses:detail", course_id=course_id)


@router.post("/{course_id}/delete", name="crm:courses:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, courses: Courses, course_id: CourseId) -> Response:
    course = courses.delete(course_id)
    flash(request, _("“%s” is deleted") % course.title, undo=history.change_set_id(caller.session))
    return see_other(request, "crm:courses:index")


# -- the order of lessons: each button is a POST of its own, dragging only adds to it


@router.post("/{course_id}/lessons", name="crm:courses:add", dependencies=can_write)
def add(
    request: Request,
    caller: Caller,
    courses: Courses,
    course_id: CourseId,
    form: Annotated[Form[AddLesson], form_of(AddLesson)],
) -> Response:
    courses.get_by_id(course_id)
    if form.data is None:
        flash(request, _("Choose a lesson to add."), kind="warn")
    else:
        courses.add_lesson(course_id, form.data.lesson_id)
        flash(request, _("Lesson added"), undo=history.change_set_id(caller.session))
    return _ordered(request, caller, courses, course_id)


@router.post("/{course_id}/lessons/{lesson_id}/remove", name="crm:courses:remove", dependencies=can_write)
def remove(request: Request, caller: Caller, courses: Courses, course_id: CourseId, lesson_id: CourseId) -> Response:
    courses.remove_lesson(course_id, lesson_id)
    flash(request, _("Taken out of the course"), undo=history.change_set_id(caller.session))
    return _ordered(request, caller, courses, course_id)


@router.post("/{course_id}/lessons/{lesson_id}/move", name="crm:courses:move", dependencies=can_write)
def move(
    request: Request,
    caller: Caller,
    courses: Courses,
    course_id: CourseId,
    lesson_id: CourseId,
    form: Annotated[Form[MoveLesson], form_of(MoveLesson)],
) -> Response:
    """One place up or down."""
    courses.move(course_id, lesson_id, form.data.by if form.data is not None else 0)
    return _ordered(request, caller, courses, course_id, moved=lesson_id)


@router.post("/{course_id}/order", name="crm:courses:place", dependencies=can_write)
def place(
    request: Request,
    caller: Caller,
    courses: Courses,
    course_id: CourseId,
    form: Annotated[Form[PlaceLesson], form_of(PlaceLesson)],
) -> Response:
    """A lesson was dropped at a position (from 1)."""
    if form.data is None:
        raise InvalidError(fields=form.errors)
    courses.place(course_id, form.data.id, form.data.position)
    return _ordered(request, caller, courses, course_id, moved=form.data.id)


def _ordered(request: Request, caller: Caller, courses: CourseCRUD, course_id: int, moved: int = 0) -> Response:
    course = courses.view(course_id)
    now = {lesson.lesson_id: lesson for lesson in course.lessons}.get(moved)
    change = history.change_set_id(caller.session)
    if now is not None and change is not None:
        told = _("“%(title)s” is now lesson %(place)s") % {
            "title": now.title,
            "place": now.position,
        }
        flash(request, told, undo=change)
    if wants_fragment(request):
        return render(request, "courses/_order.html", **_order(caller, courses, course))
    return see_other(request, "crm:courses:detail", course_id=course_id)


def _order(caller: Caller, courses: CourseCRUD, course: Any) -> dict[str, Any]:
    """What the list of lessons needs."""
    may_write = caller.me.may(Permission.COURSES_WRITE)
    return {
        "course": course,
        "addable": courses.addable(course.id) if may_write else [],
        "holders": courses.holders(course.id),
    }


def _tried(form: Form[CourseForm], save: Any) -> Course | None:
    """None when the form is wrong; it knows why."""
    if form.data is None:
        return None
    try:
        saved: Course = save(form.data)
    except InvalidError as error:
        form.refuse(error)
        return None
    return saved


def _editor(form: Form[Any], course: Course | None = None) -> dict[str, Any]:
    typed = {name: str(form.value(name)) for name in CourseDraft.model_fields}
    draft = CourseDraft.model_construct(None, **typed)
    return {"form": form, "course": course, "draft": draft, "conflict": None}


def _timeline(caller: Caller, course_id: int, limit: int = 50) -> list[Entry]:
    return HistoryCRUD(caller.session).of_record("courses", course_id, limit)


def _compare(caller: Caller, data: CourseForm, course: Course) -> conflicts.Conflict:
    behind = course.version - (data.version or 0)
    entries = _timeline(caller, course.id, min(max(behind, 1), 50))
    return conflicts.compare(data, course, FIELDS, entries)
