"""The people who run the school: who they are, what they may do, and helping them in or out."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, auth, security, signin, wording
from backend.core.deps import Caller, Current, Routes, crud, recent, require, signed_in, strong
from backend.core.errors import AppError
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _
from backend.core.permissions import LABELS, Permission
from backend.core.templating import flash, go_to, render, render_part, see_other
from backend.core.useragents import describe
from backend.crm import audit
from backend.crm.table import Column, Screen, Table, attributes, cells, choice, install, relation, when
from backend.database.crud.auth import ABSOLUTE, SessionCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.roles import RoleCRUD
from backend.database.crud.staff import StaffCRUD, has_login, keeps_email
from backend.database.crud.typed import typed_by_others
from backend.database.crud.viewing import ViewingCRUD
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.lessons import Switch
from backend.database.schemas.staff import Invitation, RoleChoice, StaffFilters, StaffForm, TakeIn, ViewAs

PREFIX = "/dashboard/settings/staff"
router = Routes(prefix=PREFIX, dependencies=[require(Permission.STAFF_WRITE)])
back = Routes(prefix="/dashboard", dependencies=[signed_in])
Staff = Annotated[StaffCRUD, crud(StaffCRUD)]
UserId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[RoleChoice], form_of(RoleChoice)]
FIELDS = ("first_name", "last_name", "login", "email", "version")
SHOWN = 20  # changes of the page's timeline
PRINTED = r"^[^\x00-\x1f]*$"


def _person(row: Any, _screen: Screen) -> str:
    known = row.login if has_login(row.login) else row.email
    shown = atoms.person(row.id, cells.name_of(row), f"{PREFIX}/{row.id}", known or "")
    return f"{shown}{cells.small(f'{escape(wording.role(row.role))} {_state(row)}')}"


STATES = {
    "off": ("bad", "ban", N_("Off")), "locked": ("warn", "lock", N_("Too many attempts")),
    "invited": ("info", "mail", N_("Invited")), "active": ("good", "circle-check", N_("On staff")),
}  # fmt: skip


def _standing(row: Any) -> str:
    if not row.is_active:
        return "off"
    return "locked" if row.locked else "invited" if row.invited else "active"


def _state(row: Any, _screen: Screen | None = None) -> str:
    kind, sign, label = STATES[_standing(row)]
    return atoms.badge(kind, sign, _(label))


def _factor(row: Any, _screen: Screen | None = None) -> str:
    return atoms.badge("good", "shield-check", _("Yes")) if row.factor else f'<span class="ly-quiet">{_("No")}</span>'


TABLE = Table(
    name="staff", key="person", crud=StaffCRUD, params=StaffFilters, prefix=PREFIX, title=N_("Staff"),
    search=N_("Name, login or email"), label=cells.name_of, write=Permission.STAFF_WRITE, menu=False,
    new=("crm:staff:new", N_("Invite")), none="staff/_none.html", tabs="staff/_tabs.html",
    columns=(
        Column("name", N_("Person"), _person, sort="name", file=("first_name", "last_name", "login", "email")),
        Column("role", N_("Role"), lambda row, _screen: escape(wording.role(row.role)), "ly-no-sm"),
        Column("state", N_("State"), _state, "ly-no-sm"),
        Column("factor", N_("Second factor"), _factor, "ly-col-md"),
        when("seen_at", N_("Last seen"), "", sort=False),
        when("created_at", N_("Joined")),
    ),
    filters=(
        relation("role_id", N_("Role"), RoleCRUD, Permission.STAFF_WRITE),
        choice(
            "state", N_("State"), ("active", N_("On staff")), ("invited", N_("Invited")), ("off", N_("Off")),
        ),
        choice("factor", N_("Second factor"), ("yes", N_("Yes")), ("no", N_("No"))),
    ),
    export={
        **attributes("id", "first_name", "last_name"), "login": lambda row: row.login if has_login(row.login) else None,
        **attributes("email", "role"), "state": _standing, "factor": lambda row: bool(row.factor),
        **attributes("seen_at", "created_at"),
    },
)  # fmt: skip
install(router, TABLE)


@router.get("/new", name="crm:staff:new")
def new(request: Request, caller: Caller, who: Annotated[str, Query(max_length=254, pattern=PRINTED)] = "") -> Response:
    """Someone new, or a student of the school: `who` is a name in Telegram, an e-mail or a Telegram ID."""
    return _new_page(request, caller, Form(), who=who)


@router.post("/", name="crm:staff:create", dependencies=[strong])
def invite(
    request: Request, caller: Caller, staff: Staff, form: Annotated[Form[Invitation], form_of(Invitation)]
) -> Response:
    if form.data is None:
        return _new_page(request, caller, form, 422)
    try:
        person, secret = staff.invite(form.data, caller.me.user_id)
    except AppError as error:
        if not error.fields:
            raise
        return _new_page(request, caller, form.refuse(error), 422)
    if not secret:
        return _done(request, person.id, _("This person is already invited. If the link is lost, create a new one."))
    return _page(request, caller, person, 201, link=_invitation(caller, person, secret))


@router.post("/{user_id}/take-in", name="crm:staff:take_in", dependencies=[require(Permission.USERS_READ), strong])
def take_in(
    request: Request, caller: Caller, staff: Staff, user_id: UserId, form: Annotated[Form[TakeIn], form_of(TakeIn)]
) -> Response:
    if form.data is None:
        return _new_page(request, caller, form, 422)
    person, secret = staff.take_in(user_id, form.data.role_id, caller.me.user_id, form.data.version)
    if not secret:
        return _done(request, user_id, _("%s is now on staff") % person.name)
    return _page(request, caller, person, 201, link=_invitation(caller, person, secret))


@router.get("/{user_id}", name="crm:staff:detail")
def detail(request: Request, caller: Caller, staff: Staff, user_id: UserId) -> Response:
    return _page(request, caller, staff.get_member(user_id))


@router.get("/{user_id}/edit", name="crm:staff:edit")
def edit(request: Request, staff: Staff, user_id: UserId) -> Response:
    person = staff.get_member(user_id)
    form: Form[StaffForm] = Form.of(person, FIELDS)
    if not has_login(person.login):
        form.values["login"] = ""
    return render(request, "staff/edit.html", person=person, form=form)


@router.post("/{user_id}", name="crm:staff:update", dependencies=[strong])
def update(
    request: Request,
    caller: Caller,
    staff: Staff,
    user_id: UserId,
    form: Annotated[Form[StaffForm], form_of(StaffForm)],
) -> Response:
    person = staff.get_member(user_id)
    if form.data is not None and form.data.email and staff.is_taken(form.data.email, besides=user_id):
        form.refuse(AppError(fields={"email": _("This email is already in use.")}))
    secret = ""
    if form.data is not None:
        try:
            person, secret = staff.change(user_id, form.data, caller.me.user_id)
        except AppError as error:
            if not error.fields:
                raise
            form.refuse(error)
    if form.data is None:
        return render_part(request, "staff/edit.html", "staff/_form.html", 422, form=form, person=person)
    if secret:
        return _page(request, caller, person, 201, link=_invitation(caller, person, secret))
    return _done(request, user_id, _("Changes saved"))


@router.post("/{user_id}/role", name="crm:staff:role", dependencies=[strong])
def set_role(request: Request, caller: Caller, staff: Staff, user_id: UserId, form: Sent) -> Response:
    person, secret = staff.get_member(user_id), ""
    if form.data is not None:
        try:
            person, secret = staff.set_role(user_id, form.data.role_id, caller.me.user_id)
        except AppError as error:
            error.fields = {"role_id": error.message}
            form.refuse(error)
            return _page(request, caller, person, error.status, role_form=form)
    if form.data is None:
        return _page(request, caller, person, 422, role_form=form)
    if secret:
        return _page(request, caller, person, 201, link=_invitation(caller, person, secret))
    return _done(request, user_id, _("Role changed. The person will need to sign in again."))


@router.post("/{user_id}/switch", name="crm:staff:switch", dependencies=[strong])
def switch(
    request: Request, caller: Caller, staff: Staff, user_id: UserId, form: Annotated[Form[Switch], form_of(Switch)]
) -> Response:
    """Says which state is wanted, so that two people do not undo each other."""
    person = staff.switch(user_id, form.data is not None and form.data.is_active, caller.me.user_id)
    told = _("Account turned back on") if person.is_active else _("Account turned off, all its devices signed out")
    return _done(request, user_id, told)


@router.post("/{user_id}/sign-out", name="crm:staff:sign_out")
def sign_out(request: Request, caller: Caller, staff: Staff, user_id: UserId) -> Response:
    staff.sign_out_everywhere(user_id, caller.me.user_id)
    return _done(request, user_id, _("All devices of this person are signed out"))


@router.post("/{user_id}/unlock", name="crm:staff:unlock", dependencies=[strong])
def unlock(request: Request, caller: Caller, staff: Staff, user_id: UserId) -> Response:
    staff.lift_lock(user_id, caller.me.user_id)
    return _done(request, user_id, _("Account unlocked: they can try to sign in again"))


@router.post("/{user_id}/link", name="crm:staff:link", dependencies=[strong])
def make_link(request: Request, caller: Caller, staff: Staff, user_id: UserId) -> Response:
    secret = staff.make_link(user_id, caller.me.user_id)
    told = _("This link signs the person in once and expires in 15 minutes.")
    link = {"url": f"{caller.settings.url}/enter/{secret}", "told": told}
    return _page(request, caller, staff.get_member(user_id), 201, link=link)


@router.post("/{user_id}/invite", name="crm:staff:invite", dependencies=[strong])
def invite_again(request: Request, caller: Caller, staff: Staff, user_id: UserId) -> Response:
    person, secret = staff.invite_again(user_id, caller.me.user_id)
    return _page(request, caller, person, 201, link=_invitation(caller, person, secret))


@router.post("/{user_id}/factors/remove", name="crm:staff:remove_factors", dependencies=[strong])
def remove_factors(request: Request, caller: Caller, staff: Staff, user_id: UserId) -> Response:
    staff.remove_factors(user_id, caller.me.user_id)
    return _done(request, user_id, _("Second factor removed, all devices signed out"))


@router.post("/{user_id}/view", name="crm:staff:view", dependencies=[recent])
def view_as(
    request: Request, caller: Caller, staff: Staff, user_id: UserId, form: Annotated[Form[ViewAs], form_of(ViewAs)]
) -> Response:
    if form.data is None:
        return _page(request, caller, staff.get_member(user_id), 422, view_form=form)
    whence = {"user_agent": signin.user_agent(request), "ip": auth.client_ip(request)}
    _person, secret = ViewingCRUD(caller.session).start(user_id, form.data, caller.me, **whence)
    response = go_to(request, "/dashboard/")
    auth.keep_signed_in(response, caller.settings, secret, remember=False)
    return response


@back.post("/return", name="crm:staff:return")
def come_back(request: Request, caller: Caller) -> Response:
    """From “view as” to one's own account, under a new session id."""
    if caller.me.impersonator_id is None:
        return go_to(request, "/dashboard/")
    viewed = caller.me.user_id
    secret, own = ViewingCRUD(caller.session).end(caller.me)
    if own is None:
        return go_to(request, "/login")
    response = see_other(request, "crm:staff:detail", user_id=viewed)
    auth.keep_signed_in(response, caller.settings, secret, remember=own.expires_at - own.created_at > ABSOLUTE)
    return response


