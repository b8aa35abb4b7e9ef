from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import atoms, conflicts
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import AppError
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.core.templating import flash, render, render_part, see_other
from backend.crm import audit, tags
from backend.crm.table import (
    NUMBER,
    Action,
    Alone,
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
    when,
)  # fmt: skip
from backend.database import history
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.students import StudentPageCRUD
from backend.database.crud.tags import UserTagCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.users import User, full_name
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import Switch
from backend.database.schemas.users import NewStudentForm, StudentFilters, StudentForm, UserUpdate

router = Routes(prefix="/dashboard/users", dependencies=[require(Permission.USERS_READ)])
can_write = [require(Permission.USERS_WRITE)]
Students = Annotated[StudentCRUD, crud(StudentCRUD)]
Pages = Annotated[StudentPageCRUD, crud(StudentPageCRUD)]
UserId = Annotated[int, Path(ge=1, le=MAX_ID)]
FIELDS = tuple(name for name in StudentForm.model_fields if name != "version")


def _person(row: Any, screen: Screen) -> str:
    note = tags.beside(f"@{row.username}" if row.username else row.telegram_id or "", row)
    shown = atoms.person(row.id, full_name(row.first_name, row.last_name), f"/dashboard/users/{row.id}", note)
    unusual = _waits(row, screen) or row.blocked_bot_at or not row.is_active
    return f"{shown}{cells.small(_state(row, screen))}" if unusual else shown


def _waits(row: Any, screen: Screen | Alone) -> bool:
    """For an answer, as far as the person may know of tickets."""
    return bool(row.waiting) and screen.me.may(Permission.TICKETS_READ)


def _state(row: Any, screen: Screen | Alone) -> str:
    if row.erased_at:
        return atoms.badge("", "user-off", _("Data erased"))
    if not row.is_active:
        return atoms.badge("bad", "ban", _("Access closed"))
    if row.blocked_bot_at:
        return atoms.badge("bad", "ban", _("Bot blocked"))
    if _waits(row, screen):
        return atoms.badge("warn", "message-2", _("Waiting for reply"))
    return atoms.badge("good", "circle-check", _("Active"))


SALES = Permission.PURCHASES_READ
LANGUAGES = Edit("choice", options=(("ru", N_("Russian")), ("en", N_("English"))))
TABLE = Table(
    name="users", key="user", crud=StudentCRUD, params=StudentFilters, update=UserUpdate, edit=True,
    prefix="/dashboard/users", title=N_("Students"), search=N_("Name, @username or ID"), label=cells.name_of,
    write=Permission.USERS_WRITE, new=("crm:users:new", N_("Student")), none="users/_none.html",
    columns=(
        Column("name", N_("Student"), _person, sort="name", file=("first_name", "last_name", "username", "tags")),
        Column("status", N_("Status"), _state, "ly-no-sm", file=("is_active", "blocked_bot_at", "waiting")),
        Column("purchases", N_("Purchases"), cells.number("purchases"), "is-end ly-num ly-col-md",
            sort="purchases", desc=True, needs=SALES),
        Column("spent", N_("Spent"), cells.money("spent"), "is-end", sort="spent", desc=True, needs=SALES),
        Column("source", N_("Source"), cells.plain("source"), "ly-quiet ly-sm ly-col-lg"),
        when("last_seen_at", N_("Last active"), sort=False),
        when("created_at", N_("Joined"), "ly-col-md"),
        Column("first_name", N_("First name"), cells.plain("first_name"), hidden=True, edit=Edit()),
        Column("last_name", N_("Last name"), cells.plain("last_name"), hidden=True, edit=Edit()),
        Column("username", N_("Username"), cells.plain("username"), "ly-sm", hidden=True, edit=Edit()),
        Column("telegram_id", "Telegram ID", cells.plain("telegram_id"), "is-end ly-num ly-quiet ly-sm", hidden=True),
        Column("ui_language", N_("Language"), cells.plain("ui_language"), "ly-sm", hidden=True, edit=LANGUAGES),
        NUMBER,
    ),
    filters=(
        choice("is_active", N_("Access"), ("true", N_("Open")), ("false", N_("Closed"))),
        choice("bought", N_("Bought"), ("yes", N_("something")), ("no", N_("nothing yet")), needs=SALES),
        between("purchases", N_("Purchases"), "purchases_min", "purchases_max", needs=SALES),
        between("spent", N_("Spent"), "spent_min", "spent_max", unit=" ★", needs=SALES),
        choice(
            "waiting", N_("Ticket"), ("true", N_("waiting for reply")), ("false", N_("none waiting")),
            needs=Permission.TICKETS_READ,
        ),
        between("joined", N_("Joined"), "joined_since", "joined_until", kind="date"),
        empty("username", N_("Username"), N_("has none"), N_("has one")),
        relation("lesson_id", N_("Bought the lesson"), LessonCRUD, Permission.LESSONS_READ, needs=SALES),
        relation("course_id", N_("Bought the course"), CourseCRUD, Permission.COURSES_READ, needs=SALES),
        relation("tag", N_("Tag"), UserTagCRUD, Permission.USERS_READ),
    ),
    actions=(
        Action("open_access", N_("Open access"), "lock-open", fits=lambda row: not row.is_active),
        Action("close_access", N_("Close access"), "ban", bad=True, fits=lambda row: row.is_active),
        *tags.actions("users"),
        Action("delete", N_("Delete"), "trash", bad=True),
    ),
    export={
        **attributes(
            "id", "first_name", "last_name", "username", "telegram_id", "ui_language", "is_active", "blocked_bot_at",
            "waiting", "purchases", "spent", "source", "last_seen_at", "created_at",
        ),
        "tags": tags.in_file,
    },
    guarded={"waiting": Permission.TICKETS_READ},  # the status says more than that
)  # fmt: skip
install(router, TABLE)
tags.install(router, TABLE)


