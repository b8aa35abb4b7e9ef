"""Second factors, recovery codes and devices of one's own account."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import clock, elsewhere, otp, passkeys, security, signin
from backend.core.deps import Caller, Routes, crud, require, strong, without_factor
from backend.core.devices import stay_known
from backend.core.errors import AppError, InvalidError
from backend.core.events import Event
from backend.core.forms import Form, form_of
from backend.core.hosts import network
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.templating import flash, render, see_other
from backend.core.useragents import describe
from backend.database import audit
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.credentials import APP, PASSKEY, RECOVERY, CredentialCRUD, TrustedDeviceCRUD
from backend.database.crud.presence import hold_signed_in
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.schemas.auth import AppForm, NewPasskeyForm
from backend.database.schemas.base import MAX_ID

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from backend.database.models.auth import AuthSession

router = Routes(prefix="/dashboard/settings/security", tags=["settings"])
Users = Annotated[UserCRUD, crud(UserCRUD)]
Credentials = Annotated[CredentialCRUD, crud(CredentialCRUD)]
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
own = require(Permission.PROFILE_WRITE)
DRAFT_SECONDS = 60 * 60


@router.get("/", name="crm:security:index", dependencies=[own, without_factor])
def index(request: Request, caller: Caller, credentials: Credentials) -> Response:
    me, session = _id(caller), caller.session
    sessions = SessionCRUD(session).of_user(me)
    return render(
        request,
        "settings/security/index.html",
        factors=credentials.of(me),
        sessions=[_described(found) for found in sessions],
        current_id=caller.me.session_id,
        trusted=TrustedDeviceCRUD(session).of(me),
        offered=passkeys.site_of(request) is not None,
        localhost=passkeys.localhost(request),
        required=caller.settings.needs_factor(caller.me.role, caller.me.permissions),
    )


def _described(session: "AuthSession") -> tuple["AuthSession", str, str]:
    """(session, what it is, a note): a device and its network; of one who looks through their eyes, who and why."""
    if session.impersonator:
        return session, session.impersonator.name, session.reason
    return session, describe(session.user_agent) or _("Unknown device"), network(session.ip)


# -- the app


@router.get("/app", name="crm:security:app", dependencies=[own, strong, without_factor])
def app_page(request: Request, caller: Caller, users: Users) -> Response:
    draft = _seal(caller, otp.new_secret())
    return _app_page(request, caller, users, Form(values={"draft": draft}))


@router.post("/app", name="crm:security:add_app", dependencies=[own, strong, without_factor])
def add_app(
    request: Request,
    caller: Caller,
    users: Users,
    credentials: Credentials,
    form: Annotated[Form[AppForm], form_of(AppForm)],
) -> Response:
    """The app counts from its first right code on."""
    hold_signed_in(caller.session, caller.me)  # or a thief's app outlives the password that shut them out
    if form.data is None:
        return _app_page(request, caller, users, form, 422)
    secret, code = _unseal(caller, form.data.draft), otp.plain(form.data.code)
    step = otp.step_of(secret, code, clock.now()) if secret else None
    if not secret or step is None:
        form.errors = {"code": _("Incorrect code. Is your phone's clock correct?")}
        return _app_page(request, caller, users, form, 422)
    known = credentials.of(_id(caller))
    credentials.set_app(_id(caller), security.seal(caller.settings, secret), step)
    if known.app is not None:  # its owner is told that it opens nothing any more
        audit.note(credentials.session, Event.FACTOR_REMOVED, factor=APP)
    _added(credentials.session, caller, APP)
    return _after(request, caller, credentials, first=not known.present, words=_("The app is set up."))


def _seal(caller: Caller, secret: str) -> str:
    """A secret that no database knows yet, for this session's form alone."""
    values = [caller.me.session_id, int(clock.now().timestamp()), secret]
    return security.seal(caller.settings, json.dumps(values))


def _unseal(caller: Caller, draft: str) -> str | None:
    text = security.unseal(caller.settings, draft)
    session_id, at, secret = json.loads(text) if text else (None, 0, "")
    fresh = session_id == caller.me.session_id and at > clock.now().timestamp() - DRAFT_SECONDS
    return secret if fresh else None


def _app_page(request: Request, caller: Caller, users: Users, form: Form[AppForm], status: int = 200) -> Response:
    secret = _unseal(caller, str(form.value("draft")))
    if secret is None:  # made up, too old or of another session: begin with a new one
        secret = otp.new_secret()
        form.values["draft"] = _seal(caller, secret)
    user = users.get_by_id(_id(caller))
    picture = otp.picture(otp.address(secret, _called(user), request.app.state.school.name))
    key = otp.grouped(secret.lower()).replace("-", " ")
    return render(request, "settings/security/app.html", status, form=form, picture=picture, key=key)


# -- passkeys


