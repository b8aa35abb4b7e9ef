from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from markupsafe import Markup, escape

from backend.core import atoms, conflicts, text
from backend.core.atoms import icon
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import InvalidError
from backend.core.forms import Form, form_of, number
from backend.core.i18n import N_, _
from backend.core.media import UPLOAD_BODY
from backend.core.permissions import Permission
from backend.core.templating import (
    flash,
    render,
    render_part,
    see_other,
)
from backend.crm import tags
from backend.crm.deeplinks import deep_link
from backend.crm.media import Upload, uploaded_video
from backend.crm.table import (
    CHANGED,
    CREATED,
    NUMBER,
    PERCENT,
    Action,
    Column,
    Edit,
    Field,
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
from backend.database import history
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.media import MediaCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.tags import LessonTagCRUD
from backend.database.models.lessons import Lesson
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import LessonDraft, LessonForm, LessonListFilters, LessonUpdate, Switch

router = Routes(prefix="/dashboard/lessons", dependencies=[require(Permission.LESSONS_READ)])
can_write = [require(Permission.LESSONS_WRITE)]
Lessons = Annotated[LessonCRUD, crud(LessonCRUD)]
Settings = Annotated[SettingCRUD, crud(SettingCRUD)]
LessonId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[LessonForm], form_of(LessonForm)]
Video = Annotated[Upload, uploaded_video]
# What a person types; the video goes its own way.
FIELDS = ("title", "description", "price", "is_free", "is_active", "text_content")


def _title(row: Any, _screen: Screen) -> str:
    parts = [f"{icon('video', 'icon-sm')} {_('video')}" if row.has_video else "", _("text") if row.has_text else ""]
    inside = Markup(", ".join(filter(None, parts))) or _("no content yet")  # noqa: S704 - an icon and our own words
    return cells.titled(f"/dashboard/lessons/{row.id}", row.title, tags.beside(inside, row))


def _state(row: Any, _screen: Screen | None = None) -> str:
    free = atoms.badge("accent", "gift", _("Free")) if row.is_free else ""
    return f'<span class="ly-badges">{cells.on_sale(row)}{free}</span>'


def _price(row: Any, _screen: Screen) -> str:
    return f"{text.money(0 if row.is_free else row.price)}{cells.small(_state(row))}"


def _courses(row: Any, _screen: Screen) -> str:
    named = [
        f'<a class="text-reset" href="/dashboard/courses/{course.id}">{escape(course.title)}</a>'
        for course in row.courses[:2]
    ]
    rest = len(row.courses) - len(named)
    return ", ".join(named) + (f" +{rest}" if rest else "")


SALES = Permission.PURCHASES_READ
IN_COURSE = Field("course_id", N_("Course"), choices=CourseCRUD)
TABLE = Table(
    name="lessons", key="lesson", crud=LessonCRUD, params=LessonListFilters, update=LessonUpdate, edit=True,
    prefix="/dashboard/lessons", title=N_("Lessons"), search=N_("Title"), label=lambda row: row.title,
    write=Permission.LESSONS_WRITE, new=("crm:lessons:new", N_("Lesson")), none="lessons/_none.html",
    columns=(
        Column("title", N_("Lesson"), _title, sort="title", edit=Edit(link=True), file=("title", "tags")),
        Column("status", N_("Status"), _state, "ly-col-md", file=("is_active", "is_free")),
        Column(
            "price", N_("Price"), _price, "is-end", "price", desc=True, edit=Edit("number"), file=("price", "is_free"),
        ),
        Column(
            "sales", N_("Sales"), lambda row, _s: text.number(row.sales.count), "is-end ly-num ly-col-md", needs=SALES,
        ),
        Column(
            "revenue", N_("Revenue"), lambda row, _s: text.money(row.sales.revenue), "is-end ly-col-md", needs=SALES,
        ),
        Column(
            "courses", N_("Courses"), _courses, "ly-col-lg ly-sm ly-soft ly-aside", needs=Permission.COURSES_READ,
        ),
        CREATED,
        CHANGED, NUMBER,
    ),
    filters=(
        choice("is_active", N_("Status"), ("true", N_("On sale")), ("false", N_("Hidden"))),
        choice("is_free", N_("Access"), ("true", N_("Free lesson")), ("false", N_("Paid lesson"))),
        between("price", N_("Price"), "price_min", "price_max", unit=" ★"),
        empty("video", N_("Video"), N_("without a video"), N_("with a video")),
        relation("course_id", N_("Course"), CourseCRUD, Permission.COURSES_READ),
        relation("tag", N_("Tag"), LessonTagCRUD, Permission.LESSONS_READ),
    ),
    actions=(
        Action("put_on_sale", N_("Put on sale"), "eye", fits=lambda row: not row.is_active),
        Action("hide", N_("Hide"), "eye-off", fits=lambda row: row.is_active),
        Action("change_price", N_("Change the price"), "percentage", fields=(PERCENT,)),
        Action("add_to_course", N_("Add to a course"), "books", fields=(IN_COURSE,)),
        *tags.actions("lessons"),
        Action("delete", N_("Delete"), "trash", bad=True),
    ),
    export={
        **attributes("id", "title", "price", "is_free", "is_active"),
        "sales": lambda row: row.sales.count, "revenue": lambda row: row.sales.revenue,
        "courses": lambda row: ", ".join(course.title for course in row.courses),
        **attributes("created_at", "updated_at"), "tags": tags.in_file,
    },
)  # fmt: skip
install(router, TABLE)
tags.install(router, TABLE)


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
        row=lessons.row_of(lesson_id),
        buyers=lessons.buyers(lesson_id) if me.may(SALES) else None,
        timeline=_timeline(caller, lesson_id) if me.may(Permission.HISTORY_READ) else None,
        link=deep_link(request, settings, f"lesson_{lesson_id}"),
        tags=tags.card(caller, TABLE, lesson_id),
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
