"""What the school knows of one person: `places` says where it stands, `dossier` reads it, `erasing` ends it."""

from backend.database.personal.dossier import dossier
from backend.database.personal.erasing import Eraser, erase_late, scrub
from backend.database.personal.traces import Gone, gone

__all__ = ["Eraser", "Gone", "dossier", "erase_late", "gone", "scrub"]
