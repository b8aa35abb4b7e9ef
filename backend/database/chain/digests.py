"""What is hashed: rows as the database stores them, nothing parsed, and blocks as one line of JSON."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from json import encoder
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from backend.core import clock
from backend.database.models.audit import AuditBlock, AuditRedaction

FORMAT = 1  # of what follows; other columns or another way to write them need another number
TABLES: dict[str, tuple[str, ...]] = {
    "changes": ("change_set_id", "entity", "entity_id", "root", "root_id", "op", "before", "after"),
    "change_sets": (
        *("actor_id", "impersonator_id", "token_id", "door", "label"),
        *("ip", "request_id", "at", "undoes_id"),
    ),
    "security_events": (
        *("at", "kind", "user_id", "actor_id", "impersonator_id", "token_id"),
        *("door", "ip", "user_agent", "request_id", "data"),
    ),
}
START = hashlib.sha256(b"lyceum audit").hexdigest()  # what the first block and the first row go on from
MARK = 9  # bytes in `marks` of each row: its table's place in TABLES, and the first 8 of its digest
CHUNK = 500
Digests = list[tuple[int, bytes]]  # (id, SHA-256) in the order of ids
Range = tuple[int, int, str]  # last id, number of rows, hash of the rows
NOTHING: Range = 0, 0, START


class ChainError(Exception):
    """The chain does not hold; the message says where."""


class Redaction(NamedTuple):
    """What all redactions of a row come to. `sound`: each went on from what the one before left."""

    was: bytes
    now: bytes | None
    sound: bool


def rows(connection: Connection, table: str, low: int | None, high: int) -> Digests:
    """The rows after `low` (None: from the first on) up to `high`."""
    mark = _placeholder(connection)
    above = "" if low is None else f"id > {mark} AND "
    sql = f"{_select(connection, table)} WHERE {above}id <= {mark} ORDER BY id"
    return _read(connection, table, sql, (high,) if low is None else (low, high))


def next_rows(connection: Connection, table: str, low: int | None, high: int, limit: int) -> Digests:
    """The first of the rows after `low` (None: from the first on) up to `high`, so many at most."""
    mark = _placeholder(connection)
    # The end of the range is looked at here: PostgreSQL takes one for short, and would sort all of it for each block.
    sql = f"{_select(connection, table)} WHERE id > {mark} ORDER BY id LIMIT {mark}"
    return _read(connection, table, sql, (-(2**63) if low is None else low, limit), high)


def rows_of(connection: Connection, table: str, ids: Iterable[int]) -> Digests:
    """These rows, as far as they exist."""
    wanted, found, mark = sorted(set(ids)), Digests(), _placeholder(connection)
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        sql = f"{_select(connection, table)} WHERE id IN ({', '.join([mark] * len(some))}) ORDER BY id"
        found += _read(connection, table, sql, tuple(some))
    return found


def _placeholder(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"


def _select(connection: Connection, table: str) -> str:
    quoted = [f'"{name}"' for name in TABLES[table]]
    if connection.dialect.name == "sqlite":
        return f"SELECT id, {', '.join(quoted)} FROM {table}"  # noqa: S608 - names of our own
    # The text of a row is unambiguous, but for moments it depends on the session's settings.
    plain = ("extract(epoch FROM at)" if name == '"at"' else name for name in quoted)
    return f"SELECT id, ROW({', '.join(plain)})::text FROM {table}"  # noqa: S608 - names of our own


def _read(connection: Connection, table: str, sql: str, values: tuple[int, ...], high: int = 2**63 - 1) -> Digests:
    cursor: Any = connection.exec_driver_sql(sql, values).cursor  # the driver's own tuples
    write, join, sha = _WRITE, "".join, hashlib.sha256
    found = (row for row in cursor.fetchall() if row[0] <= high)
    return [(row[0], sha(f"{table}{join(write(row, 0))}".encode()).digest()) for row in found]


def _bytes(value: Any) -> dict[str, str]:
    return {"bytes": bytes(value).hex()}


# What json.JSONEncoder(separators=(",", ":"), default=_bytes).encode makes anew for each row, at a third of the time.
_WRITE: Any = encoder.c_make_encoder(  # type: ignore[attr-defined] # of CPython
    None, _bytes, encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)


def redactions(connection: Connection, table: str, low: int | None, high: int) -> dict[int, Redaction]:
    """The rows of a range that were lawfully changed or removed. Raises ChainError."""
    it = AuditRedaction
    asked = select(it.row_id, it.was, it.now).where(it.table_name == table, it.row_id <= high).order_by(it.id)
    found: dict[int, Redaction] = {}
    for row_id, was, now in connection.execute(asked if low is None else asked.where(it.row_id > low)):
        try:
            had, left = bytes.fromhex(was), bytes.fromhex(now) if now else None
        except (TypeError, ValueError) as error:
            raise ChainError(f"The redaction of {table} {row_id} holds no digests.") from error
        before = found.get(row_id)
        if before is None:
            found[row_id] = Redaction(had, left, sound=True)
        else:
            found[row_id] = Redaction(before.was, left, before.sound and before.now == had)
    return found


def original(found: Digests, redacted: Mapping[int, Redaction]) -> Digests:
    """The digests that the chain knows: of redacted rows what they were, also when they are gone."""
    if not redacted:
        return found
    return sorted((dict(found) | {row_id: entry.was for row_id, entry in redacted.items()}).items())


def extended(known: Range, more: Digests, upper: int) -> Range:
    """A range with these rows at its end."""
    _to, count, running = known
    value, sha = bytes.fromhex(running), hashlib.sha256
    for _row_id, digest in more:
        value = sha(value + digest).digest()
    return upper, count + len(more), value.hex()


def marks(table: str, found: Digests) -> bytes:
    place = bytes([list(TABLES).index(table)])
    return b"".join(place + digest[: MARK - 1] for _row_id, digest in found)


def block_hash(block: AuditBlock) -> str:
    """Raises ValueError or TypeError for a block that is none."""
    ranges = [[table, *map(_plain, block.ranges[table])] for table in TABLES]
    header = [FORMAT, block.id, block.at.astimezone(UTC).isoformat(), block.prev_hash, ranges]
    return hashlib.sha256(json.dumps(header).encode()).hexdigest()


def _plain(value: Any) -> int | str:
    if type(value) not in (int, str):
        raise TypeError("a range holds numbers and a hash")
    return value  # type: ignore[no-any-return] # of one of them


def proof(entries: Sequence[tuple[str, int, str, str | None]]) -> str:
    """Of the redactions that one event tells: (table, row id, was, now) in their order."""
    return hashlib.sha256(json.dumps([list(entry) for entry in entries], default=str).encode()).hexdigest()


def new_block(number: int, prev_hash: str) -> AuditBlock:
    ranges = {table: list(NOTHING) for table in TABLES}
    return AuditBlock(id=number, at=clock.now(), ranges=ranges, prev_hash=prev_hash, hash="", marks=b"")


def is_whole(block: AuditBlock) -> bool:
    """Whether a block is what its hash says."""
    try:
        return block_hash(block) == block.hash
    except (KeyError, TypeError, ValueError):
        return False
