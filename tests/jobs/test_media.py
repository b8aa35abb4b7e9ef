"""The clean-up of the media folder never takes a file that something may still want."""

import os
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.media import MediaFolder
from backend.database.models.media import Media
from backend.database.session import Database
from backend.jobs.media import tidy
from tests.factories import make_lesson, save


def make_media(db: Session, path: str, **fields: Any) -> Media:
    values = {"path": path, "filename": "a.mp4", "mime": "video/mp4", "size": 1, "sha256": "a" * 64}
    row = Media(**values | fields)
    save(db, row)
    return row


def test_unused_rows_go_first_and_their_files_a_round_later(
    database: Database, db: Session, settings: Settings
) -> None:
    old = clock.now() - timedelta(days=30)
    shown = make_media(db, "shown.mp4", updated_at=old)
    make_lesson(db, media_id=shown.id)
    make_media(db, "unused.mp4", updated_at=old)
    make_media(db, "undoable.mp4")
    folder = MediaFolder(settings.media_dir)
    folder.folder.mkdir(parents=True)
    for name in ("shown.mp4", "unused.mp4", "undoable.mp4", "stray.mp4", "being-saved.mp4.part"):
        (folder.folder / name).write_bytes(b"x")
        if name != "being-saved.mp4.part":
            os.utime(folder.folder / name, (old.timestamp(), old.timestamp()))

    def left() -> list[str]:
        return sorted(path.name for path in folder.folder.iterdir())

    more = database.run(tidy(folder))
    first = left()
    again = database.run(tidy(folder))

    assert (more, first) == (
        True,
        ["being-saved.mp4.part", "shown.mp4", "undoable.mp4", "unused.mp4"],
    )
    assert (again, left()) == (False, ["being-saved.mp4.part", "shown.mp4", "undoable.mp4"])
