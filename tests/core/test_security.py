"""Hashes, random tokens and signatures."""

import base64
import hashlib
import hmac
from datetime import timedelta

import jwt
import pytest
from cryptography.fernet import Fernet

from backend.core import security
from backend.core.auth import verify_password
from backend.core.config import Settings
from tests.conftest import SECRET


def test_a_hash_fits_its_password_only() -> None:
    made = security.hash_password("tulip-kettle-orbit")
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert security.check_password("tulip-kettle-orbit", made) == (True, None)
    assert security.check_password("tulip-kettle-orbi", made) == (False, None)
    assert (verify_password("tulip-kettle-orbit", made), verify_password("x", made)) == (True, False)


def test_nobody_fits_nobodys_hash() -> None:
    assert security.check_password("", None) == (False, None)
    assert security.check_password("too many secrets", None) == (False, None)
    assert security.NOBODYS_HASH.startswith(security.hash_password("x").rpartition("$")[0].rpartition("$")[0])


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$broken", "$2b$12$short", "md5$x"])
def test_a_broken_hash_fits_nothing(stored: str) -> None:
    assert security.check_password("x", stored) == (False, None)


def test_a_password_beyond_measure_fits_nothing() -> None:
    assert security.check_password("x" * 5000, security.hash_password("x")) == (False, None)


def test_an_older_cost_is_made_better_when_the_password_is_known() -> None:
    from passlib.hash import argon2

    old = argon2.using(type="ID", memory_cost=1024, time_cost=1, parallelism=1).hash("tulip-kettle-orbit")
    fits, better = security.check_password("tulip-kettle-orbit", old)
    assert (fits, (better or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")) == (True, True)


def test_random_tokens_hold_256_bits() -> None:
    made = {security.new_token("lyc_") for _ in range(50)}
    assert len(made) == 50
    assert all(token.startswith("lyc_") and len(token) == 47 for token in made)


def test_a_signature_is_bound_to_purpose_message_and_key(settings: Settings) -> None:
    made = security.sign(settings, "csrf", "text")
    assert security.verify_signature(settings, "csrf", "text", made)
    assert not security.verify_signature(settings, "device", "text", made)
    assert not security.verify_signature(settings, "csr", "ftext", made)
    assert not security.verify_signature(settings, "csrf", "texT", made)
    assert not security.verify_signature(settings, "csrf", "text", made[:-1])
    assert not security.verify_signature(settings, "csrf", "text", "\ud800")
    assert not security.verify_signature(settings, "csrf", "text", "")


def derived(name: bytes, algorithm: str) -> bytes:
    return hmac.new(SECRET.encode(), name, algorithm).digest()


def test_the_keys_are_derived_as_ever_so_that_an_update_opens_what_was_sealed_before(settings: Settings) -> None:
    vault = Fernet(base64.urlsafe_b64encode(derived(b"lyceum.vault", "sha256")))
    assert vault.decrypt(security.seal(settings, "text").encode()) == b"text"
    assert security.sign(settings, "csrf", "text") == hmac.new(SECRET.encode(), b"4!csrf!text", "sha256").hexdigest()

    token = security.encode_jwt(settings, {"sub": "7", "sid": 8}, timedelta(minutes=5))
    key, name = derived(b"lyceum.jwt", "sha512"), hashlib.sha256(b"kid" + SECRET.encode()).hexdigest()[:8]
    claims = jwt.decode(token, key, algorithms=["HS256"], audience="api", issuer="lyceum")
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": name, "typ": "JWT"}
    assert (claims["typ"], claims["exp"] - claims["iat"], claims["nbf"] - claims["iat"]) == ("access", 300, 0)
    assert len(claims["jti"]) == 16
    assert security.decode_jwt(settings, token) == claims
