"""Saved views: a list's address under a name, for oneself or for everyone who may see the list.

Anyone may share; only the owner and whoever runs the school's settings change or delete what is shared.
"""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import saved
from backend.core.context import Principal
from backend.core.deps import Caller, Routes, crud, require
from backend.core.errors import AppError, ForbiddenError, NotFoundError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, render_part, see_other
from backend.crm.table import Table
from backend.crm.table.declare import TABLES
from backend.crm.table.views import fitting, opened
from backend.database import history
from backend.database.crud.views import ViewCRUD
from backend.database.models.views import SavedView
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.views import ViewCreate, ViewMarks, ViewQuery, ViewUpdate

router = Routes(prefix="/dashboard/views", dependencies=[require(Permission.PROFILE_WRITE)])
Views = Annotated[ViewCRUD, crud(ViewCRUD)]
ViewId = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("/{view_id}", name="crm:views:open")
def open_view(request: Request, caller: Caller, views: Views, view_id: ViewId) -> Response:
    return opened(request, caller, _seen(caller, views, view_id))


@router.post("/", name="crm:views:create")
def create(
    request: Request, caller: Caller, views: Views, form: Annotated[Form[ViewCreate], form_of(ViewCreate)]
) -> Response:
    list_name = str(form.value("list_name"))
    table = _table(caller.me, list_name)
    if form.data is not None and views.is_taken(_id(caller), list_name, form.data.name):
        form.refuse(_taken())
    if form.data is None:
        return _again(request, form, list_name)
    form.data.query = fitting(table, caller, form.data.query)[0]
    view = views.keep(_id(caller), form.data)
    flash(request, _("View saved"), undo=history.change_set_id(caller.session))
    return opened(request, caller, view)


@router.post("/{view_id}", name="crm:views:update")
def update(
    request: Request,
    caller: Caller,
    views: Views,
    view_id: ViewId,
    form: Annotated[Form[ViewUpdate], form_of(ViewUpdate)],
) -> Response:
    view = _own(caller, views, view_id)
    if form.data is not None and views.is_taken(view.owner_id, view.list_name, form.data.name, besides=view.id):
        form.refuse(_taken())
    if form.data is None:
        return _again(request, form, view.list_name, view)
    views.check_version(view, form.data.version)
    views.assign(view, {"name": form.data.name, "is_shared": form.data.is_shared})
    views.mark(view, _id(caller), form.data)
    return _saved(request, caller, view)


@router.post("/{view_id}/query", name="crm:views:query")
def keep_query(
    request: Request,
    caller: Caller,
    views: Views,
    view_id: ViewId,
    form: Annotated[Form[ViewQuery], form_of(ViewQuery)],
) -> Response:
    """The filters of the moment under the old name."""
    view = _own(caller, views, view_id)
    if form.data is None:
        raise AppError(fields=form.errors)
    views.check_version(view, form.data.version)
    views.assign(view, {"query": fitting(TABLES[view.list_name], caller, form.data.query)[0]})
    return _saved(request, caller, view)


@router.post("/{view_id}/marks", name="crm:views:marks")
def mark(
    request: Request,
    caller: Caller,
    views: Views,
    view_id: ViewId,
    form: Annotated[Form[ViewMarks], form_of(ViewMarks)],
) -> Response:
    """One's own pin and default, of a view of one's own or of another."""
    view = _seen(caller, views, view_id)
    views.mark(view, _id(caller), form.data or ViewMarks())
    return _saved(request, caller, view)


@router.post("/{view_id}/delete", name="crm:views:delete")
def delete(request: Request, caller: Caller, views: Views, view_id: ViewId) -> Response:
    view = _own(caller, views, view_id)
    list_name = view.list_name
    views.delete(view_id)
    flash(request, _("View deleted"), undo=history.change_set_id(caller.session))
    return see_other(request, f"crm:{list_name}:index", view=saved.ALL)


def _id(caller: Caller) -> int:
    assert caller.me.user_id is not None
    return caller.me.user_id


def _table(me: Principal, list_name: str) -> Table:
    """Raises NotFoundError for a list that is not there, for this person."""
    if list_name not in TABLES or not saved.may_see(me, list_name):
        raise NotFoundError
    return TABLES[list_name]


def _seen(caller: Caller, views: ViewCRUD, view_id: int) -> SavedView:
    view = views.find_seen(view_id, _id(caller))
    _table(caller.me, view.list_name)
    return view


def _own(caller: Caller, views: ViewCRUD, view_id: int) -> SavedView:
    view = _seen(caller, views, view_id)
    if view.owner_id != caller.me.user_id and not caller.me.may(Permission.SETTINGS_WRITE):
        raise ForbiddenError(_("This view belongs to someone else. Save your own instead."))
    return view


def _taken() -> AppError:
    return AppError(fields={"name": _("You already have a view with this name here.")})


def _again(
    request: Request, form: Form[ViewCreate] | Form[ViewUpdate], list_name: str, view: SavedView | None = None
) -> Response:
    item = saved.item_of(list_name)
    context = {"form": form, "list_name": list_name, "view": view, "title": _(item.label) if item else ""}
    return render_part(request, "views/edit.html", "views/_form.html", 422, **context)


def _saved(request: Request, caller: Caller, view: SavedView) -> Response:
    flash(request, _("View saved"), undo=history.change_set_id(caller.session))
    return opened(request, caller, view)
