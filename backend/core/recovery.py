"""Asking for a new password: counted first, the same for everyone, slow work outside transactions."""

from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import security, throttles
from backend.core.auth import client_ip
from backend.core.context import Actor
from backend.core.devices import name_of
from backend.core.errors import TooManyRequestsError
from backend.core.hosts import network
from backend.core.i18n import _
from backend.database.crud.locks import confirm_key, reset_device_key, reset_key
from backend.database.crud.recovery import RecoveryCRUD
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.session import Database

A_DAY = 24 * 3600
ACCOUNT, ADDRESS = 5, 20  # a day: of a person; of a network, which a whole class may share
CONFIRMATIONS = 10  # a day: letters of a person to addresses that may be anybody's


def ask(database: Database, request: Request, typed: str, actor: Actor) -> None:
    """Raises TooManyRequestsError, which tells nothing either: it counts what was typed, known or not."""
    limits = _limits(database, request, typed)
    if wait := throttles.count(database, limits):
        raise TooManyRequestsError(_("Too many password reset requests. Try again tomorrow."), retry_after=wait)
    database.run(lambda session: RecoveryCRUD(session).ask(typed), actor)


def _limits(database: Database, request: Request, typed: str) -> tuple[Limit, ...]:
    """A browser that the person has signed in with has tries of its own: nobody else can use them up."""
    with database.read() as session:
        user = UserCRUD(session).find_by_login(typed)
    if user and (device := name_of(request, database, user.id)):
        return (Limit(reset_device_key(user.id) + device, ACCOUNT, A_DAY),)
    typed_key = security.digest(typed.strip().casefold())[:32]
    who = reset_key(user.id) if user else f"reset:?{typed_key}"
    return Limit(f"reset-ip:{network(client_ip(request))}", ADDRESS, A_DAY), Limit(who, ACCOUNT, A_DAY)


def count_confirmation(session: Session, user_id: int) -> None:
    """In the transaction that writes the letter: what is not sent is not counted. Raises TooManyRequestsError."""
    if wait := ThrottleCRUD(session).take([Limit(confirm_key(user_id), CONFIRMATIONS, A_DAY)]):
        raise TooManyRequestsError(_("Too many changes of email. Try again tomorrow."), retry_after=wait)
