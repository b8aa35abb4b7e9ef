"""Saved views: a list's address under a name, and what each person makes of it."""

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, Identified, Timestamped, Versioned


class SavedView(Identified, Timestamped, Versioned, Base):
    """What stands in the address of the list `crm:<list_name>:index`: filters, sort, columns, density."""

    __tablename__ = "saved_views"
    __history__ = True
    __mapper_args__ = {"version_id_col": Versioned.version}
    __table_args__ = (
        UniqueConstraint("owner_id", "list_name", "name", name="uq_saved_views_owner_list_name"),
        # Every request asks whether there is any.
        Index("ix_saved_views_shared", "id", sqlite_where=text("is_shared = 1"), postgresql_where=text("is_shared")),
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    list_name: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(60))
    query: Mapped[str] = mapped_column(String(2000), default="")
    is_shared: Mapped[bool] = mapped_column(default=False)

    marks: Mapped[list["ViewMark"]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True, back_populates="view"
    )


class ViewMark(Identified, Base):
    """One person has a view in their sidebar, or opens the list with it."""

    __tablename__ = "view_marks"
    __history__ = True
    __table_args__ = (
        UniqueConstraint("user_id", "view_id", name="uq_view_marks_user_view"),
        Index(
            "ix_view_marks_default",
            "user_id",
            "list_name",
            unique=True,
            sqlite_where=text("is_default = 1"),
            postgresql_where=text("is_default"),
        ),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    view_id: Mapped[int] = mapped_column(ForeignKey("saved_views.id", ondelete="CASCADE"), index=True)
    list_name: Mapped[str] = mapped_column(String(32))  # the view's, so that one person has one default for each
    is_pinned: Mapped[bool] = mapped_column(default=False)
    is_default: Mapped[bool] = mapped_column(default=False)

    view: Mapped[SavedView] = relationship(lazy="raise", back_populates="marks")

    def history_root(self) -> tuple[str, int]:
        return SavedView.__tablename__, self.view_id
