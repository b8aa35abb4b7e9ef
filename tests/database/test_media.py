"""Rows of stored files: the unused go after a while; what a bot calls them is kept per bot."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.media import MediaCRUD, StoredFile
from backend.database.models.media import Media, TelegramFile
from tests.factories import make_lesson, save


def make_media(db: Session, path: str, **fields: Any) -> Media:
    row = Media(**{"path": path, "filename": "a.mp4", "mime": "video/mp4", "size": 1, "sha256": "a" * 64} | fields)
    save(db, row)
    return row


def test_only_old_unused_files_are_forgotten(db: Session) -> None:
    old = clock.now() - timedelta(days=30)
    shown = make_media(db, "shown.mp4", updated_at=old)
    make_lesson(db, media_id=shown.id)
    make_media(db, "old.mp4", updated_at=old)
    make_media(db, "new.mp4")

    paths = MediaCRUD(db).forget_unused(clock.now() - timedelta(days=7))

    assert list(paths) == ["old.mp4"]
    assert db.scalars(select(Media.path).order_by(Media.id)).all() == ["shown.mp4", "new.mp4"]


def test_registers_a_stored_file_and_finds_it_by_path(db: Session) -> None:
    files = MediaCRUD(db)

    media = files.register(StoredFile("x.mp4", "Урок.mp4", "video/mp4", 7, "b" * 64), None)

    assert files.find_by_path("x.mp4") == media
    assert files.find_by_path("y.mp4") is None
    assert files.get_for_lesson(make_lesson(db, media_id=media.id).id) == media


def test_a_file_id_is_kept_per_bot(db: Session) -> None:
    files, media = MediaCRUD(db), make_media(db, "x.mp4")

    files.remember_file_id(media.id, 5, "one")
    files.remember_file_id(media.id, 5, "two")
    files.remember_file_id(media.id, 6, "three")

    assert [files.find_file_id(media.id, bot) for bot in (5, 6, 7)] == ["two", "three", None]
    assert len(db.scalars(select(TelegramFile)).all()) == 2
