"""One's own account, and what the school decides about itself."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import auth, devices, passwords, recovery, security, signin
from backend.core.config import Settings
from backend.core.deps import (
    Caller,
    DatabaseDep,
    Routes,
    crud,
    detached,
    hashing,
    recent,
    require,
)
from backend.core.devices import Device, device_of
from backend.core.errors import AppError, ConflictError, ForbiddenError, TooManyRequestsError
from backend.core.events import ALERT_WAYS, ALERTS, Event
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.permissions import BOT_SCOPES, LABELS, TOKEN_ONLY, Permission, expand_scopes, grantable
from backend.core.school import KEY, School
from backend.core.signin import InvalidCredentialsError
from backend.core.templating import flash, render, render_part, see_other
from backend.core.text import timezones
from backend.core.units import demand_proof, proved_lately
from backend.database import audit
from backend.database.crud.alerts import AlertCRUD
from backend.database.crud.auth import ApiTokenCRUD, SessionCRUD
from backend.database.crud.blockers import ELSEWHERE
from backend.database.crud.credentials import TrustedDeviceCRUD
from backend.database.crud.history import Entry, HistoryCRUD
from backend.database.crud.links import WAYS_IN, end_links
from backend.database.crud.presence import hold_signed_in
from backend.database.crud.recovery import RecoveryCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.users import UserCRUD
from backend.database.history import SCHOOL
from backend.database.history import describe as label
from backend.database.models.users import User
from backend.database.schemas.auth import (
    AlertChoice,
    PasswordChange,
    ProfileUpdate,
    SchoolUpdate,
    TokenCreate,
)
from backend.database.schemas.base import MAX_ID
from backend.database.session import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = Routes(prefix="/dashboard/settings", tags=["settings"])
Users = Annotated[UserCRUD, crud(UserCRUD)]
Sessions = Annotated[SessionCRUD, crud(SessionCRUD)]
Tokens = Annotated[ApiTokenCRUD, crud(ApiTokenCRUD)]
SchoolSettings = Annotated[SettingCRUD, crud(SettingCRUD)]
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
P = Permission
own = require(P.PROFILE_WRITE)
SHOWN = 20  # entries of the page's timeline
PROFILE = ("first_name", "last_name", "email", "timezone", "version")


@router.get("/", name="crm:settings:index", dependencies=[own])
def index(request: Request, caller: Caller, users: Users) -> Response:
    return _page(request, caller, users.get_by_id(_id(caller)))


@router.post("/profile", name="crm:settings:profile", dependencies=[own])
def profile(
    request: Request,
    caller: Caller,
    users: Users,
    form: Annotated[Form[ProfileUpdate], form_of(ProfileUpdate)],
) -> Response:
    user = users.get_by_id(_id(caller))
    _check_profile(form, user, users)
    if form.data is None:
        return _part(request, caller, "_profile.html", user, form=form)
    # Letters to it bring in whoever reads them: an unattended desk must not be enough to change it.
    if (form.data.email or "").casefold() != (user.email or "").casefold():
        demand_proof(caller.me, strong=True)
    try:
        new = new_email(caller, user, form.data)
    except TooManyRequestsError as error:
        form.errors = {"email": error.message}
        response = _part(request, caller, "_profile.html", user, error.status, form=form)
        response.headers.update(error.headers)
        return response
    users.update(user.id, form.data)
    if new:
        return _saved(request, _("Profile saved. Your email will change once you open the link sent to %s.") % new)
    return _saved(request, _("Profile saved"))


def _check_profile(form: Form[ProfileUpdate], user: User, users: UserCRUD) -> None:
    """Takes the data off a form that cannot be saved, and says why."""
    if (data := form.data) is None:
        return
    known = users.find_by_login(data.email) if data.email else None
    if known is not None and known.id != user.id:
        form.data, form.errors = None, {"email": _("This email is already in use.")}
    elif data.version not in (None, user.version):
        form.data, form.values["version"] = None, user.version
        form.errors = {"": _("Your profile was changed in the meantime. Save again to keep your version.")}
    elif user.email and not data.email and user.login is None:
        form.data, form.errors = None, {"email": _("Without a login, you need an email to sign in.")}


def new_email(caller: Caller, user: User, sent: ProfileUpdate) -> str:
    """Another address waits for the link to it: what is saved keeps the present one. Raises TooManyRequestsError."""
    wanted, present = sent.email or "", user.email or ""
    if not wanted or wanted.casefold() == present.casefold():
        return ""
    hold_signed_in(caller.session, caller.me)  # or a thief's request outlives the password that shut them out
    recovery.count_confirmation(caller.session, user.id)
    RecoveryCRUD(caller.session).ask_to_confirm(user, wanted)
    sent.email = user.email
    return wanted


@router.post("/email/cancel", name="crm:settings:cancel_email", dependencies=[own])
def cancel_email(request: Request, caller: Caller) -> Response:
    """Another address that waits for its link: the one who is here did not ask for it, or wants it no more."""
    called_off = RecoveryCRUD(caller.session).call_off(_id(caller))
    return _saved(request, _("Email change cancelled") if called_off else _("No email change is pending"))


@router.post("/password", name="crm:settings:password", dependencies=[own, detached, hashing])
def password(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    form: Annotated[Form[PasswordChange], form_of(PasswordChange)],
) -> Response:
    me = _id(caller)
    with database.read() as session:
        user = UserCRUD(session).get_by_id(me)
    if _asks_before_password(caller, user):
        demand_proof(caller.me, strong=True)
    school: School = request.app.state.school
    if form.data is not None:
        try:
            form.errors = _refusals(request, caller, database, user, form.data, school.name)
        except TooManyRequestsError as error:
            form.errors = {"current": error.message}
            return _password_again(request, caller, database, user, form, error)
    if form.errors or form.data is None:
        return _password_again(request, caller, database, user, form)
    hashed, seen = security.hash_password(form.data.password), user.password_hash

    def store(session: "Session") -> tuple[str, str, Device]:
        found = hold_signed_in(session, caller.me)
        if found.password_hash != seen:
            raise ConflictError
        waited = RecoveryCRUD(session).awaited(me)
        session_id, proved = caller.me.session_id or 0, user.password_hash is not None
        UserCRUD(session).set_password(found, hashed, but=session_id)
        audit.note(session, Event.PASSWORD_CHANGE)
        number = found.token_version
        secret = SessionCRUD(session).renew(session_id, proved=proved, token_version=number)
        return secret, waited, device_of(request, caller.settings).with_person(session, me)

    secret, waited, device = database.run(store, caller.actor)
    told = _("Password saved. All other devices are signed out.")
    if waited:
        told = (
            _("Password saved. All other devices have been signed out, and the email change to %s is cancelled.")
            % waited
        )
    response = _saved(request, told)
    auth.keep_signed_in(response, caller.settings, secret, remember=caller.me.remembered)
    devices.keep(response, caller.settings, device)
    return response


def _password_again(
    request: Request, caller: Caller, database: Database, user: User, form: Form[Any], late: AppError | None = None
) -> Response:
    """The form as it was typed; `late`: too many tries, until when the headers say."""
    status = late.status if late else 422
    with database.read() as session:
        response = _part(request, caller, "_password.html", user, status, session=session, password_form=form)
    response.headers.update(late.headers if late else {})
    return response


def _asks_before_password(caller: Caller, user: User) -> bool:
    """Whose present password, which stands in the form itself, is not enough, or who has none."""
    return caller.me.has_factor or user.password_hash is None


def _refusals(
    request: Request, caller: Caller, database: Database, user: User, sent: PasswordChange, school: str
) -> dict[str, str]:
    """What is wrong with a change of password, field by field. Raises TooManyRequestsError."""
    if user.password_hash is not None:
        try:
            limits = signin.prove_password(request, database, user.id, sent.current, caller.actor)
        except InvalidCredentialsError:
            return {"current": _("Current password is incorrect.")}
        database.run(lambda session: signin.forgive(session, limits))
    return passwords.refusals(sent.password, sent.repeat, user.name, user.login, school, email=user.email)


@router.post("/sessions/{session_id}/revoke", name="crm:settings:revoke_session", dependencies=[own])
def revoke_session(request: Request, caller: Caller, sessions: Sessions, users: Users, session_id: RowId) -> Response:
    user = hold_signed_in(caller.session, caller.me)
    sessions.revoke_own(session_id, user.id)
    users.note(user, "sign_out")
    audit.note(sessions.session, Event.SESSION_ENDED, session_id=session_id)
    told = _("That device is signed out")
    if waited := _end_what_was_asked_for(caller):
        told = _("That device is signed out, and the email change to %s is cancelled") % waited
    flash(request, told)
    return see_other(request, "crm:security:index")


@router.post("/sessions/revoke", name="crm:settings:revoke_others", dependencies=[own])
def revoke_others(request: Request, caller: Caller, sessions: Sessions, users: Users) -> Response:
    user = hold_signed_in(caller.session, caller.me)
    sessions.revoke_all(user.id, but=caller.me.session_id)
    users.note(user, "sign_out")
    audit.note(sessions.session, Event.SESSION_ENDED, others=True)
    told = _("All other devices are signed out")
    if waited := _end_what_was_asked_for(caller):
        told = _("All other devices are signed out, and the email change to %s is cancelled") % waited
    flash(request, told)
    return see_other(request, "crm:security:index")


def _end_what_was_asked_for(caller: Caller) -> str:
    """Who sits at a device that is signed out may have asked for a way in: such links end, and trust in a device that
    is given away or stolen, which else asked for no second factor. The e-mail that waited.
    """
    session, me = caller.session, _id(caller)
    waited = RecoveryCRUD(session).awaited(me)
    end_links(session, me, *WAYS_IN)
    if TrustedDeviceCRUD(session).forget(me):
        audit.note(session, Event.TRUST_ENDED)
    return waited


@router.post("/tokens", name="crm:settings:create_token", dependencies=[require(P.TOKENS_WRITE), recent])
def create_token(
    request: Request,
    caller: Caller,
    users: Users,
    tokens: Tokens,
    form: Annotated[Form[TokenCreate], form_of(TokenCreate)],
) -> Response:
    hold_signed_in(caller.session, caller.me)
    wanted = _granted(caller, form.data.scopes) if form.data is not None else frozenset()
    if P.BOT in wanted and wanted - BOT_SCOPES:
        words = _(
            "The bot's token remains when you leave, so it can only have the bot's permissions. "
            "Create another token for the rest."
        )
        form.refuse(AppError(fields={"scopes": words}))
    if form.data is None:
        return _part(request, caller, "_tokens.html", users.get_by_id(_id(caller)), token_form=form)
    # The bot is the school's: it goes on when whoever set it up leaves. Any other token goes with
    # its owner.
    owner = None if P.BOT in wanted else _id(caller)
    label(tokens.session, "create_token")
    audit.note(tokens.session, Event.TOKEN_CREATED, name=form.data.name, scopes=sorted(wanted))
    token, text = tokens.issue(form.data.name, wanted, user_id=owner)
    # Shown in this very answer and never again: it passes through no cookie, no address and no log.
    user = users.get_by_id(_id(caller))
    return _part(request, caller, "_tokens.html", user, 201, made=token, made_text=text)


def _granted(caller: Caller, scopes: list[str]) -> frozenset[str]:
    """Raises ForbiddenError for a right that the person does not have to give."""
    try:
        wanted = expand_scopes(scopes)
    except ValueError as error:
        raise ForbiddenError(_("There is no permission “%s”.") % error) from error
    own_rights = caller.me.permissions
    if not wanted <= grantable(own_rights) or (wanted - own_rights and P.BOT not in wanted):
        raise ForbiddenError(_("A token cannot have more permissions than you."))
    return wanted


@router.post(
    "/tokens/{token_id}/revoke",
    name="crm:settings:revoke_token",
    dependencies=[require(P.TOKENS_WRITE)],
)
def revoke_token(request: Request, tokens: Tokens, token_id: RowId) -> Response:
    label(tokens.session, "revoke_token")
    token = tokens.revoke(token_id)
    audit.note(tokens.session, Event.TOKEN_REVOKED, name=token.name)
    return _saved(request, _("Token “%s” revoked") % token.name)


@router.post("/school", name="crm:settings:school", dependencies=[require(P.SETTINGS_WRITE)])
def school(
    request: Request,
    caller: Caller,
    users: Users,
    stored: SchoolSettings,
    form: Annotated[Form[SchoolUpdate], form_of(SchoolUpdate)],
) -> Response:
    if form.data is None:
        return _part(request, caller, "_school.html", users.get_by_id(_id(caller)), school_form=form)
    stored.decide(KEY, {"name": form.data.name})
    named: School = request.app.state.school
    named.name = form.data.name
    return _saved(request, _("School saved"))


@router.post("/alerts", name="crm:settings:alerts", dependencies=[require(P.SETTINGS_WRITE), recent])
def alerts(
    request: Request, caller: Caller, users: Users, form: Annotated[Form[AlertChoice], form_of(AlertChoice)]
) -> Response:
    if form.data is None:
        return _part(request, caller, "_alerts.html", users.get_by_id(_id(caller)), alert_form=form)
    AlertCRUD(caller.session).choose(form.data.alerts, form.data.alert_way)
    return _saved(request, _("Alerts saved"))


def _id(caller: Caller) -> int:
    assert caller.me.user_id is not None
    return caller.me.user_id


def _saved(request: Request, message: str) -> Response:
    flash(request, message)
    return see_other(request, "crm:settings:index")


def _page(request: Request, caller: Caller, user: User) -> Response:
    return render(request, "settings/index.html", **_context(request, caller, user, caller.session))


def _part(
    request: Request,
    caller: Caller,
    part: str,
    user: User,
    status: int = 422,
    session: "Session | None" = None,
    **changed: Any,
) -> Response:
    """One card for htmx, the whole page around it for everyone else."""
    context = _context(request, caller, user, session or caller.session) | changed
    return render_part(request, "settings/index.html", f"settings/{part}", status, **context)


def _context(request: Request, caller: Caller, user: User, session: "Session") -> dict[str, Any]:
    named: School = request.app.state.school
    settings: Settings = request.app.state.settings
    alerts = AlertCRUD(session)
    choice = alerts.choice() if caller.me.may(P.SETTINGS_WRITE) else None
    return {
        "user": user,
        "form": Form.of(user, PROFILE),
        "awaited": RecoveryCRUD(session).awaited(user.id),
        "password_form": Form(),
        "password_waits": _asks_before_password(caller, user) and not proved_lately(caller.me, strong=True),
        "token_form": Form(),
        "school_form": Form(values={"name": named.name}),
        "alert_form": Form(values=choice) if choice else None,
        "deaf": alerts.deaf(choice["alert_way"]) if choice else ([], False),
        "alerts": [(name, _(words)) for name, words in ALERTS.items()],
        "alert_ways": [(name, _(words)) for name, words in ALERT_WAYS.items()],
        "devices": sum(found.impersonator_id is None for found in SessionCRUD(session).of_user(user.id)),
        "tokens": ApiTokenCRUD(session).live() if caller.me.may(P.TOKENS_WRITE) else [],
        "made": None,
        "made_text": "",
        "scopes": scope_choices(caller.me.permissions),
        "zones": timezones(),
        "timeline": _timeline(caller, user, session) if caller.me.may(P.HISTORY_READ) else None,
        "bot": {"on": settings.bot_on, "sandbox": settings.sandbox_on, "mode": settings.bot_mode},
    }


def _timeline(caller: Caller, user: User, session: "Session") -> list[Entry]:
    """What became of one's account, and for those who run the school of its settings and tokens; nothing to undo."""
    records = HistoryCRUD(session)
    found = records.of_record("users", user.id, SHOWN, undo=False)
    if caller.me.may(P.SETTINGS_WRITE):
        found += records.of_record(*SCHOOL, SHOWN, undo=False)
    latest = sorted(found, key=lambda entry: entry.change_set.id, reverse=True)[:SHOWN]
    return [replace(entry, why=_(ELSEWHERE)) for entry in latest]


def scope_choices(own_rights: frozenset[str]) -> list[tuple[str, str]]:
    """(right, its words) for every right that this person may put into a token."""
    offered = (own_rights - TOKEN_ONLY) | ({P.BOT} if P.BOT in grantable(own_rights) else set())
    return [(permission.value, _(LABELS[permission])) for permission in Permission if permission in offered]
