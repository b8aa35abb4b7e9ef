from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core import conflicts
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import InvalidError
from backend.core.exports import csv_response
from backend.core.forms import Form, form_of, number
from backend.core.i18n import _
from backend.core.media import UPLOAD_BODY
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
from backend.crm.media import Upload, uploaded_video
from backend.database import history, listing
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.media import MediaCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.listing import Page
from backend.database.models.lessons import Lesson
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import LessonDraft, LessonFilters, LessonForm, Switch

router = Routes(prefix="/dashboard/lessons", dependencies=[require(Permission.LESSONS_READ)])
can_write = [require(Permission.LESSONS_WRITE)]
Lessons = Annotated[LessonCRUD, crud(LessonCRUD)]
Settings = Annotated[SettingCRUD, crud(SettingCRUD)]
Filters = Annotated[LessonFilters, Query()]
LessonId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[LessonForm], form_of(LessonForm)]
Video = Annotated[Upload, uploaded_video]
# What a person types; the video goes its own way.
FIELDS = ("title", "description", "price", "is_free", "is_active", "text_content")
CSV = ("id", "title", "price", "is_free", "is_active", "sales", "revenue", "courses", "created_at")


@router.get("/", name="crm:lessons:index")
def index(request: Request, lessons: Lessons, params: Filters) -> Response:
    page = lessons.catalogue(params, cap=listing.PAGE_CAP)
    return render_list(request, "lessons", page=page, params=params)


