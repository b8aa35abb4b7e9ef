from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, inspect, select, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.core.permissions import STUDENT
from backend.database.base import Base, Identified, Timestamped, Versioned, seldom
from backend.database.search import Searchable


class Role(Identified, Base):
    __tablename__ = "roles"
    __history__ = True

    name: Mapped[str] = mapped_column(String(64), unique=True)
    permissions: Mapped[list[str]]
    is_system: Mapped[bool] = mapped_column(default=False)


def full_name(first: str | None, last: str | None) -> str:
    return " ".join(filter(None, (first, last)))


class User(Identified, Timestamped, Versioned, Searchable, Base):
    """A person: a student known by telegram_id, a member of staff by login or e-mail, or both."""

    __tablename__ = "users"
    __handle__ = "username"
    __history__ = True
    __history_skip__ = frozenset(
        {"password_hash", "login_key", "email_key", "token_version", "last_seen_at", "seen_at", "purchases", "spent"}
    )
    __history_secret__ = frozenset({"password_hash"})
    __mapper_args__ = {"version_id_col": Versioned.version}
    __table_args__ = (
        CheckConstraint("telegram_id IS NOT NULL OR login IS NOT NULL OR email IS NOT NULL", name="known_by_something"),
        CheckConstraint("telegram_id IS NULL OR telegram_id > 0", name="telegram_id_positive"),
        Index("ix_users_created", "created_at", "id"),
        Index("ix_users_active_created", "is_active", "created_at", "id"),
        # A filter by figures is looked up in the index of the order, before a row is read.
        Index("ix_users_role_created", "role_id", "created_at", "id", "purchases", "spent"),
        Index("ix_users_role_purchases", "role_id", "purchases", "id", "spent"),
        Index("ix_users_role_spent", "role_id", "spent", "id", "purchases"),
        Index("ix_users_role_name", "role_id", "search_key", "id"),
        Index("ix_users_role", "role_id", "id"),
        Index("ix_users_unnamed", "role_id", "username", "created_at", "id", **seldom("username IS NULL")),
        Index("ix_users_off", "role_id", "created_at", "id", **seldom("is_active IS FALSE")),
    )

    telegram_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    username: Mapped[str | None] = mapped_column(String(64))
    login: Mapped[str | None] = mapped_column(String(64))
    login_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    email: Mapped[str | None] = mapped_column(String(254))
    email_key: Mapped[str | None] = mapped_column(String(254), unique=True)
    email_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str | None] = mapped_column(String(255))
    first_name: Mapped[str] = mapped_column(String(128))
    last_name: Mapped[str | None] = mapped_column(String(128))
    # What Telegram reports; its default is no choice. What the person chose is ui_language.
    language_code: Mapped[str] = mapped_column(String(16), default="en", server_default=text("'en'"))
    ui_language: Mapped[str | None] = mapped_column(String(2))
    theme: Mapped[str] = mapped_column(String(5), default="auto", server_default=text("'auto'"))
    # Keys without Ctrl may be pressed by accident, or by dictation (WCAG 2.1.4).
    single_keys: Mapped[bool] = mapped_column(default=True, server_default=true())
    timezone: Mapped[str] = mapped_column(String(64), default="UTC", server_default=text("'UTC'"))
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id", ondelete="RESTRICT"))
    is_active: Mapped[bool] = mapped_column(default=True)
    # JWTs and sessions made under an older number are dead.
    token_version: Mapped[int] = mapped_column(default=1)
    source: Mapped[str | None] = mapped_column(String(64))  # the first deep link
    terms_accepted_at: Mapped[datetime | None]
    blocked_bot_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]  # in the bot
    seen_at: Mapped[datetime | None]  # signed in: in the dashboard or by the API; kept by crud/places.py alone
    erased_at: Mapped[datetime | None]  # when their personal data went (database.personal)
    # What they hold, and the Stars paid for it: kept by crud/counters.py alone, beside history and version.
    purchases: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    spent: Mapped[int] = mapped_column(default=0, server_default=text("0"))

    role: Mapped[Role] = relationship(lazy="raise")

    @property
    def name(self) -> str:
        return full_name(self.first_name, self.last_name)

    def search_text(self) -> str:
        username = self.username and f"@{self.username}"
        parts = (self.first_name, self.last_name, username, self.login, self.email, self.telegram_id)
        return " ".join(str(part) for part in parts if part)

    def derive_keys(self) -> None:
        self.login_key = self.login.casefold() if self.login else None
        known, self.email_key = self.email_key, self.email.casefold() if self.email else None
        state = inspect(self)
        if state.persistent and self.email_key != known and not state.attrs["email_verified_at"].history.has_changes():
            self.email_verified_at = None  # whoever wrote it: another address was never confirmed
        if state.persistent and any(state.attrs[name].history.has_changes() for name in ("role_id", "is_active")):
            self.token_version += 1  # whoever is signed in under the old rights is signed out


STUDENT_ROLE = select(Role.id).where(Role.name == STUDENT).scalar_subquery()
"""The number of the students' role: whoever has another is staff."""
