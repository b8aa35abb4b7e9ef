from typing import Annotated

from fastapi import Depends, Form, Path, Request
from fastapi.responses import Response

from backend.core.context import Principal
from backend.core.deps import Caller, Routes, require
from backend.core.errors import ForbiddenError
from backend.core.i18n import _
from backend.core.permissions import UNDO_RIGHTS, Permission
from backend.core.templating import flash, go_to, local_path, see_other
from backend.database import history
from backend.database.crud import blockers
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.views import ViewCRUD
from backend.database.schemas.base import MAX_ID

router = Routes(prefix="/dashboard/history", dependencies=[require(Permission.DASHBOARD_READ)])


async def _history(caller: Caller) -> HistoryCRUD:
    return HistoryCRUD(caller.session)


@router.post(
    "/{change_set_id}/undo", name="crm:history:undo", dependencies=[require(*dict.fromkeys(UNDO_RIGHTS.values()))]
)
def undo(
    request: Request,
    caller: Caller,
    records: Annotated[HistoryCRUD, Depends(_history)],
    change_set_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    next: Annotated[str, Form(max_length=1000)] = "",  # noqa: A002 - the field's name in every form
) -> Response:
    may_undo(caller.me, blockers.roots(caller.session, change_set_id))
    if blockers.touches_staff(caller.session, change_set_id):
        raise ForbiddenError
    if not caller.me.may(Permission.SETTINGS_WRITE):
        ViewCRUD(caller.session).refuse_others(change_set_id, caller.me.user_id)
    jobs = JobCRUD(caller.session)
    if jobs.is_long(change_set_id):
        return see_other(request, "crm:jobs:detail", job_id=jobs.start_undo(change_set_id, caller.me.user_id).id)
    UndoCRUD(caller.session).undo(change_set_id)
    flash(request, _("Undone"), undo=history.change_set_id(caller.session))
    return go_to(request, local_path(next))


def may_undo(me: Principal, roots: set[str]) -> None:
    """Raises ForbiddenError unless the person may change every record of the set."""
    for root in roots:
        right = UNDO_RIGHTS.get(root)
        if right is None or not me.may(right):
            raise ForbiddenError