def _new_page(request: Request, caller: Current, form: Form[Any], status: int = 200, who: str = "") -> Response:
    """The form of an invitation, with a ticket of its own, and the students whom `who` names."""
    form.values["ticket"] = security.new_token()
    may_find = caller.me.may(Permission.USERS_READ)
    students = StaffCRUD(caller.session).candidates(who) if who and may_find else []
    typed = typed_by_others(caller.session, [student.id for student in students]) if students else {}
    kept = {student.id for student in students if keeps_email(student, typed[student.id])}
    found: dict[str, Any] = {"who": who, "students": students, "may_find": may_find, "typed": typed, "kept": kept}
    return render(request, "staff/new.html", status, form=form, roles=_roles(caller), **found)


def _invitation(caller: Current, person: User, secret: str) -> Mapping[str, str]:
    told = _("Send this link to the person. It works once, expires in 7 days and will not be shown again.")
    if person.email and caller.settings.mail_on:
        told = _("An email is on its way to %s. Here is the link from it in case it gets lost.") % person.email
    return {"url": f"{caller.settings.url}/invite/{secret}", "told": told}


def _done(request: Request, user_id: int, told: str) -> Response:
    flash(request, told)
    return see_other(request, "crm:staff:detail", user_id=user_id)


def _roles(caller: Current) -> list[tuple[int, str]]:
    """(id, name) of the roles that this person may give."""
    found = RoleCRUD(caller.session).of_staff()
    return [(role.id, wording.role(role.name)) for role in found if caller.me.permissions >= set(role.permissions)]


