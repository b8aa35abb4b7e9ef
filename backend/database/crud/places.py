"""Where people come in from, and when they were last here. Both outlive the sessions that tell of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from backend.core import clock
from backend.core.hosts import network
from backend.database.crud.base import BaseCRUD
from backend.database.models.auth import SignInPlace
from backend.database.models.users import User

LONGEST_AGENT = 255


class PlaceCRUD(BaseCRUD[SignInPlace]):
    model = SignInPlace

    def is_new(self, user_id: int, user_agent: str, ip: str) -> bool:
        """Whether the person has come before, but never with this program from this network."""
        any_ = select(SignInPlace.id).where(SignInPlace.user_id == user_id)
        this = any_.where(SignInPlace.user_agent == user_agent[:LONGEST_AGENT], SignInPlace.network == network(ip))
        came, came_so = self.session.execute(select(any_.exists(), this.exists())).one()
        return bool(came) and not came_so

    def note(self, user_id: int, user_agent: str, ip: str) -> None:
        """They came in, in the transaction that opens their session."""
        self.see(User.id == user_id)
        now = clock.now()
        dialect: Any = sqlite if self.session.get_bind().dialect.name == "sqlite" else postgresql
        place = {"user_id": user_id, "user_agent": user_agent[:LONGEST_AGENT], "network": network(ip)}
        made = dialect.insert(SignInPlace).values(**place, first_at=now, last_at=now)
        self.session.execute(made.on_conflict_do_update(index_elements=list(place), set_={"last_at": now}))

    def see(self, who: ColumnElement[bool]) -> None:
        """They are here. No edit of the person: version and `updated_at` stay as they are."""
        seen = update(User).where(who).values(seen_at=clock.now(), updated_at=User.updated_at)
        self.session.execute(seen, execution_options={"synchronize_session": False})

    def purge(self, older_than: datetime) -> None:
        self.session.execute(delete(SignInPlace).where(SignInPlace.last_at < older_than))