@router.get("/new", name="crm:users:new", dependencies=can_write)
def new(request: Request) -> Response:
    return render(request, "users/new.html", form=Form(values={"language_code": "ru"}))


@router.post("/", name="crm:users:create", dependencies=can_write)
def create(
    request: Request, caller: Caller, students: Students, form: Annotated[Form[NewStudentForm], form_of(NewStudentForm)]
) -> Response:
    if form.data is not None and students.find_by_telegram_id(form.data.telegram_id):
        form.refuse(AppError(fields={"telegram_id": _("This Telegram ID is already in use.")}))
    if form.data is None:
        return render_part(request, "users/new.html", "users/_new_form.html", 422, form=form)
    student, _new = students.register(form.data)
    flash(request, _("Student added"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:users:detail", user_id=student.id)


@router.get("/{user_id}", name="crm:users:detail")
def detail(request: Request, caller: Caller, students: Students, pages: Pages, user_id: UserId) -> Response:
    student, sales = students.get_by_id(user_id), caller.me.may(SALES)
    return render(
        request,
        "users/detail.html",
        student=student,
        row=students.row_of(user_id),
        purchases=pages.purchases(user_id) if sales else None,
        tickets=pages.tickets(user_id) if caller.me.may(Permission.TICKETS_READ) else None,
        refunds=pages.refunds(user_id) if sales else 0,
        timeline=_timeline(caller, user_id),
        tags=tags.card(caller, TABLE, user_id, closed=student.erased_at is not None),
        events=audit.latest(caller, user_id),
    )


def _timeline(caller: Caller, user_id: int) -> list[Entry] | None:
    if not caller.me.may(Permission.HISTORY_READ):
        return None
    return HistoryCRUD(caller.session).of_record("users", user_id)


def _compare(caller: Caller, data: StudentForm, student: User) -> conflicts.Conflict:
    behind = student.version - (data.version or 0)
    entries = HistoryCRUD(caller.session).of_record("users", student.id, min(max(behind, 1), 50))
    return conflicts.compare(data, student, FIELDS, entries)


@router.get("/{user_id}/edit", name="crm:users:edit", dependencies=can_write)
def edit(request: Request, students: Students, user_id: UserId) -> Response:
    student = students.get_by_id(user_id)
    return render(
        request, "users/edit.html", student=student, form=Form.of(student, (*FIELDS, "version")), conflict=None
    )


@router.post("/{user_id}", name="crm:users:update", dependencies=can_write)
def update(
    request: Request,
    caller: Caller,
    students: Students,
    user_id: UserId,
    form: Annotated[Form[StudentForm], form_of(StudentForm)],
) -> Response:
    student = students.get_by_id(user_id)
    if form.data is not None and form.data.version not in (None, student.version):
        found = _compare(caller, form.data, student)
        if found.clashes:
            parts = "users/edit.html", "users/_conflict.html"
            return render_part(request, *parts, 409, form=form, student=student, conflict=found)
        form.data.version = student.version
    if form.data is not None and form.data.email and students.is_taken(form.data.email, besides=user_id):
        form.refuse(AppError(fields={"email": _("This email is already in use.")}))
    if form.data is None:
        parts = "users/edit.html", "users/_form.html"
        return render_part(request, *parts, 422, form=form, student=student, conflict=None)
    students.update(user_id, form.data)
    flash(request, _("Changes saved"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:users:detail", user_id=user_id)


@router.post("/{user_id}/toggle", name="crm:users:toggle", dependencies=can_write)
def toggle(
    request: Request,
    caller: Caller,
    students: Students,
    user_id: UserId,
    form: Annotated[Form[Switch], form_of(Switch)],
) -> Response:
    """Says which state is wanted, so that a double click or two people do not undo each other."""
    student = students.set_active(user_id, form.data is not None and form.data.is_active)
    told = _("Access is open again") if student.is_active else _("Access is closed")
    flash(request, told, undo=history.change_set_id(caller.session))
    return see_other(request, "crm:users:detail", user_id=user_id)


@router.post("/{user_id}/delete", name="crm:users:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, students: Students, user_id: UserId) -> Response:
    students.get_by_id(user_id)
    students.delete(user_id)
    flash(
        request,
        _("Student deleted. The history keeps their data until you erase it."),
        undo=history.change_set_id(caller.session),
    )
    return see_other(request, "crm:users:index")
