"""How the changes of a set are given back: run by run of the same kind, many rows a statement, nobody overwritten."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Boolean, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.i18n import _
from backend.database import history, outbox, search
from backend.database.base import Base, UTCDateTime
from backend.database.crud import blockers
from backend.database.history import Told
from backend.database.listing import AnyRow
from backend.database.models.history import Change, ChangeSet
from backend.database.models.orders import Payment
from backend.database.models.users import User
from backend.database.personal.places import MARK
from backend.database.rows import among, model_of, naming, table_of, typed, with_keys

COLUMNS = (
    *(Change.id, Change.entity, Change.entity_id, Change.root, Change.root_id),
    *(Change.op, Change.before, Change.after),
)


@dataclass(frozen=True)
class Clash:
    """What an undo leaves as it is. `name`: the column; "" for a whole record."""

    entity: str
    entity_id: int
    root: str
    root_id: int
    why: str
    name: str = ""
    now: Any = None
    then: Any = None  # what the undo would have put


@dataclass
class Outcome:
    """`done`: rows given back. `below`: where the next slice begins; None when nothing is left."""

    done: int = 0
    clashes: list[Clash] = field(default_factory=list)
    below: int | None = None


@dataclass
class Write:
    """One row on its way back."""

    change: AnyRow
    told: Told
    values: dict[str, Any]


class Slice:
    """The changes of one slice, run by run of the same kind, in the reverse of the order in which they happened."""

    def __init__(self, session: Session, change_set_id: int, below: int | None, outcome: Outcome) -> None:
        self.session, self.outcome = session, outcome
        self.change_set_id, self.below = change_set_id, below
        self.staying: set[tuple[str, int]] = set()  # records that stay away or stay here, with their children
        self.disordered: set[tuple[str, int]] = set()  # records whose children stand in another order by now

    def revert(self, op: str, model: type[Base], run: list[AnyRow]) -> None:
        steps = {"create": self._remove, "update": self._put_back, "delete": self._restore}
        if left := self._of_the_known(run):
            steps[op](model, left)

    # -- people whose data were erased

    def _of_the_known(self, run: list[AnyRow]) -> list[AnyRow]:
        """Without what belongs to erased people: none of it comes back, neither their row nor a tag on it."""
        erased = self._erased({change.root_id for change in run if change.root == User.__tablename__})
        left = []
        for change in run:
            if change.root == User.__tablename__ and change.root_id in erased:
                self._clash(change, _(blockers.ERASED))
            else:
                left.append(change)
        return left

    def _erased(self, ids: Collection[int]) -> frozenset[int]:
        """Those of them whose data were erased, while they stood or after they had been deleted."""
        if not ids:
            return frozenset()
        # Locked: an erasure either is seen here or waits until the undo has ended, and erases what that brought back.
        mine = among(self.session, table_of(User).c.id, ids)
        rows = select(User.id, User.erased_at).where(mine).order_by(User.id).with_for_update(key_share=True)
        standing = [row_id for row_id, erased_at in self.session.execute(rows) if erased_at is not None]
        about = Change.entity == User.__tablename__, ChangeSet.label == "erase"
        told = select(Change.entity_id).join(ChangeSet, ChangeSet.id == Change.change_set_id).where(*about)
        named = self.session.scalars(told.where(among(self.session, table_of(Change).c.entity_id, ids)))
        return frozenset([*standing, *named])

    # -- an update: the values before

    def _put_back(self, model: type[Base], run: list[AnyRow]) -> None:
        table = table_of(model)
        names = {name for change in run for name in change.after if name in table.c and name in change.before}
        if model is User and "email" in names:
            names.add("email_verified_at")
        rows = self._rows(model, [change.entity_id for change in run], names)
        writes: dict[int, Write] = {}
        for change in run:
            row = rows.get(change.entity_id)
            if row is None:
                self._clash(change, _("This record has been deleted since."), model.__place__)
                continue
            put = self._fitting(table, change, row)
            known = writes.get(change.entity_id)
            now = {name: history.to_json(row[name]) for name in put}
            told = _update(change, now, put) if known is None else _merged(known.told, now, put)
            row |= typed(table, put)
            writes[change.entity_id] = Write(change, told, {name: row[name] for name in told.after})
        whole = [write for write in writes.values() if write.values and self._in_order(model, write)]
        for names_of, some in groupby(sorted(whole, key=lambda w: sorted(w.values)), key=lambda w: sorted(w.values)):
            self._carry_out(list(some), _updating(self.session, model, names_of))

    def _fitting(self, table: Table, change: AnyRow, row: Mapping[str, Any]) -> dict[str, Any]:
        """What may come back; what someone has changed since is told instead."""
        put = {}
        left, were = typed(table, change.after), typed(table, change.before)
        for name, value in left.items():
            if name not in were or row[name] == were[name]:
                continue  # it is so already
            if _marked(change.before[name]):
                self._clash(change, _(blockers.ERASED), name, history.to_json(row[name]))
            elif row[name] == value:
                put[name] = change.before[name]
            else:
                why = _("Someone has changed this since.")
                self._clash(change, why, name, history.to_json(row[name]), change.before[name])
        if table.name == User.__tablename__:
            _confirmed(put, left, row)
        return put

    def _in_order(self, model: type[Base], write: Write) -> bool:
        """Places among siblings come back all together or not at all."""
        if model.__place__ not in write.values:
            return True
        change = write.change
        if (change.root, change.root_id) not in self.disordered:
            return True
        name = model.__place__
        why = _("The order has been changed since.")
        self._clash(change, why, name, write.told.before[name], write.told.after[name])
        return False

    # -- a delete: the whole row, under its number

    def _restore(self, model: type[Base], run: list[AnyRow]) -> None:
        table = table_of(model)
        standing = self._rows(model, [change.entity_id for change in run], ())
        writes = []
        for change in run:
            if (change.root, change.root_id) in self.staying:
                self._clash(change, _("The record it belongs to will not be restored."))
            elif change.entity_id in standing:
                self._clash(change, _("This record is already restored."))
            elif _marked(change.before):
                self._clash(change, _(blockers.ERASED))
            else:
                values = with_keys(model, typed(table, change.before))
                shown = {n: v for n, v in change.before.items() if n not in model.__history_skip__}
                told = Told((change.entity, change.entity_id), (change.root, change.root_id), "create", {}, shown)
                writes.append(Write(change, told, values))
        for _names, some in groupby(writes, key=lambda write: sorted(write.values)):
            self._carry_out(list(some), lambda rows: self._execute(insert(table), [row.values for row in rows]))

    # -- a create: the row goes again

    def _remove(self, model: type[Base], run: list[AnyRow]) -> None:
        table = table_of(model)
        self._look_at_parents(run)
        rows = self._rows(model, [change.entity_id for change in run], table.c.keys())
        made = {(change.entity, change.entity_id) for change in run}
        used = self._used(model, rows.keys(), made)
        writes = []
        for change in run:
            row = rows.get(change.entity_id)
            why = self._kept(model, change, row, used)
            if why or row is None:
                self._clash(change, why)
                continue
            secret = model.__history_secret__ if model.__undoable__ else model.__history_skip__
            image = {name: history.to_json(value) for name, value in row.items() if name not in secret}
            told = Told((change.entity, change.entity_id), (change.root, change.root_id), "delete", image, {})
            writes.append(Write(change, told, {}))

        def go(some: list[Write]) -> None:
            ids = [write.change.entity_id for write in some]
            self._execute(delete(table).where(among(self.session, table.c.id, ids)))

        self._carry_out(writes, go)

    def _kept(self, model: type[Base], change: AnyRow, row: Mapping[str, Any] | None, used: set[int]) -> str:
        """Why a row that was made has to stay; "" when it may go."""
        if row is None:
            return _("This record has been deleted since.")
        if change.entity_id in used:
            return _("Something else still needs this record.")
        if (change.root, change.root_id) in self.staying:
            return _("The record that it belongs to has been changed since.")
        return _("This record has been changed since it was made.") if _differs(model, change.after, row) else ""

    def _look_at_parents(self, run: list[AnyRow]) -> None:
        """Children that were made with their record stay with it, when it has to stay."""
        roots: dict[str, set[int]] = {}
        for change in run:
            if change.entity != change.root:
                roots.setdefault(change.root, set()).add(change.root_id)
        for entity, ids in roots.items():
            made = self._made(entity, ids)
            model = model_of(entity)
            rows = self._rows(model, list(made), table_of(model).c.keys())
            children = {(change.entity, change.entity_id) for change in run}
            used = self._used(model, rows.keys(), children)
            for row_id, after in made.items():
                if row_id in used or (row_id in rows and _differs(model, after, rows[row_id])):
                    self.staying.add((entity, row_id))

    def _made(self, entity: str, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """What this set has made of records, as far as it is not given back: {} for those that stood before."""
        mine = Change.change_set_id == self.change_set_id, Change.entity == entity, Change.entity_id.in_(ids)
        statement = select(*COLUMNS).where(*mine).order_by(Change.id)
        if self.below is not None:
            statement = statement.where(Change.id < self.below)
        made: dict[int, dict[str, Any]] = {}
        for change in self.session.execute(statement):
            if change.op == "create":
                made[change.entity_id] = dict(change.after)
            elif change.op == "update" and change.entity_id in made:
                made[change.entity_id] |= change.after
        return made

    def _used(self, model: type[Base], ids: Collection[int], besides: set[tuple[str, int]]) -> set[int]:
        """Rows that others name, be it in a column that the database would quietly empty."""
        found: set[int] = set()
        for key in naming(model.__tablename__):
            table = key.table
            own = table.c.id if "id" in table.c else key
            rows = self.session.execute(select(key, own).where(among(self.session, key, ids)))
            found.update(named for named, row_id in rows if (table.name, row_id) not in besides)
        if model is User:
            paid = select(User.id).join(Payment, Payment.payer_telegram_id == User.telegram_id)
            found.update(self.session.scalars(paid.where(among(self.session, table_of(model).c.id, ids))))
        return found

    # -- how

    def _rows(self, model: type[Base], ids: Sequence[int], names: Iterable[str]) -> dict[int, dict[str, Any]]:
        """The rows as they stand, nobody else's to change until the transaction ends."""
        table = table_of(model)
        columns = [table.c.id, *(table.c[name] for name in sorted(names) if name != "id")]
        statement = select(*columns).where(among(self.session, table.c.id, ids)).with_for_update()
        return {row["id"]: dict(row) for row in self.session.execute(statement).mappings()}

    def _carry_out(self, writes: list[Write], run: Callable[[list[Write]], None]) -> None:
        """All at once, or one by one when the database refuses some."""
        done = writes
        try:
            self._try(run, writes)
        except IntegrityError:
            done = [write for write in writes if self._alone(run, write)]
        history.record_all(self.session, [write.told for write in done])
        self.outcome.done += len(done)
        if any(write.change.entity == "dispatches" for write in done):
            outbox.queued(self.session)

    def _alone(self, run: Callable[[list[Write]], None], write: Write) -> bool:
        try:
            self._try(run, [write])
        except IntegrityError as error:
            missing = "foreign key" in str(error.orig).casefold()
            needed, taken = _("A related record is in the way."), _("Its position is taken.")
            self._clash(write.change, needed if missing else taken)
            return False
        return True

    def _try(self, run: Callable[[list[Write]], None], writes: list[Write]) -> None:
        if writes:
            with self.session.begin_nested():
                run(writes)

    def _execute(self, statement: Any, rows: list[dict[str, Any]] | None = None) -> None:
        self.session.connection().execute(statement, rows)

    def _clash(self, change: AnyRow, why: str, name: str = "", now: Any = None, then: Any = None) -> None:
        root = change.root, change.root_id
        if change.op != "update" and change.entity == change.root:
            self.staying.add(root)
        if name and name == model_of(change.entity).__place__:
            self.disordered.add(root)
        self.outcome.clashes.append(Clash(change.entity, change.entity_id, *root, why, name, now, then))