@router.get("/export.csv", name="crm:lessons:csv")
def export(lessons: Lessons, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = params.model_copy(update={"limit": listing.API_CAP, "cursor": None})
    rows = lessons.catalogue(everything, cap=listing.API_CAP).items
    return csv_response("lessons", CSV, (_cells(row) for row in rows))


def _cells(row: Any) -> list[object]:
    courses = ", ".join(course.title for course in row.courses)
    figures = {"sales": row.sales.count, "revenue": row.sales.revenue, "courses": courses}
    return [figures[name] if name in figures else getattr(row, name) for name in CSV]


@router.get("/new", name="crm:lessons:new", dependencies=can_write)
def new(request: Request) -> Response:
    return render(request, "lessons/new.html", **_editor(Form(values={"is_active": True})))


@router.post("/preview", name="crm:lessons:preview", dependencies=can_write)
def preview(request: Request, form: Annotated[Form[LessonDraft], form_of(LessonDraft)]) -> Response:
    if "title" not in form.values:  # typed a moment before the form made way for something else
        return Response(status_code=204)
    return render(request, "lessons/_preview.html", draft=form.data or LessonDraft())


@router.post("/", name="crm:lessons:create", dependencies=can_write, max_body_size=UPLOAD_BODY)
def create(request: Request, caller: Caller, lessons: Lessons, form: Sent, video: Video) -> Response:
    video.attach(form, MediaCRUD(caller.session), caller.me.user_id)
    lesson = _tried(form, lessons.create)
    if lesson is None:
        context = _editor(form, files=MediaCRUD(caller.session))
        return render_part(request, "lessons/new.html", "lessons/_form.html", 422, **context)
    flash(request, _("Lesson created"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:lessons:detail", lesson_id=lesson.id)


@router.get("/{lesson_id}", name="crm:lessons:detail")
def detail(request: Request, caller: Caller, lessons: Lessons, settings: Settings, lesson_id: LessonId) -> Response:
    me, lesson = caller.me, lessons.get_with_media(lesson_id)
    return render(
        request,
        "lessons/detail.html",
        lesson=lesson,
        row=lessons.line(lesson_id),
        buyers=lessons.buyers(lesson_id) if me.may(Permission.PURCHASES_READ) else None,
        timeline=_timeline(caller, lesson_id) if me.may(Permission.HISTORY_READ) else None,
        link=deep_link(request, settings, f"lesson_{lesson_id}"),
    )


@router.get("/{lesson_id}/edit", name="crm:lessons:edit", dependencies=can_write)
def edit(request: Request, lessons: Lessons, lesson_id: LessonId) -> Response:
    lesson = lessons.get_with_media(lesson_id)
    context = _editor(Form.of(lesson, (*FIELDS, "version")), lesson)
    return render(request, "lessons/edit.html", **context)


@router.post("/{lesson_id}", name="crm:lessons:update", dependencies=can_write, max_body_size=UPLOAD_BODY)
def update(
    request: Request,
    caller: Caller,
    lessons: Lessons,
    form: Sent,
    video: Video,
    lesson_id: LessonId,
) -> Response:
    lesson = lessons.get_with_media(lesson_id)
    video.attach(form, MediaCRUD(caller.session), caller.me.user_id)
    if form.data is not None and form.data.version not in (None, lesson.version):
        found = _compare(caller, form.data, lesson)
        if found.clashes:
            parts = "lessons/edit.html", "lessons/_conflict.html"
            return render_part(request, *parts, 409, **_editor(form, lesson) | {"conflict": found})
        form.data.version = lesson.version
    saved = _tried(form, lambda data: lessons.update(lesson_id, data))
    if saved is None:
        context = _editor(form, lesson, MediaCRUD(caller.session))
        return render_part(request, "lessons/edit.html", "lessons/_form.html", 422, **context)
    flash(request, _("Lesson saved"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:lessons:detail", lesson_id=lesson_id)


@router.post("/{lesson_id}/toggle", name="crm:lessons:toggle", dependencies=can_write)
def toggle(
    request: Request,
    caller: Caller,
    lessons: Lessons,
    lesson_id: LessonId,
    form: Annotated[Form[Switch], form_of(Switch)],
) -> Response:
    """Says which state is wanted, so that a double click or two people do not undo each other."""
    lesson = lessons.set_active(lesson_id, form.data is not None and form.data.is_active)
    told = _("“%s” is on sale") if lesson.is_active else _("“%s” is hidden")
    flash(request, told % lesson.title, undo=history.change_set_id(caller.session))
    if wants_fragment(request):
        return render(request, "lessons/_row.html", page=Page(items=[lessons.line(lesson_id)]))
    return see_other(request, "crm:lessons:detail", lesson_id=lesson_id)


@router.post("/{lesson_id}/delete", name="crm:lessons:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, lessons: Lessons, lesson_id: LessonId) -> Response:
    lesson = lessons.delete(lesson_id)
    flash(request, _("“%s” is deleted") % lesson.title, undo=history.change_set_id(caller.session))
    return see_other(request, "crm:lessons:index")


def _tried(form: Form[LessonForm], save: Any) -> Lesson | None:
    """None when the form is wrong; it knows why."""
    if form.data is None:
        return None
    try:
        saved: Lesson = save(form.data)
    except InvalidError as error:
        form.refuse(error)
        return None
    return saved


def _editor(form: Form[Any], lesson: Lesson | None = None, files: MediaCRUD | None = None) -> dict[str, Any]:
    """What the form's templates need. `fresh`: a video that came in but is not saved yet."""
    fresh = files.find_by_id(number(form.value("media_id"))) if files is not None else None
    media = lesson.media if lesson is not None else None
    draft = LessonDraft.model_construct(
        title=str(form.value("title")),
        description=str(form.value("description")),
        is_free=bool(form.value("is_free")),
        price=str(form.value("price")),
        text_content=str(form.value("text_content")),
        has_video=(fresh or media) is not None,
    )
    return {
        "form": form,
        "lesson": lesson,
        "media": media,
        "fresh": fresh,
        "draft": draft,
        "conflict": None,
    }


def _timeline(caller: Caller, lesson_id: int, limit: int = 50) -> list[Entry]:
    return HistoryCRUD(caller.session).of_record("lessons", lesson_id, limit)


def _compare(caller: Caller, data: LessonForm, lesson: Lesson) -> conflicts.Conflict:
    behind = lesson.version - (data.version or 0)
    entries = _timeline(caller, lesson.id, min(max(behind, 1), 50))
    return conflicts.compare(data, lesson, FIELDS, entries, keep=("media_id", "drop_video"))
