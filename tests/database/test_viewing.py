"""“View as”: the way back, when there is no way back any more."""

from dataclasses import dataclass
from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Principal
from backend.core.permissions import ADMIN, MANAGER
from backend.database.crud.auth import ABSOLUTE, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.crud.viewing import ViewingCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession
from backend.database.schemas.staff import ViewAs
from backend.database.session import Database


@dataclass
class View:
    """A look through Boris's eyes, and the session that it hangs on."""

    database: Database
    db: Session
    own: int
    looking: Principal

    def back(self) -> tuple[str, int | None]:
        """The new secret, and the session that it opens."""
        secret, own = self.database.run(lambda session: ViewingCRUD(session).end(self.looking))
        return secret, own.id if own is not None else None

    def leave(self) -> None:
        self.database.run(lambda session: ViewingCRUD(session).leave(self.looking))

    def ended(self) -> tuple[datetime | None, datetime | None]:
        """When the own session ended, and when the look did."""
        found = dict(self.db.execute(select(AuthSession.id, AuthSession.revoked_at)).all())
        return found[self.own], found[self.looking.session_id]  # type: ignore[index] # it has one

    def told(self) -> int:
        """How many times the end stands in the security events."""
        ends = select(SecurityEvent.id).where(SecurityEvent.kind == "authn_impersonation_ended")
        return len(self.db.scalars(ends).all())


@pytest.fixture
def view(database: Database, db: Session) -> View:
    users = UserCRUD(db)
    head = users.create_staff(login="head", password_hash=None, role=ADMIN, first_name="Head")
    boris = users.create_staff(login="boris", password_hash=None, role=MANAGER, first_name="Boris")
    how = {"user_agent": "Firefox", "ip": "127.0.0.1"}
    own, _secret = SessionCRUD(db).open(head, kind="cookie", lifetime=ABSOLUTE, **how)
    me = Principal("session", head.id, session_id=own.id)
    _person, secret = ViewingCRUD(db).start(boris.id, ViewAs(reason="Looks"), me, **how)
    look = SessionCRUD(db).find_by_secret(secret)
    assert look is not None
    assert (look.user_id, look.impersonator_id) == (boris.id, head.id)
    return View(database, db, own.id, Principal("session", boris.id, session_id=look.id, impersonator_id=head.id))


def test_one_goes_back_once_and_the_second_click_gets_no_secret(view: View) -> None:
    secret, own = view.back()
    assert own == view.own
    assert view.back() == ("", None)

    found = SessionCRUD(view.db).find_by_secret(secret)  # the second click did not give the session another one
    assert (found is not None and found.id, view.told()) == (view.own, 1)


def test_there_is_no_way_back_into_a_session_that_has_ended(view: View) -> None:
    SessionCRUD(view.db).revoke(view.own)
    before, looking = view.ended()
    assert looking is None

    assert view.back() == ("", None)

    own, look = view.ended()
    assert (own, look is not None, view.told()) == (before, True, 1)


def test_signing_out_of_a_look_ends_the_own_session_too(view: View) -> None:
    view.leave()
    assert [moment is not None for moment in view.ended()] == [True, True]
    assert view.told() == 1


def test_signing_out_of_a_look_ends_it_even_where_the_own_session_ended_before(view: View) -> None:
    SessionCRUD(view.db).revoke(view.own)
    before, _looking = view.ended()

    view.leave()
    view.leave()

    own, look = view.ended()
    assert (own, look is not None, view.told()) == (before, True, 1)
