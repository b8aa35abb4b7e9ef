"""Small tables of the running system."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core import clock
from backend.database.base import Base, Identified


class Setting(Base):
    __tablename__ = "settings"
    __undoable__ = False

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[dict[str, Any]]


class Lease(Base):
    """Which process does a job that exactly one may do (poll Telegram, pace the outbox)."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime]


class BotChat(Identified, Base):
    """What the bot remembers of a chat between updates: screen message, dialogue state and its data."""

    __tablename__ = "bot_chats"

    telegram_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    state: Mapped[str | None] = mapped_column(String(100))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
