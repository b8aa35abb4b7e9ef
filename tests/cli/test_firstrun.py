"""Who is let in first, and by what."""

import errno
import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.cli import console, firstrun
from backend.cli.console import RefusedError
from backend.cli.firstrun import first_admin, who_needs_a_link, write_secrets
from backend.core import security
from backend.core.config import Settings
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import make_settings

KEY = "SECRET_KEY="


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def keys(env: Path) -> list[str]:
    return [line for line in env.read_text().splitlines() if line.startswith(KEY)]


# -- secrets


def test_a_new_file_has_a_key_and_the_sandbox(env: Path) -> None:
    assert write_secrets(env)
    assert env.read_text().endswith("\nSANDBOX=1\n")
    assert len(keys(env)[0]) == len(KEY) + 64
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert not write_secrets(env)


@pytest.mark.parametrize("name", ["TELEGRAM_BOT_TOKEN", "SANDBOX", "BASE_URL", "API_HOST"])
def test_no_sandbox_where_something_else_is_wanted(env: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0.0.0.0")
    assert write_secrets(env)
    assert "SANDBOX" not in env.read_text()


@pytest.mark.parametrize("before", ["", "DEBUG=0\n", "DEBUG=0", "DEBUG=0\nSECRET_KEY=\n", "SECRET_KEY=\nDEBUG=0\n"])
def test_a_file_without_a_key_keeps_the_rest(env: Path, before: str) -> None:
    env.write_text(before)
    env.chmod(0o644)
    assert write_secrets(env)
    assert len(keys(env)) == 1
    assert ("DEBUG=0" in env.read_text().splitlines()) == ("DEBUG" in before)
    assert "SANDBOX" not in env.read_text()
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_key_that_is_there_is_left_alone(env: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "file":
        env.write_text("SECRET_KEY=mine\n")
    else:
        monkeypatch.setenv("SECRET_KEY", "mine")
    assert not write_secrets(env)
    assert (env.read_text() if env.exists() else "") == ("SECRET_KEY=mine\n" if where == "file" else "")


def test_a_folder_that_takes_no_file_is_told_so(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(firstrun.os, "open", refuse)
    with pytest.raises(RefusedError, match=r"cannot be written \(Read-only file system\): make the folder writable"):
        write_secrets(env)


def test_a_read_only_database_folder_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RefusedError, match="is read-only, but the database is kept there"):
        console.connect(make_settings(f"sqlite:///{tmp_path}/x.db", tmp_path))


# -- the administrator


def person(db: Session, login: str) -> User | None:
    db.rollback()
    return db.scalars(select(User).where(User.login == login)).one_or_none()


def configured(settings: Settings, **changes: object) -> Settings:
    return make_settings(settings.database_url, settings.data_dir, **changes)


@pytest.fixture
def nobody(db: Session) -> None:
    """The database before its first administrator."""
    db.delete(db.scalars(select(User)).one())
    db.commit()


@pytest.mark.usefixtures("nobody")
def test_the_first_administrator_has_no_password_unless_the_settings_say_one(
    database: Database, db: Session, settings: Settings
) -> None:
    first_admin(database, settings)
    found = person(db, "admin")
    assert found is not None
    assert found.password_hash is None
    first_admin(database, configured(settings, admin_password="tulip-kettle-orbit"))
    found = person(db, "admin")
    assert found is not None
    assert security.check_password("tulip-kettle-orbit", found.password_hash)[0]
    kept = found.password_hash
    first_admin(database, configured(settings, admin_password="another-long-password"))
    found = person(db, "admin")
    assert found is not None
    assert found.password_hash == kept


@pytest.mark.usefixtures("nobody")
def test_the_settings_name_the_administrator(database: Database, db: Session, settings: Settings) -> None:
    first_admin(database, configured(settings, admin_username="anna", admin_password="tulip-kettle-orbit"))
    found = person(db, "anna")
    assert found is not None
    assert (found.first_name, security.check_password("tulip-kettle-orbit", found.password_hash)[0]) == ("anna", True)
    assert person(db, "admin") is None


@pytest.mark.usefixtures("nobody")
def test_a_name_in_the_settings_raises_nobody_who_is_there(database: Database, db: Session, settings: Settings) -> None:
    UserCRUD(db).create_staff(login="boris", password_hash=None, role="Поддержка")
    db.commit()
    first_admin(database, configured(settings, admin_username="boris", admin_password="tulip-kettle-orbit"))
    found = person(db, "boris")
    assert found is not None
    assert (found.role_id, found.password_hash) == (4, None)


def test_an_administrator_with_a_password_is_enough(database: Database, db: Session, settings: Settings) -> None:
    first_admin(database, configured(settings, admin_username="anna", admin_password="tulip-kettle-orbit"))
    assert person(db, "anna") is None


# -- the link


def test_a_link_until_someone_has_signed_in_or_when_asked_for(
    database: Database, db: Session, settings: Settings
) -> None:
    def login(asked: bool = False) -> str | None:
        found = who_needs_a_link(database, settings, asked=asked)
        return found.login if found else None

    assert login() == "admin"
    SessionCRUD(db).note_sign_in()
    SessionCRUD(db).note_sign_in()
    db.commit()
    assert login() is None
    assert login(asked=True) == "admin"
    found = person(db, "admin")
    assert found is not None
    found.password_hash = None
    db.commit()
    assert login() == "admin"
    found.is_active = False
    db.commit()
    assert login(asked=True) is None


def test_the_link_is_for_the_administrator_of_the_settings(database: Database, db: Session, settings: Settings) -> None:
    UserCRUD(db).create_staff(login="anna", password_hash=None, role="Админ")
    db.commit()
    chosen = who_needs_a_link(database, configured(settings, admin_username="anna"), asked=True)
    fallback = who_needs_a_link(database, configured(settings, admin_username="zoe"), asked=True)
    assert (chosen and chosen.login, fallback and fallback.login) == ("anna", "admin")
