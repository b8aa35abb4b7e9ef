"""Proving once more who one is, for what is dear; a form that was sent too late is carried along and can be sent on."""

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request
from fastapi.responses import Response

from backend.core import auth, factors, signin
from backend.core.config import Settings
from backend.core.deps import Caller, DatabaseDep, Routes, detached, hashing, require, without_factor
from backend.core.errors import AppError, InvalidError, NotAuthenticatedError, TooManyRequestsError
from backend.core.events import Event
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.links import local_path
from backend.core.permissions import Permission
from backend.core.proof import confirm_page
from backend.core.templating import go_to, render
from backend.database import audit
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.credentials import PASSKEY
from backend.database.schemas.auth import ConfirmForm, ConfirmPasskeyForm
from backend.database.session import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = Routes(prefix="/dashboard/confirm", tags=["sign-in"])
own = require(Permission.PROFILE_WRITE)
FILE = re.compile(r"\.(csv|xlsx)(\?|$)")  # a download leaves the page where it is
PASSWORD = "password"  # noqa: S105 - the way, not the secret
REFUSALS = (NotAuthenticatedError, InvalidError, TooManyRequestsError)


@router.get("/", name="auth:proof", dependencies=[own, without_factor, detached])
def page(request: Request, next: str = "", strong: bool = False) -> Response:  # noqa: A002 - the name in the address
    return confirm_page(request, Form(values={"next": next, "strong": strong}))


@router.post("/", name="auth:prove", dependencies=[own, without_factor, detached, hashing])
def confirm(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    form: Annotated[Form[ConfirmForm], form_of(ConfirmForm)],
) -> Response:
    if form.data is None:
        return confirm_page(request, form, 422)
    try:
        prove = _by_code if form.data.code else _by_password
        secret = prove(request, caller, database, form.data)
    except REFUSALS as error:
        return _refused(request, form, error, "code" if form.data.code else "password")
    return _go_on(request, caller, form.data, secret)


@router.post("/passkey", name="auth:prove_passkey", dependencies=[own, without_factor, detached])
def confirm_passkey(
    request: Request,
    caller: Caller,
    database: DatabaseDep,
    form: Annotated[Form[ConfirmPasskeyForm], form_of(ConfirmPasskeyForm)],
) -> Response:
    if form.data is None:
        return _refused(request, form, InvalidError(), "passkey")
    me, sent = _id(caller), form.data
    counted = factors.limits(request, database, me)
    try:
        factors.count(database, counted)
        proof = factors.proof_of(request, database, sent.ticket, sent.answer, me)

        def renew(session: "Session") -> str:
            proof.spend(session)
            factors.settle(session, request, me, PASSKEY, counted)
            return _renew(session, caller, PASSKEY)

        secret = database.run(renew, caller.actor)
    except REFUSALS as error:
        if isinstance(error, factors.WrongFactorError):
            database.run(lambda session: factors.settle(session, request, me, "", counted), caller.actor)
        return _refused(request, form, error, "passkey")
    return _go_on(request, caller, sent, secret)


def _by_password(request: Request, caller: Caller, database: Database, sent: ConfirmForm) -> str:
    """The session's new secret. Raises InvalidError, and what signin.prove_password does."""
    me = _id(caller)
    if sent.strong and caller.me.has_factor:
        raise InvalidError(_("This action requires a code or a passkey: a password is not enough."))
    limits = signin.prove_password(request, database, me, sent.password, caller.actor)

    def renew(session: "Session") -> str:
        signin.forgive(session, limits)
        return _renew(session, caller, PASSWORD)

    return database.run(renew, caller.actor)


def _by_code(request: Request, caller: Caller, database: Database, sent: ConfirmForm) -> str:
    me, settings = _id(caller), caller.settings
    counted = factors.limits(request, database, me)
    factors.count(database, counted)

    def renew(session: "Session") -> str:
        method = factors.spend(session, settings, me, sent.code)
        factors.settle(session, request, me, method, counted)
        return _renew(session, caller, method) if method else ""

    secret = database.run(renew, caller.actor)
    if not secret:
        raise factors.WrongFactorError
    return secret


def _renew(session: "Session", caller: Caller, method: str) -> str:
    assert caller.me.session_id is not None
    audit.note(session, Event.CONFIRMED, method=method)
    return SessionCRUD(session).renew(caller.me.session_id, proved=True, strong=method != PASSWORD)


def _go_on(request: Request, caller: Caller, sent: ConfirmForm | ConfirmPasskeyForm, secret: str) -> Response:
    carried = _carried(sent.carried)
    back = local_path(sent.next)
    response: Response
    if carried is None and FILE.search(back):
        response = render(request, "auth/resume.html", action="", fields=[], next=back)
    elif carried is None:
        response = go_to(request, back)
    else:
        response = render(request, "auth/resume.html", action=carried[0], fields=carried[1], next=back)
    settings: Settings = request.app.state.settings
    auth.keep_signed_in(response, settings, secret, remember=caller.me.remembered)
    return response


def _carried(text: str) -> tuple[str, list[tuple[str, str]]] | None:
    """(action, fields) of the form that was sent too late; None when there is none, or it is not one of ours."""
    try:
        found = json.loads(text)
        action, fields = found["action"], [(str(name), str(value)) for name, value in found["fields"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    ours = isinstance(action, str) and action.startswith("/dashboard/") and local_path(action) == action
    return (action, fields) if ours else None


def _refused(request: Request, form: Form[Any], error: AppError, field: str) -> Response:
    form.errors = {field: error.message}
    response = confirm_page(request, form, 422 if isinstance(error, NotAuthenticatedError) else error.status)
    response.headers.update(error.headers)
    return response


def _id(caller: Caller) -> int:
    assert caller.me.user_id is not None
    return caller.me.user_id