def _update(change: AnyRow, now: Mapping[str, Any], put: Mapping[str, Any]) -> Told:
    return Told((change.entity, change.entity_id), (change.root, change.root_id), "update", now, put)


def _merged(known: Told, now: Mapping[str, Any], put: Mapping[str, Any]) -> Told:
    """Two changes of one row as one: the newer has been told first."""
    return known._replace(before={**now, **known.before}, after={**known.after, **put})


def _updating(session: Session, model: type[Base], names: Sequence[str]) -> Callable[[list[Write]], None]:
    """Writes the named columns of many rows, and what follows from them."""
    table = table_of(model)
    plain = all(isinstance(table.c[name].type, Boolean | UTCDateTime) for name in names)
    moves: dict[str, Any] = {"version": table.c.version + 1} if "version" in table.c else {}
    if "updated_at" in table.c:
        moves["updated_at"] = clock.now()

    def run(writes: list[Write]) -> None:
        ids = [write.change.entity_id for write in writes]
        values = [write.values for write in writes]
        if issubclass(model, search.Searchable) and not plain:
            values = _keyed(session, model, ids, values)
        if model.__place__ in names:
            history.step_aside(session, model, ids)
        put: dict[str, Any] = {name: bindparam(f"to_{name}") for name in values[0]}
        statement = update(table).where(table.c.id == bindparam("row_id")).values(put | moves)
        rows = [{f"to_{name}": value for name, value in row.items()} for row in values]
        session.connection().execute(
            statement, [row | {"row_id": row_id} for row_id, row in zip(ids, rows, strict=True)]
        )

    return run


