"""A lesson or a course given to a student by hand, from the student's page."""

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import ConflictError, NotFoundError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, render, render_part, see_other
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.students import StudentPageCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.purchases import GrantForm

router = Routes(
    prefix="/dashboard/users/{user_id}/grant",
    dependencies=[require(Permission.USERS_READ), require(Permission.PURCHASES_GRANT)],
)
Students = Annotated[StudentCRUD, crud(StudentCRUD)]
Purchases = Annotated[PurchaseCRUD, crud(PurchaseCRUD)]
UserId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[GrantForm], form_of(GrantForm)]


@router.get("", name="crm:grants:new")
def new(request: Request, caller: Caller, students: Students, user_id: UserId) -> Response:
    return render(request, "users/grant.html", **_context(caller, students.get_by_id(user_id), Form()))


@router.post("", name="crm:grants:create")
def create(
    request: Request, caller: Caller, students: Students, purchases: Purchases, user_id: UserId, form: Sent
) -> Response:
    """The student hears of it through the bot; it can be taken back on the page of the purchase."""
    student = students.get_by_id(user_id)
    if form.data is not None:
        try:
            purchases.grant(user_id, reason=form.data.reason, **form.data.named)
        except (ConflictError, NotFoundError) as error:
            error.fields = {"thing": error.message}
            form.refuse(error)
    if form.data is None:
        context = _context(caller, student, form)
        return render_part(request, "users/grant.html", "users/_grant_form.html", 422, **context)
    told = _("Access granted: the student will be notified in the bot")
    flash(request, told if student.telegram_id else _("Access granted"))
    return see_other(request, "crm:users:detail", user_id=user_id)


def _context(caller: Caller, student: User, form: Form[Any]) -> dict[str, Any]:
    """Offered is what the person may see."""
    rights = {"lesson": Permission.LESSONS_READ, "course": Permission.COURSES_READ}
    offered = StudentPageCRUD(caller.session).givable(student.id)
    things = {kind: rows if caller.me.may(rights[kind]) else [] for kind, rows in offered.items()}
    return {"student": student, "form": form, "things": things}
