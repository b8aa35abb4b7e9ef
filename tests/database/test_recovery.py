"""Links out of letters, for whoever was switched off after the letter was written."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.core.errors import NotFoundError
from backend.database.crud.auth import ABSOLUTE, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.links import RESET
from backend.database.crud.recovery import RecoveryCRUD
from backend.database.models.auth import AuthSession, OneTimeToken
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import User
from backend.database.session import Database
from tests.database.rivals import overtaken
from tests.factories import make_user


@pytest.fixture
def olga(db: Session) -> User:
    return make_user(db, first_name="Olga", email="olga@pupils.example", password_hash="old hash")


def switch(db: Session, person: User, *, active: bool) -> None:
    """The account alone: whoever switches someone off by a page ends the links as well."""
    db.refresh(person)
    person.is_active = active
    db.commit()


def test_a_link_sets_no_password_of_a_closed_account_and_is_not_used_up_by_it(
    database: Database, db: Session, olga: User
) -> None:
    secret = OneTimeTokenCRUD(db).issue(olga.id, RESET, timedelta(minutes=15))
    SessionCRUD(db).open(olga, kind="cookie", user_agent="Firefox", ip="127.0.0.1", lifetime=ABSOLUTE)
    switch(db, olga, active=False)

    def reset() -> None:
        database.run(lambda session: RecoveryCRUD(session).reset(secret, "new hash"))

    def stands() -> tuple[str | None, bool, bool]:
        hashed = db.scalars(select(User.password_hash).where(User.id == olga.id)).one()
        ended, used = select(AuthSession.revoked_at), select(OneTimeToken.used_at)
        return hashed, db.scalars(ended).one() is not None, db.scalars(used).one() is not None

    with pytest.raises(NotFoundError):
        reset()
    assert stands() == ("old hash", False, False)

    switch(db, olga, active=True)
    reset()
    assert stands() == ("new hash", True, True)


def test_a_link_confirms_no_address_of_a_closed_account_and_is_not_used_up_by_it(
    database: Database, db: Session, olga: User
) -> None:
    RecoveryCRUD(db).ask_to_confirm(olga, "new@pupils.example")
    letter = LetterCRUD(db).letter(db.scalars(select(Dispatch).where(Dispatch.method == "verify")).one())
    assert letter is not None
    secret = re.findall(r"/confirm/(\S+)", letter.text)[0]
    switch(db, olga, active=False)

    def confirm() -> None:
        database.run(lambda session: RecoveryCRUD(session).confirm(secret))

    def stands() -> tuple[str | None, bool]:
        row = db.execute(select(User.email, User.email_verified_at).where(User.id == olga.id)).one()
        return row.email, row.email_verified_at is not None

    with pytest.raises(NotFoundError):
        confirm()
    assert (RecoveryCRUD(db).find_email(secret), stands()) == ("", ("olga@pupils.example", False))

    switch(db, olga, active=True)
    confirm()
    assert stands() == ("new@pupils.example", True)


def test_nobody_gets_another_address_while_a_link_is_written_to_the_old_one(
    database: Database, db: Session, olga: User
) -> None:
    """Whatever ends the links of the old address then comes after this one was made."""
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    refused = []

    def rival(_connection: Connection) -> None:
        with database.engine.connect() as other, other.begin():
            other.execute(text("SET LOCAL lock_timeout = '200ms'"))
            try:
                other.execute(text("UPDATE users SET email_key = 'other@pupils.example' WHERE email IS NOT NULL"))
            except OperationalError as error:
                refused.append(getattr(error.orig, "sqlstate", ""))

    with overtaken(database.engine, "DELETE FROM one_time_tokens", rival) as tried, database.transaction() as session:
        RecoveryCRUD(session).ask("olga@pupils.example")
    assert (refused, len(tried)) == (["55P03"], 1)
