"""Roles as sets of rights: those that come with the program, the school's own, and what each may do in words."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response

from backend.core import wording
from backend.core.deps import Caller, Current, Routes, crud, require, strong
from backend.core.errors import AppError
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _
from backend.core.permissions import TOKEN_ONLY, Permission
from backend.core.templating import flash, render, render_part, see_other
from backend.crm import matrix
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.roles import RoleCRUD, joined
from backend.database.models.users import Role
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.staff import RoleForm

router = Routes(prefix="/dashboard/settings/roles", dependencies=[require(Permission.ROLES_WRITE)])
Roles = Annotated[RoleCRUD, crud(RoleCRUD)]
RoleId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[RoleForm], form_of(RoleForm)]
P = Permission
SHOWN = 20  # changes of a role's timeline
BASIC = (P.DASHBOARD_READ, P.PROFILE_WRITE)  # without them nobody can work at all
GROUPS: tuple[tuple[str, tuple[Permission, ...]], ...] = (
    (N_("All staff"), BASIC),
    (N_("Students"), (P.USERS_READ, P.USERS_WRITE)),
    (N_("Tickets"), (P.TICKETS_READ, P.TICKETS_WRITE)),
    (N_("Lessons and courses"), (P.LESSONS_READ, P.LESSONS_WRITE, P.COURSES_READ, P.COURSES_WRITE)),
    (N_("Sales"), (P.PURCHASES_READ, P.PURCHASES_GRANT, P.PURCHASES_REFUND)),
    (N_("Promo codes"), (P.PROMO_CODES_READ, P.PROMO_CODES_WRITE)),
    (N_("The school"), (P.SETTINGS_WRITE, P.TOKENS_WRITE, P.OPERATIONS_READ)),
    (N_("People and security"), (P.STAFF_WRITE, P.ROLES_WRITE, P.HISTORY_READ, P.AUDIT_READ)),
)


@dataclass(frozen=True)
class Box:
    """A right in a form. `mine`: whoever looks has it, and so may give or take it."""

    right: str
    words: str
    on: bool
    mine: bool


def groups(rights: Iterable[str], own: frozenset[str]) -> list[tuple[str, list[Box]]]:
    """All rights of people under their headings; one that a later version adds stands at the end."""
    on, named = set(rights), {right for _title, some in GROUPS for right in some}
    rest = tuple(right for right in Permission if right not in named | TOKEN_ONLY)
    shown = [*GROUPS, *([(N_("Other"), rest)] if rest else [])]
    return [
        (_(title), [Box(right.value, wording.right(right), right in on, right in own) for right in some])
        for title, some in shown
    ]


@router.get("/", name="crm:roles:index")
def index(request: Request, roles: Roles) -> Response:
    found = roles.of_staff()
    table = matrix.areas(request.app, found)
    return render(request, "roles/index.html", roles=found, holders=roles.holders(), table=table)


@router.get("/matrix", name="crm:roles:matrix")
def full(request: Request, roles: Roles) -> Response:
    """Every route with who may use it, from the very policies that the routes enforce."""
    found = roles.of_staff()
    return render(request, "roles/matrix.html", roles=found, table=matrix.areas(request.app, found))


@router.get("/new", name="crm:roles:new")
def new(
    request: Request, caller: Caller, roles: Roles, copy: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None
) -> Response:
    source = roles.get_by_id(copy) if copy is not None else None
    rights = source.permissions if source else list(BASIC)
    name = _("%s, a copy") % wording.role(source.name) if source else ""
    return _form(request, caller, Form(values={"name": name, "rights": rights}))


@router.post("/", name="crm:roles:create", dependencies=[strong])
def create(request: Request, caller: Caller, roles: Roles, form: Sent) -> Response:
    if form.data is not None:
        try:
            role = roles.make(form.data, caller.me.user_id)
        except AppError as error:
            return _form(request, caller, form.refuse(error), error.status)
        flash(request, _("Role created"))
        return see_other(request, "crm:roles:detail", role_id=role.id)
    return _form(request, caller, form, 422)


@router.get("/{role_id}", name="crm:roles:detail")
def detail(request: Request, caller: Caller, roles: Roles, role_id: RoleId) -> Response:
    role = roles.get_by_id(role_id)
    values = {"name": role.name, "rights": role.permissions, "was": joined(frozenset(role.permissions))}
    return _form(request, caller, Form(values=values), role=role)


@router.post("/{role_id}", name="crm:roles:update", dependencies=[strong])
def update(request: Request, caller: Caller, roles: Roles, role_id: RoleId, form: Sent) -> Response:
    role = roles.get_by_id(role_id)
    before = set(role.permissions)
    if form.data is not None:
        try:
            roles.change(role_id, form.data, caller.me.user_id)
        except AppError as error:
            return _form(request, caller, form.refuse(error), error.status, role)
        told = _("Role saved and in effect for everyone who has it")
        if set(role.permissions) - before:
            told = _("Role saved. Everyone with this role must sign in again to get the new permissions.")
        flash(request, told)
        return see_other(request, "crm:roles:detail", role_id=role_id)
    return _form(request, caller, form, 422, role)


@router.post("/{role_id}/delete", name="crm:roles:delete", dependencies=[strong])
def delete(request: Request, caller: Caller, roles: Roles, role_id: RoleId) -> Response:
    roles.drop(role_id, caller.me.user_id)
    flash(request, _("Role deleted"))
    return see_other(request, "crm:roles:index")


def _form(request: Request, caller: Current, form: Form[Any], status: int = 200, role: Role | None = None) -> Response:
    """A role's page; of a new one while there is none."""
    roles, me = RoleCRUD(caller.session), caller.me
    standing = [] if role is None else role.permissions
    # What the reader lacks cannot be sent: it stays as it is.
    on = [right for right in form.value("rights") or () if right in me.permissions]
    on += [right for right in standing if right not in me.permissions]
    fixed = role is not None and (role.is_system or role.name == me.role)
    context = {
        "role": role,
        "form": form,
        "fixed": fixed,
        "groups": groups(standing if fixed else on, me.permissions),
        "people": roles.holders().get(role.id, 0) if role is not None else 0,
        "timeline": _timeline(caller, role.id) if role is not None else None,
    }
    return render_part(request, "roles/edit.html", "roles/_form.html", status, **context)


def _timeline(caller: Current, role_id: int) -> Any:
    if not caller.me.may(Permission.HISTORY_READ):
        return None
    found = HistoryCRUD(caller.session).of_record("roles", role_id, SHOWN, undo=False)
    return [replace(entry, taken=True) for entry in found]  # nothing of it is undone: see blockers.STAFF
