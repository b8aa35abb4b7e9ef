"""Stored files: their rows here, their bytes in core.media."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from backend.core.errors import NotFoundError
from backend.core.i18n import _
from backend.database.crud.base import BaseCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media, TelegramFile


@dataclass(frozen=True)
class StoredFile:
    """A file in the media folder. `path` is its name there, `filename` the person's."""

    path: str
    filename: str
    mime: str
    size: int  # bytes
    sha256: str


class MediaCRUD(BaseCRUD[Media]):
    model = Media

    def missing(self, row_id: int) -> str:
        return _("File %s no longer exists.") % row_id

    def find_by_path(self, path: str) -> Media | None:
        return self.session.scalars(select(Media).where(Media.path == path)).one_or_none()

    def paths(self) -> frozenset[str]:
        """The names of all files that a row knows."""
        return frozenset(self.session.scalars(select(Media.path)))

    def register(self, stored: StoredFile, uploader_id: int | None) -> Media:
        return self.add(
            Media(
                path=stored.path,
                filename=stored.filename,
                mime=stored.mime,
                size=stored.size,
                sha256=stored.sha256,
                uploader_id=uploader_id,
            )
        )

    def find_file_id(self, media_id: int, bot_id: int) -> str | None:
        """Telegram's name of a file for the bot that has sent it."""
        statement = select(TelegramFile.file_id).where(TelegramFile.media_id == media_id, TelegramFile.bot_id == bot_id)
        return self.session.scalars(statement).one_or_none()

    def remember_file_id(self, media_id: int, bot_id: int, file_id: str) -> TelegramFile:
        """Replaces what this bot knew. Raises NotFoundError for an unknown file."""
        self.get_by_id(media_id)
        is_sqlite = self.session.get_bind().dialect.name == "sqlite"
        made = (sqlite if is_sqlite else postgresql).insert(TelegramFile)
        made = made.values(media_id=media_id, bot_id=bot_id, file_id=file_id)
        statement = made.on_conflict_do_update(
            index_elements=["media_id", "bot_id"], set_={"file_id": made.excluded.file_id}
        ).returning(TelegramFile)
        options = {"populate_existing": True}
        kept: TelegramFile = self.session.scalars(statement, execution_options=options).one()
        return kept

    def forget_unused(self, before: datetime, limit: int = 100) -> Sequence[str]:
        """Deletes the rows of files that no lesson shows, older than `before`; answers their paths.

        The time between leaves an undo its video. Delete the files after the commit.
        """
        shown = exists().where(Lesson.media_id == Media.id)
        unused = select(Media.id).where(Media.updated_at < before, ~shown).order_by(Media.id).limit(limit)
        paths = self.session.scalars(delete(Media).where(Media.id.in_(unused.scalar_subquery())).returning(Media.path))
        return paths.all()

    def get_for_lesson(self, lesson_id: int) -> Media:
        """The video of a lesson. Raises NotFoundError."""
        statement = select(Media).join(Lesson, Lesson.media_id == Media.id).where(Lesson.id == lesson_id)
        found = self.session.scalars(statement).one_or_none()
        if found is None:
            raise NotFoundError(_("This lesson has no video."))
        return found
