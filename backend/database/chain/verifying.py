"""Proves the chain: every row under a block is what was sealed, and no row is missing, new or out of its place."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.database.chain import digests, witness
from backend.database.chain.digests import MARK, START, TABLES, ChainError, Digests, Redaction
from backend.database.chain.redacting import LAWFUL, check_new, last_restart, proof_of
from backend.database.chain.sealing import find_end, uppers
from backend.database.models.audit import AuditBlock, AuditRedaction, SecurityEvent
from backend.database.session import Database

VERIFIED = "audit_verified"  # of the settings: {"at", "rows", "problem"}, of the last check of everything
PAGE = 200  # blocks read at a time


@dataclass(frozen=True)
class Verdict:
    """`problem`: the first thing that does not hold. `waiting`: whether rows wait to be sealed."""

    problem: str | None
    blocks: int
    rows: int
    head: str  # "id:hash" of the last block
    waiting: bool


def verify(database: Database, settings: Settings, expected: str = "") -> Verdict:
    """Reads one consistent moment. `expected`: a head "id:hash" of an earlier day, which must still be there."""
    blocks, rows, problem, head, waiting = 0, 0, None, "", False
    seen = witness.recall(settings)
    with database.snapshot() as connection:
        try:
            _head, last = find_end(connection, settings, seen) or (None, None)
            before: AuditBlock | None = None
            for block in _blocks(connection):
                rows += _check_block(connection, block, before)
                blocks, before = blocks + 1, block
            head = f"{last.id}:{last.hash}" if last else ""
            _check_expected(connection, expected)
            _check_redactions(connection)
            check_new(connection, settings, last.ranges if last else {})
            top = uppers(connection)
            waiting = any(top[table] > (last.ranges[table][0] if last else 0) for table in TABLES)
        except ChainError as error:
            problem = str(error)
    return Verdict(problem, blocks, rows, head, waiting)


def glance(database: Database, settings: Settings) -> str | None:
    """Only the head and the last block: what is wrong with them."""
    seen = witness.recall(settings)
    with database.snapshot() as connection:
        try:
            find_end(connection, settings, seen)
        except ChainError as error:
            return str(error)
    return None


def _blocks(connection: Connection) -> Iterator[AuditBlock]:
    done = -(2**62)
    with Session(connection, autoflush=False) as session:
        while some := session.scalars(
            select(AuditBlock).where(AuditBlock.id > done).order_by(AuditBlock.id).limit(PAGE)
        ).all():
            yield from some
            done = some[-1].id
            session.expunge_all()


def _check_block(connection: Connection, block: AuditBlock, before: AuditBlock | None) -> int:
    """How many rows it holds. Raises ChainError."""
    number = before.id + 1 if before else 1
    if block.id != number:
        raise ChainError(f"Block {number} is missing." if block.id > number else f"There is a block {block.id}.")
    if block.prev_hash != (before.hash if before else START):
        raise ChainError(f"Block {number} does not go on from block {number - 1}.")
    if not digests.is_whole(block):
        raise ChainError(f"Block {number} does not fit its hash.")
    count = 0
    for place, table in enumerate(TABLES):
        low = before.ranges[table][0] if before else None
        high, sealed, total = block.ranges[table]
        if high > (low or 0) or before is None:
            _check_range(connection, block, place, (low, high))
        elif sealed or high != low or total != START:
            raise ChainError(f"Block {number} holds {table} twice.")
        count += sealed
    return count


def _check_range(connection: Connection, block: AuditBlock, place: int, bounds: tuple[int | None, int]) -> None:
    table, (low, high) = list(TABLES)[place], bounds
    _high, sealed, total = block.ranges[table]
    where = f"Block {block.id} ({table} {(low or 0) + 1} to {high})"
    try:
        found = digests.rows(connection, table, low, high)
    except (DBAPIError, sqlite3.Error) as error:  # SQLite keeps what is no text as text
        raise ChainError(f"{where}: a row cannot be read.") from error
    redacted = digests.redactions(connection, table, low, high)
    if redacted:
        _check_left(table, found, redacted)
    held = digests.original(found, redacted)
    if digests.extended((high, 0, START), held, high) != (high, sealed, total):
        raise ChainError(f"{where}: {_culprit(block.marks, place, held, sealed)}")


def _check_left(table: str, found: Digests, redacted: dict[int, Redaction]) -> None:
    there = dict(found)
    for row_id, entry in sorted(redacted.items()):
        if not entry.sound or there.get(row_id) != entry.now:
            raise ChainError(f"{_row(table, row_id)} is not what its redaction left.")


def _culprit(marks: bytes, place: int, held: Digests, sealed: int) -> str:
    """Which row does not fit, as far as the marks of the block tell."""
    table, size = list(TABLES)[place], MARK - 1
    mine = [marks[at + 1 : at + MARK] for at in range(0, len(marks), MARK) if marks[at] == place]
    if len(mine) != sealed:
        return f"{len(held)} rows where {sealed} were sealed."
    first = next((at for at, (row, mark) in enumerate(zip(held, mine, strict=False)) if row[1][:size] != mark), None)
    if first is None and len(held) <= sealed:
        return f"rows are missing at its end, {len(held)} of {sealed} are there."
    row = _row(table, held[len(mine) if first is None else first][0])
    if len(held) == sealed:
        return f"{row} was changed."
    return f"{row} was added." if len(held) > sealed else f"a row before {row} is missing."


def _row(table: str, row_id: int) -> str:
    return f"{table} {row_id}"


def _check_expected(connection: Connection, expected: str) -> None:
    number, _colon, known = expected.partition(":")
    if not expected:
        return
    found = connection.execute(select(AuditBlock.hash).where(AuditBlock.id == int(number))).scalar_one_or_none()
    if found != known:
        raise ChainError(f"Block {number} is not the one that was expected.")


def _check_redactions(connection: Connection) -> None:
    """Each redaction belongs to an event that may redact and whose proof fits; and none that is told of is gone, but by
    a restart of the chain, which takes all of them: one of an event from before it was made since, by no key.
    """
    it = AuditRedaction
    groups: dict[int, list[tuple[str, int, str, str | None]]] = {}
    asked = select(it.event_id, it.table_name, it.row_id, it.was, it.now).order_by(it.event_id, it.id)
    for event_id, table, row_id, was, now in connection.execute(asked):
        groups.setdefault(event_id, []).append((table, row_id, was, now))
    begun, _signature = last_restart(connection)
    told = select(SecurityEvent.id, SecurityEvent.data).where(SecurityEvent.kind.in_(LAWFUL))
    proofs = {event_id: proof_of(data).get("proof") for event_id, data in connection.execute(told)}
    for event_id, entries in groups.items():
        where = f"The redaction of {_row(entries[0][0], entries[0][1])}"
        if proofs.get(event_id) != digests.proof(entries):
            raise ChainError(f"{where} is told by no event.")
        if event_id < begun:
            raise ChainError(f"{where} is told by an event from before the chain was begun anew.")
    for event_id, proof in sorted(proofs.items()):
        if event_id not in groups and event_id > begun and proof not in (None, digests.proof([])):
            raise ChainError(f"The redactions that {_row(SecurityEvent.__tablename__, event_id)} tells of are missing.")
