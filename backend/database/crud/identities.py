"""Accounts elsewhere that people come in with, and the trips there and back."""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm import contains_eager

from backend.core import clock, security
from backend.core.errors import ConflictError, NotFoundError
from backend.core.events import Event
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.database import audit
from backend.database.crud.base import BaseCRUD
from backend.database.crud.credentials import LAST_WAY_IN, way_in_besides
from backend.database.models.auth import AuthIdentity, OneTimeToken
from backend.database.models.doors import SignInFlow
from backend.database.models.users import User
from backend.database.session import settings_of

LIFE = timedelta(minutes=10)
UNLINKED, FOR_GOOD = "unlinked", datetime(9999, 1, 1, tzinfo=UTC)  # purpose and end of a note that a person unlinked


class FlowCRUD(BaseCRUD[SignInFlow]):
    model = SignInFlow

    def begin(self, provider: str, browser: str, user_id: int | None, carried: dict[str, str]) -> str:
        """The state of a new trip. `browser`: what its forms are bound to; `carried` comes back with it."""
        state = security.new_token()
        self.add(
            SignInFlow(
                state_hash=security.digest(state),
                browser=security.digest(browser),
                provider=provider,
                user_id=user_id,
                sealed=security.seal(settings_of(self.session), json.dumps(carried)),
                expires_at=clock.now() + LIFE,
            )
        )
        return state

    def finish(self, state: str, provider: str, browser: str, me: int | None) -> tuple[int | None, dict[str, str]]:
        """(whose account is to be linked or None, what was carried), once, for the same browser and provider.

        Raises NotFoundError, also for the account of anybody but `me`, who has come back.
        """
        found = self.session.execute(
            update(SignInFlow)
            .where(
                SignInFlow.state_hash == security.digest(state),
                SignInFlow.provider == provider,
                SignInFlow.browser == security.digest(browser),
                or_(SignInFlow.user_id.is_(None), SignInFlow.user_id == me),
                SignInFlow.used_at.is_(None),
                SignInFlow.expires_at > clock.now(),
            )
            .values(used_at=clock.now())
            .returning(SignInFlow.user_id, SignInFlow.sealed)
        ).one_or_none()
        opened = security.unseal(settings_of(self.session), found.sealed) if found else None
        if found is None or opened is None:
            raise NotFoundError
        carried: dict[str, str] = json.loads(opened)
        return found.user_id, carried

    def purge(self) -> None:
        self.session.execute(delete(SignInFlow).where(SignInFlow.expires_at <= clock.now()))


class IdentityCRUD(BaseCRUD[AuthIdentity]):
    model = AuthIdentity

    def person(self, issuer: str, subject: str) -> User | None:
        """Whose account this is. An e-mail that the other service names is never looked at."""
        known = AuthIdentity.issuer == issuer, AuthIdentity.subject == subject
        found = self.session.scalars(select(AuthIdentity).where(*known)).one_or_none()
        if found is None:
            return None
        found.used_at = clock.now()
        user = self.session.get(User, found.user_id)
        return user if user is not None and user.is_active else None

    def person_of_telegram(self, telegram_id: int, provider: str, issuer: str, subject: str, name: str) -> User | None:
        """The member of staff whom Telegram knows by this number; from now on they are linked.

        None for whoever may not open the dashboard, which students may not, and for an account that is linked to
        someone already: the link decides. Nor for one that they unlinked: who holds it would come back by the number.
        """
        known = AuthIdentity.issuer == issuer, AuthIdentity.subject == subject
        statement = select(User).join(User.role).options(contains_eager(User.role))
        user = self.session.scalars(
            statement.where(User.telegram_id == telegram_id, User.is_active, ~exists().where(*known))
        ).one_or_none()
        if user is None or Permission.DASHBOARD_READ not in user.role.permissions:
            return None
        if self.session.scalar(select(exists().where(_unlinked(user.id, issuer, subject)))):
            return None
        self.link(user.id, provider, issuer, subject, name)
        return user

    def of_user(self, user_id: int) -> list[AuthIdentity]:
        return list(self.session.scalars(select(AuthIdentity).where(AuthIdentity.user_id == user_id)))

    def link(self, user_id: int, provider: str, issuer: str, subject: str, name: str) -> None:
        """Raises ConflictError when it is another person's."""
        known = AuthIdentity.issuer == issuer, AuthIdentity.subject == subject
        found = self.session.scalars(select(AuthIdentity).where(*known)).one_or_none()
        if found is not None and found.user_id != user_id:
            raise ConflictError(_("This account is linked to another person here."), code="taken")
        if found is None:
            self.session.execute(delete(OneTimeToken).where(_unlinked(user_id, issuer, subject)))
            self.add(AuthIdentity(user_id=user_id, provider=provider, issuer=issuer, subject=subject, name=name))
            audit.note(self.session, Event.IDENTITY_LINKED, user_id=user_id, provider=provider)

    def unlink(self, user: User, identity_id: int, services: Collection[str]) -> AuthIdentity:
        """`services`: see `way_in_besides`.

        Raises NotFoundError for someone else's, ConflictError for the last way in.
        """
        mine = self.of_user(user.id)
        found = next((identity for identity in mine if identity.id == identity_id), None)
        if found is None:
            raise NotFoundError
        if not way_in_besides(self.session, user.id, services, identity=found.id):
            raise ConflictError(_(LAST_WAY_IN), code="last_way_in")
        self.session.delete(found)
        note = _note(user.id, found.issuer, found.subject)
        self.session.add(OneTimeToken(user_id=user.id, purpose=UNLINKED, token_hash=note, expires_at=FOR_GOOD))
        self.flush()
        audit.note(self.session, Event.IDENTITY_UNLINKED, user_id=user.id, provider=found.provider)
        return found


def _note(user_id: int, issuer: str, subject: str) -> str:
    return security.digest(f"unlinked:{user_id}:{issuer}:{subject}")


def _unlinked(user_id: int, issuer: str, subject: str) -> ColumnElement[bool]:
    """What the person noted of this account, if they unlinked it and have not linked it again."""
    return (OneTimeToken.token_hash == _note(user_id, issuer, subject)) & (OneTimeToken.purpose == UNLINKED)
