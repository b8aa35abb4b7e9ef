"""Passkeys (WebAuthn level 3): the questions that a browser is asked, and whether its answers fit.

A challenge lives five minutes, belongs to the session or visitor that it was made for, and is answered once.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.errors import InvalidError
from backend.core.hosts import is_loopback
from backend.core.i18n import _
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.auth import Credential

SECONDS, PURPOSE = 5 * 60, "passkey"
MILLISECONDS = SECONDS * 1000
VERIFIED = UserVerificationRequirement.REQUIRED
# What the library meets in hostile JSON besides its own errors.
MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class Site:
    """Where passkeys are bound to: `id` is the domain."""

    id: str
    origin: str


def site_of(request: Request) -> Site | None:
    """None where browsers have no passkeys: on plain http and at an address of figures, but for localhost."""
    settings: Settings = request.app.state.settings
    if is_loopback(settings.host):
        host = request.url.hostname
        return Site("localhost", f"{request.url.scheme}://{request.url.netloc}") if host == "localhost" else None
    return Site(settings.host, settings.url) if settings.passkeys_on else None


def localhost(request: Request) -> str:
    """The address at which a school on this machine has passkeys, when the page was opened by another; else ""."""
    settings: Settings = request.app.state.settings
    if site_of(request) or not is_loopback(settings.host):
        return ""
    port = f":{request.url.port}" if request.url.port else ""
    return f"{request.url.scheme}://localhost{port}{request.url.path}"


@dataclass(frozen=True)
class Question:
    """What the page's script hands to the browser, and the ticket that comes back with the answer."""

    options: str
    ticket: str


def _ticket(request: Request) -> tuple[bytes, str]:
    """A new challenge, and it with its end under our signature."""
    settings: Settings = request.app.state.settings
    challenge = secrets.token_bytes(32)
    text = f"{int(clock.now().timestamp()) + SECONDS}.{bytes_to_base64url(challenge)}"
    return challenge, f"{text}.{security.sign(settings, PURPOSE, _bound(request, text))}"


def _bound(request: Request, text: str) -> str:
    return f"{text}.{request.state.csrf_key}"


def challenge_of(request: Request, ticket: str) -> bytes:
    """Raises InvalidError for a ticket that is too old, changed or someone else's."""
    settings: Settings = request.app.state.settings
    text, _dot, mac = ticket.rpartition(".")
    ends, _dot, challenge = text.partition(".")
    if not security.verify_signature(settings, PURPOSE, _bound(request, text), mac):
        raise _late()
    if int(ends) < clock.now().timestamp():
        raise _late()
    return base64url_to_bytes(challenge)


def spend(session: Session, ticket: str) -> None:
    """Uses up the challenge of a ticket whose signature fits. Raises InvalidError the second time."""
    name = "challenge:" + security.digest(ticket.rpartition(".")[0])
    if ThrottleCRUD(session).take([Limit(name, 1, SECONDS)]):
        raise _late()


def _late() -> InvalidError:
    return InvalidError(_("That took too long or was sent twice. Try once more."), code="challenge")


def ask_to_register(request: Request, site: Site, user: Any, known: tuple[Credential, ...]) -> Question:
    """`user`: the person (id, name, login, email); `known`: their passkeys, which are not made twice."""
    challenge, ticket = _ticket(request)
    options = generate_registration_options(
        rp_id=site.id,
        rp_name=request.app.state.school.name,
        user_id=hashlib.sha256(f"lyceum:user:{user.id}".encode()).digest(),
        user_name=user.login or user.email or user.name,
        user_display_name=user.name,
        challenge=challenge,
        timeout=MILLISECONDS,
        exclude_credentials=_described(known),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=VERIFIED
        ),
    )
    return Question(options_to_json(options), ticket)


def ask(request: Request, site: Site, known: tuple[Credential, ...] = ()) -> Question:
    """For one of the `known` passkeys; without any the browser offers those that it has for this site."""
    challenge, ticket = _ticket(request)
    options = generate_authentication_options(
        rp_id=site.id,
        challenge=challenge,
        timeout=MILLISECONDS,
        allow_credentials=_described(known),
        user_verification=VERIFIED,
    )
    return Question(options_to_json(options), ticket)


def _described(known: tuple[Credential, ...]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(each.public_id or "")) for each in known]


def made(request: Request, site: Site, ticket: str, answer: str) -> dict[str, Any]:
    """The columns of a new passkey. Raises InvalidError."""
    challenge = challenge_of(request, ticket)
    try:
        found = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except MALFORMED as error:
        raise InvalidError(_("This passkey was not accepted. Try again.")) from error
    return {
        "public_id": bytes_to_base64url(found.credential_id),
        "public_key": bytes_to_base64url(found.credential_public_key),
        "sign_count": found.sign_count,
        "data": {"aaguid": found.aaguid, "synced": found.credential_backed_up},
    }


def id_of(answer: str) -> str:
    """Which passkey answers, by its own word; "" when that cannot be read."""
    try:
        named = json.loads(answer)["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return named if isinstance(named, str) else ""


def fits(request: Request, site: Site, ticket: str, answer: str, passkey: Credential) -> int | None:
    """The passkey's new count of uses, None when the answer is not its own. Raises InvalidError for the ticket."""
    challenge = challenge_of(request, ticket)
    try:
        found = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            credential_public_key=base64url_to_bytes(passkey.public_key or ""),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except MALFORMED:
        return None
    return found.new_sign_count
