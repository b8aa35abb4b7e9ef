"""“View as”: a session through which a member of staff sees the school as another one does.

It hangs on the session that it was opened from and dies with it; it never may more than both people may.
"""

from datetime import timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import aliased

from backend.core import clock, security
from backend.core.context import Principal
from backend.core.errors import ConflictError
from backend.core.events import Event
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.database import audit
from backend.database.crud.base import BaseCRUD
from backend.database.crud.rights import Guard
from backend.database.listing import AnyRow
from backend.database.models.auth import AuthSession
from backend.database.models.users import Role, User
from backend.database.schemas.staff import ViewAs
from backend.database.session import ask

LONGEST = timedelta(minutes=60)
_own = aliased(AuthSession)
# The session that a view hangs on, as long as it lives, with its person and what they may do now.
LOOKER = (
    select(_own.id, _own.created_at, _own.expires_at, User.first_name, User.last_name, Role.permissions)
    .select_from(AuthSession)
    .join(_own, (_own.id == AuthSession.parent_id) & (_own.user_id == AuthSession.impersonator_id))
    .join(User, User.id == _own.user_id)
    .join(Role, Role.id == User.role_id)
    .where(
        AuthSession.id == bindparam("id"),
        _own.level == "full",
        _own.revoked_at.is_(None),
        _own.expires_at > bindparam("now"),
        _own.token_version == User.token_version,
        User.is_active,
    )
)


class ViewingCRUD(BaseCRUD[AuthSession]):
    model = AuthSession

    def looker(self, session_id: int) -> AnyRow | None:
        """Who looks through this session; None when they may not any more."""
        found = ask(self.session, LOOKER, id=session_id, now=clock.now()).one_or_none()
        return found if found is not None and Permission.STAFF_WRITE in found.permissions else None

    def start(self, user_id: int, data: ViewAs, me: Principal, *, user_agent: str, ip: str) -> tuple[User, str]:
        """The person and the secret of a session that sees the school as they do.

        Raises ForbiddenError for oneself and for who has more rights, NotFoundError, ConflictError.
        """
        person = Guard(self.session, me.user_id, Permission.STAFF_WRITE).person(user_id)
        if not person.is_active:
            raise ConflictError(_("This account is turned off."))
        secret = security.new_token()
        self.add(
            AuthSession(
                user_id=person.id,
                kind="cookie",
                method="view_as",
                token_hash=security.digest(secret),
                token_version=person.token_version,
                user_agent=user_agent[:255],
                ip=ip,
                expires_at=clock.now() + LONGEST,
                impersonator_id=me.user_id,
                parent_id=me.session_id,
                reason=data.reason,
                read_only=not data.write,
            )
        )
        self._touch(me.session_id)  # it is there to come back to for an hour
        audit.note(self.session, Event.IMPERSONATED, user_id=person.id, reason=data.reason, read_only=not data.write)
        return person, secret

    def _touch(self, session_id: int | None) -> None:
        mine = update(AuthSession).where(AuthSession.id == session_id)
        self.session.execute(mine.values(last_seen_at=clock.now()))

    def end(self, me: Principal) -> tuple[str, AnyRow | None]:
        """Back: the new secret of the session that it began from, and that session; ("", None) when it has ended."""
        own = self.looker(me.session_id or 0)
        if not self._close(me) or own is None:
            return "", None
        secret = security.new_token()
        alive = update(AuthSession).where(AuthSession.id == own.id, AuthSession.revoked_at.is_(None))
        renewed = alive.values(token_hash=security.digest(secret), last_seen_at=clock.now()).returning(AuthSession.id)
        return (secret, own) if self.session.execute(renewed).scalar_one_or_none() else ("", None)

    def leave(self, me: Principal) -> None:
        """Signing out while looking through someone's eyes signs out of the own account too."""
        own = self.looker(me.session_id or 0)
        self._close(me)
        if own is not None:
            ended = update(AuthSession).where(AuthSession.id == own.id, AuthSession.revoked_at.is_(None))
            self.session.execute(ended.values(revoked_at=clock.now()))

    def _close(self, me: Principal) -> bool:
        """False when it was over already."""
        mine = (
            AuthSession.id == me.session_id,
            AuthSession.impersonator_id.is_not(None),
            AuthSession.revoked_at.is_(None),
        )
        closed = update(AuthSession).where(*mine).values(revoked_at=clock.now()).returning(AuthSession.id)
        if self.session.execute(closed).scalar_one_or_none() is None:
            return False
        audit.note(self.session, Event.IMPERSONATION_ENDED, user_id=me.user_id)
        return True
