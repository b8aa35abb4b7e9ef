"""Signing in: count the attempt, check the password outside any transaction, then open the session.

What someone outside can see is the same for a wrong password, an unknown login and a switched-off
account: the same words after the same work.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from backend.core import clock, security, throttles
from backend.core.auth import client_ip, cookie_name, keep_signed_in
from backend.core.config import Settings
from backend.core.context import Actor, Door, request_id_var
from backend.core.devices import UNKNOWN, Device, device_of, keep, name_of
from backend.core.errors import NotAuthenticatedError, TooManyRequestsError
from backend.core.events import Event
from backend.core.hosts import network
from backend.core.i18n import N_, _
from backend.core.links import encode, local_path
from backend.core.templating import go_to
from backend.database import audit
from backend.database.crud.auth import ABSOLUTE, PENDING, SessionCRUD
from backend.database.crud.credentials import CredentialCRUD, TrustedDeviceCRUD
from backend.database.crud.links import drop_invitations
from backend.database.crud.locks import ACCOUNT, account_key, device_key, devices_limit, password_key
from backend.database.crud.places import PlaceCRUD
from backend.database.crud.presence import hold_user
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.listing import AnyRow
from backend.database.models.users import User
from backend.database.session import Database

ACCOUNT_SECONDS = 15 * 60
ADDRESS, ADDRESS_SECONDS = 20, 3600
EVERYONE, EVERYONE_SECONDS = 1000, 5 * 60
DEVICE = 10  # tries of a browser that this person has signed in with before
# Only failures count against an address, everyone or all devices of a person: an office behind one address may sign in
# all morning.
SHARED = BY_ADDRESS, BY_EVERYONE, _BY_DEVICES = ("login-ip:", "login-all", "login-devices:")
# Whom a limit that is used up keeps out, the most important first.
REACH = {BY_EVERYONE: "everyone", BY_ADDRESS: "address", "login": "account"}


class InvalidCredentialsError(NotAuthenticatedError):
    code = "invalid_credentials"
    default = N_("Wrong login or password. Check the keyboard layout and Caps Lock.")


@dataclass(frozen=True)
class Attempt:
    username: str
    password: str
    ip: str = ""
    user_agent: str = ""
    device: Device = UNKNOWN
    door: Door = Door.WEB

    @classmethod
    def of(cls, request: Request, username: str, password: str, *, device: Device | None = None) -> "Attempt":
        door = Door.WEB if device else Door.API
        return cls(username, password, client_ip(request), user_agent(request), device or UNKNOWN, door)

    @property
    def actor(self) -> Actor:
        return Actor(self.door, ip=self.ip, request_id=request_id_var.get())


@dataclass(frozen=True)
class Verified:
    """A right password: whose, and the hash that it was checked against."""

    user_id: int
    password_hash: str
    better_hash: str | None
    limits: tuple[Limit, ...]


def user_agent(request: Request) -> str:
    return "".join(char for char in request.headers.get("user-agent", "") if char.isprintable())


def verify(database: Database, attempt: Attempt) -> Verified:
    """Raises InvalidCredentialsError or TooManyRequestsError.

    Never call it inside a transaction.
    """
    with database.read() as session:
        user = UserCRUD(session).find_by_login(attempt.username)
        limits = _limits(session, attempt, user)
    wait = throttles.count(database, limits)
    if wait:
        soon = _("Too many attempts. Wait 15 minutes and try again.")
        raise TooManyRequestsError(soon if wait <= ACCOUNT_SECONDS else None, retry_after=wait)
    stored = user.password_hash if user and user.is_active else None
    fits, better = security.check_password(attempt.password, stored)
    if user is None or stored is None or not fits:
        database.run(lambda session: _note_failure(session, attempt, user, limits), attempt.actor)
        raise InvalidCredentialsError
    return Verified(user.id, stored, better, limits)


def _note_failure(session: Session, attempt: Attempt, user: User | None, limits: tuple[Limit, ...]) -> None:
    """The last try that was allowed is told apart: from here on the account, the address or everyone waits."""
    who = user.id if user else None
    if full := ThrottleCRUD(session).used_up(limits):
        limit = next((words for beginning, words in REACH.items() if any(key.startswith(beginning) for key in full)))
        audit.note(session, Event.LOGIN_FAIL_MAX, user_id=who, user_agent=attempt.user_agent, limit=limit)
    else:
        audit.note(session, Event.LOGIN_FAIL, user_id=who, user_agent=attempt.user_agent)


def welcome(session: Session, verified: Verified) -> User:
    """The person of a right password, in the transaction that opens their session.

    Raises InvalidCredentialsError when the account changed while the password was being checked.
    """
    user = hold_user(session, verified.user_id)
    if user is None or not user.is_active or user.password_hash != verified.password_hash:
        raise InvalidCredentialsError
    if verified.better_hash:
        user.password_hash = verified.better_hash
        session.flush()
    if all(limit.key != account_key(user.id) for limit in verified.limits):  # a known device has a count of its own
        ThrottleCRUD(session).reset([account_key(user.id)])
    forgive(session, verified.limits)
    return user


def forgive(session: Session, limits: tuple[Limit, ...]) -> None:
    """A right password ends the count of its account. Rows are locked in the order of `take`: in another one, two who
    sign in to one account at once would wait for each other.
    """
    throttle = ThrottleCRUD(session)
    for limit in limits:
        if limit.key.startswith(SHARED):
            throttle.give_back([limit])
        else:
            throttle.reset([limit.key])


@dataclass(frozen=True)
class Entered:
    """A new browser session: the secret of its cookie. `pending`: it opens nothing until the second factor came."""

    user_id: int
    secret: str
    device: Device
    pending: bool = False
    remember: bool = False


def come_in(
    session: Session, user: User, request: Request, *, method: str, remember: bool = False, proved: bool = False
) -> Entered:
    """Every way in ends here, in the transaction that accepted the person; `let_in` then answers the browser.

    `method`: "password", "link", "reset", "passkey", "google", ...; `proved`: the second factor came along. Without it
    a person who has one gets a session that asks for it. The session of the cookie that came along ends.
    """
    settings: Settings = request.app.state.settings
    sessions, device = SessionCRUD(session), device_of(request, settings)
    sessions.revoke_secret(request.cookies.get(cookie_name(settings), ""))
    pending = not (proved or _excused(session, user, device))
    if user.password_hash is None:
        drop_invitations(session, user.id)
    new = not device.knows(session, user.id) and is_new(session, user.id, request)
    remember = remember and settings.remember_days > 0
    _row, secret = sessions.open(
        user,
        kind="cookie",
        user_agent=user_agent(request),
        ip=client_ip(request),
        lifetime=PENDING if pending else timedelta(days=settings.remember_days) if remember else ABSOLUTE,
        level="pending" if pending else "full",
        method=method,
        strong_at=clock.now() if proved else None,
    )
    if pending:
        audit.note(session, Event.FACTOR_ASKED, user_id=user.id, user_agent=user_agent(request), method=method)
    else:
        _note_entry(session, user, request, method, new=new)
    return Entered(user.id, secret, device.with_person(session, user.id), pending, remember)


def is_new(session: Session, user_id: int, request: Request) -> bool:
    """Whether the person comes from where they never came from: see PlaceCRUD. Browsers of one make all say the same of
    themselves, and an office shares an address: either alone is no device.
    """
    return PlaceCRUD(session).is_new(user_id, user_agent(request), client_ip(request))


def _excused(session: Session, user: User, device: Device) -> bool:
    """Whoever has no second factor, or said on this very device that it need not ask."""
    if not CredentialCRUD(session).has_factor(user.id):
        return True
    return device.knows(session, user.id) and TrustedDeviceCRUD(session).trusts(user.id, device.name)


def _note_entry(session: Session, user: User, request: Request, method: str, *, new: bool) -> None:
    SessionCRUD(session).note_sign_in()
    actor: Actor = session.info.get("actor") or Actor(Door.WEB, ip=client_ip(request))
    session.info["actor"] = replace(actor, user_id=user.id)
    kind = Event.LOGIN_NEW_DEVICE if new else Event.LOGIN_SUCCESS
    audit.note(session, kind, user_id=user.id, user_agent=user_agent(request), method=method)


def complete(session: Session, pending: AnyRow, request: Request, *, factor: str, remember: bool = False) -> Entered:
    """The second factor was right: a new session, with a new secret, takes the place of the pending one.

    Raises NotAuthenticatedError when that one has ended or been completed meanwhile.
    """
    if not SessionCRUD(session).revoke(pending.id):
        raise NotAuthenticatedError
    user, method = UserCRUD(session).get_by_id(pending.user_id), f"{pending.method}+{factor}"
    return come_in(session, user, request, method=method, remember=remember, proved=True)


def let_in(request: Request, entered: Entered, next_path: str = "/dashboard/") -> Response:
    """On to `next_path` with the new session's cookie, or to the second factor first."""
    settings: Settings = request.app.state.settings
    if entered.pending:
        again = {"next": local_path(next_path), "remember": entered.remember}
        response = go_to(request, f"/login/second?{encode(again.items())}")
        keep_signed_in(response, settings, entered.secret, remember=False)
        return response
    response = go_to(request, local_path(next_path))
    keep_signed_in(response, settings, entered.secret, remember=entered.remember)
    keep(response, settings, entered.device)
    return response


