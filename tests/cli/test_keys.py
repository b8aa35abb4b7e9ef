"""A change of SECRET_KEY: what must go on goes on under both keys, and after the old one is gone."""

from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import csrf, security
from backend.core.config import Settings
from backend.core.devices import Device
from backend.database.chain.sealing import HEAD, Head, seal
from backend.database.crud.credentials import CredentialCRUD
from backend.database.crud.keys import KeyCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import Credential
from backend.database.models.dispatches import Dispatch
from backend.database.session import Database
from tests.cli.conftest import Run
from tests.conftest import SECRET, make_settings

NEW = "qZ8vK3wP0xR7tL2mN5bY9cD4fG6hJ1sA-uEoIyTrWqXzVnBkMj"
QUARTER = timedelta(minutes=15)
HOME = {"sec-fetch-site": "same-origin"}


def keyed(database_url: str, folder: Path, *keys: str) -> Settings:
    return make_settings(database_url, folder, secret_key=",".join(keys))


def test_what_old_keys_made_is_good_until_they_are_taken_out(database_url: str, tmp_path: Path) -> None:
    old, both, new = (keyed(database_url, tmp_path, *keys) for keys in ((SECRET,), (NEW, SECRET), (NEW,)))
    token = csrf.make_token(old, "session")
    access = security.encode_jwt(old, {"sub": "1", "sid": 1}, QUARTER)
    device = Device("laptop", ((1, "mark"),)).seal(old)
    for settings, good in ((both, True), (new, False)):
        assert (security.decode_jwt(settings, access) is not None) is good
        text, _dot, mac = device.rpartition(".")
        assert security.verify_signature(settings, "known-device", text, mac) is good
        assert fits(settings, token) is good
        assert (security.unseal(settings, security.seal(old, "x")) == "x") is good
    assert (
        jwt.get_unverified_header(security.encode_jwt(both, {}, QUARTER))["kid"]
        != (jwt.get_unverified_header(access)["kid"])
    )


def test_spaces_around_the_keys_belong_to_none_of_them(database_url: str, tmp_path: Path) -> None:
    sealed = security.seal(keyed(database_url, tmp_path, SECRET), "x")
    assert security.unseal(keyed(database_url, tmp_path, f" {NEW} ", f" {SECRET}\n"), sealed) == "x"


def fits(settings: Settings, token: str) -> bool:
    try:
        csrf.check(settings, HOME, "session", token)
    except Exception:  # noqa: BLE001 - whatever refuses it
        return False
    return True


def test_everything_is_stored_under_the_first_key(database_url: str, tmp_path: Path, db: Session) -> None:
    old, both, new = (keyed(database_url, tmp_path, *keys) for keys in ((SECRET,), (NEW, SECRET), (NEW,)))
    first = Database(database_url, settings=old)
    first.run(lambda session: CredentialCRUD(session).set_app(1, security.seal(old, "JBSWY3DPEHPK3PXP"), 1))
    link = {"link": "https://school.example/reset/x", "name": "Анна"}
    first.run(lambda session: LetterCRUD(session).post("reset", to="a@b.example", language="ru", **link).id)
    first.run(lambda session: SettingCRUD(session).put("x", {}))
    seal(first, old)
    first.dispose()

    turning = Database(database_url, settings=both)
    assert turning.run(lambda session: KeyCRUD(session).rotate()) == (2, 0)
    turning.dispose()

    db.expire_all()
    assert security.unseal(new, db.scalars(select(Credential.secret)).one() or "") == "JBSWY3DPEHPK3PXP"
    assert "school.example/reset/x" in (security.unseal(new, db.scalars(select(Dispatch)).one().params["sealed"]) or "")
    head = Head.of(SettingCRUD(db).find(HEAD))
    assert head is None or head.is_signed(new)
    event = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sys_keys_rotated")).one()
    assert event.data == {"sealed": 2, "lost": 0}

    later = Database(database_url, settings=old)  # a key that opens none of it
    assert later.run(lambda session: KeyCRUD(session).rotate()) == (0, 2)
    later.dispose()


@pytest.mark.usefixtures("migrated")
def test_the_command_says_what_it_did(run: Run, db: Session) -> None:
    done = run("rotate-keys")
    assert (done.exit_code, done.stdout) == (0, "0 secrets are stored under the first key.\n")
    assert db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sys_keys_rotated")).one().door == "cli"
    assert run("audit", "verify").exit_code == 0
