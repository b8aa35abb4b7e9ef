"""The door for people: sign in with a password or a one-time link, sign out."""

from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from backend.core import auth, signin
from backend.core.config import Settings
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
from backend.core.errors import AppError, NotFoundError, TooManyRequestsError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.links import local_path
from backend.core.signin import Attempt, InvalidCredentialsError
from backend.core.templating import flash, go_to, render
from backend.database.crud.auth import SIGN_IN, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.schemas.auth import LoginForm

router = Routes(tags=["sign-in"])
Links = Annotated[OneTimeTokenCRUD, crud(OneTimeTokenCRUD)]
Sessions = Annotated[SessionCRUD, crud(SessionCRUD)]
Users = Annotated[UserCRUD, crud(UserCRUD)]


@router.get("/", dependencies=[public])
def home() -> Response:
    return RedirectResponse("/dashboard/", 303)


@router.get("/login", dependencies=[public], name="auth:login")
def login_page(request: Request, caller: Caller, next: str = "") -> Response:  # noqa: A002 - the name in the address
    if caller.me.signed_in:
        return RedirectResponse(local_path(next), 303)
    return _page(request, Form(values={"remember": True}), next)


@router.post("/login", dependencies=[public, detached, hashing])
def login(
    request: Request,
    form: Annotated[Form[LoginForm], form_of(LoginForm)],
    database: DatabaseDep,
    settings: SettingsDep,
) -> Response:
    if form.data is None:
        return _page(request, form, form.value("next"), 422)
    sent, device = form.data, signin.device_of(request, settings)
    try:
        verified = signin.verify(database, Attempt.of(request, sent.username, sent.password, device=device))
    except (InvalidCredentialsError, TooManyRequestsError) as error:
        return _refused(request, form, error, sent.next)

    def open_session(session: Any) -> tuple[User, str]:
        user = signin.welcome(session, verified)
        old = request.cookies.get(auth.cookie_name(settings), "")
        return user, signin.open_browser_session(session, user, request, remember=sent.remember, replaces=old)

    user, secret = database.run(open_session)
    response = go_to(request, local_path(sent.next))
    return _come_in(request, response, user, secret, remember=sent.remember)


@router.get("/enter/{token}", dependencies=[public], name="auth:enter")
def enter_page(request: Request, token: str, links: Links) -> Response:
    """Looking does not use the link up: messengers and mail scanners open every link they see."""
    found = links.find_live(token, SIGN_IN)
    person = found.user if found and found.user.is_active else None
    return render(request, "auth/enter.html", 200 if person else 404, person=person, token=token)


@router.post("/enter/{token}", dependencies=[public])
def enter(request: Request, token: str, links: Links, users: Users, settings: SettingsDep) -> Response:
    try:
        user = users.get_by_id(links.redeem(token, SIGN_IN))
    except NotFoundError:
        return render(request, "auth/enter.html", 404, person=None, token=token)
    if not user.is_active:
        return render(request, "auth/enter.html", 404, person=None, token=token)
    old = request.cookies.get(auth.cookie_name(settings), "")
    secret = signin.open_browser_session(links.session, user, request, remember=False, replaces=old)
    if user.password_hash is None:
        flash(
            request,
            _("Set a password in the settings, so that you can come back without a link."),
            kind="info",
        )
    return _come_in(request, go_to(request, "/dashboard/"), user, secret, remember=False)


@router.post("/logout", dependencies=[public], name="auth:logout")
def logout(request: Request, caller: Caller, sessions: Sessions, settings: SettingsDep) -> Response:
    if caller.me.session_id is not None:
        sessions.revoke(caller.me.session_id)
    response = go_to(request, "/login")
    response.delete_cookie(auth.cookie_name(settings), secure=settings.https, httponly=True, samesite="lax")
    # Whoever signs out leaves nothing on this device, not even that it is known here.
    response.headers["Clear-Site-Data"] = '"cookies", "storage"'
    return response


def _come_in(request: Request, response: Response, user: User, secret: str, *, remember: bool) -> Response:
    settings: Settings = request.app.state.settings
    auth.keep_signed_in(response, settings, secret, remember=remember)
    device = signin.device_of(request, settings).with_person(user.id)
    auth.set_cookie(response, settings, auth.DEVICE_COOKIE, device.seal(settings), seconds=auth.YEAR_SECONDS)
    return response


def _refused(request: Request, form: Form[LoginForm], error: AppError, next_path: str) -> Response:
    form.errors = {"": error.message}
    response = _page(request, form, next_path, error.status)
    response.headers.update(error.headers)
    return response


def _page(request: Request, form: Form[Any], next_path: str, status: int = 200) -> Response:
    return render(request, "auth/login.html", status, form=form, next=local_path(next_path))
