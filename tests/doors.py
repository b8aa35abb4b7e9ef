"""Helpers for whoever stands before the sign-in: browsers and API clients from any address."""

import re
from datetime import timedelta

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.database.crud.auth import SIGN_IN
from backend.database.crud.links import INVITE, RESET, VERIFY
from backend.database.models.auth import OneTimeToken
from backend.database.models.doors import Registration
from tests.conftest import ORIGIN, PASSWORD
from tests.factories import save

BASE = "http://127.0.0.1:8000"
# What every answer carries.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self';"
        " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        " object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def browser(app: FastAPI, ip: str = "198.51.100.1") -> TestClient:
    """A signed-out browser at this address that has opened the sign-in page; its token is in its headers."""
    made = TestClient(app, base_url=BASE, headers=ORIGIN, follow_redirects=False, client=(ip, 50000))
    made.headers["X-CSRF-Token"] = token_of(made.get("/login"))
    return made


def program(app: FastAPI, ip: str = "198.51.100.1") -> TestClient:
    """An API client at this address, without a token and in English."""
    headers = {"Accept-Language": "en"}
    return TestClient(app, base_url=BASE, headers=headers, follow_redirects=False, client=(ip, 50000))


def token_of(page: httpx2.Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text[:500]
    return found[1]


def sign_in(client: TestClient, password: str = PASSWORD, login: str = "admin", **more: str) -> httpx2.Response:
    return client.post("/login", data={"username": login, "password": password, **more})


def ask_tokens(client: TestClient, password: str = PASSWORD, login: str = "admin") -> httpx2.Response:
    return client.post("/auth/login", json={"username": login, "password": password})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


CHOSEN = "seven wild geese"  # the password of who has signed up
PURPOSES = {"enter": SIGN_IN, "invite": INVITE, "reset": RESET, "confirm": VERIFY}


def make_link(db: Session, kind: str, secret: str, user_id: int = 1) -> None:
    """One that works, of whatever the first word of its address says."""
    row = {"token_hash": security.digest(secret), "expires_at": clock.now() + timedelta(minutes=15)}
    if kind in PURPOSES:
        data = {"email": "new@school.example"}
        save(db, OneTimeToken(user_id=user_id, purpose=PURPOSES[kind], data=data, **row))
    else:
        who = {"email": "new@school.example", "first_name": "Ольга", "language": "ru"}
        who["password_hash"] = security.hash_password(CHOSEN)
        save(db, Registration(**who, **row))
