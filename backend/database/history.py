"""Writes the history by itself: what a flush changes becomes rows of `changes` in the same transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import event, insert, inspect, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.context import Actor, Door
from backend.database.base import Base
from backend.database.models.history import Change, ChangeSet

# Columns that every update moves; they say nothing by themselves.
NOISE = frozenset({"updated_at", "version", "search_key"})
SYSTEM = Actor(Door.JOB)
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


def record(
    session: Session,
    row: Base,
    op: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    root: Record | None = None,
) -> None:
    """One change of one row; called by the flush hook and by BaseCRUD.update_where.

    `root`: on whose page it is shown, when the row itself does not know.
    """
    entity: Record = row.__tablename__, row.id  # type: ignore[attr-defined] # every recorded table has an id
    root_of = getattr(row, "history_root", None)
    _insert(session, entity, root or (root_of() if root_of else entity), op, before, after)


def note(session: Session, entity: Record, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """A change that no row tells by itself: of a setting, or of a secret, whose values are left out."""
    _insert(session, entity, entity, "update", before, after)


def _insert(
    session: Session, entity: Record, root: Record, op: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    (table, row_id), (shown_at, shown_id) = entity, root
    values = {
        "change_set_id": _change_set(session),
        "entity": table,
        "entity_id": row_id,
        "root": shown_at,
        "root_id": shown_id,
        "op": op,
        "before": dict(before),
        "after": dict(after),
    }
    session.connection().execute(insert(Change), values)


def step_aside(session: Session, model: type[Base], ids: Iterable[int]) -> None:
    """Frees the places of rows that are about to swap them; loaded rows keep what they know."""
    session.flush()
    place = getattr(model, model.__place__)
    key = inspect(model).primary_key[0]
    statement = update(model).where(key.in_(ids)).values({place: -place})
    session.execute(statement, execution_options={"synchronize_session": False})


def _change_set(session: Session) -> int:
    found: int | None = session.info.get("change_set_id")
    if found is not None:
        return found
    actor: Actor = session.info.get("actor") or SYSTEM
    statement = insert(ChangeSet).values(
        actor_id=actor.user_id,
        token_id=actor.token_id,
        door=actor.door.value,
        label=session.info.get("label", ""),
        ip=actor.ip,
        request_id=actor.request_id,
        at=clock.now(),
        undoes_id=session.info.get("undoes_id"),
    )
    made = session.connection().execute(statement.returning(ChangeSet.id)).scalar_one()
    session.info["change_set_id"] = made
    return made


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
    for row in sorted(_recorded(session.new), key=_depth):
        record(session, row, "create", {}, snapshot(row))
    for row in _recorded(session.dirty):
        before, after = _updated(row)
        if after:
            record(session, row, "update", before, after)
    for row in sorted(_recorded(session.deleted), key=_depth, reverse=True):
        record(session, row, "delete", snapshot(row, last=True), {})


def _recorded(rows: Iterable[object]) -> list[Base]:
    return [row for row in rows if isinstance(row, Base) and row.__history__]


@cache
def _depths() -> dict[str, int]:
    return {table.name: depth for depth, table in enumerate(Base.metadata.sorted_tables)}


def _depth(row: Base) -> tuple[int, int]:
    return _depths()[row.__tablename__], row.id  # type: ignore[attr-defined] # every recorded table has an id


def _forget(session: Session, *_rest: object) -> None:
    if session.in_nested_transaction():
        return  # the end of a savepoint is not the end of the unit of work
    for key in ("change_set_id", "label", "undoes_id"):
        session.info.pop(key, None)


event.listen(Session, "after_flush", _after_flush)
event.listen(Session, "after_commit", _forget)
event.listen(Session, "after_rollback", _forget)
