"""The second factor: an attempt is counted before it is looked at, and whatever fits is used up by that very look."""

from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import clock, otp, passkeys, security, throttles
from backend.core.config import Settings
from backend.core.devices import name_of
from backend.core.errors import NotAuthenticatedError, TooManyRequestsError
from backend.core.events import Event
from backend.core.i18n import N_, _
from backend.core.signin import user_agent
from backend.database import audit
from backend.database.crud.credentials import APP, RECOVERY, CredentialCRUD
from backend.database.crud.locks import factor_limits
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.auth import Credential
from backend.database.session import Database


class SecondFactorRequiredError(NotAuthenticatedError):
    code = "second_factor_required"
    default = N_("Send a code from your authenticator app, or a recovery code, as `otp`.")


class WrongFactorError(NotAuthenticatedError):
    code = "invalid_otp"
    default = N_("Incorrect code. Enter the one the app shows now; each works once.")


def limits(request: Request, database: Database, user_id: int, *, known: bool = True) -> tuple[Limit, ...]:
    """Of this person's tries; a device that knows them has its own. `known=False`: there is no device (the API)."""
    return factor_limits(user_id, name_of(request, database, user_id) if known else "")


def count(database: Database, counted: tuple[Limit, ...]) -> None:
    """One attempt, before anything is looked at. Raises TooManyRequestsError."""
    wait = throttles.count(database, counted)
    if wait:
        raise TooManyRequestsError(_("Too many incorrect codes. Wait a little and try again."), retry_after=wait)


def spend(session: Session, settings: Settings, user_id: int, typed: str) -> str:
    """Uses up a code: APP or RECOVERY, whichever it was, "" when it fits nothing or was used before."""
    code, credentials = otp.plain(typed), CredentialCRUD(session)
    if not otp.is_app_code(code):
        return RECOVERY if credentials.burn_code(user_id, otp.recovery_code(typed)) else ""
    app = credentials.app_of(user_id)
    secret = security.unseal(settings, app.secret or "") if app else None
    step = otp.step_of(secret, code, clock.now()) if secret else None
    return APP if app and step is not None and credentials.burn_step(app.id, step) else ""


def settle(session: Session, request: Request, user_id: int, method: str, counted: tuple[Limit, ...]) -> None:
    """Writes down how an attempt ended. What was right does not count against the person."""
    agent = user_agent(request)
    if not method:
        note_failure(session, request, user_id, counted)
        return
    ThrottleCRUD(session).give_back(counted)
    if method == RECOVERY:
        left = CredentialCRUD(session).of(user_id).codes_left
        audit.note(session, Event.RECOVERY_USED, user_id=user_id, user_agent=agent, left=left)


def note_failure(session: Session, request: Request, user_id: int | None, counted: tuple[Limit, ...]) -> None:
    """The last try that was allowed is told apart, as with passwords."""
    kind = Event.FACTOR_FAIL_MAX if ThrottleCRUD(session).used_up(counted) else Event.FACTOR_FAIL
    audit.note(session, kind, user_id=user_id, user_agent=user_agent(request))


def owner_of(database: Database, answer: str) -> int | None:
    """Whose passkey an answer says that it is; nothing is proved by that."""
    with database.read() as session:
        passkey = CredentialCRUD(session).passkey(passkeys.id_of(answer))
    return passkey.user_id if passkey else None


@dataclass(frozen=True)
class Proof:
    """A passkey's right answer, not yet used up: whose passkey, its new count of uses, the ticket of the question."""

    passkey: Credential
    sign_count: int
    ticket: str

    def spend(self, session: Session) -> None:
        """Raises InvalidError or WrongFactorError when it was spent before."""
        passkeys.spend(session, self.ticket)
        if not CredentialCRUD(session).count_up(self.passkey.id, self.sign_count):
            raise _wrong_passkey()


def proof_of(request: Request, database: Database, ticket: str, answer: str, user_id: int | None = None) -> Proof:
    """Checks a passkey's answer, outside any transaction; `user_id`: whose it has to be.

    Raises WrongFactorError, and InvalidError for a question that is too old or not of this browser.
    """
    site = passkeys.site_of(request)
    with database.read() as session:
        passkey = CredentialCRUD(session).passkey(passkeys.id_of(answer))
    if site is None or passkey is None or user_id not in (None, passkey.user_id):
        raise _wrong_passkey()
    sign_count = passkeys.fits(request, site, ticket, answer, passkey)
    if sign_count is None:
        raise _wrong_passkey()
    return Proof(passkey, sign_count, ticket)


def _wrong_passkey() -> WrongFactorError:
    return WrongFactorError(_("This passkey did not work. Try again or choose another method."))
