"""What can be done to many rows at once: each row is done, already so, or refused with a reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.exc import IntegrityError

from backend.core import clock
from backend.core.errors import AppError, InvalidError
from backend.core.permissions import Permission
from backend.database import history
from backend.database.history import Told
from backend.database.rows import among
from backend.database.schemas.base import Input

BULK_NOW = 200  # rows; more are a job's
MANY = 500  # ids of one statement
FEW = 4  # rows that get the same values, to be worth a statement


@dataclass(frozen=True)
class Verb:
    """`run(crud, row_id, arguments)` does it to one row; `name` is what the history calls it.

    `values(row of the columns `needs`, arguments)` gives the columns to set instead, {} when the row is so already:
    thousands of rows a second. Not for columns that keys derive from. Both refuse a row by raising AppError.
    `many(crud, ids, arguments)` is for what else is done to many rows in few statements; it tells the history itself.
    `right`: what it takes besides the right to change the rows, for what it changes elsewhere.
    """

    name: str
    run: Callable[[Any, int, Any], object]
    arguments: type[Input] | None = None
    values: Callable[[Any, Any], Mapping[str, Any]] | None = None
    needs: tuple[str, ...] = ()
    many: "Callable[[Any, Sequence[int], Any], Outcome] | None" = None
    right: Permission | None = None


@dataclass
class Outcome:
    """How many rows were done or stood so already, and why others were refused: (id, words)."""

    done: int = 0
    same: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)

    def add(self, more: "Outcome") -> None:
        self.done += more.done
        self.same += more.same
        self.errors += more.errors


def named(*verbs: Verb) -> dict[str, Verb]:
    return {verb.name: verb for verb in verbs}


def setting(
    name: str,
    values: Callable[[Any, Any], Mapping[str, Any]],
    needs: tuple[str, ...],
    arguments: type[Input] | None = None,
) -> Verb:
    """A verb that sets columns and does nothing else."""

    def run(crud: Any, row_id: int, given: Any) -> object:
        row = crud.get_by_id(row_id)
        return crud.assign(row, values(row, given))

    return Verb(name, run, arguments, values, needs)


def switching(name: str, *, on: bool) -> Verb:
    return setting(name, lambda row, _given: {} if row.is_active == on else {"is_active": on}, ("is_active",))


DELETE = Verb("delete", lambda crud, row_id, _given: crud.delete(row_id))


def apply(crud: Any, verb: Verb, ids: Iterable[int], arguments: Any = None) -> Outcome:
    """The verb on these rows of `crud`, in the caller's transaction; a refused row leaves the others alone."""
    outcome = Outcome()
    history.describe(crud.session, verb.name)
    wanted = sorted(set(ids))  # in one order, so that two of these never wait for each other
    for at in range(0, len(wanted), MANY):
        some = wanted[at : at + MANY]
        if not _together(crud, verb, some, arguments, outcome):
            for row_id in some:
                _run(crud, verb, row_id, arguments, outcome)
    return outcome


def _together(crud: Any, verb: Verb, ids: Sequence[int], arguments: Any, outcome: Outcome) -> bool:
    """False when there is no way to do them all at once, or when a constraint refuses one: then each goes by itself."""
    if verb.many is None:
        return verb.values is not None and _set(crud, verb, ids, arguments, outcome)
    crud.session.flush()
    try:
        with crud.session.begin_nested():
            found = verb.many(crud, ids, arguments)
    except IntegrityError:
        return False
    outcome.add(found)
    return True


def words(error: AppError) -> str:
    """Why a row is refused; an InvalidError says it at its fields."""
    found = error.fields.values() if isinstance(error, InvalidError) else ()
    return " ".join(dict.fromkeys(found)) or error.message


def _run(crud: Any, verb: Verb, row_id: int, arguments: Any, outcome: Outcome) -> None:
    session = crud.session
    before = history.changes_told(session)
    try:
        with session.begin_nested():
            verb.run(crud, row_id, arguments)
            crud.flush()
    except AppError as error:
        outcome.errors.append((row_id, words(error)))
    else:
        if history.changes_told(session) == before:
            outcome.same += 1
        else:
            outcome.done += 1


def _set(crud: Any, verb: Verb, ids: Sequence[int], arguments: Any, outcome: Outcome) -> bool:
    """The verb's values in few statements."""
    session, found = crud.session, Outcome()
    session.flush()
    changes = _changes(crud, verb, ids, arguments, found)
    try:
        with session.begin_nested():
            _write(crud, [(row_id, after) for row_id, _before, after in changes])
    except IntegrityError:
        return False
    table = crud.model.__tablename__
    records = [((table, row_id), _json(before), _json(after)) for row_id, before, after in changes]
    history.record_all(session, [Told(row, row, "update", before, after) for row, before, after in records])
    _forget(session, crud.model, {row_id for row_id, *_rest in changes})
    found.done = len(changes)
    outcome.add(found)
    return True


Changed = tuple[int, Mapping[str, Any], Mapping[str, Any]]  # id, before, after


def _changes(crud: Any, verb: Verb, ids: Sequence[int], arguments: Any, outcome: Outcome) -> list[Changed]:
    """What the verb changes of which row; the rows are locked until the end of the transaction."""
    assert verb.values is not None
    model, changes = crud.model, list[Changed]()
    statement = crud.list_statement().with_only_columns(model.id, *(getattr(model, name) for name in verb.needs))
    statement = statement.where(among(crud.session, model.id, ids)).order_by(None).order_by(model.id)
    rows = {row.id: row for row in crud.session.execute(statement.with_for_update(of=model))}
    closed = crud.closed(rows.keys())
    for row_id in ids:
        row = rows.get(row_id)
        if row_id in closed:
            outcome.errors.append((row_id, closed[row_id]))
            continue
        try:
            after = verb.values(row, arguments) if row is not None else None
        except AppError as error:
            outcome.errors.append((row_id, words(error)))
            continue
        if after is None:
            outcome.errors.append((row_id, crud.missing(row_id)))
        elif not after:
            outcome.same += 1
        else:
            changes.append((row_id, {name: getattr(row, name) for name in after}, after))
    return changes


def _write(crud: Any, changes: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """One UPDATE for all rows that get the same values, or one sent with many rows when hardly any two do."""
    model, table = crud.model, crud.model.__table__
    common: dict[str, Any] = {"updated_at": clock.now()} if hasattr(model, "updated_at") else {}
    if hasattr(model, "version"):
        common["version"] = table.c.version + 1
    connection = crud.session.connection()
    same: dict[tuple[tuple[str, Any], ...], list[int]] = {}
    for row_id, after in changes:
        same.setdefault(tuple(sorted(after.items())), []).append(row_id)
    if len(same) * FEW <= len(changes) or len(same) == 1:
        for values, ids in same.items():
            put = update(table).where(among(crud.session, table.c.id, ids))
            connection.execute(put.values(dict(values) | common))
        return
    sent: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row_id, after in changes:
        rows = sent.setdefault(tuple(sorted(after)), [])
        rows.append({"row_id": row_id} | {f"new_{name}": value for name, value in after.items()})
    for names, rows in sent.items():
        new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        connection.execute(update(table).where(table.c.id == bindparam("row_id")).values(new | common), rows)


def _json(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: history.to_json(value) for name, value in values.items()}


def _forget(session: Any, model: Any, ids: set[int]) -> None:
    """Rows that the session has read are read anew."""
    for row in list(session.identity_map.values()):
        if isinstance(row, model) and row.id in ids:
            session.expire(row)
