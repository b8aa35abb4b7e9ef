"""Passkeys with an authenticator of our own that lies: whatever does not fit opens nothing and is told of."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from httpx2 import Response
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from webauthn import generate_authentication_options
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor, options_to_json_dict
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from backend.core import clock, factors, passkeys, signin
from backend.database.crud.throttle import ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, Credential, RateBucket
from backend.database.models.users import User
from backend.database.session import Database
from tests.codes import give_app
from tests.conftest import PASSWORD
from tests.crm.pages import one
from tests.doors import sign_in, token_of
from tests.figures import Figure

ORIGIN = "http://localhost:8000"
PRESENT, VERIFIED = 1, 4  # flags of an authenticator's answer


@dataclass
class Key:
    """A passkey of a person, in the database as well."""

    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def row(self, user_id: int) -> Credential:
        point = self.private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)}
        kept = {"public_id": bytes_to_base64url(self.id), "public_key": bytes_to_base64url(encode_cbor(cose))}
        return Credential(user_id=user_id, kind="passkey", sign_count=5, confirmed_at=clock.now(), **kept)

    def answer(self, challenge: str, **lies: Any) -> str:
        """As a browser would send it; `lies` about origin, rp, flags, count, kind, or the key that signs."""
        told = {"type": lies.get("kind", "webauthn.get"), "challenge": challenge, "origin": lies.get("origin", ORIGIN)}
        client = json.dumps(told | {"crossOrigin": False}).encode()
        flags, count = lies.get("flags", PRESENT | VERIFIED), lies.get("count", 6)
        data = hashlib.sha256(lies.get("rp", "localhost").encode()).digest() + bytes([flags]) + count.to_bytes(4)
        signer: Key = lies.get("signer", self)
        signed = signer.private.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        parts = {"clientDataJSON": client, "authenticatorData": data, "signature": signed}
        name = bytes_to_base64url(self.id)
        response = {part: bytes_to_base64url(value) for part, value in parts.items()}
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


def visitor(app: FastAPI) -> TestClient:
    """A browser at the name to which the passkeys belong."""
    headers = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
    made = TestClient(app, base_url=ORIGIN, headers=headers, follow_redirects=False)
    made.headers["X-CSRF-Token"] = token_of(made.get("/login"))
    return made


def question(client: TestClient, path: str = "/login") -> tuple[str, str]:
    """The challenge and the ticket that a page asks with."""
    page = client.get(path).text
    options = one(page, "[data-passkey]").attributes["data-options"] or ""
    ticket = HTMLParser(page).css_first("[data-passkey] [name=ticket]").attributes["value"]
    return json.loads(options)["challenge"], ticket or ""


@pytest.fixture
def key(db: Session) -> Key:
    made = Key()
    db.add(made.row(1))
    db.commit()
    return made


def opened(db: Session, level: str = "full") -> int:
    db.rollback()
    return len(db.scalars(select(AuthSession).where(AuthSession.level == level)).all())


LIES: dict[str, dict[str, Any]] = {
    "the count goes back": {"count": 4},
    "the count stands still": {"count": 5},
    "no count where there was one": {"count": 0},
    "another origin": {"origin": "http://evil.example"},
    "another port": {"origin": "http://localhost:8001"},
    "another rp id": {"rp": "evil.example"},
    "no user verification": {"flags": PRESENT},
    "nobody present": {"flags": VERIFIED},
    "an answer of a registration": {"kind": "webauthn.create"},
    "another key's signature": {"signer": Key()},
}


def test_no_lie_of_an_authenticator_opens_the_door(app: FastAPI, db: Session, key: Key, figure: Figure) -> None:
    client = visitor(app)
    for name, lies in LIES.items():
        challenge, ticket = question(client)
        sent = {"ticket": ticket, "answer": key.answer(challenge, **lies)}
        answer = client.post("/login/passkey", data=sent)
        assert (answer.status_code, opened(db)) == (401, 0), name
    challenge, ticket = question(client)
    unknown = Key().answer(challenge)
    assert client.post("/login/passkey", data={"ticket": ticket, "answer": unknown}).status_code == 401
    made_up = bytes_to_base64url(secrets.token_bytes(32))
    assert client.post("/login/passkey", data={"ticket": ticket, "answer": key.answer(made_up)}).status_code == 401
    told = select(SecurityEvent.user_id).where(SecurityEvent.kind == "authn_factor_fail").order_by(SecurityEvent.id)
    assert db.scalars(told).all() == [1] * len(LIES) + [None, 1]
    # The control: the same key that tells the truth comes in, once.
    sent = {"ticket": ticket, "answer": key.answer(challenge)}
    assert client.post("/login/passkey", data=sent).status_code == 303
    assert opened(db) == 1
    assert db.scalars(select(Credential.sign_count)).one() == 6
    again = {"ticket": ticket, "answer": key.answer(challenge, count=7)}
    client.cookies.delete("lyceum")
    assert client.post("/login/passkey", data=again).status_code in (401, 403, 422)
    assert opened(db) == 1
    figure("B7", "lies of an authenticator that are believed", 0, "0", len(LIES) + 3)


def test_the_questions_are_those_of_the_library(app: FastAPI, key: Key) -> None:
    client = visitor(app)
    sign_in(client, PASSWORD)
    for path, known in (("/login", []), ("/login/second?by=passkey", [PublicKeyCredentialDescriptor(key.id)])):
        shown = json.loads(one(client.get(path).text, "[data-passkey]").attributes["data-options"] or "")
        asked = generate_authentication_options(
            rp_id="localhost",
            challenge=base64url_to_bytes(shown["challenge"]),
            timeout=300_000,
            allow_credentials=known,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        assert shown == options_to_json_dict(asked)


def test_a_question_belongs_to_the_browser_that_was_asked(app: FastAPI, db: Session, key: Key) -> None:
    challenge, ticket = question(visitor(app))
    answer = visitor(app).post("/login/passkey", data={"ticket": ticket, "answer": key.answer(challenge)})
    assert (answer.status_code, opened(db)) == (422, 0)


def test_a_question_is_answered_within_five_minutes(
    app: FastAPI, db: Session, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, start = visitor(app), clock.now()
    monkeypatch.setattr(clock, "now", lambda: start)
    challenge, ticket = question(client)
    sent = {"ticket": ticket, "answer": key.answer(challenge)}
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=301))
    late = client.post("/login/passkey", data=sent)
    assert (late.status_code, "That took too long" in late.text, opened(db)) == (422, True, 0)
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=299))
    assert client.post("/login/passkey", data=sent).status_code == 303
    assert opened(db) == 1


def test_an_answer_that_fitted_is_looked_at_again_when_it_is_used(
    app: FastAPI, database: Database, db: Session, key: Key
) -> None:
    """A key and its copy answer at once, and a key is removed meanwhile: what fitted opens nothing any more."""
    request = Request(
        {
            "type": "http", "app": app, "method": "POST", "scheme": "http", "server": ("localhost", 8000),
            "path": "/login/passkey", "query_string": b"", "headers": [], "state": {"csrf_key": "a visitor"},
        }
    )  # fmt: skip
    site = passkeys.site_of(request)
    assert site is not None

    def proof(count: int) -> factors.Proof:
        asked = passkeys.ask(request, site)
        answer = key.answer(json.loads(asked.options)["challenge"], count=count)
        return factors.proof_of(request, database, asked.ticket, answer)

    first, copy, later = proof(6), proof(6), proof(7)
    database.run(first.spend)
    with pytest.raises(factors.WrongFactorError, match="This passkey did not work"):
        database.run(copy.spend)
    assert db.scalars(select(Credential.sign_count)).one() == 6
    db.execute(delete(Credential))
    with pytest.raises(factors.WrongFactorError, match="This passkey did not work"):
        database.run(later.spend)


def test_anothers_passkey_is_no_second_step(app: FastAPI, db: Session, key: Key) -> None:
    """Vera's own key is right in every way, but the password was the admin's."""
    give_app(db, app.state.settings)
    vera, hers = UserCRUD(db).create_staff(login="vera", password_hash=None, role="Менеджер"), Key()
    db.add(hers.row(vera.id))
    db.commit()
    client = visitor(app)
    assert sign_in(client, PASSWORD).headers["location"].startswith("/login/second")
    for own, status in ((hers, 401), (key, 303)):
        challenge, ticket = question(client, "/login/second?by=passkey")
        answer = client.post("/login/second/passkey", data={"ticket": ticket, "answer": own.answer(challenge)})
        assert (answer.status_code, opened(db)) == (status, int(own is key))
    assert db.scalars(select(AuthSession.user_id).where(AuthSession.level == "full")).all() == [1]
    assert db.get_one(User, vera.id).is_active


def test_a_flood_does_not_lock_out_the_passkey_of_a_known_device(app: FastAPI, db: Session, key: Key) -> None:
    """The limits of the address and of everyone are used up; whoever has been here with this browser comes in."""
    own, stranger = visitor(app), visitor(app)
    assert enter(own, key, 6).status_code == 303
    own.cookies.delete("lyceum")
    for limit in signin.shared_limits("testclient"):
        ThrottleCRUD(db).take([limit])
    db.execute(update(RateBucket).values(count=1000))
    db.commit()
    assert enter(stranger, key, 7).status_code == 429
    assert enter(own, key, 8).status_code == 303


def enter(client: TestClient, key: Key, count: int) -> Response:
    challenge, ticket = question(client)
    client.headers["X-CSRF-Token"] = token_of(client.get("/login"))
    return client.post("/login/passkey", data={"ticket": ticket, "answer": key.answer(challenge, count=count)})
