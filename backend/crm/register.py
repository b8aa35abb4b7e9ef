"""The door for students who sign up by themselves, where the school wants that. A plain form: it needs no script."""

from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import Response

from backend.core.config import Settings
from backend.core.deps import Caller, DatabaseDep, Routes, SettingsDep, detached, hashing, public
from backend.core.errors import InvalidError, NotFoundError, TooManyRequestsError
from backend.core.forms import Form, form_of
from backend.core.signup import sign_up
from backend.core.templating import render, see_other
from backend.database.schemas.doors import RegisterRequest

router = Routes(tags=["sign-in"])


@router.get("/register", dependencies=[public], name="auth:register")
def page(request: Request, settings: SettingsDep) -> Response:
    _open(settings)
    return _page(request, Form())


@router.post("/register", dependencies=[public, detached, hashing])
def register(
    request: Request,
    form: Annotated[Form[RegisterRequest], form_of(RegisterRequest)],
    database: DatabaseDep,
    settings: SettingsDep,
    caller: Caller,
) -> Response:
    """The answer is the same for an address that has an account: the letter says so, and only its reader learns it."""
    _open(settings)
    if form.data is None:
        return _page(request, form, 422)
    try:
        sign_up(database, request, form.data, caller.actor)
    except (InvalidError, TooManyRequestsError) as error:
        response = _page(request, form.refuse(error), error.status)
        response.headers.update(error.headers)
        return response
    return see_other(request, "auth:register_sent")


@router.get("/register/sent", dependencies=[public], name="auth:register_sent")
def sent_page(request: Request, settings: SettingsDep) -> Response:
    _open(settings)
    return render(request, "auth/register_sent.html", mail_on=settings.mail_on)


def _open(settings: Settings) -> None:
    """Raises NotFoundError where the school takes no registrations."""
    if not settings.registration:
        raise NotFoundError


def _page(request: Request, form: Form[Any], status: int = 200) -> Response:
    return render(request, "auth/register.html", status, form=form)
