"""Students who sign up by themselves, where the school wants that (REGISTRATION=1)."""

from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import passwords, security, throttles
from backend.core.auth import client_ip
from backend.core.context import Actor
from backend.core.errors import InvalidError, NotFoundError, TooManyRequestsError
from backend.core.hosts import network
from backend.core.i18n import _
from backend.database.crud.registrations import RegistrationCRUD
from backend.database.crud.throttle import Limit
from backend.database.models.doors import Registration
from backend.database.models.users import User
from backend.database.schemas.doors import RegisterRequest
from backend.database.session import Database

A_DAY = 24 * 3600
TRIES = 5, 15 * 60  # at the password of a link, in so many seconds
EMAIL, ADDRESS, EVERYONE = 5, 30, 1000  # a day: for one e-mail; from a network, which a class may share; in all


def sign_up(database: Database, request: Request, sent: RegisterRequest, actor: Actor) -> None:
    """Raises InvalidError for a weak password, TooManyRequestsError."""
    name = " ".join(filter(None, (sent.first_name, sent.last_name)))
    if wrong := passwords.problem(sent.password, name, sent.email.partition("@")[0]):
        raise InvalidError(fields={"password": wrong})
    who = security.digest(sent.email.casefold())[:32]
    limits = (
        Limit(f"register-ip:{network(client_ip(request))}", ADDRESS, A_DAY),
        Limit(f"register:{who}", EMAIL, A_DAY),
        Limit("register-all", EVERYONE, A_DAY),
    )
    if wait := throttles.count(database, limits):
        raise TooManyRequestsError(_("Too many registrations. Try again tomorrow."), retry_after=wait)
    hashed = security.hash_password(sent.password)  # for a known address too: the time tells nothing

    def store(session: Session) -> None:
        RegistrationCRUD(session).ask(sent, hashed)

    database.run(store, actor)


def confirm(database: Database, found: Registration | None, secret: str, password: str, actor: Actor) -> User:
    """The new student of a link (`found` by its secret), for whoever knows the password as well: else somebody could
    sign up with another's address and a password of their own, and wait for the other one to follow the link.

    Raises NotFoundError, InvalidError for another password, TooManyRequestsError, ConflictError.
    """
    if found is None:
        raise NotFoundError
    if wait := throttles.count(database, [Limit(f"welcome:{found.token_hash[:32]}", *TRIES)]):
        raise TooManyRequestsError(_("Too many attempts. Wait 15 minutes and try again."), retry_after=wait)
    if not security.check_password(password, found.password_hash)[0]:
        words = _("Incorrect password. If you did not sign up here yourself, close this page.")
        raise InvalidError(fields={"password": words})
    return database.run(lambda session: RegistrationCRUD(session).finish(secret), actor)
