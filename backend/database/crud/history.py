"""Reading the history: of a record, of the school, of one change set."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased, joinedload

from backend.database.crud import blockers
from backend.database.models.history import Change, ChangeSet

TIMELINE = 50


@dataclass(frozen=True)
class Entry:
    """One change set as a record's page shows it, with the changes of that record only.

    `why`: why it cannot be undone; "" when it can.
    """

    change_set: ChangeSet
    changes: Sequence[Change]
    undone: bool
    why: str


class HistoryCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def of_record(self, root: str, root_id: int, limit: int = TIMELINE, *, undo: bool = True) -> list[Entry]:
        """The latest change sets that touched a record or its children, whatever else they touched.

        `undo`: whether to find out what can be undone.
        """
        mine = Change.root == root, Change.root_id == root_id
        newest = (
            select(Change.change_set_id)
            .where(*mine)
            .group_by(Change.change_set_id)
            .order_by(Change.change_set_id.desc())
            .limit(limit)
        )
        sets = self.session.scalars(
            select(ChangeSet)
            .where(ChangeSet.id.in_(newest))
            .options(joinedload(ChangeSet.actor))
            .order_by(ChangeSet.id.desc())
        ).all()
        ids = [found.id for found in sets]
        changes: dict[int, list[Change]] = {}
        touched = select(Change).where(*mine, Change.change_set_id.in_(ids)).order_by(Change.id)
        for change in self.session.scalars(touched):
            changes.setdefault(change.change_set_id, []).append(change)
        undone, why = (self.undone(ids), blockers.reasons(self.session, sets)) if undo and ids else (set(), {})
        return [Entry(found, changes[found.id], found.id in undone, why.get(found.id, "")) for found in sets]

    def undone(self, ids: Collection[int]) -> set[int]:
        """The sets of these whose changes do not hold now: undone, and the undo not undone in its turn."""
        undo = aliased(ChangeSet)
        first = select(ChangeSet.undoes_id.label("set_id"), ChangeSet.id.label("last"))
        chain = first.where(ChangeSet.undoes_id.in_(ids)).cte("chain", recursive=True)
        chain = chain.union_all(select(chain.c.set_id, undo.id).join(undo, undo.undoes_id == chain.c.last))
        counted = self.session.execute(select(chain.c.set_id, func.count()).group_by(chain.c.set_id))
        return {set_id for set_id, times in counted if times % 2}
