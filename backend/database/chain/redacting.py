"""The lawful ways to change what is sealed: personal data that must go, and the demo school that leaves.

    with redacting(session, Event.ERASED, user_id=7) as redactor:
        redactor.blank("changes", ids, keys={"first_name", "email"})  # in `before` and `after`; all keys without `keys`
        redactor.blank("change_sets", ids)       # ip
        redactor.blank("security_events", ids, keys={"login"})  # ip and user_agent; of `data` only these keys
        with redactor.touching("changes", ids):  # or whatever else must be done to them
            ...

At the end of the block the event is written; it holds the proof of what was redacted, signed with SECRET_KEY: who can
write to the database alone cannot make one. The sealer looks at the signature before it takes the event into the chain,
so that a key may go later. The chain keeps the digests that rows had, so that it stays whole, and those they have now,
so that nobody changes them once more. Any other way to change or delete a row of these tables breaks the chain:
`python -m backend.cli audit verify` tells.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.config import Settings
from backend.core.events import Event
from backend.database import audit
from backend.database.base import Base
from backend.database.chain import digests
from backend.database.models.audit import AuditRedaction, SecurityEvent
from backend.database.models.history import Change, ChangeSet
from backend.database.session import settings_of

MODELS: dict[str, type[Base]] = {model.__tablename__: model for model in (Change, ChangeSet, SecurityEvent)}
BLANKED: dict[str, dict[str, Any]] = {
    "changes": {},
    "change_sets": {"ip": None},
    "security_events": {"ip": None, "user_agent": ""},
}
KEYED = {"changes": ("before", "after"), "change_sets": (), "security_events": ("data",)}
LAWFUL = frozenset({Event.ERASED.value, Event.DEMO_REMOVED.value})  # events that may change or remove sealed rows
PROOF = "redactions"  # what the event keeps in its data, and no redaction takes from it
RESTART = "audit restart"  # what the signature of its event is for
SLICE = 500


class Redactor:
    """Collects what is redacted in one transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.entries: list[tuple[str, int, str, str | None]] = []

    @contextmanager
    def touching(self, table: str, ids: Iterable[int]) -> Iterator[None]:
        """Whatever the block does to these rows of `changes`, `change_sets` or `security_events` is lawful."""
        self.session.flush()
        connection, wanted = self.session.connection(), list(ids)
        before = digests.rows_of(connection, table, wanted)
        yield
        self.session.flush()
        after = dict(digests.rows_of(connection, table, wanted))
        for row_id, digest in before:
            left = after.get(row_id)
            if left != digest:
                self.entries.append((table, row_id, digest.hex(), left.hex() if left else None))

    def blank(self, table: str, ids: Iterable[int], keys: Collection[str] | None = None) -> None:
        """Takes personal data out of rows: the values of their JSON become null, addresses and browsers go.

        `keys`: only these of the JSON; without it all of a change, and none of an event's `data`.
        """
        wanted = sorted(set(ids))
        with self.touching(table, wanted):
            for start in range(0, len(wanted), SLICE):
                self._blank(table, wanted[start : start + SLICE], keys)

    def _blank(self, table: str, ids: Collection[int], keys: Collection[str] | None) -> None:
        model: Any = MODELS[table]
        held, names = model.__table__, KEYED[table]
        asked = select(held.c.id, *(held.c[name] for name in names)).where(held.c.id.in_(ids))
        rows = [
            {"row": row.id, **BLANKED[table], **{name: _without(getattr(row, name), table, keys) for name in names}}
            for row in self.session.connection().execute(asked)
        ]
        if rows:
            values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "row"}
            self.session.connection().execute(update(held).where(held.c.id == bindparam("row")).values(values), rows)


def _without(value: dict[str, Any], table: str, keys: Collection[str] | None) -> dict[str, Any]:
    everything = keys is None and table == Change.__tablename__
    gone = {key for key in value if key != PROOF and (everything or key in (keys or ()))}
    return {key: None if key in gone else kept for key, kept in value.items()}


@contextmanager
def redacting(session: Session, kind: Event, *, user_id: int | None = None, **data: Any) -> Iterator[Redactor]:
    """Redactions of one transaction, told by one event at the end of the block. `kind`: one of LAWFUL."""
    redactor = Redactor(session)
    yield redactor
    entries = redactor.entries
    proof = digests.proof(entries)
    told: Any = {PROOF: {"rows": len(entries), "proof": proof, "mac": _mac(session, proof)}}
    event_id = audit.note(session, kind, user_id=user_id, **data, **told)
    rows = [
        {"table_name": table, "row_id": row_id, "was": was, "now": now, "event_id": event_id}
        for table, row_id, was, now in entries
    ]
    if rows:
        session.connection().execute(insert(AuditRedaction), rows)


def _mac(session: Session, proof: str) -> str:
    return security.sign(settings_of(session), PROOF, proof)


def note_restart(session: Session, reason: str, problem: str | None) -> None:
    """The event of a chain that is begun anew without its redactions: signed, as it excuses that they are gone."""
    event_id = audit.note(session, Event.AUDIT_STARTED, reason=reason, problem=problem)
    signed = {"reason": reason, "problem": problem, "mac": security.sign(settings_of(session), RESTART, str(event_id))}
    session.execute(update(SecurityEvent).where(SecurityEvent.id == event_id).values(data=signed))


def last_restart(connection: Connection) -> tuple[int, str]:
    """(id, signature) of the event of the last one; zero when there was none."""
    asked = select(SecurityEvent.id, SecurityEvent.data).where(SecurityEvent.kind == Event.AUDIT_STARTED)
    for row_id, data in connection.execute(asked.order_by(SecurityEvent.id.desc())):
        if isinstance(data, dict) and "reason" in data:
            return row_id, str(data.get("mac"))
    return 0, ""


def proof_of(data: Any) -> dict[str, Any]:
    """What an event tells of its redactions, whatever stands there."""
    told = data.get(PROOF) if isinstance(data, dict) else None
    return told if isinstance(told, dict) else {"proof": told}


def check_new(connection: Connection, settings: Settings, sealed: Mapping[str, Any]) -> None:
    """Raises ChainError for an event beyond the ranges of the last block that tells redactions, or that they are gone
    by a restart, without the key.
    """
    events = SecurityEvent.__tablename__
    first = sealed[events][0] + 1 if sealed else 0
    begun, signature = last_restart(connection)
    if begun >= max(first, 1) and not security.verify_signature(settings, RESTART, str(begun), signature):
        raise digests.ChainError(f"{events} {begun} tells of a restart and is not signed by any key of SECRET_KEY.")
    asked = select(SecurityEvent.id, SecurityEvent.data)
    fresh = SecurityEvent.kind.in_(LAWFUL), SecurityEvent.id >= max(first, begun)  # older ones redact nothing any more
    for row_id, data in connection.execute(asked.where(*fresh)):
        told = proof_of(data)
        proof, mac = told.get("proof"), told.get("mac")
        if proof and not security.verify_signature(settings, PROOF, str(proof), str(mac)):
            raise digests.ChainError(f"{events} {row_id} tells redactions and is not signed by any key of SECRET_KEY.")
