"""Passwords, random tokens and signatures.

Slow functions here are never called inside a transaction.
"""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from datetime import timedelta
from functools import cache
from threading import BoundedSemaphore
from typing import Any

import jwt
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from passlib.context import CryptContext

from backend.core import clock
from backend.core.config import Settings

ISSUER = "lyceum"
AUDIENCE = "api"
LEEWAY_SECONDS = 30
API_TOKEN_PREFIX = "lyc_"  # noqa: S105 - a prefix, not a secret
# No password fits it; checking one against it takes as long as against a real hash of today's cost.
NOBODYS_HASH = "$argon2id$v=19$m=19456,t=2,p=1$CaEUAsCYs/b+X0sJAQDA2A$67V5Jzj8YRumQd6pNB6w/djAtmclV3KbRDOGYN50hyU"
# Each hash takes a core and 19 MiB: a flood of sign-ins must not take all of them.
_hashing = BoundedSemaphore(2)


@cache
def _passwords() -> CryptContext:
    # OWASP's second argon2id profile: 19 MiB, 2 passes (security.md 9). bcrypt hashes are verified
    # and upgraded.
    return CryptContext(
        schemes=["argon2", "bcrypt"],
        deprecated="auto",
        argon2__type="ID",
        argon2__memory_cost=19456,
        argon2__time_cost=2,
        argon2__parallelism=1,
    )


def normal(password: str) -> str:
    """One spelling of a password, whatever keyboard or system composed it (NFKC, RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def hash_password(password: str) -> str:
    """About 20 ms and 19 MiB."""
    with _hashing:
        return str(_passwords().hash(normal(password)))


def check_password(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """(matches, a better hash to store or None).

    An unknown login costs the same time as a wrong password.
    """
    with _hashing:
        try:
            fits, better = _passwords().verify_and_update(normal(password), password_hash or NOBODYS_HASH)
        except ValueError:  # a hash of no scheme that we know, or a password no scheme takes
            _passwords().verify("", NOBODYS_HASH)
            return False, None
    return (fits, better) if password_hash else (False, None)


def new_token(prefix: str = "") -> str:
    """256 random bits, URL-safe."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is stored of a random token; 256 bits of entropy need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def sign(settings: Settings, purpose: str, message: str) -> str:
    """HMAC-SHA256 of `message` under the current key, bound to a purpose."""
    return _mac(settings.secret_keys[0], purpose, message)


def verify_signature(settings: Settings, purpose: str, message: str, signature: str) -> bool:
    """True when any of the configured keys made the signature."""
    given = signature.encode("utf-8", "replace")
    fits = False
    for key in settings.secret_keys:  # all of them: the time says nothing about which one fitted
        fits |= hmac.compare_digest(_mac(key, purpose, message).encode(), given)
    return fits


def _mac(key: str, purpose: str, message: str) -> str:
    # A form in UTF-7 can hold half a character, which is no reason to break.
    whole = f"{len(purpose)}!{purpose}!{message}".encode("utf-8", "surrogatepass")
    return hmac.new(key.encode(), whole, hashlib.sha256).hexdigest()


def _vault(settings: Settings) -> MultiFernet:
    keys = (hmac.new(key.encode(), b"lyceum.vault", hashlib.sha256).digest() for key in settings.secret_keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def seal(settings: Settings, text: str) -> str:
    """Encrypts what must be read back, under the first key (AES-128-CBC and HMAC); keys are not in the database."""
    return _vault(settings).encrypt(text.encode()).decode()


def unseal(settings: Settings, sealed: str) -> str | None:
    """What was sealed under any of the keys, else None."""
    try:
        return _vault(settings).decrypt(sealed.encode()).decode()
    except InvalidToken:
        return None


def _jwt_key(key: str) -> bytes:
    # 64 bytes serve HS512 too, and what signs forms never signs tokens.
    return hmac.new(key.encode(), b"lyceum.jwt", hashlib.sha512).digest()


def _key_id(key: str) -> str:
    return hashlib.sha256(b"kid" + key.encode()).hexdigest()[:8]


def encode_jwt(settings: Settings, claims: dict[str, Any], lifetime: timedelta) -> str:
    """A signed access token; adds iss, aud, typ, iat, nbf, exp, jti."""
    issued = clock.now()
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "typ": "access",
        "iat": issued,
        "nbf": issued,
        "exp": issued + lifetime,
        "jti": secrets.token_urlsafe(12),
        **claims,
    }
    key = settings.secret_keys[0]
    return jwt.encode(payload, _jwt_key(key), algorithm=settings.algorithm, headers={"kid": _key_id(key)})


def decode_jwt(settings: Settings, token: str, *, expired_too: bool = False) -> dict[str, Any] | None:
    """The claims of a valid access token, else None; `expired_too`: of one that was valid once."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = next(key for key in settings.secret_keys if _key_id(key) == kid)
        claims: dict[str, Any] = jwt.decode(
            token,
            _jwt_key(key),
            algorithms=[settings.algorithm],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["iss", "aud", "sub", "sid", "typ", "iat", "nbf", "exp", "jti"],
                "verify_exp": not expired_too,
            },
        )
    except (jwt.PyJWTError, StopIteration, ValueError, UnicodeError):
        return None
    fits = claims["typ"] == "access" and type(claims["sid"]) is int and 0 < claims["sid"] < 2**63
    return claims if fits else None
