"""Accounts of the staff: what is refused leaves everything as it was."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.errors import ConflictError, InvalidError, NotFoundError
from backend.core.permissions import MANAGER
from backend.database.crud.auth import ABSOLUTE, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.links import INVITE
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, OneTimeToken
from backend.database.models.history import ChangeSet
from backend.database.models.users import User
from backend.database.schemas.staff import StaffForm
from backend.database.session import Database

ADMIN = 1  # who acts in these tests


@pytest.fixture
def boris(db: Session) -> User:
    return UserCRUD(db).create_staff(login="boris", password_hash=None, role=MANAGER, first_name="Boris")


def stands(db: Session, person: User) -> tuple[str | None, str | None, str | None]:
    row = db.execute(select(User.login, User.email, User.password_hash).where(User.id == person.id)).one()
    return row.login, row.email, row.password_hash


def kinds(db: Session) -> list[str]:
    return list(db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)))


@pytest.mark.parametrize("changed", [{"is_active": False}, {"password_hash": "own hash"}])
def test_an_invitation_is_not_for_who_is_switched_off_or_has_come_in(
    database: Database, db: Session, boris: User, changed: dict[str, object]
) -> None:
    secret = OneTimeTokenCRUD(db).issue(boris.id, INVITE, timedelta(days=7))
    UserCRUD(db).assign(boris, changed)
    before = stands(db, boris)

    with pytest.raises(NotFoundError):
        database.run(lambda session: StaffCRUD(session).accept(secret, "mallory", "her hash"))

    assert stands(db, boris) == before
    assert (db.scalars(select(OneTimeToken.used_at)).all(), kinds(db)) == ([None], [])


def test_who_has_no_login_keeps_an_email_to_sign_in_with(database: Database, db: Session, boris: User) -> None:
    UserCRUD(db).assign(boris, {"login": None, "email": "boris@school.example"})

    def change(**fields: str) -> None:
        form = StaffForm(first_name="Boris", **fields)
        database.run(lambda session: StaffCRUD(session).change(boris.id, form, ADMIN))

    with pytest.raises(InvalidError) as refused:
        change()
    assert refused.value.fields == {"email": "Without a login, they need an email to sign in."}
    assert stands(db, boris) == (None, "boris@school.example", None)

    change(login="boris2")
    assert stands(db, boris) == ("boris2", None, None)


@pytest.mark.parametrize("active", [True, False])
def test_who_is_switched_the_way_they_were_notices_nothing(
    database: Database, db: Session, boris: User, *, active: bool
) -> None:
    SessionCRUD(db).open(boris, kind="cookie", user_agent="Firefox", ip="127.0.0.1", lifetime=ABSOLUTE)
    UserCRUD(db).assign(boris, {"is_active": active})

    def switch(to: bool) -> User:
        return database.run(lambda session: StaffCRUD(session).switch(boris.id, to, ADMIN))

    def told() -> tuple[int, int, int, bool]:
        """The versions of the account and of its sessions, how much the history holds, whether a session ended."""
        row = db.execute(select(User.version, User.token_version).where(User.id == boris.id)).one()
        ended = db.scalars(select(AuthSession.revoked_at)).one() is not None
        return row.version, row.token_version, db.scalar(select(func.count(ChangeSet.id))) or 0, ended

    before = told()
    assert switch(active).is_active is active
    assert (told(), kinds(db)) == (before, [])

    assert switch(not active).is_active is not active
    assert kinds(db) == ["user_disabled" if active else "user_enabled"]
    version, token_version, sets, ended = told()
    assert (version > before[0], token_version > before[1], sets, ended) == (True, True, before[2] + 1, True)


def test_no_link_is_made_for_an_account_that_is_switched_off(database: Database, db: Session, boris: User) -> None:
    def link() -> str:
        return database.run(lambda session: StaffCRUD(session).make_link(boris.id, ADMIN))

    UserCRUD(db).assign(boris, {"is_active": False})
    with pytest.raises(ConflictError, match=r"^This account is turned off\.$"):
        link()
    assert (db.scalars(select(OneTimeToken.id)).all(), kinds(db)) == ([], [])

    UserCRUD(db).assign(boris, {"is_active": True})
    found = OneTimeTokenCRUD(db).find_live(link(), "sign_in")
    assert found is not None
    assert (found.user_id, kinds(db)) == (boris.id, ["authn_link_created"])
