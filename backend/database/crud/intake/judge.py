"""What rows of a file would do: new, changed (from what to what), the same, or wrong and why.

The same code says it in the dry run and again when the rows are written, so that nothing happens that was not shown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import wording
from backend.core.errors import AppError, InvalidError, NotFoundError
from backend.core.i18n import _
from backend.core.validation import explain
from backend.database import history
from backend.database.crud.intake.kinds import WHOLE, Kind
from backend.database.crud.intake.plan import Key, Plan, Seen, Verdict
from backend.database.crud.intake.texts import readers
from backend.database.models.imports import ImportRow
from backend.database.schemas.base import FORM, storable


class Judge:
    """Says what rows would do; `lock`: they are about to be written."""

    def __init__(self, session: Session, kind: type[Kind], plan: Plan, width: int, *, lock: bool = False) -> None:
        self.session = session
        self.kind = kind
        self.plan = plan
        self.width = width
        self.lock = lock
        self.crud: Any = kind.crud(session)
        self.read = readers(kind.schema, plan.timezone)

    def verdicts(self, rows: Sequence[ImportRow], seen: Seen) -> list[Verdict]:
        texts = [self.plan.texts(row.cells) for row in rows]
        records = self._records({key for text in texts if (key := self._key(text)) is not None})
        found = [self._verdict(row, text, records, seen) for row, text in zip(rows, texts, strict=True)]
        self.kind.taken(self.session, [each for each in found if each.state in ("new", "changed")], seen)
        return found

    def _records(self, keys: set[Key]) -> dict[Key, list[Any]]:
        if not keys:
            return {}
        model = self.kind.crud.model
        statement = select(model).where(self.kind.named(self.plan.key, sorted(keys))).order_by(model.id)
        if self.lock:
            statement = statement.with_for_update()
        records: dict[Key, list[Any]] = {}
        for record in self.session.scalars(statement.execution_options(populate_existing=True)):
            records.setdefault(self.kind.own_key(self.plan.key, record), []).append(record)
        return records

    def _verdict(
        self, row: ImportRow, texts: Mapping[str, str], records: Mapping[Key, list[Any]], seen: Seen
    ) -> Verdict:
        try:
            record = self._record(row, texts, records, seen)
            return self._compared(record, self._validated(record, texts))
        except ValidationError as error:
            return self._wrong(explain(error.errors()))
        except AppError as error:
            return self._wrong(error.fields) if error.fields else Verdict("wrong", words=error.message)

    def _key(self, texts: Mapping[str, str]) -> Key | None:
        text = texts.get(self.plan.key, "")
        return self.kind.key_of(self.plan.key, text) if storable(text) else None

    def _record(self, row: ImportRow, texts: Mapping[str, str], records: Mapping[Key, list[Any]], seen: Seen) -> Any:
        """The record that a row means; None for a new one. Raises InvalidError, NotFoundError."""
        if len(row.cells) > self.width:
            raise InvalidError(_("This row has more cells than the header."))
        name, key = self.plan.key, self._key(texts)
        if key is None:
            if texts.get(name) and name in WHOLE:
                raise InvalidError(fields={name: _("Enter a whole number.")})
            return None
        if (before := seen.keys.setdefault(key, row.number)) != row.number:
            raise InvalidError(fields={name: _("Duplicate of row %s.") % before})
        found = records.get(key, [])
        if len(found) > 1:
            raise InvalidError(fields={name: _("Several records have this name. Use their numbers instead.")})
        if not found and name == "id":
            raise NotFoundError(self.crud.missing(key))
        return found[0] if found else None

    def _wrong(self, fields: Mapping[str, str]) -> Verdict:
        told = [f"{wording.column(name)}: {why}" if name else why for name, why in fields.items()]
        return Verdict("wrong", words=" ".join(told))

    def _validated(self, record: Any | None, texts: Mapping[str, str]) -> dict[str, Any]:
        """The whole record as the row wants it, by the rules of the domain's own schema."""
        schema = self.kind.schema
        known = () if record is None else [name for name in self.kind.names() if name in schema.model_fields]
        given = {name: getattr(record, name) for name in known}
        for name, text in texts.items():
            if name not in schema.model_fields:  # an id
                continue
            if text:
                given[name] = self.read[name](text)
            elif self.plan.clears:
                given.pop(name, None)
        values = schema.model_validate(given, context=FORM).model_dump()
        self.kind.check(self.crud, record, values)
        return values

    def _compared(self, record: Any | None, values: Mapping[str, Any]) -> Verdict:
        if record is None:
            names = [name for name in self.kind.names() if name in values]
            return Verdict("new", values={name: values[name] for name in names})
        asked = [name for name in self.plan.places if name in values and name != self.plan.key]
        changed = {name: values[name] for name in asked if not _same(getattr(record, name), values[name])}
        if not changed:
            return Verdict("same", record)
        told = {
            name: [history.to_json(getattr(record, name)), history.to_json(value)] for name, value in changed.items()
        }
        return Verdict("changed", record, changed, told)


def _same(before: Any, after: Any) -> bool:
    """A file knows seconds only."""
    if isinstance(before, datetime) and isinstance(after, datetime):
        return before.replace(microsecond=0) == after.replace(microsecond=0)
    return bool(before == after)
