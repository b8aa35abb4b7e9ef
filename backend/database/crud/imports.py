"""Files on their way in: kept row by row, checked without writing, then written as they were checked."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from backend.core.errors import AppError, ConflictError, InvalidError, NotFoundError
from backend.core.i18n import _
from backend.core.wording import column
from backend.database import history
from backend.database.crud.base import BaseCRUD
from backend.database.crud.intake.judge import Judge
from backend.database.crud.intake.kinds import KINDS, Kind
from backend.database.crud.intake.plan import SKIPPED, Plan, Seen, Verdict
from backend.database.models.imports import Import, ImportRow
from backend.database.verbs import BULK_NOW, Outcome

BATCH = 500  # rows of one transaction
ABANDONED = timedelta(days=30)
LABEL = "import"  # what the history calls it
TO_DO = ("new", "changed")


class ImportCRUD(BaseCRUD[Import]):
    model = Import

    # -- a file comes in

    def begin(self, target: str, owner_id: int, filename: str, header: Sequence[str]) -> Import:
        """A new file; those of the same person and list that were never started go."""
        waiting = Import.state.in_(("reading", "read", "checked"))
        self.session.execute(delete(Import).where(Import.owner_id == owner_id, Import.target == target, waiting))
        return self.add(Import(target=target, owner_id=owner_id, filename=filename, header=list(header)))

    def keep(self, import_id: int, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
        """More rows. Raises NotFoundError when the file was given up meanwhile."""
        if self.session.get(Import, import_id) is None:
            raise NotFoundError
        values = [{"import_id": import_id, "number": number, "cells": list(cells)} for number, cells in rows]
        self.session.connection().execute(insert(ImportRow), values)

    def finish_reading(self, import_id: int) -> Import:
        found = self.get_by_id(import_id)
        of = select(func.count()).where(ImportRow.import_id == import_id)
        found.size, found.state = self.session.scalars(of).one(), "read"
        self.flush()
        return found

    def get_own(self, target: str, import_id: int, owner_id: int | None) -> Import:
        """Raises NotFoundError, for the files of others too."""
        found = self.get_by_id(import_id)
        if (found.target, found.owner_id) != (target, owner_id) or found.state == "reading":
            raise NotFoundError(self.missing(import_id))
        return found

    def missing(self, row_id: int) -> str:
        return _("This file no longer exists. Upload it again.")

    def purge(self, before: datetime) -> bool:
        """A file from before a moment goes with its rows; one that a job still writes much later. False for none."""
        idle = or_(Import.state != "started", Import.created_at < before - ABANDONED)
        old = select(Import.id).where(Import.created_at < before, idle).order_by(Import.id).limit(1)
        found = self.session.scalars(old).all()
        self.session.execute(delete(Import).where(Import.id.in_(found)))
        return bool(found)

    # -- how it is read

    def examples(self, import_id: int, count: int = 3) -> list[list[str]]:
        """The first filled cells of each column."""
        found = self.get_by_id(import_id)
        cells = self.session.scalars(
            select(ImportRow.cells).where(ImportRow.import_id == import_id).order_by(ImportRow.id).limit(20)
        ).all()
        columns = range(len(found.header))
        filled = [[row[at] for row in cells if at < len(row) and row[at].strip()] for at in columns]
        return [texts[:count] for texts in filled]

    def plan(self, import_id: int, plan: Plan) -> int:
        """Says how the file is read, and begins a check: its number. Raises InvalidError."""
        found = self._locked(import_id)
        if found.state not in ("read", "checked"):
            raise ConflictError(_("This file has been imported already."))
        refuse(KINDS[found.target], found.header, plan)
        found.plan, found.state = asdict(plan) | {"columns": list(plan.columns)}, "read"
        found.checks += 1
        self.flush()
        return found.checks

    def _locked(self, import_id: int) -> Import:
        statement = select(Import).where(Import.id == import_id).with_for_update()
        found = self.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
        if found is None:
            raise NotFoundError(self.missing(import_id))
        return found

    # -- the dry run

    def check(self, import_id: int, number: int, after: int, seen: Seen) -> int | None:
        """Says of some more rows what they would do. The last one's id; None when there were no more.

        Raises ConflictError when another check of this file has begun.
        """
        found = self.get_by_id(import_id)
        if found.checks != number or found.state != "read":
            raise ConflictError(_("Someone is checking this file with other columns right now."))
        rows = self._some(ImportRow.import_id == import_id, ImportRow.id > after)
        if not rows:
            found.state = "checked"
            self.flush()
            return None
        verdicts = self._judge(found, lock=False).verdicts(rows, seen)
        values = [
            {
                "id": row.id,
                "verdict": verdict.state,
                "record_id": verdict.record.id if verdict.record is not None else None,
                "told": dict(verdict.told),
                "words": verdict.words,
            }
            for row, verdict in zip(rows, verdicts, strict=True)
        ]
        self.session.execute(update(ImportRow), values)
        return rows[-1].id

    def _some(self, *conditions: ColumnElement[bool]) -> Sequence[ImportRow]:
        statement = select(ImportRow).where(*conditions).order_by(ImportRow.id).limit(BATCH)
        return self.session.scalars(statement).all()

    def _judge(self, found: Import, *, lock: bool) -> Judge:
        return Judge(self.session, KINDS[found.target], Plan(**found.plan), len(found.header), lock=lock)

    # -- what was found

    def counts(self, import_id: int) -> dict[str, int]:
        """By verdict and by outcome."""
        columns = ImportRow.verdict, ImportRow.outcome
        statement = select(*columns, func.count()).where(ImportRow.import_id == import_id).group_by(*columns)
        found = dict.fromkeys(("new", "changed", "same", "wrong", "done", "refused"), 0)
        for verdict, outcome, count in self.session.execute(statement):
            for name in filter(None, (verdict, outcome)):
                found[name] += count
        return found

    def preview(self, import_id: int, kind: str, after: int, limit: int) -> Sequence[ImportRow]:
        """Rows with this verdict or outcome behind a row."""
        of = ImportRow.outcome if kind in ("done", "refused") else ImportRow.verdict
        statement = select(ImportRow).where(ImportRow.import_id == import_id, of == kind, ImportRow.id > after)
        return self.session.scalars(statement.order_by(ImportRow.id).limit(limit)).all()

    # -- the run

    def to_do(self, import_id: int) -> Any:
        """SELECT of the ids of the rows that would change something."""
        return select(ImportRow.id).where(ImportRow.import_id == import_id, ImportRow.verdict.in_(TO_DO))

    def start(self, import_id: int, checks: int) -> bool:
        """True for the one that may start what the check with this number showed. Raises ConflictError."""
        found = self._locked(import_id)
        if found.state in ("started", "done"):
            return False
        if found.state != "checked" or found.checks != checks:
            raise ConflictError(_("The file has been checked again since. Review the result before importing."))
        found.state = "started"
        self.flush()
        return True

    def run_now(self, import_id: int) -> Outcome | None:
        """Everything in this transaction; None when it is more than a request may take."""
        ids = self.session.scalars(self.to_do(import_id).limit(BULK_NOW + 1)).all()
        if len(ids) > BULK_NOW:
            return None
        outcome = ImportRowCRUD(self.session).write_many(ids)
        self.finish(import_id)
        return outcome

    def finish(self, import_id: int) -> None:
        """Every row has had its turn."""
        found = self.get_by_id(import_id)
        found.state, found.change_set_id = "done", history.change_set_id(self.session)
        self.flush()

    def numbers(self, ids: Sequence[int]) -> dict[int, int]:
        """Rows as the spreadsheet numbers them."""
        statement = select(ImportRow.id, ImportRow.number).where(ImportRow.id.in_(ids))
        return dict(self.session.execute(statement).all())


class ImportRowCRUD(BaseCRUD[ImportRow]):
    model = ImportRow

    def write_many(self, ids: Sequence[int]) -> Outcome:
        """Writes what the rows were shown to do, each once; refused is what has changed since it was shown."""
        outcome = Outcome()
        history.describe(self.session, LABEL)
        for at in range(0, len(ids), BATCH):
            rows = self._waiting(ids[at : at + BATCH])
            before = self.session.info.get("change_set_id")
            try:
                with self.session.begin_nested():
                    self._write(rows, outcome)
            except (IntegrityError, ConflictError, StaleDataError):
                self.session.info["change_set_id"] = before
                for row in rows:
                    self._write_alone(row, outcome)
        return outcome

    def _waiting(self, ids: Sequence[int]) -> list[ImportRow]:
        """Those of the rows that nobody has written yet, locked."""
        statement = select(ImportRow).where(ImportRow.id.in_(ids), ImportRow.outcome == "").order_by(ImportRow.id)
        return list(self.session.scalars(statement.with_for_update().execution_options(populate_existing=True)))

    def _write_alone(self, row: ImportRow, outcome: Outcome) -> None:
        before = self.session.info.get("change_set_id")
        try:
            with self.session.begin_nested():
                self._write([row], outcome)
        except (IntegrityError, StaleDataError, AppError) as error:
            self.session.info["change_set_id"] = before
            words = error.message if isinstance(error, AppError) else ConflictError().message
            self._refuse(row, words, outcome)
            self.flush()

    def _write(self, rows: Sequence[ImportRow], outcome: Outcome) -> None:
        if not rows:
            return
        found = self.session.get_one(Import, rows[0].import_id)
        kind = KINDS[found.target]
        judge = Judge(self.session, kind, Plan(**found.plan), len(found.header), lock=True)
        tried = Outcome()
        for row, verdict in zip(rows, judge.verdicts(rows, Seen()), strict=True):
            why = moved(row, verdict)
            if why:
                self._refuse(row, why, tried)
                continue
            if verdict.record is None:
                self.session.add(kind.create(judge.crud, verdict.values))
            else:
                _set(verdict)
            row.outcome = "done"
            tried.done += 1
        judge.crud.flush()
        outcome.done += tried.done
        outcome.errors += tried.errors

    def _refuse(self, row: ImportRow, words: str, outcome: Outcome) -> None:
        row.outcome, row.words = "refused", words
        outcome.errors.append((row.id, words))


def _set(verdict: Verdict) -> None:
    for name, value in verdict.values.items():
        setattr(verdict.record, name, value)


def moved(row: ImportRow, verdict: Verdict) -> str | None:
    """Why a row is not written: it would not do now what it was shown to do."""
    if verdict.state == "wrong":
        return verdict.words
    record_id = verdict.record.id if verdict.record is not None else None
    if (verdict.state, record_id, dict(verdict.told)) != (row.verdict, row.record_id, row.told):
        return _("Someone has changed this record since the check.")
    return None


def refuse(kind: type[Kind], header: Sequence[str], plan: Plan) -> None:
    """Raises InvalidError for a plan that reads a column as nothing known, or one field from two columns."""
    fields: dict[str, str] = {}
    chosen = [name for name in plan.columns if name != SKIPPED]
    if len(plan.columns) != len(header) or set(chosen) - set(kind.names()):
        raise InvalidError(fields={"columns": _("Choose a field for each column.")})
    for name in chosen:
        if chosen.count(name) > 1:
            fields["columns"] = _("Two columns are set as “%s”. Keep one.") % column(name)
    if plan.key not in kind.keys:
        fields["key"] = _("Choose a field to match records by.")
    elif plan.key not in chosen:
        fields["key"] = _("No column is set as “%s”, which records are matched by.") % column(plan.key)
    if fields:
        raise InvalidError(fields=fields)
