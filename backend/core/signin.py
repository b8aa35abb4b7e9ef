"""Signing in: count the attempt, check the password outside any transaction, then open the session.

What someone outside can see is the same for a wrong password, an unknown login and a switched-off
account: the same words after the same work.
"""

import ipaddress
import secrets
from dataclasses import dataclass

import structlog
from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.auth import DEVICE_COOKIE, client_ip, cookie_name
from backend.core.config import Settings
from backend.core.errors import NotAuthenticatedError, TooManyRequestsError
from backend.core.i18n import N_, _
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.session import Database

log = structlog.get_logger()
ACCOUNT, ACCOUNT_SECONDS = 5, 15 * 60
ADDRESS, ADDRESS_SECONDS = 20, 3600
EVERYONE, EVERYONE_SECONDS = 1000, 5 * 60
DEVICE = 10  # tries of a browser that this person has signed in with before
PEOPLE_PER_DEVICE = 5
# Only failures count against an address or everyone: an office behind one address may sign in all
# morning.
SHARED = BY_ADDRESS, BY_EVERYONE = ("login-ip:", "login-all")


class InvalidCredentialsError(NotAuthenticatedError):
    code = "invalid_credentials"
    default = N_("Login or password did not fit. Check the keyboard layout and Caps Lock.")


@dataclass(frozen=True)
class Device:
    """A browser that people have signed in with: attacks on their account do not lock it out."""

    name: str = ""
    people: tuple[int, ...] = ()

    def knows(self, user_id: int | None) -> bool:
        return user_id in self.people

    def with_person(self, user_id: int) -> "Device":
        people = (*(known for known in self.people if known != user_id), user_id)
        return Device(self.name or secrets.token_urlsafe(12), people[-PEOPLE_PER_DEVICE:])

    def seal(self, settings: Settings) -> str:
        text = f"{self.name}.{'-'.join(map(str, self.people))}"
        return f"{text}.{security.sign(settings, 'device', text)}"


def device_of(request: Request, settings: Settings) -> Device:
    """The device that the request's cookie proves, or a new one."""
    text, _dot, mac = request.cookies.get(cookie_name(settings, DEVICE_COOKIE), "").rpartition(".")
    if not text or not security.verify_signature(settings, "device", text, mac):
        return Device()
    name, _dot, people = text.partition(".")
    return Device(name, tuple(int(person) for person in people.split("-")))


@dataclass(frozen=True)
class Attempt:
    username: str
    password: str
    ip: str = ""
    user_agent: str = ""
    device: Device = Device()

    @classmethod
    def of(cls, request: Request, username: str, password: str, *, device: Device | None = None) -> "Attempt":
        return cls(username, password, client_ip(request), user_agent(request), device or Device())


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
    limits = _limits(attempt, user)
    wait = database.run(lambda session: ThrottleCRUD(session).take(limits))
    if wait:
        log.warning("authn_login_throttled", user_id=user and user.id, ip=attempt.ip)
        soon = _("Too many attempts. Wait a quarter of an hour, then try again.")
        raise TooManyRequestsError(soon if wait <= ACCOUNT_SECONDS else None, retry_after=wait)
    stored = user.password_hash if user and user.is_active else None
    fits, better = security.check_password(attempt.password, stored)
    if user is None or stored is None or not fits:
        log.warning("authn_login_fail", user_id=user and user.id, ip=attempt.ip)
        raise InvalidCredentialsError
    return Verified(user.id, stored, better, limits)


def welcome(session: Session, verified: Verified) -> User:
    """The person of a right password, in the transaction that opens their session.

    Raises InvalidCredentialsError when the account changed while the password was being checked.
    """
    user = UserCRUD(session).find_by_id(verified.user_id)
    if user is None or not user.is_active or user.password_hash != verified.password_hash:
        raise InvalidCredentialsError
    if verified.better_hash:
        user.password_hash = verified.better_hash
        session.flush()
    throttle = ThrottleCRUD(session)
    shared = [limit for limit in verified.limits if limit.key.startswith(SHARED)]
    throttle.give_back(shared)
    throttle.reset([account_key(user.id), *(limit.key for limit in verified.limits if limit not in shared)])
    log.info("authn_login_success", user_id=user.id)
    return user


def open_browser_session(session: Session, user: User, request: Request, *, remember: bool, replaces: str = "") -> str:
    """The secret of a new browser session.

    `replaces` is the cookie that came along: that session ends.
    """
    sessions = SessionCRUD(session)
    sessions.revoke_secret(replaces)
    sessions.note_sign_in()
    _row, secret = sessions.open(
        user,
        kind="cookie",
        user_agent=user_agent(request),
        ip=client_ip(request),
        lifetime=sessions.lifetime(remember=remember),
    )
    return secret


def account_key(user_id: int) -> str:
    return f"login:{user_id}:"


def device_key(user_id: int) -> str:
    """The beginning of the keys of all devices that know this person."""
    return f"login-device:{user_id}:"


def password_key(user_id: int) -> str:
    """Tries at one's own old password, from a session that may be someone else's by now."""
    return f"password:{user_id}:"


def _limits(attempt: Attempt, user: User | None) -> tuple[Limit, ...]:
    if user and attempt.device.knows(user.id):
        return (Limit(device_key(user.id) + attempt.device.name, DEVICE, ACCOUNT_SECONDS),)
    # People type their password into the login field: what was typed is not kept as it is.
    unknown = "login:?" + security.digest(attempt.username.strip().casefold())[:32]
    return (
        Limit(BY_ADDRESS + network(attempt.ip), ADDRESS, ADDRESS_SECONDS),
        Limit(account_key(user.id) if user else unknown, ACCOUNT, ACCOUNT_SECONDS),
        Limit(BY_EVERYONE, EVERYONE, EVERYONE_SECONDS),
    )


def network(ip: str) -> str:
    """What one subscriber has: an IPv4 address, or a /64 of IPv6."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False).network_address) + "/64"
