"""Whoever is left to run the school can come in today, not once upon a time."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.core.elsewhere import providers
from backend.core.errors import ConflictError
from backend.core.permissions import ADMIN, MANAGER
from backend.database.crud.staff import StaffCRUD
from backend.database.models.auth import AuthIdentity, Credential
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import make_settings
from tests.crm.test_staff import hire, role_id
from tests.factories import save

GOOGLE = {"google_client_id": "x", "google_client_secret": "y"}
SITE = {"base_url": "https://school.example"}


def google(user_id: int) -> AuthIdentity:
    return AuthIdentity(user_id=user_id, provider="google", issuer="https://accounts.google.com", subject="1")


def passkey(user_id: int) -> Credential:
    return Credential(user_id=user_id, kind="passkey", public_id="x")


@pytest.mark.parametrize(
    ("way", "changes", "counts"),
    [
        (google, {}, False),
        (google, GOOGLE, True),
        (google, {"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_client_secret": "y"}, False),
        (passkey, SITE, True),
        (passkey, {}, True),  # at localhost
        (passkey, {"base_url": "https://192.0.2.1"}, False),
        (passkey, {"base_url": "http://school.example", "allow_http": True}, False),
    ],
)
def test_a_way_in_that_is_switched_off_is_none(
    database: Database, db: Session, tmp_path: Path, way: Any, changes: dict[str, Any], counts: bool
) -> None:
    other, leaving = hire(db, ADMIN, "other"), hire(db, ADMIN, "leaving", "hash")
    db.execute(update(User).where(User.id == 1).values(password_hash=None))
    save(db, way(other.id))
    by, person, manager = other.id, leaving.id, role_id(db, MANAGER)
    there = Database(database.url, settings=make_settings(database.url, tmp_path, **changes))
    with nullcontext() if counts else pytest.raises(ConflictError, match="another administrator who can sign in"):
        there.run(lambda session: StaffCRUD(session).set_role(person, manager, by))
    there.dispose()
    db.expire_all()
    assert db.get_one(User, person).role_id == (manager if counts else role_id(db, ADMIN))


def test_a_password_without_a_name_to_sign_in_with_is_no_way_in(db: Session, database: Database, app: FastAPI) -> None:
    other, leaving = hire(db, ADMIN, "other"), hire(db, ADMIN, "leaving", "hash")
    db.execute(update(User).where(User.id == 1).values(login=None, email=None, telegram_id=700700))
    db.commit()
    with pytest.raises(ConflictError, match="another administrator who can sign in"):
        app.state.database.run(lambda session: StaffCRUD(session).switch(leaving.id, False, other.id))
    db.execute(update(User).where(User.id == 1).values(email="anna@example.org"))
    db.commit()
    app.state.database.run(lambda session: StaffCRUD(session).switch(leaving.id, False, other.id))


def test_the_issuers_are_those_of_the_buttons(tmp_path: Path) -> None:
    names = ("google", "github", "telegram", "oidc")
    every = {f"{name}_client_{part}": "x" for name in names for part in ("id", "secret")}
    settings = make_settings("sqlite://", tmp_path, oidc_issuer="https://id.example", **every)
    assert settings.issuers == {one.issuer for one in providers(settings).values()}
    assert len(settings.issuers) == 4
    assert make_settings("sqlite://", tmp_path).issuers == frozenset()