def _page(request: Request, caller: Current, person: User, status: int = 200, **changed: Any) -> Response:
    """The page of a member of staff. `changed`: a refused form, a link that is shown this once."""
    staff = StaffCRUD(caller.session)
    role = RoleCRUD(caller.session).get_by_id(person.role_id)
    own = person.id == caller.me.user_id
    context = {
        "person": person,
        "login": person.login if has_login(person.login) else "",
        "row": staff.row_of(person.id),
        "role": role,
        "rights": rights_in_words(role.permissions),
        "roles": _roles(caller),
        "role_form": Form(values={"role_id": person.role_id}),
        "factors": staff.factors(person.id),
        "sessions": [(found, describe(found.user_agent)) for found in SessionCRUD(caller.session).of_user(person.id)],
        "timeline": _timeline(caller, person.id),
        "events": audit.latest(caller, person.id),
        "own": own,
        "may_act": not own and caller.me.permissions >= set(role.permissions),
        "link": None,
        "view_form": Form(),
    }
    return render(request, "staff/detail.html", status, **(context | changed))


def rights_in_words(rights: list[str]) -> list[str]:
    return [_(LABELS[permission]) for permission in Permission if permission in rights]


def _timeline(caller: Current, user_id: int) -> list[Entry] | None:
    """What became of the account, with roles by their names. Nothing of it is undone: see blockers.STAFF."""
    if not caller.me.may(Permission.HISTORY_READ):
        return None
    found = HistoryCRUD(caller.session).of_record("users", user_id, SHOWN, undo=False)
    roles = {role.id: wording.role(role.name) for role in RoleCRUD(caller.session).of_staff()}

    def named(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: roles.get(value, value) if name == "role_id" else value for name, value in values.items()}

    def shown(change: Any) -> Any:
        told = {name: getattr(change, name) for name in ("op", "entity", "root", "root_id")}
        return SimpleNamespace(**told, before=named(change.before), after=named(change.after))

    return [replace(entry, changes=[shown(change) for change in entry.changes], taken=True) for entry in found]
