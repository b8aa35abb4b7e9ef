from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, Identified, Timestamped, Versioned
from backend.database.models.media import Media
from backend.database.search import Searchable


class Lesson(Identified, Timestamped, Versioned, Searchable, Base):
    __tablename__ = "lessons"
    __history__ = True
    __mapper_args__ = {"version_id_col": Versioned.version}
    __table_args__ = (
        CheckConstraint("price >= 0", name="price_not_negative"),
        Index("ix_lessons_created", "created_at", "id"),
        Index("ix_lessons_price", "price", "id"),
    )

    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(default="")
    price: Mapped[int]  # Stars; what is asked is 0 while is_free
    video_path: Mapped[str | None] = mapped_column(String(255))
    media_id: Mapped[int | None] = mapped_column(ForeignKey("media.id", ondelete="SET NULL"), index=True)
    text_content: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    is_free: Mapped[bool] = mapped_column(default=False)

    media: Mapped[Media | None] = relationship(lazy="raise")

    @property
    def asked_price(self) -> int:
        return 0 if self.is_free else self.price

    @property
    def has_text(self) -> bool:
        return bool(self.text_content)

    @property
    def has_video(self) -> bool:
        return self.media_id is not None or bool(self.video_path)

    def search_text(self) -> str:
        return self.title
