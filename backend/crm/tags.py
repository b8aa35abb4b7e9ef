from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import AppError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, see_other
from backend.database import history
from backend.database.crud.tags import TAG, UNTAG
from backend.database.crud.users import StudentCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.tags import TagName
from backend.database.verbs import Verb, apply

router = Routes(
    prefix="/dashboard/users", dependencies=[require(Permission.USERS_READ), require(Permission.USERS_WRITE)]
)
Students = Annotated[StudentCRUD, crud(StudentCRUD)]
UserId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[TagName], form_of(TagName)]


@router.post("/{user_id}/tags", name="crm:users:tag")
def put(request: Request, caller: Caller, students: Students, user_id: UserId, form: Sent) -> Response:
    return _act(request, caller, students, user_id, (TAG, form))


@router.post("/{user_id}/untag", name="crm:users:untag")
def take(request: Request, caller: Caller, students: Students, user_id: UserId, form: Sent) -> Response:
    return _act(request, caller, students, user_id, (UNTAG, form))


def _act(
    request: Request, caller: Caller, students: StudentCRUD, user_id: int, asked: tuple[Verb, Form[TagName]]
) -> Response:
    verb, form = asked
    students.get_by_id(user_id)
    if form.data is None:
        raise AppError(form.error("tag") or None, fields=form.errors)
    apply(students, verb, [user_id], form.data)
    told = _("Tag added") if verb is TAG else _("Tag taken off")
    flash(request, told, undo=history.change_set_id(caller.session))
    return see_other(request, "crm:users:detail", user_id=user_id)
