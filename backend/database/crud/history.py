"""Reading the history, and undoing a change set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, inspect, select, update
from sqlalchemy.orm import Session, joinedload, selectinload

from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import _
from backend.core.permissions import STUDENT
from backend.database import history, models
from backend.database.base import Base, Versioned
from backend.database.models.history import Change, ChangeSet
from backend.database.models.users import Role, User

__all__ = ["Entry", "HistoryCRUD", "models"]  # models: every table is registered before the first undo
TIMELINE = 50


@dataclass(frozen=True)
class Entry:
    """One change set as a record's page shows it, with the changes of that record only."""

    change_set: ChangeSet
    changes: Sequence[Change]
    undone: bool
    undoable: bool


class HistoryCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def of_record(self, root: str, root_id: int, limit: int = TIMELINE) -> list[Entry]:
        """The latest change sets that touched a record or its children. Three queries whatever their number."""
        newest = (
            select(Change.change_set_id)
            .where(Change.root == root, Change.root_id == root_id)
            .group_by(Change.change_set_id)
            .order_by(Change.change_set_id.desc())
            .limit(limit)
        )
        sets = self.session.scalars(
            select(ChangeSet)
            .where(ChangeSet.id.in_(newest))
            .options(joinedload(ChangeSet.actor), selectinload(ChangeSet.changes))
            .order_by(ChangeSet.id.desc())
        ).all()
        undone = self._undone(found.id for found in sets)
        return [
            Entry(
                found,
                [change for change in found.changes if (change.root, change.root_id) == (root, root_id)],
                found.id in undone,
                _undoable(found),
            )
            for found in sets
        ]

    def _undone(self, ids: Iterable[int]) -> set[int]:
        statement = select(ChangeSet.undoes_id).where(ChangeSet.undoes_id.in_(list(ids)))
        return {found for found in self.session.scalars(statement) if found is not None}

    def roots(self, change_set_id: int) -> set[str]:
        """The tables of the records that a change set touched."""
        statement = select(Change.root).where(Change.change_set_id == change_set_id).distinct()
        return set(self.session.scalars(statement))

    def touches_staff(self, change_set_id: int) -> bool:
        """Whether a person is or was anything but a student: rights are not given or taken by an undo."""
        student = self.session.scalars(select(Role.id).where(Role.name == STUDENT)).one()
        statement = select(Change).where(Change.change_set_id == change_set_id, Change.entity == User.__tablename__)
        for change in self.session.scalars(statement):
            user = self.session.get(User, change.entity_id)
            roles = {user and user.role_id, change.before.get("role_id"), change.after.get("role_id")}
            if roles - {None, student}:
                return True
        return False

    def undo(self, change_set_id: int) -> ChangeSet:
        """Takes a change set back, in a change set of its own (so that an undo can be undone).

        Nothing is overwritten: raises ConflictError with the fields that someone changed later, or when the set holds
        money or sent messages, or was undone already. Raises NotFoundError.
        """
        found = self.session.get(ChangeSet, change_set_id, options=[selectinload(ChangeSet.changes)])
        if found is None:
            raise NotFoundError
        if self._undone([found.id]):
            raise ConflictError(_("This has been undone already."), code="already_undone")
        if not _undoable(found):
            raise ConflictError(_("Money and sent messages cannot be taken back like this."), code="not_undoable")
        self.session.info["undoes_id"] = found.id
        history.describe(self.session, "undo")
        standing = [self.session.get(_model(change.entity), change.entity_id) for change in found.changes]
        self._make_room(found.changes)
        for change in reversed(found.changes):
            self._revert(change)
            # Row by row: a restored parent must stand before its children.
            self.session.flush()
        del standing  # held until here, so that rows which stepped aside are not read anew
        return found

    def _make_room(self, changes: Sequence[Change]) -> None:
        """Rows that changed places step aside, so that each finds its old place free."""
        moved: dict[type[Base], list[int]] = {}
        for change in changes:
            model = _model(change.entity)
            if change.op == "update" and model.__place__ in change.before:
                moved.setdefault(model, []).append(change.entity_id)
        for model, ids in moved.items():
            history.step_aside(self.session, model, ids)

    def _revert(self, change: Change) -> None:
        model = _model(change.entity)
        row = self.session.get(model, change.entity_id)
        if change.op == "delete":
            self._restore(model, row, change)
        elif row is None:
            raise ConflictError(_("This record has been deleted since."), code="changed_since")
        elif change.op == "create":
            self._remove(row, change)
        else:
            self._put_back(row, change)

    def _restore(self, model: type[Base], row: Base | None, change: Change) -> None:
        if row is not None:
            raise ConflictError(_("This record stands again already."), code="changed_since")
        row = model(**_from_json(model, change.before))
        self.session.add(row)
        self.session.flush()
        if issubclass(model, Versioned):  # the mapper starts at 1 whatever it is given
            same = update(model).where(inspect(model).primary_key[0] == change.entity_id)
            kept: dict[str, Any] = {
                name: change.before[name] for name in ("version", "updated_at") if name in change.before
            }
            values = _from_json(model, kept)
            self.session.execute(same.values(values), execution_options={"synchronize_session": False})
            self.session.refresh(row, ["version"])

    def _remove(self, row: Base, change: Change) -> None:
        if change.entity == change.root:
            same = Change.root == change.root, Change.root_id == change.root_id
        else:  # a child goes although its parent was edited
            same = Change.entity == change.entity, Change.entity_id == change.entity_id
        own = self.session.info.get("change_set_id", 0)
        later = select(func.count()).where(
            *same, Change.change_set_id > change.change_set_id, Change.change_set_id != own
        )
        if self.session.scalar(later):
            raise ConflictError(_("This record has been changed since it was made."), code="changed_since")
        self.session.delete(row)

    def _put_back(self, row: Base, change: Change) -> None:
        now = {name: history.to_json(getattr(row, name)) for name in change.after}
        clashes = {name: str(value) for name, value in now.items() if value != change.after[name]}
        if clashes:
            raise ConflictError(_("Someone has changed this since."), code="changed_since", fields=clashes)
        for name, value in _from_json(type(row), change.before).items():
            setattr(row, name, value)
        if not row.__history__:  # the flush says nothing of it
            root = change.root, change.root_id
            history.record(self.session, row, "update", change.after, change.before, root)


def _undoable(found: ChangeSet) -> bool:
    """Money and sent messages stay as they are, except that what went with its record comes back with it."""
    ops = ("delete",) if found.undoes_id is None else ("delete", "create")
    whole = {(change.op, change.entity, change.entity_id) for change in found.changes if change.op in ops}
    return all(
        _model(change.entity).__undoable__
        or (change.entity != change.root and (change.op, change.root, change.root_id) in whole)
        for change in found.changes
    )


def _model(entity: str) -> type[Base]:
    for mapper in Base.registry.mappers:
        if mapper.class_.__tablename__ == entity:
            found: type[Base] = mapper.class_
            return found
    raise NotFoundError  # a table that this version no longer has


def _from_json(model: type[Base], values: Mapping[str, Any]) -> dict[str, Any]:
    columns = model.__table__.columns
    return {
        name: datetime.fromisoformat(value)
        if value is not None and columns[name].type.python_type is datetime
        else value
        for name, value in values.items()
        if name in columns
    }
