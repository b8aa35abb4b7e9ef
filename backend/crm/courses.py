from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import conflicts, text
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import InvalidError
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _, ngettext
from backend.core.permissions import Permission
from backend.core.templating import (
    flash,
    render,
    render_part,
    see_other,
    wants_fragment,
)
from backend.crm.deeplinks import deep_link
from backend.crm.table import (
    CHANGED,
    CREATED,
    NUMBER,
    PERCENT,
    Action,
    Column,
    Edit,
    Screen,
    Table,
    attributes,
    between,
    cells,
    choice,
    empty,
    install,
    relation,
)  # fmt: skip
from backend.database import history, listing
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.courses import Course
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.courses import (
    AddLesson,
    CourseDraft,
    CourseFilters,
    CourseForm,
    CourseListFilters,
    CourseUpdate,
    MoveLesson,
    PlaceLesson,
)
from backend.database.schemas.lessons import Switch

router = Routes(prefix="/dashboard/courses", dependencies=[require(Permission.COURSES_READ)])
can_write = [require(Permission.COURSES_WRITE)]
Courses = Annotated[CourseCRUD, crud(CourseCRUD)]
Settings = Annotated[SettingCRUD, crud(SettingCRUD)]
CourseId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[CourseForm], form_of(CourseForm)]
FIELDS = ("title", "description", "total_price", "discount_price", "is_active")
SALES = Permission.PURCHASES_READ
PICK = 30  # courses in the column beside an open one


def _title(row: Any, _screen: Screen) -> str:
    note = ngettext("%(num)s lesson", "%(num)s lessons", row.lessons) % {"num": row.lessons}
    return cells.titled(f"/dashboard/courses/{row.id}", row.title, note)


def _price(row: Any, _screen: Screen) -> str:
    full = f'<s class="ly-quiet ly-xs">{text.number(row.total_price)}</s> ' if row.discount_price is not None else ""
    return f"{full}{text.money(row.asked_price)}{cells.small(cells.on_sale(row))}"


TABLE = Table(
    name="courses", key="course", crud=CourseCRUD, params=CourseListFilters, update=CourseUpdate, edit=True,
    prefix="/dashboard/courses", title=N_("Courses"), search=N_("Title"), label=lambda row: row.title,
    write=Permission.COURSES_WRITE, new=("crm:courses:new", N_("Course")), none="courses/_none.html",
    columns=(
        Column("title", N_("Course"), _title, sort="title", edit=Edit(link=True), file=("title", "lessons")),
        Column("status", N_("Status"), lambda row, _s: cells.on_sale(row), "ly-col-md", file=("is_active",)),
        Column(
            "total_price", N_("Price"), _price, "is-end", "total_price", desc=True, edit=Edit("number"),
            file=("total_price", "discount_price"),
        ),
        Column(
            "sales", N_("Sales"), lambda row, _s: text.number(row.sales.count), "is-end ly-num ly-col-md", needs=SALES,
        ),
        Column(
            "revenue", N_("Revenue"), lambda row, _s: text.money(row.sales.revenue), "is-end ly-col-md", needs=SALES,
        ),
        CREATED,
        Column(
            "discount_price", N_("Discounted price"), cells.money("discount_price"), "is-end", hidden=True,
            edit=Edit("number"),
        ),
        CHANGED, NUMBER,
    ),
    filters=(
        choice("is_active", N_("Status"), ("true", N_("On sale")), ("false", N_("Hidden"))),
        between("price", N_("Price"), "price_min", "price_max", unit=" ★"),
        empty("discount", N_("Discount"), N_("without a discount"), N_("with a discount")),
        relation("lesson_id", N_("Lesson"), LessonCRUD, Permission.LESSONS_READ),
    ),
    actions=(
        Action("put_on_sale", N_("Put on sale"), "eye", fits=lambda row: not row.is_active),
        Action("hide", N_("Hide"), "eye-off", fits=lambda row: row.is_active),
        Action("change_price", N_("Change the price"), "percentage", fields=(PERCENT,)),
        Action("delete", N_("Delete"), "trash", bad=True),
    ),
    export={
        **attributes("id", "title", "total_price", "discount_price", "is_active", "lessons"),
        "sales": lambda row: row.sales.count, "revenue": lambda row: row.sales.revenue,
        **attributes("created_at", "updated_at"),
    },
)  # fmt: skip
install(router, TABLE)


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
        _("Course created. Now add lessons."),
        undo=history.change_set_id(caller.session),
    )
    return see_other(request, "crm:courses:detail", course_id=course.id)


@router.get("/{course_id}", name="crm:courses:detail")
def detail(request: Request, caller: Caller, courses: Courses, settings: Settings, course_id: CourseId) -> Response:
    me, course = caller.me, courses.view(course_id)
    return render(
        request,
        "courses/detail.html",
        pick=courses.shown(CourseFilters(limit=PICK), cap=listing.PAGE_CAP),
        buyers=courses.buyers(course_id) if me.may(SALES) else None,
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
    return see_other(request, "crm:courses:detail", course_id=course_id)


@router.post("/{course_id}/delete", name="crm:courses:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, courses: Courses, course_id: CourseId) -> Response:
    course = courses.delete(course_id)
    flash(request, _("“%s” is deleted") % course.title, undo=history.change_set_id(caller.session))
    return see_other(request, "crm:courses:index")


# -- the order of lessons: each button is a POST of its own, dragging only adds to it


@router.post(
    "/{course_id}/lessons", name="crm:courses:add", dependencies=[*can_write, require(Permission.LESSONS_READ)]
)
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
    flash(request, _("Removed from the course"), undo=history.change_set_id(caller.session))
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
    may_add = caller.me.may(Permission.COURSES_WRITE) and caller.me.may(Permission.LESSONS_READ)
    return {
        "course": course,
        "addable": courses.addable(course.id) if may_add else [],
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
