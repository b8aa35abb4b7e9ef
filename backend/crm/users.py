from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core import conflicts
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import AppError
from backend.core.exports import csv_response
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, render, render_list, render_part, see_other, wants_fragment
from backend.core.text import zone
from backend.database import history, listing
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.students import StudentPageCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.listing import Page
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import Switch
from backend.database.schemas.users import NewStudentForm, StudentFilters, StudentForm

router = Routes(prefix="/dashboard/users", dependencies=[require(Permission.USERS_READ)])
can_write = [require(Permission.USERS_WRITE)]
Students = Annotated[StudentCRUD, crud(StudentCRUD)]
Pages = Annotated[StudentPageCRUD, crud(StudentPageCRUD)]
Filters = Annotated[StudentFilters, Query()]
UserId = Annotated[int, Path(ge=1, le=MAX_ID)]
FIELDS = tuple(name for name in StudentForm.model_fields if name != "version")
CSV = (
    "id", "first_name", "last_name", "username", "telegram_id", "is_active", "blocked_bot_at", "waiting", "purchases",
    "spent", "source", "last_seen_at", "created_at",
)  # fmt: skip


@router.get("/", name="crm:users:index")
def index(request: Request, caller: Caller, students: Students, params: Filters) -> Response:
    page = students.get_all(params.asked(zone(caller.me.timezone)), cap=listing.PAGE_CAP)
    return render_list(request, "users", page=page, params=params)


@router.get("/export.csv", name="crm:users:csv")
def export(caller: Caller, students: Students, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = {"limit": listing.API_CAP, "cursor": None}
    asked = params.asked(zone(caller.me.timezone)).model_copy(update=everything)
    rows = students.get_all(asked, cap=listing.API_CAP).items
    return csv_response("students", CSV, ([getattr(row, name) for name in CSV] for row in rows))


@router.get("/new", name="crm:users:new", dependencies=can_write)
def new(request: Request) -> Response:
    return render(request, "users/new.html", form=Form(values={"language_code": "ru"}))


@router.post("/", name="crm:users:create", dependencies=can_write)
def create(
    request: Request, caller: Caller, students: Students, form: Annotated[Form[NewStudentForm], form_of(NewStudentForm)]
) -> Response:
    if form.data is not None and students.find_by_telegram_id(form.data.telegram_id):
        form.refuse(AppError(fields={"telegram_id": _("There is a person with this Telegram ID already.")}))
    if form.data is None:
        return render_part(request, "users/new.html", "users/_new_form.html", 422, form=form)
    student, _new = students.register(form.data)
    flash(request, _("Student added"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:users:detail", user_id=student.id)


@router.get("/{user_id}", name="crm:users:detail")
def detail(request: Request, caller: Caller, students: Students, pages: Pages, user_id: UserId) -> Response:
    student = students.get_by_id(user_id)
    return render(
        request,
        "users/detail.html",
        student=student,
        row=students.get_row(user_id),
        purchases=pages.purchases(user_id) if caller.me.may(Permission.PURCHASES_READ) else None,
        tickets=pages.tickets(user_id) if caller.me.may(Permission.TICKETS_READ) else None,
        refunds=pages.refunds(user_id),
        timeline=_timeline(caller, user_id),
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
        form.refuse(AppError(fields={"email": _("There is a person with this e-mail already.")}))
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
    if wants_fragment(request):
        return render(request, "users/_row.html", page=Page(items=[students.get_row(user_id)]))
    return see_other(request, "crm:users:detail", user_id=user_id)


@router.post("/{user_id}/delete", name="crm:users:delete", dependencies=can_write)
def delete(request: Request, caller: Caller, students: Students, user_id: UserId) -> Response:
    students.get_by_id(user_id)
    students.delete(user_id)
    flash(request, _("Student deleted"), undo=history.change_set_id(caller.session))
    return see_other(request, "crm:users:index")
