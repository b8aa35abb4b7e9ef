"""Ways in that are under way: a visitor who is at another service, a student who has not confirmed an e-mail yet."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified


class SignInFlow(Identified, Base):
    """One trip to an identity provider and back: usable once, by the browser that began it."""

    __tablename__ = "sign_in_flows"

    state_hash: Mapped[str] = mapped_column(String(64), unique=True)
    browser: Mapped[str] = mapped_column(String(64))  # digest of what the browser's forms are bound to
    provider: Mapped[str] = mapped_column(String(32))
    # Set: the person links an account elsewhere to their own; None: a visitor wants to come in.
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    sealed: Mapped[str]  # nonce, PKCE verifier and where to go afterwards
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class Registration(Identified, Base):
    """A student who has asked for an account; becomes a person with the link in the letter, else goes after a day."""

    __tablename__ = "registrations"

    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(254))
    first_name: Mapped[str] = mapped_column(String(128))
    last_name: Mapped[str | None] = mapped_column(String(128))
    language: Mapped[str] = mapped_column(String(2))
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
