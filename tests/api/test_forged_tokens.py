"""More than a thousand forged access tokens, and not one that opens anything (security.md B4)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from backend.core import security
from backend.core.auth import authenticate, create_access_token
from backend.core.config import Settings
from backend.core.context import ANONYMOUS
from backend.database.crud.auth import API_ABSOLUTE, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.session import Database
from tests.conftest import SECRET
from tests.doors import bearer, program
from tests.figures import Figure

HOUR = 3600
Claims = dict[str, Any]


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def part(value: object) -> str:
    return b64(json.dumps(value, separators=(",", ":")).encode())


def opened(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Forge:
    """`good`: a token that works, of session 1 of person 1. `signed` signs anything with the true key."""

    def __init__(self, settings: Settings, good: str) -> None:
        self.good = good
        self.header, self.payload, self.signature = good.split(".")
        self.key = security._jwt_key(settings.secret_keys[0])
        self.kid = security._key_id(settings.secret_keys[0])
        self.claims: Claims = json.loads(opened(self.payload))

    def signed(self, claims: object, header: dict[str, Any] | None = None, key: bytes | None = None) -> str:
        body = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': self.kid} | (header or {}))}.{part(claims)}"
        return f"{body}.{b64(hmac.new(self.key if key is None else key, body.encode(), hashlib.sha256).digest())}"

    def changed(self, **claims: object) -> str:
        return self.signed({**self.claims, **claims})

    def without(self, name: str) -> str:
        return self.signed({key: value for key, value in self.claims.items() if key != name})


def flipped_bits(forge: Forge) -> Iterator[str]:
    """Every bit of the signature, and every bit of some bytes of the header and the claims."""
    parts = [forge.header, forge.payload, forge.signature]
    for index, step in ((2, 1), (1, 5), (0, 3)):
        raw = opened(parts[index])
        for place in range(0, len(raw), step):
            for bit in range(8):
                wrong = raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :]
                yield ".".join([*parts[:index], b64(wrong), *parts[index + 1 :]])


def algorithms(forge: Forge) -> Iterator[str]:
    names = (
        "none None NONE nOnE NoNe none\u0000 null HS384 HS512 hs256 HS256\t RS256 RS512 PS256 ES256 ES256K EdDSA "
        "HS1 HMAC A256KW dir"
    )
    for name in [*names.split(" "), "", None, 0, True, ["HS256"], {"alg": "HS256"}]:
        header = part({"alg": name, "typ": "JWT", "kid": forge.kid})
        for signature in ("", forge.signature, b64(b"\0" * 32), "x"):
            yield f"{header}.{forge.payload}.{signature}"
        yield forge.signed(forge.claims, {"alg": name})  # the right key's bytes under another name
    yield f"{part({'kid': forge.kid})}.{forge.payload}.{forge.signature}"
    for name, made in (("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        body = f"{part({'alg': name, 'kid': forge.kid})}.{forge.payload}"
        yield f"{body}.{b64(hmac.new(forge.key, body.encode(), made).digest())}"


def foreign_keys(forge: Forge) -> Iterator[str]:
    keys = [
        b"", b"\0", b"\0" * 64, b"x" * 64, b"secret", SECRET.encode(), SECRET.encode()[::-1], forge.key[:32],
        forge.key[1:], forge.key.hex().encode(), forge.kid.encode(), forge.signature.encode(), b"lyceum.jwt",
        hashlib.sha256(SECRET.encode()).digest(), hmac.new(SECRET.encode(), b"lyceum.vault", hashlib.sha256).digest(),
        hmac.new(SECRET.encode(), b"4!csrf!", hashlib.sha256).digest(), base64.b64encode(forge.key),
    ]  # fmt: skip
    yield from (forge.signed(forge.claims, key=key) for key in keys if key)
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    public = {"kty": "oct", "k": b64(b"x" * 64), "alg": "HS256"}
    for more in (
        {"jwk": public},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/"},
        {"x5c": ["x"]},
    ):
        yield forge.signed(forge.claims, more, b"x" * 64)
        yield jwt.encode(forge.claims, own, "RS256", headers={"kid": forge.kid, **more})
    yield jwt.encode(forge.claims, curve, "ES256", headers={"kid": forge.kid})


def key_ids(forge: Forge) -> Iterator[str]:
    wrong: list[object] = [
        None, "", "0", "00000000", 0, 1, True, [], [forge.kid], {"$ne": ""}, forge.kid.upper(), forge.kid + " ",
        forge.kid[:-1], forge.kid * 2, "../../../../dev/null", "/dev/null", "' OR '1'='1", "' UNION SELECT 'x' --",
        "\x00", "file:///dev/null", "x" * 5000, "é", "https://evil.example/key",
    ]  # fmt: skip
    for kid in wrong:
        for key in (forge.key, b"\0", b"x", b"x" * 64):
            yield forge.signed(forge.claims, {"kid": kid}, key)


def wrong_claims(forge: Forge) -> Iterator[str]:
    """Signed with the true key: what a token made for something else, or by mistake, would say."""
    now = int(datetime.now(UTC).timestamp())
    strange: list[Any] = [
        None, "", "x", 0, -1, 1.5, True, False, [], {}, [1], {"$gt": 0}, "1", "01", "1 ", " 1", "1.0", "-1", "true",
        "0x1", "１", 2**53, 2**63, 2**64, -(2**63), 10**400, 1e308, "1' OR '1'='1", "\x00", "9" * 400,
    ]  # fmt: skip
    for name in ("sub", "sid", "typ", "iss", "aud"):
        yield from (forge.changed(**{name: value}) for value in strange if value != forge.claims[name] or value is True)
    for name in ("exp", "nbf", "iat"):
        yield forge.changed(**{name: None})
        yield from (forge.changed(**{name: value}) for value in ("x", [], {}, [now], "", {"at": now}))
    yield from (forge.changed(exp=now - ago) for ago in (31, 60, HOUR, 10 * HOUR, now, now + 5))
    yield from (forge.changed(**{name: now + ahead}) for name in ("nbf", "iat") for ahead in (40, HOUR, 10**9))
    for typ in ("refresh", "Access", "ACCESS", "access ", "id", "session", "reset", ["access"]):
        yield forge.changed(typ=typ)
    for aud in ("crm", "refresh", "API", "api ", "*", ["crm"], ["*"], ["API"], "lyceum", {"api": 1}):
        yield forge.changed(aud=aud)
    for iss in ("Lyceum", "lyceum ", "https://lyceum", "evil", ["evil"], "lyceum.evil.example"):
        yield forge.changed(iss=iss)
    for sub, sid in (("2", 1), ("1", 2), ("2", 2), ("1", 3), ("3", 3), ("admin", 1), ("1", 10**6), ("0", 0)):
        yield forge.changed(sub=sub, sid=sid)
    yield from (forge.without(name) for name in forge.claims)
    yield from (forge.signed(value) for value in (None, [], "x", 1, True, {}, [forge.claims], {"claims": forge.claims}))


def strange_shapes(forge: Forge) -> Iterator[str]:
    good, header, payload, signature = forge.good, forge.header, forge.payload, forge.signature
    yield from (
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "null",
        "undefined",
        "Bearer",
        "é.é.é",
        "lyc_",
        "lyc_" + good,
        "0" * 10_000,
    )
    yield from (good[:length] for length in range(1, len(good) - 1, 7))
    yield from (f"{good}.", f".{good}", f"{good}.{signature}", f"{good}x.y", f"{good}\0", f"{good} x", good * 2)
    yield from (
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f"{payload}.{header}.{signature}",
        f"{header}..{signature}",
    )
    yield from (good.replace(".", sign) for sign in (",", "..", " ", "%2e", "\\."))
    yield f"{header}.{payload}.{'A' * 100_000}"
    yield f"{header}.{'A' * 300_000}.{signature}"
    yield part({"payload": payload, "protected": header, "signature": signature})  # the JSON serialisation of a JWS
    jwe = part({"alg": "dir", "enc": "A256GCM", "kid": forge.kid, "cty": "JWT"})
    yield from (f"{jwe}..{b64(b'0' * 12)}.{payload}.{b64(b'0' * 16)}", f"{jwe}.{payload}.{signature}.x.y")
    yield forge.signed(good)  # a token in a token
    yield f"{part({'alg': 'HS256', 'kid': forge.kid, 'zip': 'DEF'})}.{payload}.{signature}"
    for crit in (["exp"], ["b64"], ["x"], "x", []):
        yield forge.signed(forge.claims, {"crit": crit})
    body = f"{part({'alg': 'HS256', 'kid': forge.kid, 'b64': False, 'crit': ['b64']})}.{json.dumps(forge.claims)}"
    yield f"{body}.{b64(hmac.new(forge.key, body.encode(), hashlib.sha256).digest())}"
    nested: object = forge.claims
    for _level in range(300):
        nested = {"a": nested}
    yield forge.signed(nested)
    yield f"{header}.{b64(b'[' * 20_000)}.{signature}"


KINDS = (flipped_bits, algorithms, foreign_keys, key_ids, wrong_claims, strange_shapes)


@pytest.fixture
def forge(app: FastAPI, database: Database) -> Forge:
    """Sessions 1 and 3 are API clients of persons 1 and 2; session 2 is a browser of person 1."""

    def open_all(session: Any) -> str:
        users, sessions = UserCRUD(session), SessionCRUD(session)
        boris = users.create_staff(login="boris", password_hash=None, role="Менеджер")
        first = None
        for user, kind in ((users.get_by_id(1), "api"), (users.get_by_id(1), "cookie"), (boris, "api")):
            made, _secret = sessions.open(user, kind=kind, user_agent="", ip="", lifetime=API_ABSOLUTE)
            first = first or made
        assert first is not None
        return create_access_token(app.state.settings, first)

    return Forge(app.state.settings, database.run(open_all))


def bearers(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode("utf-8", "surrogatepass"))]


def test_of_a_thousand_forged_tokens_none_is_accepted(
    app: FastAPI, database: Database, forge: Forge, figure: Figure
) -> None:
    def accepted(token: str) -> bool:
        scope = {"type": "http", "app": app, "method": "GET", "path": "/api/auth/me", "headers": bearers(token)}
        return authenticate(Request(scope), session, api=True) is not ANONYMOUS

    tried = {kind.__name__: list(kind(forge)) for kind in KINDS}
    with database.read() as session:
        assert accepted(forge.good)
        assert accepted(forge.changed(note="what we do not know is no harm"))
        passed = {name: [token[:300] for token in tokens if accepted(token)] for name, tokens in tried.items()}
    assert {name: tokens for name, tokens in passed.items() if tokens} == {}
    assert len({token for tokens in tried.values() for token in tokens}) >= 1000
    figure("B4", "forged JWTs that are accepted", 0, "0", len({token for tokens in tried.values() for token in tokens}))


def test_over_http_they_are_all_the_same_401(app: FastAPI, forge: Forge) -> None:
    client: TestClient = program(app)
    assert client.get("/api/auth/me", headers=bearer(forge.good)).status_code == 200
    answers = set()
    for kind in KINDS:
        tokens = [token for token in kind(forge) if len(token) < 8000]
        for token in tokens[:: len(tokens) // 8]:
            headers = {b"Authorization": b"Bearer " + token.encode("utf-8", "surrogatepass")}
            answer = client.get("/api/auth/me", headers=headers)
            answers.add((answer.status_code, answer.json()["error"]["code"], answer.headers["WWW-Authenticate"]))
    assert answers == {(401, "not_authenticated", "Bearer")}
