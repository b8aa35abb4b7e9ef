"""A student's personal data: all of it as a file, and the end of it."""

import json
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import clock
from backend.core.deps import Caller, DatabaseDep, Routes, crud, detached, recent, require
from backend.core.errors import AppError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, render, render_part, see_other
from backend.database import personal
from backend.database.crud.users import StudentCRUD
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.users import EraseForm

router = Routes(
    prefix="/dashboard/users/{user_id}/personal",
    dependencies=[require(Permission.USERS_READ), require(Permission.USERS_WRITE)],
)
# The file holds what these rights keep from others; what `audit:read` keeps from them it holds only for who has that.
all_of_it = [
    *(require(right) for right in (Permission.PURCHASES_READ, Permission.TICKETS_READ, Permission.HISTORY_READ)),
    recent,
]
Students = Annotated[StudentCRUD, crud(StudentCRUD)]
UserId = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("", name="crm:personal:show")
def show(request: Request, students: Students, user_id: UserId) -> Response:
    return render(request, "users/personal.html", **_about(_person(students, user_id), Form()))


def _person(students: StudentCRUD, user_id: int) -> User | personal.Gone:
    """A student, also one who was deleted: the history holds their data. Raises NotFoundError."""
    found = personal.gone(students.session, user_id)
    return found if found and found.role_id == students.student_role_id() else students.get_by_id(user_id)


def _about(person: User | personal.Gone, form: Form[Any]) -> dict[str, Any]:
    deleted_at = person.deleted_at if isinstance(person, personal.Gone) else None
    return {"student": person, "deleted_at": deleted_at, "form": form}


@router.post("/export", name="crm:personal:export", dependencies=all_of_it)
def export(caller: Caller, students: Students, user_id: UserId) -> Response:
    """A POST, for it is remembered who took the data."""
    students.get_by_id(user_id)
    found = personal.dossier(caller.session, user_id, events=caller.me.may(Permission.AUDIT_READ))
    name = f"person-{user_id}-{clock.now():%Y-%m-%d}.json"
    body = json.dumps(found, ensure_ascii=False, indent=1)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type="application/json; charset=utf-8", headers=headers)


@router.post("/erase", name="crm:personal:erase", dependencies=[recent, detached])
def erase(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    user_id: UserId,
    form: Annotated[Form[EraseForm], form_of(EraseForm)],
) -> Response:
    with database.read() as session:
        student = _person(StudentCRUD(session), user_id)
    if form.data is not None and _folded(form.data.name) != _folded(student.name):
        form.refuse(AppError(fields={"name": _("Type the name exactly: %s") % student.name}))
    if form.data is not None:
        try:
            database.run(lambda session: personal.Eraser(session).erase(user_id), caller.actor)
        except AppError as error:
            form.refuse(error)
    if form.data is None:
        parts = "users/personal.html", "users/_erase_form.html"
        return render_part(request, *parts, 422, **_about(student, form))
    personal.scrub(database)
    flash(request, _("Personal data erased"))
    if isinstance(student, personal.Gone):
        return see_other(request, "crm:users:index")
    return see_other(request, "crm:users:detail", user_id=user_id)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
