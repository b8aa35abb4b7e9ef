"""The second step of signing in: a code of an app, a recovery code or a passkey; and a passkey for a password."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from backend.core import auth, elsewhere, factors, passkeys, signin
from backend.core.deps import Caller, DatabaseDep, Routes, SettingsDep, detached, public
from backend.core.errors import AppError, InvalidError, NotAuthenticatedError, TooManyRequestsError
from backend.core.events import Event
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.links import encode, local_path
from backend.core.signin import Entered
from backend.core.templating import flash, render
from backend.core.useragents import describe
from backend.database import audit
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.credentials import PASSKEY, RECOVERY, CredentialCRUD, TrustedDeviceCRUD
from backend.database.crud.throttle import ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.listing import AnyRow
from backend.database.schemas.auth import PasskeyForm, SecondForm
from backend.database.session import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = Routes(tags=["sign-in"])
REFUSALS = (NotAuthenticatedError, InvalidError, TooManyRequestsError)


@router.get("/login/second", dependencies=[public, detached], name="auth:second")
def second_page(
    request: Request,
    database: DatabaseDep,
    by: str = "",
    next: str = "",  # noqa: A002 - the name in the address
    remember: bool = False,
) -> Response:
    pending = _pending(request, database)
    if pending is None:
        return _begin_again(next)
    values = {"next": next, "remember": remember, "by": by}
    return _page(request, database, pending, Form(values=values))


@router.post("/login/second", name="auth:prove_second", dependencies=[public, detached])
def second(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    settings: SettingsDep,
    form: Annotated[Form[SecondForm], form_of(SecondForm)],
) -> Response:
    pending = _pending(request, database)
    if pending is None:
        return _begin_again(form.value("next"))
    if form.data is None:
        return _page(request, database, pending, form, 422)
    sent, counted = form.data, factors.limits(request, database, pending.user_id)

    def finish(session: "Session") -> tuple[Entered | None, str]:
        method = factors.spend(session, settings, pending.user_id, sent.code)
        factors.settle(session, request, pending.user_id, method, counted)
        return _finish(session, request, pending, method, sent) if method else None, method

    try:
        factors.count(database, counted)
        entered, method = database.run(finish, caller.actor)
        if entered is None:
            raise factors.WrongFactorError
    except REFUSALS as error:
        return _refused(request, database, pending, form, error)
    if method == RECOVERY:
        flash(request, _("This recovery code is now used. See how many are left in Settings."), kind="info")
    return signin.let_in(request, entered, sent.next)


@router.post("/login/second/passkey", dependencies=[public, detached], name="auth:second_passkey")
def second_passkey(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    form: Annotated[Form[PasskeyForm], form_of(PasskeyForm)],
) -> Response:
    pending = _pending(request, database)
    if pending is None:
        return _begin_again(form.value("next"))
    if form.data is None:
        return _page(request, database, pending, form, 422)
    sent, counted = form.data, factors.limits(request, database, pending.user_id)
    try:
        factors.count(database, counted)
        proof = factors.proof_of(request, database, sent.ticket, sent.answer, pending.user_id)

        def finish(session: "Session") -> Entered:
            proof.spend(session)
            factors.settle(session, request, pending.user_id, PASSKEY, counted)
            return _finish(session, request, pending, PASSKEY, sent)

        entered = database.run(finish, caller.actor)
    except REFUSALS as error:
        if isinstance(error, factors.WrongFactorError):
            database.run(lambda s: factors.settle(s, request, pending.user_id, "", counted), caller.actor)
        return _refused(request, database, pending, form, error)
    return signin.let_in(request, entered, sent.next)


def _finish(
    session: "Session", request: Request, pending: AnyRow, method: str, sent: SecondForm | PasskeyForm
) -> Entered:
    entered = signin.complete(session, pending, request, factor=method, remember=sent.remember)
    if sent.trust:
        words = describe(signin.user_agent(request))
        TrustedDeviceCRUD(session).trust(entered.user_id, entered.device.name, words)
        audit.note(session, Event.TRUST_BEGUN, user_id=entered.user_id)
    return entered


@router.post("/login/passkey", dependencies=[public, detached], name="auth:passkey")
def passkey(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    form: Annotated[Form[PasskeyForm], form_of(PasskeyForm)],
) -> Response:
    """Without a password: the device has asked for a finger, a face or a PIN, which makes two factors."""
    if form.data is None:
        return _no_entry(request, form, InvalidError())
    sent, owner = form.data, factors.owner_of(database, form.data.answer)
    counted = signin.passkey_limits(request, database, owner)
    try:
        factors.count(database, counted)
        proof = factors.proof_of(request, database, sent.ticket, sent.answer)

        def finish(session: "Session") -> Entered:
            user = UserCRUD(session).get_by_id(proof.passkey.user_id)
            if not user.is_active:
                raise factors.WrongFactorError
            proof.spend(session)
            ThrottleCRUD(session).give_back(counted)
            return signin.come_in(session, user, request, method=PASSKEY, remember=sent.remember, proved=True)

        entered = database.run(finish, caller.actor)
    except REFUSALS as error:
        if isinstance(error, factors.WrongFactorError):
            database.run(lambda session: factors.note_failure(session, request, owner, counted), caller.actor)
        return _no_entry(request, form, error)
    return signin.let_in(request, entered, sent.next)


def _pending(request: Request, database: Database) -> AnyRow | None:
    secret = request.cookies.get(auth.cookie_name(request.app.state.settings), "")
    with database.read() as session:
        return SessionCRUD(session).find_pending(secret) if secret else None


def _begin_again(next_path: str) -> Response:
    return RedirectResponse(f"/login?{encode([('next', local_path(next_path))])}", 303)


def _refused(request: Request, database: Database, pending: AnyRow, form: Form[Any], error: AppError) -> Response:
    form.errors = {"code": error.message}
    response = _page(request, database, pending, form, error.status)
    response.headers.update(error.headers)
    return response


def _no_entry(request: Request, form: Form[PasskeyForm], error: AppError) -> Response:
    form.errors = {"": error.message}
    response = sign_in_page(request, form, form.value("next"), error.status)
    response.headers.update(error.headers)
    return response


def sign_in_page(request: Request, form: Form[Any], next_path: str, status: int = 200) -> Response:
    """The form with every other way in beside it."""
    about: dict[str, Any] = {
        "next": local_path(next_path),
        "passkey": question(request),
        "elsewhere": elsewhere.providers(request.app.state.settings).values(),
        "registration": request.app.state.settings.registration,
        "remember": request.app.state.settings.remember_days > 0,
    }
    return render(request, "auth/login.html", status, form=form, **about)


def question(request: Request) -> passkeys.Question | None:
    """What the sign-in page asks a browser that has a passkey of anyone."""
    site = passkeys.site_of(request)
    return passkeys.ask(request, site) if site else None


def _page(request: Request, database: Database, pending: AnyRow, form: Form[Any], status: int = 200) -> Response:
    with database.read() as session:
        own = CredentialCRUD(session).of(pending.user_id)
    site = passkeys.site_of(request)
    asked = passkeys.ask(request, site, own.passkeys) if site and own.passkeys else None
    ways = {"app": own.app, "passkey": asked, "recovery": own.codes_left}
    present = [name for name, there in ways.items() if there]
    chosen = form.value("by") if form.value("by") in present else next(iter(present), "recovery")
    return render(
        request,
        "auth/second.html",
        status,
        form=form,
        ways=present,
        by=chosen,
        passkey=asked,
        next=local_path(form.value("next")),
        person=pending,
    )
