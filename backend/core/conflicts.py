"""Two people saved the same record: what each wrote, so that the later one can choose."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from backend.database import history
from backend.database.crud.history import Entry


@dataclass(frozen=True)
class Clash:
    """A field that differs. `untouched`: only the other changed it, so theirs is the guess."""

    name: str
    mine: Any
    theirs: Any
    untouched: bool


@dataclass(frozen=True)
class Conflict:
    clashes: Sequence[Clash]
    kept: Mapping[str, Any]  # the other fields of the form, as typed
    version: int  # of the record now
    who: str  # who saved last; "" when unknown
    when: datetime | None


def compare(
    data: BaseModel,
    row: Any,
    names: Iterable[str],
    behind: Sequence[Entry],
    keep: Iterable[str] = (),
) -> Conflict:
    """`data` comes from an older version of `row`; `behind`: its history since, newest first."""
    base: dict[str, Any] = {}
    for entry in behind:
        for change in entry.changes:
            if change.entity == row.__tablename__:
                base |= change.before
    clashes, kept = [], {name: getattr(data, name) for name in keep}
    for name in names:
        mine, theirs = getattr(data, name), getattr(row, name)
        if mine == theirs:
            kept[name] = mine
        else:
            untouched = name in base and base[name] == history.to_json(mine)
            clashes.append(Clash(name, mine, theirs, untouched))
    last = behind[0].change_set if behind else None
    who = last.actor.name if last is not None and last.actor is not None else ""
    return Conflict(clashes, kept, row.version, who, last.at if last is not None else None)
