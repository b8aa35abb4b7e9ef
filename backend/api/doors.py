"""A forgotten password, and students who sign up: open to everyone, and the same answer for everyone."""

from typing import Annotated

from fastapi import Request

from backend.core import recovery
from backend.core.deps import Caller, DatabaseDep, Routes, SettingsDep, detached, hashing, public
from backend.core.errors import ForbiddenError
from backend.core.forms import body_of, body_schema
from backend.core.i18n import _
from backend.core.signup import sign_up
from backend.database.schemas.base import ErrorResponse
from backend.database.schemas.doors import ForgotRequest, RegisterRequest, Told

router = Routes(prefix="/api/auth", tags=["auth"])


@router.post(
    "/forgot-password",
    status_code=202,
    response_model=Told,
    dependencies=[public, detached],
    summary="Ask for a new password",
    openapi_extra=body_schema(ForgotRequest),
)
def forgot_password(
    request: Request, sent: Annotated[ForgotRequest, body_of(ForgotRequest)], database: DatabaseDep, caller: Caller
) -> object:
    """A letter with a link that works once, for 15 minutes. The answer says nothing about whether there is an account.

    Five a day for one account.
    """
    recovery.ask(database, request, sent.email, caller.actor)
    return Told()


@router.post(
    "/register",
    status_code=202,
    response_model=Told,
    dependencies=[public, detached, hashing],
    summary="Sign up as a student",
    responses={403: {"model": ErrorResponse, "description": "The school takes no registrations"}},
    openapi_extra=body_schema(RegisterRequest),
)
def register(
    request: Request,
    sent: Annotated[RegisterRequest, body_of(RegisterRequest)],
    database: DatabaseDep,
    settings: SettingsDep,
    caller: Caller,
) -> object:
    """A letter with a link that makes the account; nothing is made before. 403 unless the school has REGISTRATION=1.

    The answer says nothing about whether the address has an account already; the letter does.
    """
    if not settings.registration:
        raise ForbiddenError(_("This school is not open for registration."), code="registration_off")
    sign_up(database, request, sent, caller.actor)
    return Told()
