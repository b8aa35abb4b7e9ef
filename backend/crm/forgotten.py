"""A way back for who has forgotten the password: ask, read the letter, set another one. And links that confirm."""

from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import Response

from backend.core import passwords, recovery, security, signin
from backend.core.deps import Caller, DatabaseDep, Routes, SettingsDep, detached, hashing, public
from backend.core.errors import ConflictError, InvalidError, NotFoundError, TooManyRequestsError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.school import School
from backend.core.signin import Entered
from backend.core.signup import confirm as confirm_registration
from backend.core.templating import flash, go_to, render, see_other
from backend.database.crud.recovery import RecoveryCRUD
from backend.database.crud.registrations import RegistrationCRUD
from backend.database.models.doors import Registration
from backend.database.models.users import User
from backend.database.schemas.doors import ForgotForm, NewPassword, WelcomeForm

router = Routes(tags=["sign-in"])


@router.get("/forgot", dependencies=[public], name="auth:forgot")
def forgot_page(request: Request, settings: SettingsDep, username: str = "") -> Response:
    form: Form[Any] = Form(values={"username": username[:254]})
    return render(request, "auth/forgot.html", form=form, mail_on=settings.mail_on)


@router.post("/forgot", dependencies=[public, detached])
def forgot(
    request: Request,
    form: Annotated[Form[ForgotForm], form_of(ForgotForm)],
    database: DatabaseDep,
    settings: SettingsDep,
    caller: Caller,
) -> Response:
    """The answer is the same for everyone: it tells nobody who has an account."""
    if form.data is None:
        return render(request, "auth/forgot.html", 422, form=form, mail_on=settings.mail_on)
    try:
        recovery.ask(database, request, form.data.username, caller.actor)
    except TooManyRequestsError as error:
        response = render(request, "auth/forgot.html", 429, form=form.refuse(error), mail_on=settings.mail_on)
        response.headers.update(error.headers)
        return response
    return see_other(request, "auth:forgot_sent")


@router.get("/forgot/sent", dependencies=[public], name="auth:forgot_sent")
def sent_page(request: Request, settings: SettingsDep) -> Response:
    return render(request, "auth/forgot_sent.html", mail_on=settings.mail_on)


@router.get("/reset/{token}", dependencies=[public], name="auth:reset")
def reset_page(request: Request, token: str, caller: Caller) -> Response:
    """Looking does not use the link up: mail scanners open every link they see."""
    return _reset(request, token, RecoveryCRUD(caller.session).find(token), Form())


@router.post("/reset/{token}", dependencies=[public, detached, hashing])
def reset(
    request: Request,
    token: str,
    form: Annotated[Form[NewPassword], form_of(NewPassword)],
    database: DatabaseDep,
    caller: Caller,
) -> Response:
    with database.read() as session:
        person = RecoveryCRUD(session).find(token)
    school: School = request.app.state.school
    if person is not None and form.data is not None:
        known = person.name, person.login, school.name
        form.errors = passwords.refusals(form.data.password, form.data.repeat, *known, email=person.email)
    if person is None or form.data is None or form.errors:
        return _reset(request, token, person, form, 422 if person else 404)
    hashed = security.hash_password(form.data.password)

    def store(session: Any) -> Entered:
        user = RecoveryCRUD(session).reset(token, hashed)
        return signin.come_in(session, user, request, method="reset")

    try:
        entered = database.run(store, caller.actor)
    except NotFoundError:
        return _reset(request, token, None, form, 404)
    flash(request, _("Password saved. All other devices are signed out."))
    return signin.let_in(request, entered)


def _reset(request: Request, token: str, person: User | None, form: Form[Any], status: int = 0) -> Response:
    status = status or (200 if person else 404)
    return render(request, "auth/reset.html", status, person=person, token=token, form=form)


@router.get("/confirm/{token}", dependencies=[public], name="auth:confirm")
def confirm_page(request: Request, token: str, caller: Caller) -> Response:
    """Looking does not use this link up either."""
    email = RecoveryCRUD(caller.session).find_email(token)
    return render(request, "auth/confirm.html", 200 if email else 404, email=email, token=token)


@router.post("/confirm/{token}", dependencies=[public, detached])
def confirm(request: Request, token: str, database: DatabaseDep, caller: Caller) -> Response:
    try:
        user = database.run(lambda session: RecoveryCRUD(session).confirm(token), caller.actor)
    except (NotFoundError, ConflictError):
        return render(request, "auth/confirm.html", 404, email="", token=token)
    flash(request, _("%s is confirmed") % user.email)
    return see_other(request, "crm:settings:index") if caller.me.signed_in else go_to(request, "/login")


@router.get("/welcome/{token}", dependencies=[public], name="auth:welcome")
def welcome_page(request: Request, token: str, caller: Caller) -> Response:
    """The link of who has signed up; looking does not use it up."""
    return _welcome(request, token, RegistrationCRUD(caller.session).find_live(token), Form())


@router.post("/welcome/{token}", dependencies=[public, detached, hashing])
def welcome(
    request: Request,
    token: str,
    database: DatabaseDep,
    caller: Caller,
    form: Annotated[Form[WelcomeForm], form_of(WelcomeForm)],
) -> Response:
    with database.read() as session:
        found = RegistrationCRUD(session).find_live(token)
    if form.data is None:
        return _welcome(request, token, found, form, 422)
    try:
        user = confirm_registration(database, found, token, form.data.password, caller.actor)
    except (NotFoundError, ConflictError):
        return _welcome(request, token, None, form)
    except (InvalidError, TooManyRequestsError) as error:
        response = _welcome(request, token, found, form.refuse(error), error.status)
        response.headers.update(error.headers)
        return response
    return render(request, "auth/welcome.html", found=user, token=token, done=True)


def _welcome(request: Request, token: str, found: Registration | None, form: Form[Any], status: int = 200) -> Response:
    context: dict[str, Any] = {"found": found, "token": token, "form": form, "done": False}
    return render(request, "auth/welcome.html", status if found else 404, **context)
