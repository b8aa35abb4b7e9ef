"""Files that no lesson shows go after a week (an undo still finds them); strays after a day."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.media import MediaFolder
from backend.database.crud.media import MediaCRUD
from backend.database.session import afterwards

UNUSED_KEPT = timedelta(days=7)
STRAYS_KEPT = timedelta(days=1)  # an upload whose lesson is being saved is a stray for a moment


def tidy(folder: MediaFolder) -> Callable[[Session], bool]:
    """The work of a chore. A file goes only in the round after the one that forgot its row."""

    def work(session: Session) -> bool:
        files, now = MediaCRUD(session), clock.now()
        known = files.paths()
        forgotten = files.forget_unused(now - UNUSED_KEPT)
        before = (now - STRAYS_KEPT).timestamp()

        def sweep() -> None:
            for name in folder.strays(known, before):
                folder.discard(name)

        afterwards(session, sweep)
        return bool(forgotten)

    return work