def _keyed(
    session: Session, model: type[Base], ids: Sequence[int], values: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The values with the search keys that they make, the same columns for all."""
    table = table_of(model)
    found = session.execute(select(table).where(among(session, table.c.id, ids))).mappings()
    were = {row["id"]: dict(row) for row in found}
    full = [with_keys(model, were[row_id] | dict(put)) for row_id, put in zip(ids, values, strict=True)]
    moved = {name for row in full for name in row if row[name] != were[row["id"]][name]} | {*values[0]}
    return [{name: row[name] for name in sorted(moved)} for row in full]


def _confirmed(put: dict[str, Any], left: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """That an e-mail was confirmed comes back with that very e-mail, and is said of no other."""
    if "email" in left and "email" not in put:
        put.pop("email_verified_at", None)
    elif "email" in put and "email_verified_at" not in put and row["email_verified_at"] is not None:
        put["email_verified_at"] = None


def _marked(value: Any) -> bool:
    """Whether an erasure put its mark in place of a whole text, also of one within a JSON value."""
    if isinstance(value, dict):
        return any(map(_marked, value.values()))
    if isinstance(value, list):
        return any(map(_marked, value))
    return bool(value == MARK)


def _differs(model: type[Base], after: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    made = typed(table_of(model), after)
    return any(row[name] != value for name, value in made.items() if name not in history.NOISE)
