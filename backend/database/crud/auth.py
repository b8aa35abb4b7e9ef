"""Sessions and tokens. Only hashes of secrets come near the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, exists, or_, select, update
from sqlalchemy.orm import joinedload

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.core.events import Event
from backend.core.i18n import _
from backend.database import audit
from backend.database.crud.base import BaseCRUD
from backend.database.crud.places import PlaceCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.vouching import vouched_for
from backend.database.listing import AnyRow, AnySelect
from backend.database.models.auth import ApiToken, AuthSession, Credential, OneTimeToken, RefreshToken
from backend.database.models.users import Role, User
from backend.database.models.views import SavedView
from backend.database.session import row_while_unwritten

IDLE = timedelta(minutes=60)
ABSOLUTE = timedelta(hours=12)
API_ABSOLUTE = timedelta(days=14)
PENDING = timedelta(minutes=10)  # from a right password to the second factor
TOUCH = timedelta(seconds=60)  # last_seen is written at most this often
REUSE_GRACE = timedelta(seconds=10)
SIGN_IN, SIGN_IN_LINK = "sign_in", timedelta(minutes=15)  # purpose and life of a one-time link
BUILT_IN_BOT = "built-in bot"  # the name of the API token of the bot inside our own processes
FIRST_SIGN_IN = "first_sign_in"  # the setting that says that someone has come in

# Every request asks one of these: made once, and of columns, as rows cost a quarter of three entities.
LIVE = (
    select(
        AuthSession.id,
        AuthSession.kind,
        AuthSession.token_hash,
        AuthSession.created_at,
        AuthSession.last_seen_at,
        AuthSession.expires_at,
        AuthSession.method,
        AuthSession.confirmed_at,
        AuthSession.strong_at,
        AuthSession.impersonator_id,
        AuthSession.read_only,
        User.id.label("user_id"),
        User.first_name,
        User.last_name,
        User.login,
        User.email,
        User.ui_language,
        User.theme,
        User.timezone,
        User.single_keys,
        Role.name.label("role"),
        Role.permissions,
        # Without any, no page asks for them.
        or_(exists().where(SavedView.owner_id == User.id), exists().where(SavedView.is_shared)).label("has_views"),
        exists().where(Credential.user_id == User.id, Credential.kind != "recovery").label("has_factor"),
    )
    .join(AuthSession.user)
    .join(User.role)
    .where(
        AuthSession.level == bindparam("level"),
        AuthSession.revoked_at.is_(None),
        AuthSession.token_version == User.token_version,
        User.is_active,
    )
)
LIVE_BY_SECRET = LIVE.where(AuthSession.token_hash == bindparam("hash"), AuthSession.kind == "cookie")
LIVE_BY_ID = LIVE.where(AuthSession.id == bindparam("id"), AuthSession.kind == "api")
LIVE_TOKEN = (
    select(
        ApiToken.id,
        ApiToken.name,
        ApiToken.scopes,
        ApiToken.user_id,
        ApiToken.last_used_at,
        Role.permissions.label("owner_permissions"),
    )
    .outerjoin(ApiToken.user)
    .outerjoin(User.role)
    .where(
        ApiToken.token_hash == bindparam("hash"),
        ApiToken.revoked_at.is_(None),
        ApiToken.user_id.is_(None) | User.is_active,
    )
)


@dataclass(frozen=True)
class Rotation:
    """The outcome of a refresh: the session with its next `secret`, or no secret when it was
    refused.
    """

    session: AuthSession | None = None
    secret: str = ""


class SessionCRUD(BaseCRUD[AuthSession]):
    model = AuthSession

    def open(
        self, user: User, *, kind: str, user_agent: str, ip: str, lifetime: timedelta, **how: Any
    ) -> tuple[AuthSession, str]:
        """A new session and its secret, which exists only here and at the client.

        `how`: `method`, `level="pending"` while the second factor is still to come, `strong_at` once it came.
        """
        secret = security.new_token()
        session = AuthSession(
            user_id=user.id,
            kind=kind,
            token_hash=security.digest(secret),
            token_version=user.token_version,
            user_agent=user_agent[:255],
            ip=ip,
            expires_at=clock.now() + lifetime,
            **how,
        )
        self.add(session)
        if session.level == "full":
            PlaceCRUD(self.session).note(user.id, user_agent, ip)
        return session, secret

    def find_by_secret(self, secret: str) -> AnyRow | None:
        """The live cookie session of a secret, with what a request needs of its user: see LIVE."""
        return self._find_live(LIVE_BY_SECRET, hash=security.digest(secret))

    def find_api_session(self, session_id: int) -> AnyRow | None:
        return self._find_live(LIVE_BY_ID, id=session_id)

    def find_pending(self, secret: str) -> AnyRow | None:
        """A session whose second factor is still to come. It is nobody's sign-in anywhere else."""
        return self._find_live(LIVE_BY_SECRET, level="pending", hash=security.digest(secret))

    def _find_live(self, statement: AnySelect, *, level: str = "full", **values: Any) -> AnyRow | None:
        found = row_while_unwritten(self.session, statement, level=level, **values)
        return None if found is None or found.expires_at <= clock.now() or self._idle(found) else found

    @staticmethod
    def idle_limit(session: AuthSession | AnyRow) -> timedelta:
        """Who stays signed in (REMEMBER_DAYS) does so at rest too."""
        whole: timedelta = session.expires_at - session.created_at
        return IDLE if whole <= ABSOLUTE else whole

    def touch(self, session_id: int) -> None:
        """It is in use, and the person here, unless someone else looks through their eyes."""
        stale = AuthSession.id == session_id, AuthSession.last_seen_at < clock.now() - TOUCH
        owner = select(AuthSession.user_id).where(*stale, AuthSession.impersonator_id.is_(None))
        # The person before the session: in this order those who change accounts lock them.
        PlaceCRUD(self.session).see(User.id == owner.scalar_subquery())
        self.session.execute(update(AuthSession).where(*stale).values(last_seen_at=clock.now()))

    def missing(self, row_id: int) -> str:
        return _("This session has ended already.")

    def revoke(self, session_id: int) -> bool:
        """The session and the refresh tokens of its chain are dead from the next request on; whether they lived."""
        ended = self.session.execute(
            update(AuthSession)
            .where(AuthSession.id == session_id, AuthSession.revoked_at.is_(None))
            .values(revoked_at=clock.now())
            .returning(AuthSession.id)
        )
        return ended.scalar_one_or_none() is not None

    def renew(self, session_id: int, *, proved: bool, strong: bool = False, **also: Any) -> str:
        """The session goes on under a new secret, its old one is dead; `proved`: the person just proved who they are,
        `strong`: by their second factor; `also`: what else becomes of it.

        Raises NotFoundError.
        """
        secret, proofs = security.new_token(), {"confirmed_at": proved, "strong_at": strong}
        values = {name: clock.now() for name, given in proofs.items() if given}
        renewed = self.session.execute(
            update(AuthSession)
            .where(AuthSession.id == session_id, AuthSession.revoked_at.is_(None))
            .values(token_hash=security.digest(secret), **values, **also)
            .returning(AuthSession.id)
        )
        if renewed.scalar_one_or_none() is None:
            raise NotFoundError(self.missing(session_id))
        return secret

    def strengthen(self, session_id: int) -> None:
        """The person showed a new second factor, right after a proof by what they had before."""
        self.session.execute(update(AuthSession).where(AuthSession.id == session_id).values(strong_at=clock.now()))

    def revoke_secret(self, secret: str) -> None:
        """Ends the browser session of this cookie, if there is one."""
        if secret:
            condition = (
                AuthSession.token_hash == security.digest(secret),
                AuthSession.revoked_at.is_(None),
            )
            self.session.execute(update(AuthSession).where(*condition).values(revoked_at=clock.now()))

    def revoke_all(self, user_id: int, *, but: int | None = None) -> None:
        condition = AuthSession.user_id == user_id, AuthSession.revoked_at.is_(None)
        statement = update(AuthSession).where(*condition).values(revoked_at=clock.now())
        self.session.execute(statement if but is None else statement.where(AuthSession.id != but))

    def revoke_role(self, role_id: int) -> None:
        """Everyone who has this role signs in anew, in every process: more rights come with a new session id."""
        has_it = update(User).where(User.role_id == role_id).values(token_version=User.token_version + 1)
        self.session.execute(has_it, execution_options={"synchronize_session": False})
        theirs = (
            AuthSession.user_id.in_(select(User.id).where(User.role_id == role_id)),
            AuthSession.revoked_at.is_(None),
        )
        self.session.execute(update(AuthSession).where(*theirs).values(revoked_at=clock.now()))

    def of_user(self, user_id: int) -> list[AuthSession]:
        """Live sessions of a person, the latest first, each with whoever looks through their eyes."""
        statement = (
            select(AuthSession)
            .where(
                AuthSession.user_id == user_id,
                AuthSession.level == "full",
                AuthSession.revoked_at.is_(None),
                AuthSession.expires_at > clock.now(),
            )
            .options(joinedload(AuthSession.impersonator))
            .order_by(AuthSession.last_seen_at.desc(), AuthSession.id.desc())
        )
        return [found for found in self.session.scalars(statement) if not self._idle(found)]

    def _idle(self, session: AuthSession | AnyRow) -> bool:
        return session.kind == "cookie" and session.last_seen_at < clock.now() - self.idle_limit(session)

    def revoke_own(self, session_id: int, user_id: int) -> None:
        """Raises NotFoundError for a session of someone else."""
        found = self.get_by_id(session_id)
        if found.user_id != user_id:
            raise NotFoundError(self.missing(session_id))
        self.revoke(session_id)

    def someone_signed_in(self) -> bool:
        """Whether a person has ever come in through the browser."""
        return SettingCRUD(self.session).find(FIRST_SIGN_IN) is not None

    def note_sign_in(self) -> None:
        if not self.someone_signed_in():
            SettingCRUD(self.session).put(FIRST_SIGN_IN, {"at": clock.now().isoformat()})

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

    def rotate(self, secret: str) -> Rotation:
        """Exchange a refresh token for the next one of its chain, once.

        Reuse kills the chain, except of the direct predecessor within 10 s (a client that retries
        or runs in parallel): that is refused too, but the chain lives. Whoever calls this commits
        even a refusal.
        """
        token = self.session.scalars(
            select(RefreshToken).where(RefreshToken.token_hash == security.digest(secret))
        ).one_or_none()
        if token is None or token.expires_at <= clock.now():
            return Rotation()
        if self.find_api_session(token.session_id) is None:
            return Rotation()
        session = self.get_by_id(token.session_id)
        used = self.session.execute(
            update(RefreshToken)
            .where(RefreshToken.id == token.id, RefreshToken.used_at.is_(None))
            .values(used_at=clock.now())
            .returning(RefreshToken.id)
        ).scalar_one_or_none()
        if used is None:
            return self._refuse_reuse(token, session)
        return Rotation(session, self.issue_refresh(session, parent=token))

    def _refuse_reuse(self, token: RefreshToken, session: AuthSession) -> Rotation:
        self.session.refresh(token)
        child = self.session.scalars(select(RefreshToken).where(RefreshToken.parent_id == token.id)).one_or_none()
        direct = child is not None and child.used_at is None
        if direct and token.used_at is not None and clock.now() - token.used_at <= REUSE_GRACE:
            return Rotation()
        self.revoke(session.id)
        audit.note(self.session, Event.TOKEN_REUSE, user_id=session.user_id, session_id=session.id)
        return Rotation(session)

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

    def keep(self, name: str, text: str, scopes: frozenset[str]) -> ApiToken:
        """A token whose text is given: made when missing, alive with these scopes afterwards.

        The school's other tokens of this name are revoked: they were made under an older key, which may have leaked.
        """
        others = ApiToken.name == name, ApiToken.user_id.is_(None), ApiToken.revoked_at.is_(None)
        for old in self.session.scalars(select(ApiToken).where(*others, ApiToken.token_hash != security.digest(text))):
            self.revoke(old.id)
        found = self.session.scalars(select(ApiToken).where(ApiToken.token_hash == security.digest(text))).one_or_none()
        if found is None:
            hashed, hint = security.digest(text), text[-4:]
            return self.add(ApiToken(name=name, token_hash=hashed, hint=hint, scopes=sorted(scopes)))
        return self.assign(found, {"revoked_at": None, "scopes": sorted(scopes)})

    def find_by_text(self, text: str) -> AnyRow | None:
        """A live token with its owner's rights, see LIVE_TOKEN; it dies with the owner's account."""
        return row_while_unwritten(self.session, LIVE_TOKEN, hash=security.digest(text))

    def touch(self, token_id: int) -> None:
        self.session.execute(update(ApiToken).where(ApiToken.id == token_id).values(last_used_at=clock.now()))

    def live(self) -> list[ApiToken]:
        """All tokens that work, the latest first, each with its owner."""
        statement = select(ApiToken).where(ApiToken.revoked_at.is_(None)).order_by(ApiToken.id.desc())
        return list(self.session.scalars(statement.options(joinedload(ApiToken.user))))

    def revoke(self, token_id: int) -> ApiToken:
        token = self.get_by_id(token_id)
        if token.revoked_at is None:
            self.assign(token, {"revoked_at": clock.now()})
        return token

    def missing(self, row_id: int) -> str:
        return _("There is no token with number %s.") % row_id


