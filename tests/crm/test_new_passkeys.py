"""Passkeys that are set up by an authenticator of our own: what it says is kept, what does not fit is not."""

import hashlib
import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

from backend.database.crud.credentials import MOST_PASSKEYS, CredentialCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import Credential
from tests.conftest import PASSWORD
from tests.crm.test_forged_passkeys import ORIGIN, PRESENT, VERIFIED, Key, enter, question, visitor
from tests.doors import sign_in, token_of

SECURITY = "/dashboard/settings/security/"
NEW = f"{SECURITY}passkeys/new"
NEW_KEY = 64  # the flag of an answer that holds a key


def made(key: Key, challenge: str, **lies: Any) -> str:
    """What a browser sends when this key is set up; `lies` about origin, rp, flags, kind, format or what was asked."""
    told = {"type": lies.get("kind", "webauthn.create"), "challenge": lies.get("asked", challenge)}
    client = json.dumps(told | {"origin": lies.get("origin", ORIGIN), "crossOrigin": False}).encode()
    flags = lies.get("flags", PRESENT | VERIFIED | NEW_KEY)
    data = hashlib.sha256(lies.get("rp", "localhost").encode()).digest() + bytes([flags]) + (5).to_bytes(4)
    if flags & NEW_KEY:
        data += bytes(16) + len(key.id).to_bytes(2) + key.id + base64url_to_bytes(key.row(1).public_key or "")
    stated = encode_cbor({"fmt": lies.get("format", "none"), "attStmt": {}, "authData": data})
    parts = {"clientDataJSON": client, "attestationObject": stated}
    name = bytes_to_base64url(key.id)
    response = {part: bytes_to_base64url(value) for part, value in parts.items()}
    return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


@pytest.fixture
def person(app: FastAPI) -> TestClient:
    """The admin at the name to which passkeys belong; their password was right just now."""
    client = visitor(app)
    assert sign_in(client, PASSWORD).headers["location"] == "/dashboard/"
    client.headers["X-CSRF-Token"] = token_of(client.get(SECURITY))
    return client


def set_up(client: TestClient, key: Key, **lies: Any) -> Response:
    challenge, ticket = question(client, NEW)
    sent = {"ticket": ticket, "answer": made(key, challenge, **lies), "name": "My phone"}
    return client.post(f"{SECURITY}passkeys", data=sent)


LIES: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "http://evil.example"},
    "another rp id": {"rp": "evil.example"},
    "another question": {"asked": bytes_to_base64url(bytes(32))},
    "no user verification": {"flags": PRESENT | NEW_KEY},
    "nobody present": {"flags": VERIFIED | NEW_KEY},
    "no key in it": {"flags": PRESENT | VERIFIED},
    "an answer of a sign-in": {"kind": "webauthn.get"},
    "a statement of no known form": {"format": "made-up"},
}


@pytest.mark.parametrize("lie", LIES)
def test_what_an_authenticator_lies_about_is_not_set_up(person: TestClient, db: Session, lie: str) -> None:
    refused = set_up(person, Key(), **LIES[lie])
    assert (refused.status_code, "This passkey was not accepted" in refused.text) == (422, True)
    assert db.scalars(select(Credential)).all() == []
    added = select(SecurityEvent.id).where(SecurityEvent.kind == "authn_factor_added")
    assert db.scalars(added).all() == []


@pytest.mark.parametrize("answer", ["{}", "[]", "not JSON", '{"id": 7}', "null"])
def test_what_is_no_answer_is_not_set_up(person: TestClient, db: Session, answer: str) -> None:
    _challenge, ticket = question(person, NEW)
    refused = person.post(f"{SECURITY}passkeys", data={"ticket": ticket, "answer": answer})
    assert (refused.status_code, "This passkey was not accepted" in refused.text) == (422, True)
    assert db.scalars(select(Credential)).all() == []


def test_a_key_that_tells_the_truth_is_kept_and_opens_the_door(app: FastAPI, person: TestClient, db: Session) -> None:
    """The first one comes with recovery codes."""
    key = Key()
    answer = set_up(person, key)
    assert (answer.status_code, CredentialCRUD(db).of(1).codes_left) == (200, 10)
    kept, expected = CredentialCRUD(db).of(1).passkeys[0], key.row(1)
    assert (kept.name, kept.public_id, kept.public_key) == ("My phone", expected.public_id, expected.public_key)
    assert (kept.sign_count, kept.data["synced"]) == (5, False)
    assert enter(visitor(app), key, 6).status_code == 303


def test_a_passkey_is_set_up_once_whoever_has_it(person: TestClient, db: Session) -> None:
    key = Key()
    assert set_up(person, key).status_code == 200
    again = set_up(person, key)
    assert (again.status_code, "This passkey is already added" in again.text) == (409, True)
    assert len(CredentialCRUD(db).of(1).passkeys) == 1


def test_nobody_sets_up_more_than_twenty_passkeys(app: FastAPI, db: Session) -> None:
    first, client = Key(), visitor(app)
    db.add_all([key.row(1) for key in (first, *(Key() for _ in range(MOST_PASSKEYS - 2)))])
    db.commit()
    assert enter(client, first, 6).status_code == 303
    client.headers["X-CSRF-Token"] = token_of(client.get(SECURITY))
    assert set_up(client, Key()).headers["location"] == SECURITY
    refused = set_up(client, Key())
    assert (refused.status_code, "you have too many" in refused.text) == (409, True)
    assert len(CredentialCRUD(db).of(1).passkeys) == MOST_PASSKEYS
