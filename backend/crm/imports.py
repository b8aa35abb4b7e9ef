"""Files into the lists: upload, say which column is what, look at what would happen, start."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from backend.core import sheets
from backend.core.context import Actor
from backend.core.deps import Caller, DatabaseDep, Routes, crud, detached, recent, require
from backend.core.errors import AppError
from backend.core.events import Event
from backend.core.exports import csv_response, export_response, in_batches
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _
from backend.core.media import label
from backend.core.permissions import Permission
from backend.core.templating import flash, render, render_part, see_other
from backend.core.text import number
from backend.core.wording import column
from backend.core.workbook import column as letter
from backend.database import audit
from backend.database.crud.imports import ImportCRUD
from backend.database.crud.intake import work
from backend.database.crud.intake.kinds import KINDS, Kind
from backend.database.crud.intake.plan import Plan, Seen
from backend.database.listing import Page
from backend.database.models.imports import Import
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.imports import ColumnsForm, ImportParams, StartForm
from backend.database.session import Database
from backend.database.verbs import Outcome

UPLOAD_BODY = sheets.FILE_BYTES + 10_000_000  # so that a file somewhat too large is answered in words
KEPT_AT_ONCE = 1_000  # rows of one transaction
SHOWN = 50
BEFORE, AFTER = ("new", "changed", "same", "wrong"), ("done", "refused", "same", "wrong")  # what the tabs show
Imports = Annotated[ImportCRUD, crud(ImportCRUD)]
ImportId = Annotated[int, Path(ge=1, le=MAX_ID)]


@dataclass(frozen=True)
class Place:
    """A list that takes files."""

    kind: type[Kind]
    folder: str
    write: Permission
    title: str

    @property
    def name(self) -> str:
        return self.kind.table

    @property
    def back(self) -> str:
        return f"crm:{self.name}:index"


PLACES = (
    Place(KINDS["users"], "users", Permission.USERS_WRITE, N_("Students")),
    Place(KINDS["lessons"], "lessons", Permission.LESSONS_WRITE, N_("Lessons")),
    Place(KINDS["courses"], "courses", Permission.COURSES_WRITE, N_("Courses")),
    Place(KINDS["promo_codes"], "promo-codes", Permission.PROMO_CODES_WRITE, N_("Promo codes")),
)


async def _file(request: Request) -> UploadFile | None:
    sent = await request.form(max_files=5, max_fields=200, max_part_size=1_000_000)
    found = sent.get("file")
    return found if isinstance(found, UploadFile) and found.filename else None


def routes(place: Place) -> Routes:
    """crm:<name>:import, and behind it :upload, :sample, :show, :check, :start, :drop, :problems."""
    router = Routes(prefix=f"/dashboard/{place.folder}/import", dependencies=[require(place.write)])
    name = f"crm:{place.name}:import"

    @router.get("/", name=name)
    def new(request: Request) -> Response:
        return render(request, "imports/new.html", place=place, form=Form())

    @router.post("/", name=f"{name}_upload", dependencies=[detached], max_body_size=UPLOAD_BODY)
    def upload(
        request: Request, caller: Caller, database: DatabaseDep, file: Annotated[UploadFile | None, Depends(_file)]
    ) -> Response:
        try:
            with _copied(file) as path:
                name_of = label(file.filename if file else "")
                import_id = take_in(database, place.kind, caller.me.user_id or 0, path, name_of)
        except AppError as error:
            form = Form[Any]().refuse(error)
            parts = "imports/new.html", "imports/_upload.html"
            return render_part(request, *parts, error.status, place=place, form=form)
        return see_other(request, f"{name}_show", import_id=import_id)

    @router.get("/sample.csv", name=f"{name}_sample")
    def sample() -> Response:
        """The heading of a file that needs no choosing."""
        return csv_response(place.folder, [column(field) for field in place.kind.names()], [])

    _checking(router, place, name)
    _running(router, place, name)
    return router


def _checking(router: Routes, place: Place, name: str) -> None:
    @router.get("/{import_id}", name=f"{name}_show")
    def show(
        request: Request,
        caller: Caller,
        imports: Imports,
        import_id: ImportId,
        params: Annotated[ImportParams, Query()],
    ) -> Response:
        found = imports.get_own(place.name, import_id, caller.me.user_id)
        if found.state == "read" or (params.columns and found.state == "checked"):
            form = Form[Any](values=found.plan or _guess(place.kind, found.header))
            return render(request, "imports/columns.html", **_columns(place, imports, found, form))
        return render(request, "imports/result.html", **_result(place, imports, found, params))

    @router.post("/{import_id}/check", name=f"{name}_check", dependencies=[detached])
    def check(
        request: Request,
        caller: Caller,
        database: DatabaseDep,
        import_id: ImportId,
        form: Annotated[Form[ColumnsForm], form_of(ColumnsForm)],
    ) -> Response:
        with database.read() as session:
            imports = ImportCRUD(session)
            found = imports.get_own(place.name, import_id, caller.me.user_id)
            context = _columns(place, imports, found, form)
        if form.data is not None:
            plan = Plan(form.data.columns, form.data.key, form.data.clears, caller.me.timezone)
            try:
                look_through(database, import_id, plan, caller.actor)
            except AppError as error:
                form.refuse(error)
        if form.data is None:
            return render_part(request, "imports/columns.html", "imports/_columns.html", 422, **context)
        return see_other(request, f"{name}_show", import_id=import_id)


def _running(router: Routes, place: Place, name: str) -> None:
    @router.post("/{import_id}/start", name=f"{name}_start")
    def start(
        request: Request,
        caller: Caller,
        imports: Imports,
        import_id: ImportId,
        form: Annotated[Form[StartForm], form_of(StartForm)],
    ) -> Response:
        found = imports.get_own(place.name, import_id, caller.me.user_id)
        if imports.start(import_id, form.data.checks if form.data else -1):
            outcome = imports.run_now(import_id)
            if outcome is None:
                return see_other(request, "crm:jobs:detail", job_id=work.start(imports, found).id)
            _tell(request, outcome, found.change_set_id)
        return see_other(request, f"{name}_show", import_id=import_id)

    @router.post("/{import_id}/drop", name=f"{name}_drop")
    def drop(request: Request, caller: Caller, imports: Imports, import_id: ImportId) -> Response:
        imports.get_own(place.name, import_id, caller.me.user_id)
        imports.delete(import_id)
        flash(request, _("File discarded. Nothing was changed."), kind="info")
        return see_other(request, place.back)

    @router.get("/{import_id}/problems.csv", name=f"{name}_problems", dependencies=[detached, recent])
    def problems(caller: Caller, database: DatabaseDep, import_id: ImportId) -> Response:
        """The rows that were wrong or refused, with the reason; mended, they can come back."""
        with database.read() as session:
            header = ImportCRUD(session).get_own(place.name, import_id, caller.me.user_id).header
        told: dict[str, Any] = {"what": "import_problems", "format": "csv", "records": place.name, "import": import_id}
        database.run(lambda session: audit.note(session, Event.EXPORTED, **told), caller.actor)

        def read(session: Any, cursor: str | None) -> Page[Sequence[object]]:
            kind, after = (cursor or "wrong 0").split()
            rows = ImportCRUD(session).preview(import_id, kind, int(after), KEPT_AT_ONCE)
            items = [[*_cells(row.cells, header), row.number, row.words] for row in rows]
            next_kind = f"{kind} {rows[-1].id}" if rows else None if kind == "refused" else "refused 0"
            return Page(items, next_kind)

        heading = [*header, _("Row"), _("Problem")]
        return export_response("csv", f"{place.folder}-import", heading, in_batches(database, read))


def _tell(request: Request, outcome: Outcome, undo: int | None) -> None:
    told = _("Imported: %s") % number(outcome.done)
    if outcome.errors:
        told += ". " + _("rejected: %s") % number(len(outcome.errors))
    flash(request, told, kind="warn" if outcome.errors else "good", undo=undo)


def _cells(cells: Sequence[str], header: Sequence[str]) -> list[str]:
    return [*cells, *[""] * (len(header) - len(cells))][: len(header)]


def _guess(kind: type[Kind], header: Sequence[str]) -> dict[str, Any]:
    columns = kind.guess(header)
    key = next((key for key in kind.keys if key in columns), kind.keys[0])
    return {"columns": columns, "key": key}


def _columns(place: Place, imports: ImportCRUD, found: Import, form: Form[Any]) -> dict[str, Any]:
    fields = [(field, column(field)) for field in place.kind.names()]
    keys = [(key, column(key)) for key in place.kind.keys]
    examples = imports.examples(found.id)
    return {"place": place, "found": found, "form": form, "fields": fields, "keys": keys, "examples": examples}


def _result(place: Place, imports: ImportCRUD, found: Import, params: ImportParams) -> dict[str, Any]:
    counts = imports.counts(found.id)
    tabs = BEFORE if found.state == "checked" else AFTER
    kind = params.show if params.show in tabs else next((each for each in tabs if counts[each]), tabs[0])
    rows = imports.preview(found.id, kind, params.after, SHOWN + 1)
    more = rows[SHOWN - 1].id if len(rows) > SHOWN else None
    plan = Plan(**found.plan)
    return {
        "place": place,
        "found": found,
        "counts": counts,
        "tabs": tabs,
        "kind": kind,
        "rows": [(row, plan.texts(row.cells)) for row in rows[:SHOWN]],
        "key": plan.key,
        "more": more,
        "after": params.after,
    }


# -- between transactions


@contextmanager
def _copied(file: UploadFile | None) -> Iterator[FilePath]:
    """The file on disk, where the reader of workbooks can open it. Raises InvalidError, TooLargeError."""
    if file is None:
        raise sheets.refused(_("Choose a file."))
    with tempfile.TemporaryDirectory() as folder:
        path = FilePath(folder) / "table"
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target, 1 << 20)
        yield path


def take_in(database: Database, kind: type[Kind], owner_id: int, path: FilePath, name: str) -> int:
    """Keeps the rows of a file; all of them or none. The id of the import. Raises InvalidError, TooLargeError."""
    lines = sheets.read(path)
    _number, heading = next(lines)
    header = [_heading(text, at) for at, text in enumerate(heading)]
    import_id = database.run(lambda session: ImportCRUD(session).begin(kind.table, owner_id, name, header).id)
    try:
        while some := list(islice(lines, KEPT_AT_ONCE)):
            database.run(lambda session, some=some: ImportCRUD(session).keep(import_id, some))  # type: ignore[misc] # of this round
        size = database.run(lambda session: ImportCRUD(session).finish_reading(import_id).size)
        if not size:
            raise sheets.refused(_("There are no rows below the header."))
    except BaseException:
        with suppress(AppError):
            database.run(lambda session: ImportCRUD(session).delete(import_id))
        raise
    return import_id


def _heading(text: str, at: int) -> str:
    shown = "".join(char for char in text.replace("\n", " ") if char.isprintable()).strip()[:200]
    return shown or letter(at)


def look_through(database: Database, import_id: int, plan: Plan, actor: Actor) -> None:
    """The dry run: says of every row what it would do, and changes no record."""
    checks = database.run(lambda session: ImportCRUD(session).plan(import_id, plan), actor)
    seen, after = Seen(), 0
    while True:
        before = after
        found = database.run(lambda session: ImportCRUD(session).check(import_id, checks, before, seen))  # noqa: B023 - run at once
        if found is None:
            return
        after = found


routers = tuple(routes(place) for place in PLACES)
