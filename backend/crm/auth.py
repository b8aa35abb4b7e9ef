"""The door for people: sign in with a password or a one-time link, sign out."""

from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from backend.core import auth, signin
from backend.core.deps import (
    Caller,
    DatabaseDep,
    Routes,
    SettingsDep,
    crud,
    detached,
    hashing,
    public,
)
from backend.core.devices import device_of
from backend.core.errors import AppError, NotFoundError, TooManyRequestsError
from backend.core.events import Event
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.links import local_path
from backend.core.signin import Attempt, Entered, InvalidCredentialsError
from backend.core.templating import flash, go_to, render
from backend.crm.second import sign_in_page
from backend.database import audit
from backend.database.crud.auth import SIGN_IN, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.crud.viewing import ViewingCRUD
from backend.database.schemas.auth import LoginForm

router = Routes(tags=["sign-in"])
Links = Annotated[OneTimeTokenCRUD, crud(OneTimeTokenCRUD)]
Sessions = Annotated[SessionCRUD, crud(SessionCRUD)]
Users = Annotated[UserCRUD, crud(UserCRUD)]


@router.get("/", dependencies=[public])
def home() -> Response:
    return RedirectResponse("/dashboard/", 303)


@router.get("/login", dependencies=[public], name="auth:login")
def login_page(
    request: Request,
    caller: Caller,
    next: str = "",  # noqa: A002 - the name in the address
    again: bool = False,
) -> Response:
    """`again`: for whoever is signed in and has nothing else to prove who they are."""
    if caller.me.signed_in and not again:
        return RedirectResponse(local_path(next), 303)
    return sign_in_page(request, Form(values={"remember": True}), next)


@router.post("/login", dependencies=[public, detached, hashing])
def login(
    request: Request,
    caller: Caller,
    form: Annotated[Form[LoginForm], form_of(LoginForm)],
    database: DatabaseDep,
    settings: SettingsDep,
) -> Response:
    if form.data is None:
        return sign_in_page(request, form, form.value("next"), 422)
    sent, device = form.data, device_of(request, settings)
    try:
        verified = signin.verify(database, Attempt.of(request, sent.username, sent.password, device=device))
    except (InvalidCredentialsError, TooManyRequestsError) as error:
        return _refused(request, form, error, sent.next)

    def open_session(session: Any) -> Entered:
        user = signin.welcome(session, verified)
        return signin.come_in(session, user, request, method="password", remember=sent.remember)

    return signin.let_in(request, database.run(open_session, caller.actor), sent.next)


@router.get("/enter/{token}", dependencies=[public], name="auth:enter")
def enter_page(request: Request, token: str, links: Links) -> Response:
    """Looking does not use the link up: messengers and mail scanners open every link they see."""
    found = links.find_live(token, SIGN_IN)
    person = found.user if found and found.user.is_active else None
    return render(request, "auth/enter.html", 200 if person else 404, person=person, token=token)


@router.post("/enter/{token}", dependencies=[public])
def enter(request: Request, token: str, links: Links, users: Users) -> Response:
    try:
        user = users.get_by_id(links.redeem(token, SIGN_IN))
    except NotFoundError:
        return render(request, "auth/enter.html", 404, person=None, token=token)
    if not user.is_active:
        return render(request, "auth/enter.html", 404, person=None, token=token)
    entered = signin.come_in(links.session, user, request, method="link")
    if user.password_hash is None:
        flash(
            request,
            _("Set a password in Settings so you can sign in without a link."),
            kind="info",
        )
    return signin.let_in(request, entered)


@router.post("/logout", dependencies=[public], name="auth:logout")
def logout(request: Request, caller: Caller, sessions: Sessions, settings: SettingsDep) -> Response:
    if caller.me.impersonator_id is not None:
        ViewingCRUD(sessions.session).leave(caller.me)
    elif caller.me.session_id is not None:
        sessions.revoke(caller.me.session_id)
        audit.note(sessions.session, Event.SESSION_ENDED, session_id=caller.me.session_id)
    response = go_to(request, "/login")
    response.delete_cookie(auth.cookie_name(settings), secure=settings.https, httponly=True, samesite="lax")
    # Whoever signs out leaves nothing on this device, not even that it is known here.
    response.headers["Clear-Site-Data"] = '"cookies", "storage"'
    return response


def _refused(request: Request, form: Form[LoginForm], error: AppError, next_path: str) -> Response:
    form.errors = {"": error.message}
    response = sign_in_page(request, form, next_path, error.status)
    response.headers.update(error.headers)
    return response
