from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base, Identified, Timestamped


class Media(Identified, Timestamped, Base):
    """A stored file under `data_dir/media`; `path` is its random name there, `filename` what the person called it."""

    __tablename__ = "media"
    __history__ = True

    path: Mapped[str] = mapped_column(String(120), unique=True)
    filename: Mapped[str] = mapped_column(String(200))
    mime: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    uploader_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)


class TelegramFile(Identified, Base):
    """Telegram's file_id of a media file. It belongs to one bot and dies with its token."""

    __tablename__ = "telegram_files"
    __table_args__ = (UniqueConstraint("media_id", "bot_id", name="uq_telegram_files_media_bot"),)

    media_id: Mapped[int] = mapped_column(ForeignKey("media.id", ondelete="CASCADE"))
    bot_id: Mapped[int] = mapped_column(BigInteger)
    file_id: Mapped[str] = mapped_column(String(255))
