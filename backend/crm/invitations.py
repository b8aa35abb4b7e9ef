"""The door for whoever was invited: choose a login and a password, and come in."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request
from fastapi.responses import Response

from backend.core import passwords, security, signin
from backend.core.deps import Caller, DatabaseDep, Routes, crud, detached, hashing, public
from backend.core.errors import AppError, NotFoundError
from backend.core.forms import Form, form_of
from backend.core.i18n import _
from backend.core.templating import flash, render
from backend.database.crud.auth import OneTimeTokenCRUD
from backend.database.crud.links import INVITE
from backend.database.crud.staff import StaffCRUD, has_login
from backend.database.models.users import User
from backend.database.schemas.staff import Acceptance
from backend.database.session import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = Routes(tags=["sign-in"])
Links = Annotated[OneTimeTokenCRUD, crud(OneTimeTokenCRUD)]


@router.get("/invite/{token}", dependencies=[public], name="auth:invite")
def invitation(request: Request, token: str, links: Links) -> Response:
    """Looking does not use the link up: messengers and mail scanners open every link they see."""
    return _page(request, token, _invited(links, token))


@router.post("/invite/{token}", dependencies=[public, detached, hashing])
def accept(
    request: Request,
    token: str,
    database: DatabaseDep,
    caller: Caller,
    form: Annotated[Form[Acceptance], form_of(Acceptance)],
) -> Response:
    with database.read() as session:
        person = _invited(OneTimeTokenCRUD(session), token)
    if person is not None and form.data is not None:
        form.errors = _refusals(request, database, person, form.data)
    if person is None or form.data is None or form.errors:
        return _page(request, token, person, 404 if person is None else 422, form=form)
    login, hashed = form.data.login, security.hash_password(form.data.password)

    def take(session: "Session") -> signin.Entered:
        return signin.come_in(session, StaffCRUD(session).accept(token, login, hashed), request, method="invitation")

    try:
        entered = database.run(take, caller.actor)
    except NotFoundError:  # someone else was faster with the same link
        return _page(request, token, None, 404)
    except AppError as error:
        return _page(request, token, person, error.status, form=form.refuse(error))
    flash(request, _("Your account is ready."))
    return signin.let_in(request, entered)


def _invited(links: OneTimeTokenCRUD, token: str) -> User | None:
    found = links.find_live(token, INVITE)
    return found.user if found and found.user.is_active and found.user.password_hash is None else None


def _refusals(request: Request, database: Database, person: User, sent: Acceptance) -> dict[str, str]:
    """What is wrong, field by field."""
    errors: dict[str, str] = {}
    if sent.login and sent.login != person.login:
        with database.read() as session:
            try:
                StaffCRUD(session).refuse_taken(sent.login)
            except AppError as error:
                errors |= error.fields
    elif not (sent.login or has_login(person.login) or person.email):
        errors["login"] = _("Fill in this field.")
    known = person.name, sent.login, request.app.state.school.name
    return errors | passwords.refusals(sent.password, sent.repeat, *known, email=person.email)


def _page(
    request: Request, token: str, person: User | None, status: int | None = None, form: Form[Any] | None = None
) -> Response:
    known = person.login if person is not None and has_login(person.login) else ""
    status = status or (200 if person else 404)
    return render(request, "auth/invite.html", status, person=person, token=token, form=form or Form(), login=known)