class OneTimeTokenCRUD(BaseCRUD[OneTimeToken]):
    model = OneTimeToken

    def issue(self, user_id: int, purpose: str, lifetime: timedelta, *, by: int | None = None) -> str:
        """The secret. `by`: who answers for it, see `vouched_for`."""
        secret = security.new_token()
        row: dict[str, Any] = {
            "user_id": user_id,
            "purpose": purpose,
            "token_hash": security.digest(secret),
            "expires_at": clock.now() + lifetime,
            "data": {"by": by} if by else {},
        }
        self.add(OneTimeToken(**row))
        return secret

    def find_live(self, secret: str, purpose: str) -> OneTimeToken | None:
        """A token that would still work, with its user; looking does not use it up."""
        statement = select(OneTimeToken).where(OneTimeToken.token_hash == security.digest(secret), *_works(purpose))
        found = self.session.scalars(statement.options(joinedload(OneTimeToken.user))).one_or_none()
        return found if found is not None and vouched_for(self.session, found) else None

    def purge(self, older_than: datetime) -> None:
        self.session.execute(delete(OneTimeToken).where(OneTimeToken.expires_at < older_than))

    def redeem(self, secret: str, purpose: str) -> int:
        """The user whom the token was made for; works once. Raises NotFoundError."""
        found = self.find_live(secret, purpose)
        if found is not None:
            this = update(OneTimeToken).where(OneTimeToken.id == found.id, *_works(purpose))
            used = self.session.execute(this.values(used_at=clock.now()).returning(OneTimeToken.user_id))
            if (user_id := used.scalar_one_or_none()) is not None:
                return user_id
        raise NotFoundError


def _works(purpose: str) -> tuple[ColumnElement[bool], ...]:
    return OneTimeToken.purpose == purpose, OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > clock.now()
