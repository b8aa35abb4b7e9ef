"""The history of the demo school: a change set for each thing that happened, at the time it did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, inspect
from sqlalchemy.orm import Session

from backend.core.context import Door
from backend.database import history
from backend.database.base import Base
from backend.database.models.history import Change, ChangeSet, ChangeSetPart
from backend.database.models.users import User

Values = dict[str, Any]


@dataclass
class Step:
    """What happened at one moment. The values of a made row say how it was then, where it differs
    from now.
    """

    at: datetime
    label: str = ""
    actor: User | None = None
    made: list[tuple[Base, Values]] = field(default_factory=list)
    moved: list[tuple[Base, Values, Values]] = field(default_factory=list)  # row, before, after

    def make(self, row: Base, **then: Any) -> "Step":
        self.made.append((row, then))
        return self

    def move(self, row: Base, before: Values, after: Values) -> "Step":
        changed = [name for name in after if before[name] != after[name]]
        self.moved.append((row, {name: before[name] for name in changed}, {name: after[name] for name in changed}))
        return self


def write(session: Session, steps: Sequence[Step]) -> None:
    """In bulk; the rows are flushed already."""
    steps = sorted(steps, key=lambda step: step.at)
    sets = [
        {
            "actor_id": step.actor.id if step.actor else None,
            "door": Door.DEMO.value,
            "label": step.label,
            "at": step.at,
        }
        for step in steps
    ]
    returning = insert(ChangeSet).returning(ChangeSet.id, sort_by_parameter_order=True)
    ids = session.scalars(returning, sets).all()
    changes = [
        change | {"change_set_id": set_id} for step, set_id in zip(steps, ids, strict=True) for change in _changes(step)
    ]
    session.execute(insert(Change), changes)
    session.execute(
        insert(ChangeSetPart), list(_parts(changes, {i: step.at for i, step in zip(ids, steps, strict=True)}))
    )


def _parts(changes: Sequence[Values], moments: Mapping[int, datetime]) -> Iterator[Values]:
    led: set[tuple[int, str]] = set()
    for set_id, root, entity in sorted({(row["change_set_id"], row["root"], row["entity"]) for row in changes}):
        lead = (set_id, root) not in led
        led.add((set_id, root))
        yield {"change_set_id": set_id, "root": root, "entity": entity, "lead": lead, "at": moments[set_id]}


def _changes(step: Step) -> list[Values]:
    made = [_change(row, "create", {}, _whole(row) | _json(row, then)) for row, then in step.made]
    moved = [
        _change(row, "update", _json(row, before), _json(row, after)) for row, before, after in step.moved if after
    ]
    return made + moved


def _change(row: Any, op: str, before: Values, after: Values) -> Values:
    entity, entity_id = row.__tablename__, row.id
    root, root_id = row.history_root() if hasattr(row, "history_root") else (entity, entity_id)
    return {
        "entity": entity,
        "entity_id": entity_id,
        "root": root,
        "root_id": root_id,
        "op": op,
        "before": before,
        "after": after,
    }


def _whole(row: Base) -> Values:
    """All columns; what was never set is null and must not be asked of the database row by row."""
    known = row.__dict__
    return _json(row, {attr.key: known.get(attr.key) for attr in inspect(type(row)).column_attrs})


def _json(row: Base, values: Values) -> Values:
    skip = row.__history_skip__
    return {name: history.to_json(value) for name, value in values.items() if name not in skip}
