from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.core import clock
from backend.database.base import Base, Identified
from backend.database.models.users import User


class AuthSession(Identified, Base):
    """One signed-in browser (kind "cookie") or API client (kind "api"). Only hashes of secrets are stored."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("kind IN ('cookie', 'api')", name="kind"),
        CheckConstraint("level IN ('pending', 'full')", name="level"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(6))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token_version: Mapped[int]
    user_agent: Mapped[str] = mapped_column(String(255), default="")
    ip: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_seen_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    # "pending": the password was right, the second factor is still to come; such a session opens nothing else.
    level: Mapped[str] = mapped_column(String(8), default="full", server_default=text("'full'"))
    method: Mapped[str] = mapped_column(String(64), default="password", server_default=text("'password'"))
    # When the person last proved who they are: what is dear asks for a recent proof.
    confirmed_at: Mapped[datetime] = mapped_column(default=clock.now)
    # The same of a code, a recovery code or a passkey: what opens the account itself asks those who have one for that.
    strong_at: Mapped[datetime | None]
    # "View as": whose eyes look through this session, from which of their own sessions, and why.
    impersonator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    reason: Mapped[str] = mapped_column(String(200), default="", server_default=text("''"))
    read_only: Mapped[bool] = mapped_column(default=False, server_default=false())

    user: Mapped[User] = relationship(lazy="raise", foreign_keys=[user_id])
    impersonator: Mapped[User | None] = relationship(lazy="raise", foreign_keys=[impersonator_id])


class SignInPlace(Identified, Base):
    """A program and the network that a person came in from with it. Sessions are forgotten in days, this in months:
    without it every sign-in after a weekend would be the first.
    """

    __tablename__ = "sign_in_places"
    __table_args__ = (
        UniqueConstraint("user_id", "user_agent", "network", name="uq_sign_in_places_place"),
        Index("ix_sign_in_places_last", "last_at"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    user_agent: Mapped[str] = mapped_column(String(255))
    network: Mapped[str] = mapped_column(String(64))
    first_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_at: Mapped[datetime] = mapped_column(default=clock.now)


class Credential(Identified, Base):
    """A second factor or a way in of a person: an authenticator app, a passkey, one recovery code."""

    __tablename__ = "credentials"
    __table_args__ = (
        CheckConstraint("kind IN ('totp', 'passkey', 'recovery')", name="kind"),
        Index("uq_credentials_totp", "user_id", unique=True, sqlite_where=text("kind = 'totp'"),
              postgresql_where=text("kind = 'totp'")),
    )  # fmt: skip

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    name: Mapped[str] = mapped_column(String(100), default="")
    secret: Mapped[str | None] = mapped_column(String(512))  # totp: sealed; recovery: a digest
    public_id: Mapped[str | None] = mapped_column(String(1400), unique=True)  # passkey: its id, base64url
    public_key: Mapped[str | None]
    sign_count: Mapped[int] = mapped_column(default=0)
    last_step: Mapped[int] = mapped_column(default=0)  # totp: the 30 s step last used, so that none works twice
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None]  # totp: after its first right code
    used_at: Mapped[datetime | None]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class AuthIdentity(Identified, Base):
    """A person as another service knows them; `issuer` and `subject` name them for ever, an e-mail does not."""

    __tablename__ = "auth_identities"
    __table_args__ = (UniqueConstraint("issuer", "subject", name="uq_auth_identities_subject"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(32))
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(255), default="")  # what that service shows: an e-mail, a nickname
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    used_at: Mapped[datetime | None]


class RefreshToken(Identified, Base):
    """A link of a rotation chain; a parent has one child, reuse kills the chain's session."""

    __tablename__ = "refresh_tokens"

    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("refresh_tokens.id", ondelete="CASCADE"), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]


class ApiToken(Identified, Base):
    __tablename__ = "api_tokens"
    __history__ = True
    __history_skip__ = frozenset({"token_hash", "last_used_at"})
    __undoable__ = False

    name: Mapped[str] = mapped_column(String(100))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(8))  # the last characters, so that a person can tell tokens apart
    scopes: Mapped[list[str]]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(lazy="raise")

    def history_root(self) -> tuple[str, int]:
        return "settings", 0  # tokens stand on the settings page


class OneTimeToken(Identified, Base):
    __tablename__ = "one_time_tokens"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise")


class RateBucket(Base):
    """Attempts counted in a window; the row is counted up before the attempt is looked at."""

    __tablename__ = "rate_buckets"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    count: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class IdempotencyKey(Identified, Base):
    """The answer of a POST, stored in the transaction of its effect."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        UniqueConstraint("owner", "key", name="uq_idempotency_keys_owner_key"),
        Index("ix_idempotency_keys_created", "created_at"),
    )

    owner: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(128))
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    response: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
