"""What the last sealed block was, kept in a file of DATA_DIR as well: whoever has the database alone can neither cut
the history nor begin its chain anew without being noticed.

A file that is missing, of another database or of another key says nothing: machines need not share a DATA_DIR.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url

from backend.core import security
from backend.core.config import Settings
from backend.database.chain.digests import TABLES, ChainError
from backend.database.models.audit import AuditBlock

log = structlog.get_logger()
FILE = "audit_head.json"
PURPOSE = "audit witness"


class Seen(NamedTuple):
    """A block, and the last id that it held of each table."""

    id: int
    hash: str
    lasts: list[int]


def keep(settings: Settings, block: AuditBlock) -> None:
    """Call it after the block was committed: the file never knows more than the database does."""
    seen = Seen(block.id, block.hash, _lasts(block.ranges))
    told = json.dumps({**seen._asdict(), "signature": security.sign(settings, PURPOSE, _message(settings, seen))})
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(told)
        Path(name).replace(folder / FILE)
    except OSError as error:  # the database holds all that is needed
        log.warning("audit.head_not_kept", error=str(error))


def recall(settings: Settings) -> Seen | None:
    """Call it before the database is read, for the same reason."""
    try:
        told = json.loads((settings.data_dir / FILE).read_text("utf-8"))
        seen = Seen(int(told["id"]), str(told["hash"]), [int(last) for last in told["lasts"]])
        signature = str(told["signature"])
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return seen if security.verify_signature(settings, PURPOSE, _message(settings, seen), signature) else None


def forget(settings: Settings) -> None:
    """Whoever restores a backup or begins the chain anew does so with the key."""
    (settings.data_dir / FILE).unlink(missing_ok=True)


def check(connection: Connection, seen: Seen | None) -> None:
    """Raises ChainError unless the block is there, and has at most grown."""
    if seen is None:
        return
    asked = select(AuditBlock.hash, AuditBlock.ranges).where(AuditBlock.id == seen.id)
    found = connection.execute(asked).one_or_none()
    try:
        lasts = _lasts(found.ranges) if found else []
        behind = not lasts or any(now < then for now, then in zip(lasts, seen.lasts, strict=True))
        other = found is not None and lasts == seen.lasts and found.hash != seen.hash
    except (IndexError, KeyError, TypeError, ValueError):
        behind = other = True
    if behind or other:
        raise ChainError(f"The history was cut or begun anew: {FILE} in DATA_DIR knows another block {seen.id}.")


def _lasts(ranges: Mapping[str, Any]) -> list[int]:
    return [ranges[table][0] for table in TABLES]


def _message(settings: Settings, seen: Seen) -> str:
    return json.dumps([make_url(settings.database_url).render_as_string(), *seen])
