"""What the very first start makes: secrets in .env, the first administrator, a link for them."""

import os
import secrets
from pathlib import Path

from dotenv import dotenv_values
from sqlalchemy.orm import Session

from backend.cli.console import OPERATOR, RefusedError
from backend.core import security
from backend.core.config import Settings
from backend.core.events import Event
from backend.core.hosts import is_loopback
from backend.database import audit
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.session import Database

HEAD = "# Made by the first start. Keep it to yourself; docs/configuration.md explains every name.\n"


def write_secrets(file: Path) -> bool:
    """Gives the installation a SECRET_KEY unless it has one; whether something was written.

    A new file also turns the sandbox on, when there is no bot and the address is this machine's
    own.
    """
    known = dotenv_values(file) if file.exists() else {}
    if os.environ.get("SECRET_KEY") or known.get("SECRET_KEY"):
        return False
    key = f"SECRET_KEY={secrets.token_urlsafe(48)}\n"
    try:
        if file.exists():
            kept = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("SECRET_KEY=")]
            _write(file, "\n".join([*kept, key]))
        else:
            _write(file, HEAD + key + ("SANDBOX=1\n" if _may_practise() else ""))
    except OSError as error:
        raise RefusedError(
            f"{file.absolute()} cannot be written ({error.strerror}): make the folder writable, or"
            " set SECRET_KEY"
            " to 32 random characters or more."
        ) from error
    return True


def _may_practise() -> bool:
    wanted = os.environ.get("SANDBOX") or os.environ.get("TELEGRAM_BOT_TOKEN") or os.environ.get("BASE_URL")
    return not wanted and is_loopback(os.environ.get("API_HOST") or "127.0.0.1")


def _write(file: Path, text: str) -> None:
    """The whole file or nothing, and readable by its owner alone from the first byte."""
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    new.replace(file)


def first_admin(database: Database, config: Settings) -> None:
    """Makes the administrator of ADMIN_USERNAME and ADMIN_PASSWORD, or a passwordless `admin`, when
    there is none.
    """
    password = config.admin_password.get_secret_value()
    with database.read() as session:
        admins = StaffCRUD(session).admins()
    if any(admin.password_hash for admin in admins) or (admins and not password):
        return
    hashed = security.hash_password(password) if password else None
    login = config.admin_username or "admin"

    def make(session: Session) -> None:
        staff = StaffCRUD(session)
        found = UserCRUD(session).find_by_login(login)
        if found is None:
            staff.add_admin(login, password_hash=hashed)
        elif found.id in {admin.id for admin in admins}:  # somebody else's login gives no rights
            staff.assign(found, {"password_hash": hashed})
            audit.note(session, Event.PASSWORD_CHANGE, user_id=found.id, by="ADMIN_PASSWORD")

    database.run(make, OPERATOR)


def who_needs_a_link(database: Database, config: Settings, *, asked: bool) -> User | None:
    """The administrator to let in by a link: nobody has signed in yet, or nobody could by a
    password.
    """
    with database.read() as session:
        admins = StaffCRUD(session).admins()
        signed_in = SessionCRUD(session).someone_signed_in()
    locked_out = not any(admin.password_hash for admin in admins)
    if not admins or not (asked or not signed_in or locked_out):
        return None
    named = [admin for admin in admins if admin.login == (config.admin_username or "admin")]
    return (named or admins)[0]