def _limits(session: Session, attempt: Attempt, user: User | None) -> tuple[Limit, ...]:
    if user and attempt.device.knows(session, user.id):
        return _own(user.id, attempt.device.name)
    # People type their password into the login field: what was typed is not kept as it is.
    unknown = "login:?" + security.digest(attempt.username.strip().casefold())[:32]
    address, everyone = shared_limits(attempt.ip)
    return address, Limit(account_key(user.id) if user else unknown, ACCOUNT, ACCOUNT_SECONDS), everyone


def passkey_limits(request: Request, database: Database, owner: int | None) -> tuple[Limit, ...]:
    """Of a passkey without a password; `owner`: whose it says that it is. A device that knows them is never locked out
    by others.
    """
    name = name_of(request, database, owner) if owner else ""
    return _own(owner, name) if owner and name else shared_limits(client_ip(request))


def _own(user_id: int, device: str) -> tuple[Limit, ...]:
    """Of a device that knows the person, and of all of theirs: whoever knew the password once may have many."""
    return Limit(device_key(user_id) + device, DEVICE, ACCOUNT_SECONDS), devices_limit(user_id)


def password_limits(request: Request, database: Database, user_id: int) -> tuple[Limit, ...]:
    """Of tries at one's own password from a session: a device that knows the person has its own."""
    device = name_of(request, database, user_id)
    own = Limit(password_key(user_id, device), ACCOUNT, ACCOUNT_SECONDS)
    return (own, devices_limit(user_id)) if device else (own,)


