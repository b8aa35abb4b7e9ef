"""Passkeys (WebAuthn level 3): the questions that a browser is asked, and whether its answers fit.

A challenge lives five minutes, belongs to the session or visitor that it was made for, and is answered once.
The library that reads answers takes 4 MB: imported where a passkey is made or used, not with each page to sign in.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.errors import InvalidError
from backend.core.hosts import is_loopback
from backend.core.i18n import _
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.auth import Credential

SECONDS, PURPOSE = 5 * 60, "passkey"
MILLISECONDS = SECONDS * 1000
# What the library meets in hostile JSON besides its own errors.
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


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
    text = f"{int(clock.now().timestamp()) + SECONDS}.{_text(challenge)}"
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
    return _bytes(challenge)


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(f"{text}===")  # too much padding is no fault


def spend(session: Session, ticket: str) -> None:
    """Uses up the challenge of a ticket whose signature fits. Raises InvalidError the second time."""
    name = "challenge:" + security.digest(ticket.rpartition(".")[0])
    if ThrottleCRUD(session).take([Limit(name, 1, SECONDS)]):
        raise _late()


def _late() -> InvalidError:
    return InvalidError(_("That took too long or was sent twice. Try once more."), code="challenge")


def ask_to_register(request: Request, site: Site, user: Any, known: tuple[Credential, ...]) -> Question:
    """`user`: the person (id, name, login, email); `known`: their passkeys, which are not made twice."""
    import webauthn  # noqa: PLC0415 - see above
    from webauthn.helpers import structs  # noqa: PLC0415 - the same

    challenge, ticket = _ticket(request)
    options = webauthn.generate_registration_options(
        rp_id=site.id,
        rp_name=request.app.state.school.name,
        user_id=hashlib.sha256(f"lyceum:user:{user.id}".encode()).digest(),
        user_name=user.login or user.email or user.name,
        user_display_name=user.name,
        challenge=challenge,
        timeout=MILLISECONDS,
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(_bytes(each.public_id or "")) for each in known],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
    )
    return Question(webauthn.options_to_json(options), ticket)


def ask(request: Request, site: Site, known: tuple[Credential, ...] = ()) -> Question:
    """For one of the `known` passkeys; without any the browser offers those that it has for this site."""
    challenge, ticket = _ticket(request)
    options = {
        "challenge": _text(challenge),
        "timeout": MILLISECONDS,
        "rpId": site.id,
        "allowCredentials": [{"id": each.public_id, "type": "public-key"} for each in known],
        "userVerification": "required",
    }
    return Question(json.dumps(options), ticket)


def made(request: Request, site: Site, ticket: str, answer: str) -> dict[str, Any]:
    """The columns of a new passkey. Raises InvalidError."""
    import webauthn  # noqa: PLC0415 - see above

    challenge = challenge_of(request, ticket)
    try:
        found = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (webauthn.helpers.exceptions.WebAuthnException, *MALFORMED) as error:
        raise InvalidError(_("This passkey was not accepted. Try again.")) from error
    return {
        "public_id": _text(found.credential_id),
        "public_key": _text(found.credential_public_key),
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
    import webauthn  # noqa: PLC0415 - see above

    challenge = challenge_of(request, ticket)
    try:
        found = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            credential_public_key=_bytes(passkey.public_key or ""),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (webauthn.helpers.exceptions.WebAuthnException, *MALFORMED):
        return None
    return found.new_sign_count
