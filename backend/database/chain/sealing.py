"""Makes blocks of what was written since. Safe in any number of processes, and to be killed at any moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.database import audit
from backend.database.chain import digests, witness
from backend.database.chain.digests import START, TABLES, ChainError, Range, block_hash
from backend.database.chain.redacting import check_new
from backend.database.models.audit import AuditBlock, SecurityEvent
from backend.database.models.history import ChangeSet
from backend.database.models.system import Setting
from backend.database.session import Database

log = structlog.get_logger()
HEAD = "audit_head"  # of the settings: {"id", "hash", "at", "signature"}, and "closed" once somebody has noted it
BROKEN = "audit_broken"  # {"problem", "at"}: what the sealer ran into
PURPOSE = "audit"
MOST = 2000  # rows of a block
OPEN_FOR = timedelta(minutes=10)  # how long the last block grows
NEW_FOR = timedelta(minutes=10)  # how old the history of a school is at most when its chain begins
WAIT_SECONDS, POLL_SECONDS = 2.0, 0.02
SEALER = Actor(Door.JOB)


@dataclass(frozen=True)
class Head:
    """The last block as it was signed."""

    id: int
    hash: str
    at: str
    signature: str
    closed: bool = False

    @classmethod
    def of(cls, value: dict[str, Any] | None) -> "Head | None":
        if value is None:
            return None
        try:
            closed = "closed" in value
            return cls(int(value["id"]), str(value["hash"]), str(value["at"]), str(value["signature"]), closed)
        except (KeyError, TypeError, ValueError):
            return cls(0, "", "", "")  # which nothing has signed

    def is_signed(self, settings: Settings) -> bool:
        return security.verify_signature(settings, PURPOSE, f"{self.id}:{self.hash}:{self.at}", self.signature)


def find_head(connection: Connection) -> Head | None:
    return Head.of(connection.execute(select(Setting.value).where(Setting.key == HEAD)).scalar_one_or_none())


def sign_head(session: Session, settings: Settings, block_id: int, block_sum: str, *, closed: bool = False) -> None:
    at = clock.now().isoformat()
    signature = security.sign(settings, PURPOSE, f"{block_id}:{block_sum}:{at}")
    value = {"id": block_id, "hash": block_sum, "at": at, "signature": signature} | ({"closed": True} if closed else {})
    session.merge(Setting(key=HEAD, value=value))


def close(session: Session) -> str:
    """The last block grows no more, so that its "id:hash" may be noted elsewhere; "" when there is none."""
    found = session.get(Setting, HEAD, with_for_update=True)
    head = Head.of(found.value) if found is not None else None
    if found is None or head is None:
        return ""
    found.value = {**found.value, "closed": True}
    return f"{head.id}:{head.hash}"


def last_block(connection: Connection) -> AuditBlock | None:
    with Session(connection, expire_on_commit=False, autoflush=False) as reader:
        found = reader.scalar(select(AuditBlock).order_by(AuditBlock.id.desc()).limit(1))
        reader.expunge_all()
    return found


def find_end(connection: Connection, settings: Settings, seen: witness.Seen | None) -> tuple[Head, AuditBlock] | None:
    """The signed head and the last block, which it is; None before the first one. Raises ChainError."""
    last, head = last_block(connection), find_head(connection)
    _check_head(settings, head, last)
    witness.check(connection, seen)
    return (head, last) if head and last else None


def _check_head(settings: Settings, head: Head | None, last: AuditBlock | None) -> None:
    if head is None and last is None:
        return
    if head is None:
        raise ChainError("The signed head is missing, although there are blocks.")
    if not head.is_signed(settings):
        raise ChainError("The head is not signed by any key of SECRET_KEY.")
    if last is None or last.id < head.id:
        raise ChainError(f"The end of the chain is missing: block {head.id} was the last one.")
    if last.id > head.id:
        raise ChainError(f"Block {head.id + 1} was added without the key.")
    if last.hash != head.hash:
        raise ChainError(f"Block {head.id} is not the one that was signed.")
    if not digests.is_whole(last):
        raise ChainError(f"Block {head.id} does not fit its hash.")


def uppers(connection: Connection) -> dict[str, int]:
    """The last id of each table."""
    asked = (f"(SELECT coalesce(max(id), 0) FROM {table})" for table in TABLES)  # noqa: S608 - names of our own
    return dict(zip(TABLES, connection.execute(text(f"SELECT {', '.join(asked)}")).one(), strict=True))


def seal(database: Database, settings: Settings, actor: Actor = SEALER) -> int:
    """Puts everything that was written until now under blocks; how many rows that was.

    Raises ChainError when the chain does not go on from its signed head.
    """
    count = 0
    with database.read() as session:
        caps = uppers(session.connection())
    _wait_for_writers(database)
    while (more := _step(database, settings, caps, actor)) is not None:
        count += more
    return count


def is_behind(database: Database) -> bool:
    """Whether something was written that no block holds yet. Cheap."""
    with database.read() as session:
        connection = session.connection()
        last, caps = last_block(connection), uppers(connection)
    return any(caps[table] > (last.ranges[table][0] if last else 0) for table in TABLES)


def _step(database: Database, settings: Settings, caps: dict[str, int], actor: Actor) -> int | None:
    """One block begun or extended; None when all is sealed, or another process is at it."""
    seen = witness.recall(settings)
    with database.snapshot() as connection:
        head, last = find_end(connection, settings, seen) or (None, None)
        check_new(connection, settings, last.ranges if last else {})
        block, known = _room(last, closed=head is not None and head.closed), last.hash if last else None
        count = _fill(connection, block, last.ranges if last else None, caps)
    if count is None:
        return None
    block.hash = block_hash(block)
    is_new = last is None or block.id != last.id
    put = _begin if is_new else _extend
    if not database.run(lambda session: _put(session, settings, block, known, put), actor):
        return None
    witness.keep(settings, block)
    return count


def _room(last: AuditBlock | None, *, closed: bool) -> AuditBlock:
    """The last block while rows fit into it, else a new one."""
    if last is None:
        return digests.new_block(1, START)
    full = sum(last.ranges[table][1] for table in TABLES) >= MOST
    if closed or full or clock.now() - last.at > OPEN_FOR:
        return digests.new_block(last.id + 1, last.hash)
    block = digests.new_block(last.id, last.prev_hash)
    block.at, block.ranges, block.marks = last.at, last.ranges, last.marks
    return block


def _fill(connection: Connection, block: AuditBlock, known: dict[str, Any] | None, caps: dict[str, int]) -> int | None:
    """Adds rows to a block; how many, or None when there was nothing to add."""
    room = MOST - sum(block.ranges[table][1] for table in TABLES)
    ranges, added, moved = {}, 0, False
    for table in TABLES:
        low = known[table][0] if known else None
        _to, count, running = block.ranges[table]
        so_far: Range = low or 0, count, running
        high = max(caps[table], low or 0)
        found = digests.next_rows(connection, table, low, high, max(1, room - added)) if high > (low or 0) else []
        upper = found[-1][0] if len(found) >= max(1, room - added) else high
        held = digests.original(found, digests.redactions(connection, table, low, upper))
        ranges[table] = list(digests.extended(so_far, held, upper))
        block.marks += digests.marks(table, held)
        added += len(held)
        moved = moved or upper > (low or 0)
    block.ranges = ranges
    return added if moved else None


Put = Callable[[Session, AuditBlock, str | None], bool]


def _put(session: Session, settings: Settings, block: AuditBlock, known: str | None, put: Put) -> bool:
    """False when another process was faster, or the block was closed meanwhile."""
    if known is not None:  # whoever closes it takes this lock too
        found = session.get(Setting, HEAD, with_for_update=True)
        head = Head.of(found.value) if found is not None else None
        if head is None or head.hash != known or (put is _extend and head.closed):
            return False
    if not put(session, block, known):
        return False
    sign_head(session, settings, block.id, block.hash)
    if known is None:
        audit.note(session, Event.AUDIT_STARTED, **_before_start(session))
    elif put is _begin:
        log.info("audit.block_closed", block=block.id - 1, hash=known)
    return True


def _before_start(session: Session) -> dict[str, Any]:
    """A chain begins once in the life of a school, with its history: any other beginning is to be looked at."""
    known = select(SecurityEvent.id).where(SecurityEvent.kind == Event.AUDIT_STARTED).limit(1)
    told: dict[str, Any] = {} if session.scalar(known) is None else {"again": True}
    firsts = (session.scalar(select(func.min(table.at))) for table in (ChangeSet, SecurityEvent))
    first = min(filter(None, firsts), default=clock.now())
    if first < clock.now() - NEW_FOR:
        told["older_at"] = first.isoformat()
    return told


def _begin(session: Session, block: AuditBlock, known: str | None) -> bool:
    if known is not None:
        mine = AuditBlock.id == block.id - 1, AuditBlock.hash == known
        if session.execute(select(AuditBlock.id).where(*mine).with_for_update()).scalar_one_or_none() is None:
            return False
    values = {name: getattr(block, name) for name in ("id", "at", "ranges", "prev_hash", "hash", "marks")}
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    made = (sqlite if is_sqlite else postgresql).insert(AuditBlock).values(values).on_conflict_do_nothing()
    return session.execute(made.returning(AuditBlock.id)).scalar_one_or_none() is not None


def _extend(session: Session, block: AuditBlock, known: str | None) -> bool:
    changed = update(AuditBlock).where(AuditBlock.id == block.id, AuditBlock.hash == known)
    values = {"ranges": block.ranges, "hash": block.hash, "marks": block.marks}
    done = session.execute(changed.values(values).returning(AuditBlock.id))
    return done.scalar_one_or_none() is not None


def _wait_for_writers(database: Database) -> None:
    """PostgreSQL gives out ids before rows can be seen: until those who hold some now have ended, a range may grow.

    Raises TimeoutError when somebody writes for long; the next round comes. Nobody waits for us.
    """
    if database.is_sqlite:
        return
    until = time.monotonic() + WAIT_SECONDS
    pending = _writers(database)
    while pending:
        if time.monotonic() > until:
            raise TimeoutError("somebody has been writing for long")
        time.sleep(POLL_SECONDS)
        pending &= _writers(database)


WRITERS = """
SELECT virtualtransaction FROM pg_locks JOIN pg_class ON pg_class.oid = pg_locks.relation
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relname = ANY(:tables)
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def _writers(database: Database) -> set[str]:
    """The transactions of PostgreSQL that may have written to our tables and have not ended."""
    with database.read() as session:
        return set(session.scalars(text(WRITERS), {"tables": list(TABLES)}))