def prove_password(
    request: Request, database: Database, user_id: int, password: str, actor: Actor
) -> tuple[Limit, ...]:
    """The password of whoever is signed in, as a proof of who they are; what to forgive in the transaction that takes
    it. Raises TooManyRequestsError, InvalidCredentialsError; wrong ones are events. Never inside a transaction.
    """
    limits = password_limits(request, database, user_id)
    if wait := throttles.count(database, limits):
        raise TooManyRequestsError(_("Too many attempts. Wait 15 minutes and try again."), retry_after=wait)
    with database.read() as session:
        stored = UserCRUD(session).get_by_id(user_id).password_hash
    if security.check_password(password, stored)[0]:
        return limits

    def note(session: Session) -> None:
        full = {"limit": "account"} if ThrottleCRUD(session).used_up(limits) else {}
        event = Event.LOGIN_FAIL_MAX if full else Event.LOGIN_FAIL
        audit.note(session, event, user_id=user_id, user_agent=user_agent(request), **full)

    database.run(note, actor)
    raise InvalidCredentialsError(_("Incorrect password."))


def shared_limits(ip: str) -> tuple[Limit, Limit]:
    """Of an address, and of everyone."""
    return (
        Limit(BY_ADDRESS + network(ip), ADDRESS, ADDRESS_SECONDS),
        Limit(BY_EVERYONE, EVERYONE, EVERYONE_SECONDS),
    )
