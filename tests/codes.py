"""Second factors for tests: an app that shows codes, and a person who has set it up."""

from datetime import datetime

import pyotp
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.otp import STEP_SECONDS
from backend.database.crud.credentials import CredentialCRUD
from backend.database.models.users import User
from tests.doors import browser, sign_in

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
Codes = list[str]


def code(at: datetime | None = None, *, later: int = 0, secret: str = SECRET) -> str:
    """What the app shows `later` steps of 30 s from then."""
    step = int((at or clock.now()).timestamp()) // STEP_SECONDS + later
    return str(pyotp.TOTP(secret).generate_otp(step))


def wrong_code() -> str:
    """Six digits that no step near now has."""
    near = {code(later=step) for step in range(-5, 6)}
    return next(text for text in (f"{number:06}" for number in range(20)) if text not in near)


def give_app(db: Session, settings: Settings, login: str = "admin") -> Codes:
    """The person has an app with SECRET, none of whose codes was used, and these recovery codes."""
    user = db.scalars(select(User).where(User.login == login)).one()
    credentials = CredentialCRUD(db)
    credentials.set_app(user.id, security.seal(settings, SECRET), 0)
    codes = credentials.renew_codes(user.id)
    db.commit()
    return codes


def pending(app: FastAPI, ip: str = "198.51.100.1", **more: str) -> TestClient:
    """A browser whose password was right and whose second factor is still to come."""
    client = browser(app, ip)
    answer = sign_in(client, **more)
    assert answer.headers["location"].startswith("/login/second?"), answer.headers
    return client