@router.get("/passkeys/new", name="crm:security:passkey", dependencies=[own, strong, without_factor])
def passkey_page(request: Request, caller: Caller, users: Users, credentials: Credentials) -> Response:
    return _passkey_page(request, caller, users, credentials, Form())


@router.post("/passkeys", name="crm:security:add_passkey", dependencies=[own, strong, without_factor])
def add_passkey(
    request: Request,
    caller: Caller,
    users: Users,
    credentials: Credentials,
    form: Annotated[Form[NewPasskeyForm], form_of(NewPasskeyForm)],
) -> Response:
    hold_signed_in(caller.session, caller.me)
    site = passkeys.site_of(request)
    try:
        if form.data is None or site is None:
            raise InvalidError
        values = passkeys.made(request, site, form.data.ticket, form.data.answer)
        passkeys.spend(credentials.session, form.data.ticket)
        first = not credentials.of(_id(caller)).present
        name = form.data.name or describe(signin.user_agent(request)) or _("Passkey")
        credentials.add_passkey(_id(caller), name, values)
    except AppError as error:
        form.errors = {"": error.message}
        return _passkey_page(request, caller, users, credentials, form, error.status)
    _added(credentials.session, caller, PASSKEY)
    return _after(request, caller, credentials, first=first, words=_("The passkey is set up."))


def _passkey_page(
    request: Request, caller: Caller, users: Users, credentials: Credentials, form: Form[Any], status: int = 200
) -> Response:
    site, user = passkeys.site_of(request), users.get_by_id(_id(caller))
    known = credentials.of(user.id).passkeys
    asked = passkeys.ask_to_register(request, site, user, known) if site else None
    suggestion = describe(signin.user_agent(request))
    return render(
        request,
        "settings/security/passkey.html",
        status,
        form=form,
        passkey=asked,
        suggestion=suggestion,
        localhost=passkeys.localhost(request),
    )


# -- what is there already


@router.post("/factors/{credential_id}/remove", name="crm:security:remove", dependencies=[own, strong])
def remove(request: Request, caller: Caller, credentials: Credentials, credential_id: RowId) -> Response:
    removed = credentials.remove(credential_id, _id(caller), elsewhere.providers(caller.settings))
    _changed(credentials.session, caller, Event.FACTOR_REMOVED, removed.kind)
    words = _("The app is removed.") if removed.kind == APP else _("The passkey is removed.")
    flash(request, words, kind="info")
    return stay_known(request, credentials.session, _id(caller), see_other(request, "crm:security:index"))


@router.post("/codes", name="crm:security:codes", dependencies=[own, strong])
def renew_codes(request: Request, caller: Caller, credentials: Credentials) -> Response:
    hold_signed_in(caller.session, caller.me)
    if not credentials.has_factor(_id(caller)):
        raise InvalidError(_("Set up an app or a passkey first."))
    _changed(credentials.session, caller, Event.FACTOR_ADDED, RECOVERY)
    return _codes_page(request, caller, credentials)


@router.post("/trusted/forget", name="crm:security:forget", dependencies=[own])
def forget(request: Request, caller: Caller, credentials: Credentials) -> Response:
    TrustedDeviceCRUD(credentials.session).forget(_id(caller))
    audit.note(credentials.session, Event.TRUST_ENDED)
    flash(request, _("Every device will ask for the second factor again."))
    return see_other(request, "crm:security:index")


def _after(request: Request, caller: Caller, credentials: Credentials, *, first: bool, words: str) -> Response:
    """The first factor comes with recovery codes: whoever loses the phone must not lose the account."""
    flash(request, words)
    response = _codes_page(request, caller, credentials) if first else see_other(request, "crm:security:index")
    return stay_known(request, credentials.session, _id(caller), response)


def _codes_page(request: Request, caller: Caller, credentials: Credentials) -> Response:
    # Shown in this very answer and never again: they pass through no cookie, no address and no log.
    codes = credentials.renew_codes(_id(caller))
    user = UserCRUD(credentials.session).get_by_id(_id(caller))
    return render(request, "settings/security/codes.html", codes=codes, called=_called(user))


def _added(session: "Session", caller: Caller, kind: str) -> None:
    """Its first right answer is a proof by it: what comes next does not ask once more."""
    _changed(session, caller, Event.FACTOR_ADDED, kind)
    SessionCRUD(session).strengthen(caller.me.session_id or 0)


def _changed(session: "Session", caller: Caller, event: Event, kind: str) -> None:
    """A changed factor: everyone else's proofs of this person are worth nothing any more."""
    me = _id(caller)
    audit.note(session, event, factor=kind)
    users = UserCRUD(session)
    users.note(users.get_by_id(me), event.value)
    if kind != RECOVERY:
        TrustedDeviceCRUD(session).forget(me)


def _called(user: User) -> str:
    return user.login or user.email or user.name


def _id(caller: Caller) -> int:
    assert caller.me.user_id is not None
    return caller.me.user_id
