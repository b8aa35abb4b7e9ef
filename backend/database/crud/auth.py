"""Sessions and tokens. Only hashes of secrets come near the database."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import contains_eager

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.database.crud.base import BaseCRUD
from backend.database.models.auth import ApiToken, AuthSession, OneTimeToken, RefreshToken
from backend.database.models.users import User

IDLE = timedelta(minutes=60)
ABSOLUTE = timedelta(hours=12)
REMEMBERED = timedelta(days=30)  # "stay signed in on this device": idle and absolute limits
API_ABSOLUTE = timedelta(days=14)
TOUCH = timedelta(seconds=60)  # last_seen is written at most this often
REUSE_GRACE = timedelta(seconds=10)


class SessionCRUD(BaseCRUD[AuthSession]):
    model = AuthSession

    def open(self, user: User, *, kind: str, user_agent: str, ip: str, lifetime: timedelta) -> tuple[AuthSession, str]:
        """A new session and its secret, which exists only here and at the client."""
        secret = security.new_token()
        session = AuthSession(
            user_id=user.id,
            kind=kind,
            token_hash=security.digest(secret),
            token_version=user.token_version,
            user_agent=user_agent[:255],
            ip=ip,
            expires_at=clock.now() + lifetime,
        )
        return self.add(session), secret

    def find_by_secret(self, secret: str) -> AuthSession | None:
        """The live cookie session of a secret, with its user and role."""
        return self._find_live(AuthSession.token_hash == security.digest(secret), AuthSession.kind == "cookie")

    def find_api_session(self, session_id: int) -> AuthSession | None:
        return self._find_live(AuthSession.id == session_id, AuthSession.kind == "api")

    def _find_live(self, *conditions: ColumnElement[bool]) -> AuthSession | None:
        now = clock.now()
        statement = (
            select(AuthSession)
            .join(AuthSession.user)
            .join(User.role)
            .options(contains_eager(AuthSession.user).contains_eager(User.role))
            .where(
                *conditions,
                AuthSession.revoked_at.is_(None),
                AuthSession.expires_at > now,
                AuthSession.token_version == User.token_version,
                User.is_active,
            )
        )
        found = self.session.scalars(statement).one_or_none()
        if found is None or (found.kind == "cookie" and found.last_seen_at < now - self.idle_limit(found)):
            return None
        return found

    @staticmethod
    def idle_limit(session: AuthSession) -> timedelta:
        return IDLE if session.expires_at - session.created_at <= ABSOLUTE else REMEMBERED

    def touch(self, session_id: int) -> None:
        stale = clock.now() - TOUCH
        self.session.execute(
            update(AuthSession)
            .where(AuthSession.id == session_id, AuthSession.last_seen_at < stale)
            .values(last_seen_at=clock.now())
        )

    def revoke(self, session_id: int) -> None:
        """The session and the refresh tokens of its chain are dead from the next request on."""
        self.session.execute(
            update(AuthSession)
            .where(AuthSession.id == session_id, AuthSession.revoked_at.is_(None))
            .values(revoked_at=clock.now())
        )

    def revoke_all(self, user_id: int, *, but: int | None = None) -> None:
        condition = AuthSession.user_id == user_id, AuthSession.revoked_at.is_(None)
        statement = update(AuthSession).where(*condition).values(revoked_at=clock.now())
        self.session.execute(statement if but is None else statement.where(AuthSession.id != but))

    def of_user(self, user_id: int) -> list[AuthSession]:
        """Live sessions of a person, the latest first."""
        statement = (
            select(AuthSession)
            .where(
                AuthSession.user_id == user_id,
                AuthSession.revoked_at.is_(None),
                AuthSession.expires_at > clock.now(),
            )
            .order_by(AuthSession.last_seen_at.desc())
        )
        return list(self.session.scalars(statement))

    def issue_refresh(self, session: AuthSession, parent: RefreshToken | None = None) -> str:
        secret = security.new_token()
        self.session.add(
            RefreshToken(
                session_id=session.id,
                token_hash=security.digest(secret),
                parent_id=parent.id if parent else None,
                expires_at=session.expires_at,
            )
        )
        self.flush()
        return secret

    def rotate(self, secret: str) -> tuple[AuthSession, str] | None:
        """Exchange a refresh token for the next one of its chain, once.

        Reuse kills the chain, except of the direct predecessor within 10 s (a client that retries or runs in
        parallel): that is refused too, but the chain lives. Returns None when refused.
        """
        token = self.session.scalars(
            select(RefreshToken).where(RefreshToken.token_hash == security.digest(secret))
        ).one_or_none()
        if token is None or token.expires_at <= clock.now():
            return None
        session = self.find_api_session(token.session_id)
        if session is None:
            return None
        used = self.session.execute(
            update(RefreshToken)
            .where(RefreshToken.id == token.id, RefreshToken.used_at.is_(None))
            .values(used_at=clock.now())
            .returning(RefreshToken.id)
        ).scalar_one_or_none()
        if used is None:
            self._punish_reuse(token)
            return None
        return session, self.issue_refresh(session, parent=token)

    def _punish_reuse(self, token: RefreshToken) -> None:
        self.session.refresh(token)
        child = self.session.scalars(select(RefreshToken).where(RefreshToken.parent_id == token.id)).one_or_none()
        direct = child is not None and child.used_at is None
        if not (direct and token.used_at is not None and clock.now() - token.used_at <= REUSE_GRACE):
            self.revoke(token.session_id)

    def purge(self, older_than: datetime) -> None:
        self.session.execute(delete(AuthSession).where(AuthSession.expires_at < older_than))


class ApiTokenCRUD(BaseCRUD[ApiToken]):
    model = ApiToken

    def issue(self, name: str, scopes: frozenset[str], *, user_id: int | None = None) -> tuple[ApiToken, str]:
        """A new token and its text, shown once."""
        text = security.new_token(security.API_TOKEN_PREFIX)
        token = ApiToken(
            name=name,
            token_hash=security.digest(text),
            hint=text[-4:],
            scopes=sorted(scopes),
            user_id=user_id,
        )
        return self.add(token), text

    def find_by_text(self, text: str) -> ApiToken | None:
        """A live token; one that belongs to a person dies with that person's account."""
        statement = (
            select(ApiToken)
            .outerjoin(User, User.id == ApiToken.user_id)
            .where(
                ApiToken.token_hash == security.digest(text),
                ApiToken.revoked_at.is_(None),
                ApiToken.user_id.is_(None) | User.is_active,
            )
        )
        return self.session.scalars(statement).one_or_none()

    def touch(self, token_id: int) -> None:
        self.session.execute(update(ApiToken).where(ApiToken.id == token_id).values(last_used_at=clock.now()))

    def live(self) -> list[ApiToken]:
        statement = select(ApiToken).where(ApiToken.revoked_at.is_(None)).order_by(ApiToken.id.desc())
        return list(self.session.scalars(statement))

    def revoke(self, token_id: int) -> ApiToken:
        token = self.get_by_id(token_id)
        if token.revoked_at is None:
            self.assign(token, {"revoked_at": clock.now()})
        return token


class OneTimeTokenCRUD(BaseCRUD[OneTimeToken]):
    model = OneTimeToken

    def issue(self, user_id: int, purpose: str, lifetime: timedelta) -> str:
        secret = security.new_token()
        row: dict[str, Any] = {
            "user_id": user_id,
            "purpose": purpose,
            "token_hash": security.digest(secret),
            "expires_at": clock.now() + lifetime,
        }
        self.add(OneTimeToken(**row))
        return secret

    def redeem(self, secret: str, purpose: str) -> int:
        """The user whom the token was made for; works once. Raises NotFoundError."""
        user_id = self.session.execute(
            update(OneTimeToken)
            .where(
                OneTimeToken.token_hash == security.digest(secret),
                OneTimeToken.purpose == purpose,
                OneTimeToken.used_at.is_(None),
                OneTimeToken.expires_at > clock.now(),
            )
            .values(used_at=clock.now())
            .returning(OneTimeToken.user_id)
        ).scalar_one_or_none()
        if user_id is None:
            raise NotFoundError
        return user_id
