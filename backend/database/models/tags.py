"""Words that people put on records to find them again."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from backend.database.base import Base, Identified
from backend.database.search import Key


class Tag(Identified, Base):
    """The words alone; what carries them is told by the history of the record."""

    __tablename__ = "tags"

    name: Mapped[str] = mapped_column(String(50))
    name_key: Mapped[str] = mapped_column(Key, unique=True)  # matched without case


class Tagged(Identified):
    """A tag on a record. A table of its own for each kind of record: see `of` below."""

    __history__ = True
    target: str  # the table of the records

    @declared_attr
    def tag_id(cls) -> Mapped[int]:  # noqa: N805 - a class
        return mapped_column(ForeignKey("tags.id", ondelete="RESTRICT"))

    @declared_attr
    def row_id(cls) -> Mapped[int]:  # noqa: N805 - a class
        return mapped_column(ForeignKey(f"{cls.target}.id", ondelete="CASCADE"))

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:  # noqa: N805 - a class
        name: str = cls.__tablename__  # type: ignore[attr-defined] # each table has one
        return UniqueConstraint("row_id", "tag_id", name=f"uq_{name}_row_tag"), Index(
            f"ix_{name}_tag", "tag_id", "row_id"
        )

    def history_root(self) -> tuple[str, int]:
        return self.target, self.row_id


class UserTag(Tagged, Base):
    __tablename__ = "user_tags"
    target = "users"


class LessonTag(Tagged, Base):
    __tablename__ = "lesson_tags"
    target = "lessons"


TAGGED: dict[str, type[UserTag | LessonTag]] = {model.target: model for model in (UserTag, LessonTag)}
