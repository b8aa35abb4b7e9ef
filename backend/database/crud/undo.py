"""Taking a change set back, over nobody's head.

A value that is no longer what the change set left is a clash: it stays as it is and is told with what stands there and
what would have come back. `undo` gives nothing back at all until a person has seen the clashes and asks for the rest;
a job (`start`, then `slice` until nothing is left) gives the rest back and lists the clashes as its errors.
"""

from collections.abc import Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import _
from backend.database import history, models
from backend.database.crud import blockers
from backend.database.crud.reverting import COLUMNS, Clash, Outcome, Slice
from backend.database.listing import AnyRow
from backend.database.models.history import Change, ChangeSet
from backend.database.rows import model_of

__all__ = ["Clash", "Outcome", "UndoCRUD", "UndoConflictError", "models"]  # models: every table is registered by then
SLICE = 1000
MORE = 1000  # how far a slice reaches on so that an order is put back as a whole


class UndoConflictError(ConflictError):
    code = "changed_since"

    def __init__(self, clashes: Sequence[Clash], *, partly: bool) -> None:
        fields = {clash.name: str(clash.now) for clash in clashes if clash.name}
        super().__init__(clashes[0].why, fields=fields)
        self.clashes = clashes
        self.partly = partly  # there is a rest that could be undone


class Touched(NamedTuple):
    """A record that a set has changed; `back`: it had been gone and stands again."""

    root: str
    root_id: int
    back: bool


class UndoCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def undo(self, change_set_id: int, *, rest: bool = False) -> Outcome:
        """Takes the whole back now, in a change set of its own (so that an undo can be undone).

        Raises UndoConflictError with nothing changed when something clashes, unless the `rest` is asked for;
        ConflictError when it was undone already or cannot be; NotFoundError.
        """
        self.start(change_set_id)
        whole = self.slice(change_set_id)
        while whole.below is not None:
            part = self.slice(change_set_id, whole.below)
            whole = Outcome(whole.done + part.done, whole.clashes + part.clashes, part.below)
        if whole.clashes and not (rest and whole.done):
            raise UndoConflictError(whole.clashes, partly=whole.done > 0)
        return whole

    def taken_away(self, change_set_id: int) -> list[tuple[str, int]]:
        """The records that stand no more because the set that made them was undone; a few of many."""
        made = Change.change_set_id == change_set_id, Change.op == "create", Change.entity == Change.root
        rows = self.session.execute(select(Change.root, Change.root_id).where(*made).limit(SLICE))
        return [(root, row_id) for root, row_id in rows]

    def touched(self, change_set_id: int) -> list[Touched]:
        """The records that a set has changed; a few of many."""
        back = and_(Change.op == "create", Change.entity == Change.root)
        mine = select(Change.root, Change.root_id, back).where(Change.change_set_id == change_set_id).distinct()
        return [Touched(root, row_id, bool(again)) for root, row_id, again in self.session.execute(mine.limit(SLICE))]

    def start(self, change_set_id: int) -> int:
        """Opens the undo's own change set and gives its number, for `history.resume` in the transactions of a job."""
        found = self.session.get(ChangeSet, change_set_id)
        if found is None:
            raise NotFoundError
        again = ConflictError(_("This has been undone already."), code="already_undone")
        if self.session.scalar(select(ChangeSet.id).where(ChangeSet.undoes_id == found.id)):
            raise again
        if reason := blockers.reasons(self.session, [found]).get(found.id):
            raise ConflictError(reason, code="not_undoable")
        self.session.info["undoes_id"] = found.id
        history.describe(self.session, "redo" if found.label == "undo" else "undo")
        try:
            return history.open_set(self.session)
        except IntegrityError:
            raise again from None

    def slice(self, change_set_id: int, below: int | None = None, limit: int = SLICE) -> Outcome:
        """Gives back the newest changes of the set with a number under `below`, `limit` of them or a few more."""
        change_set_id = self._origin(change_set_id)
        changes = self._newest(change_set_id, below, limit)
        outcome = Outcome(below=changes[-1].id if len(changes) >= limit else None)
        step = Slice(self.session, change_set_id, below, outcome)
        for (op, entity), run in groupby(changes, key=lambda change: (change.op, change.entity)):
            step.revert(op, model_of(entity), list(run))
        self.session.expire_all()  # all this went past the loaded rows
        return outcome

    def _origin(self, change_set_id: int) -> int:
        """What a redo has done again: the first time says it whole, also what stood so already when it was undone."""
        undo = aliased(ChangeSet)
        again = (
            select(undo.undoes_id)
            .join(ChangeSet, ChangeSet.undoes_id == undo.id)
            .where(ChangeSet.label == "redo", undo.undoes_id.is_not(None))
        )
        while (found := self.session.scalar(again.where(ChangeSet.id == change_set_id))) is not None:
            change_set_id = found
        return change_set_id

    def _newest(self, change_set_id: int, below: int | None, limit: int) -> list[AnyRow]:
        mine = select(*COLUMNS).where(Change.change_set_id == change_set_id).order_by(Change.id.desc())
        older = mine if below is None else mine.where(Change.id < below)
        changes = list(self.session.execute(older.limit(limit)))
        last = changes[-1] if len(changes) == limit else None
        if last is not None and model_of(last.entity).__place__:
            more = self.session.execute(mine.where(Change.id < last.id).limit(MORE))
            changes += takewhile(lambda change: (change.root, change.root_id) == (last.root, last.root_id), more)
        return changes
