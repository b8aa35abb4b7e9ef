"""Writes the history by itself: what a flush changes becomes rows of `changes` in the same transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import event, insert, inspect, select, update
from sqlalchemy.orm import Session, SessionTransaction

from backend.core import clock
from backend.core.context import Actor, Door
from backend.database.base import Base
from backend.database.models.history import Change, ChangeSet, ChangeSetPart

# Columns that every update moves; they say nothing by themselves.
NOISE = frozenset({"updated_at", "version", "search_key"})
SYSTEM = Actor(Door.JOB)
# What `session.info` holds of the change set of this transaction.
KEPT = ("change_set_id", "change_set_at", "change_set_parts", "label", "undoes_id")
Record = tuple[str, int]  # table, id
SCHOOL: Record = ("settings", 0)  # what the school decides about itself has one timeline


def describe(session: Session, label: str) -> None:
    """Name the verb of the current transaction ("refund", "reply"); the history shows it."""
    session.info["label"] = label


def change_set_id(session: Session) -> int | None:
    """The change set of the current transaction, if anything has changed so far (flushes)."""
    session.flush()
    found: int | None = session.info.get("change_set_id")
    return found


def snapshot(row: Base, *, last: bool = False) -> dict[str, Any]:
    """The columns of a row as JSON values, secrets left out.

    `last`: of a row that goes and that an undo must bring back as it was.
    """
    skip = row.__history_secret__ if last and row.__undoable__ else row.__history_skip__
    columns = inspect(type(row)).column_attrs
    return {attr.key: to_json(getattr(row, attr.key)) for attr in columns if attr.key not in skip}


def to_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


class Told(NamedTuple):
    """One change of one row, on its way into `changes`."""

    entity: Record
    root: Record  # on whose page it is shown
    op: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


Follower = Callable[[Session, Sequence[Told]], None]
FOLLOWERS: dict[str, Follower] = {}


def follow(table: str, work: Follower) -> None:
    """Has `work` done with every change of this table's rows, whoever made it and by whatever way.

    In the same transaction, perhaps in the midst of a flush: `work` must not flush, nor change loaded rows.
    """
    FOLLOWERS[table] = work


def told(row: Base, op: str, before: Mapping[str, Any], after: Mapping[str, Any], root: Record | None = None) -> Told:
    """`root`: when the row itself does not know."""
    entity: Record = row.__tablename__, row.id  # type: ignore[attr-defined] # every recorded table has an id
    root_of = getattr(row, "history_root", None)
    return Told(entity, root or (root_of() if root_of else entity), op, before, after)


def record(
    session: Session,
    row: Base,
    op: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    root: Record | None = None,
) -> None:
    """One change of one row; called by BaseCRUD.update_where and its like."""
    record_all(session, [told(row, op, before, after, root)])


def note(session: Session, entity: Record, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """A change that no row tells by itself: of a setting, or of a secret, whose values are left out."""
    record_all(session, [Told(entity, entity, "update", before, after)])


def record_all(session: Session, changes: Sequence[Told]) -> None:
    """Many changes in the order they happened; one statement, so that 100,000 rows are no burden."""
    rows = [
        {
            "entity": change.entity[0],
            "entity_id": change.entity[1],
            "root": change.root[0],
            "root_id": change.root[1],
            "op": change.op,
            "before": dict(change.before),
            "after": dict(change.after),
        }
        for change in changes
    ]
    if rows:
        made = open_set(session)
        session.connection().execute(insert(Change), [row | {"change_set_id": made} for row in rows])
        session.info["changes_told"] = changes_told(session) + len(rows)
        _name_parts(session, made, {(change.root[0], change.entity[0]) for change in changes})
    for table, work in FOLLOWERS.items():
        if some := [change for change in changes if change.entity[0] == table]:
            work(session, some)


def changes_told(session: Session) -> int:
    """How many changes this session has told so far: whether something has changed anything."""
    return int(session.info.get("changes_told", 0))


def _name_parts(session: Session, made: int, parts: set[tuple[str, str]]) -> None:
    known: frozenset[tuple[str, str]] = session.info.get("change_set_parts", frozenset())
    if parts <= known:
        return
    rows, led = [], {root for root, _entity in known}
    for root, entity in sorted(parts - known):
        lead, at = root not in led, session.info["change_set_at"]
        rows.append({"change_set_id": made, "root": root, "entity": entity, "lead": lead, "at": at})
        led.add(root)
    session.connection().execute(insert(ChangeSetPart), rows)
    session.info["change_set_parts"] = known | parts


def step_aside(session: Session, model: type[Base], ids: Iterable[int]) -> None:
    """Frees the places of rows that are about to swap them; loaded rows keep what they know."""
    session.flush()
    place = getattr(model, model.__place__)
    key = inspect(model).primary_key[0]
    statement = update(model).where(key.in_(ids)).values({place: -place})
    session.execute(statement, execution_options={"synchronize_session": False})


def open_set(session: Session) -> int:
    """The change set of the current transaction, made now if nothing has changed yet."""
    found: int | None = session.info.get("change_set_id")
    if found is not None:
        return found
    actor: Actor = session.info.get("actor") or SYSTEM
    values = {
        "actor_id": actor.user_id,
        "impersonator_id": actor.impersonator_id,
        "token_id": actor.token_id,
        "door": actor.door.value,
        "label": session.info.get("label", ""),
        "ip": actor.ip,
        "request_id": actor.request_id,
        "at": clock.now(),
        "undoes_id": session.info.get("undoes_id"),
    }
    made: int = session.connection().execute(insert(ChangeSet).returning(ChangeSet.id), values).scalar_one()
    session.info |= {"change_set_id": made, "change_set_at": values["at"]}
    return made


def resume(session: Session, change_set_id: int) -> None:
    """What this transaction changes belongs to a set that an earlier one opened: a job works in many."""
    part = ChangeSetPart
    found = session.execute(select(part.root, part.entity).where(part.change_set_id == change_set_id))
    known = frozenset((root, entity) for root, entity in found)
    at = session.scalars(select(ChangeSet.at).where(ChangeSet.id == change_set_id)).one()
    session.info |= {"change_set_id": change_set_id, "change_set_at": at, "change_set_parts": known}


def _updated(row: Base) -> tuple[dict[str, Any], dict[str, Any]]:
    before, after = {}, {}
    state = inspect(row)
    for attr in state.mapper.column_attrs:
        changed = state.attrs[attr.key].history
        if attr.key in NOISE or attr.key in row.__history_skip__ or not changed.has_changes():
            continue
        before[attr.key] = to_json(changed.deleted[0] if changed.deleted else None)
        after[attr.key] = to_json(changed.added[0] if changed.added else None)
    return before, after


def _after_flush(session: Session, _context: object) -> None:
    if session.info.get("history") is False:
        return  # whoever loads in bulk tells the history of it (backend.demo)
    # Parents are made before their children and deleted after them: an undo walks backwards.
    changes = [told(row, "create", {}, snapshot(row)) for row in sorted(_recorded(session.new), key=_depth)]
    for row in _recorded(session.dirty):
        before, after = _updated(row)
        if after:
            changes.append(told(row, "update", before, after))
    gone = sorted(_recorded(session.deleted), key=_depth, reverse=True)
    record_all(session, [*changes, *(told(row, "delete", snapshot(row, last=True), {}) for row in gone)])


def _recorded(rows: Iterable[object]) -> list[Base]:
    return [row for row in rows if isinstance(row, Base) and row.__history__]


@cache
def _depths() -> dict[str, int]:
    return {table.name: depth for depth, table in enumerate(Base.metadata.sorted_tables)}


def _depth(row: Base) -> tuple[int, int]:
    return _depths()[row.__tablename__], row.id  # type: ignore[attr-defined] # every recorded table has an id


def _forget(session: Session, *_rest: object) -> None:
    if not session.in_nested_transaction():  # the end of a savepoint is not the end of the unit of work
        _forget_all(session)


def _forget_all(session: Session) -> None:
    for key in KEPT:
        session.info.pop(key, None)


def _mark(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        marks: dict[SessionTransaction, dict[str, Any]] = session.info.setdefault("savepoints", {})
        marks[transaction] = {key: session.info[key] for key in KEPT if key in session.info}


def _back(session: Session) -> None:
    """A savepoint that is rolled back takes along what was opened behind it."""
    _forget_all(session)
    session.info.update(session.info.get("savepoints", {}).get(session.get_nested_transaction(), {}))


def _unmark(session: Session, transaction: SessionTransaction) -> None:
    session.info.get("savepoints", {}).pop(transaction, None)


event.listen(Session, "after_flush", _after_flush)
event.listen(Session, "after_commit", _forget)
event.listen(Session, "after_rollback", _back)
event.listen(Session, "after_transaction_create", _mark)
event.listen(Session, "after_transaction_end", _unmark)
