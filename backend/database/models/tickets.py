"""Support tickets on the one thread engine: a ticket has one chat, a chat has messages."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.core import clock
from backend.database.base import Base, Identified, Timestamped, Versioned, seldom
from backend.database.models.orders import one_of
from backend.database.models.users import User
from backend.database.search import Searchable

TICKET_STATUSES = ("open", "in_progress", "closed")


class SupportTicket(Identified, Timestamped, Versioned, Searchable, Base):
    """`message` is the first message and `admin_response` the last staff reply, written with the thread."""

    __tablename__ = "support_tickets"
    __history__ = True
    __history_skip__ = frozenset({"last_message_at"})
    __mapper_args__ = {"version_id_col": Versioned.version}
    __table_args__ = (
        CheckConstraint(one_of("status", TICKET_STATUSES), name="status"),
        Index("ix_support_tickets_created", "created_at", "id"),
        Index("ix_support_tickets_status_created", "status", "created_at", "id"),
        Index("ix_support_tickets_user_created", "user_id", "created_at", "id"),
        Index("ix_support_tickets_assignee_created", "assignee_id", "created_at", "id"),
        Index(
            "ix_support_tickets_undone",
            "assignee_id",
            "last_message_at",
            "id",
            sqlite_where=text("status <> 'closed'"),
            postgresql_where=text("status <> 'closed'"),
        ),
        Index("ix_support_tickets_waiting", "waiting_since", "id"),
        Index("ix_support_tickets_last", "last_message_at", "id"),
        Index("ix_support_tickets_updated", "updated_at", "id"),
        Index("ix_support_tickets_unanswered", "last_message_at", "id", **seldom("first_reply_at IS NULL")),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    subject: Mapped[str] = mapped_column(String(200))
    message: Mapped[str]
    status: Mapped[str] = mapped_column(String(12), default="open")
    admin_response: Mapped[str | None]
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    # Since when the student waits for an answer; null when the last word is ours or the ticket is closed.
    waiting_since: Mapped[datetime | None]
    first_reply_at: Mapped[datetime | None]
    last_message_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User] = relationship(lazy="raise", foreign_keys=user_id)
    assignee: Mapped[User | None] = relationship(lazy="raise", foreign_keys=assignee_id)
    chat: Mapped["Chat"] = relationship(
        lazy="raise", back_populates="ticket", cascade="all, delete-orphan", uselist=False
    )

    def search_text(self) -> str:
        return self.subject


# As a range: SQLite would read the whole table for IS NOT NULL.
WAITS = SupportTicket.waiting_since >= datetime(1970, 1, 1, tzinfo=UTC)


class Chat(Identified, Base):
    __tablename__ = "chats"
    __history__ = True
    __table_args__ = (CheckConstraint("kind IN ('direct', 'group', 'ticket')", name="kind"),)

    kind: Mapped[str] = mapped_column(String(6))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("support_tickets.id", ondelete="CASCADE"), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    ticket: Mapped[SupportTicket | None] = relationship(lazy="raise", back_populates="chat")
    messages: Mapped[list["Message"]] = relationship(
        lazy="raise", back_populates="chat", cascade="all, delete-orphan", order_by="Message.id"
    )

    def history_root(self) -> tuple[str, int]:
        return (self.__tablename__, self.id) if self.ticket_id is None else ("support_tickets", self.ticket_id)


class Message(Identified, Base):
    __tablename__ = "messages"
    __history__ = True
    __undoable__ = False
    __table_args__ = (
        CheckConstraint("side IN ('student', 'staff')", name="side"),
        Index("ix_messages_chat", "chat_id", "id"),
        Index(
            "uq_messages_telegram",
            "chat_id",
            "tg_message_id",
            unique=True,
            sqlite_where=text("tg_message_id IS NOT NULL"),
            postgresql_where=text("tg_message_id IS NOT NULL"),
        ),
    )

    chat_id: Mapped[int] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    sender_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    side: Mapped[str] = mapped_column(String(7))
    body: Mapped[str]
    internal: Mapped[bool] = mapped_column(default=False)  # a note among staff, never sent
    tg_message_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    chat: Mapped[Chat] = relationship(lazy="raise", back_populates="messages")
    sender: Mapped[User | None] = relationship(lazy="raise")

    def history_root(self) -> tuple[str, int]:
        return Chat.__tablename__, self.chat_id
