"""The addresses that every table has."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.responses import Response

from backend.core.deps import DatabaseDep, Routes, detached, recent, require
from backend.core.errors import NotFoundError
from backend.core.events import Event
from backend.core.exports import BATCH, Format, export_response, in_batches
from backend.core.templating import env, render_part
from backend.core.text import zone
from backend.crm.table import bulk, editing
from backend.crm.table.declare import TABLES, Table, cell
from backend.crm.table.screen import Screen, respond, screen_of
from backend.crm.table.views import opens_with
from backend.database import audit
from backend.database.listing import Page
from backend.database.schemas.base import MAX_ID

env.globals["cell"] = cell  # pages of records show the states that lists show
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
Name = Annotated[str, Path(max_length=40)]
Text = Annotated[str, Query(max_length=100)]


def install(router: Routes, table: Table) -> None:
    """Adds the list, its files, and where they apply its relations' choices, its editable cells and its verbs.

    Names: crm:<name>:index, :csv, :xlsx, :pick, :cell, :set, :bulk.
    """
    assert table.columns[0].needs is None, "the first column is what a row is known by"
    TABLES[table.name] = table
    asked = screen_of(table)

    @router.get("/", name=f"crm:{table.name}:index")
    def index(screen: Annotated[Screen, asked]) -> Response:
        return opens_with(screen) or respond(screen)

    if table.export:
        _file(router, table, "csv")
        _file(router, table, "xlsx")
    if any(each.find for each in table.filters):
        _relations(router, table)
    if table.write is not None and table.update is not None:
        _cells(router, table)
    if table.write is not None and table.actions:
        _verbs(router, table)


def _file(router: Routes, table: Table, kind: Format) -> None:
    @router.get(f"/export.{kind}", name=f"crm:{table.name}:{kind}", dependencies=[detached, recent])
    def export(screen: Annotated[Screen, screen_of(table)], database: DatabaseDep) -> Response:
        """Everything that fits the filters, not the first page alone."""
        asked, names = screen.asked, screen.in_file

        narrowed = asked.model_dump(mode="json", exclude_defaults=True, exclude={"cursor", "limit", "view"})
        told = {"what": table.name, "format": kind, "filters": narrowed}
        database.run(lambda session: audit.note(session, Event.EXPORTED, **told), screen.caller.actor)

        def read(session: Any, cursor: str | None) -> Page[Any]:
            page = table.data(session, screen.me).shown(asked.model_copy(update={"limit": BATCH, "cursor": cursor}))
            return replace(page, items=[table.line(row, names, screen.me) for row in page.items])

        return export_response(kind, table.name, names, in_batches(database, read), zone(screen.me.timezone))


def _relations(router: Routes, table: Table) -> None:
    @router.get("/pick/{name}", name=f"crm:{table.name}:pick")
    def pick(screen: Annotated[Screen, screen_of(table)], name: Name, find: Text = "") -> Response:
        """What a relation can be filtered by; a page of links without script."""
        chosen = next((each for each in screen.filters if each.name == name), None)
        if chosen is None or chosen.find is None:
            raise NotFoundError
        options = chosen.find(screen.caller.session).options(find)
        context = {"table": table, "filter": chosen, "options": options, "find": find, "params": screen.params}
        names = "table/pick.html", "table/_found.html"
        return render_part(screen.request, *names, list_url=f"{table.prefix}/", **context)


def _cells(router: Routes, table: Table) -> None:
    can_write = [require(table.write)]  # type: ignore[arg-type] # install has looked

    @router.get("/{row_id}/cell/{name}", name=f"crm:{table.name}:cell", dependencies=can_write)
    def cell(screen: Annotated[Screen, screen_of(table)], row_id: RowId, name: Name) -> Response:
        column, row = editing.editable(screen, name), editing.record(screen, row_id)
        return editing.gone(screen, row_id) if row is None else editing.ask(screen, column, row)

    @router.post("/{row_id}/cell/{name}", name=f"crm:{table.name}:set", dependencies=can_write)
    def set_cell(screen: Annotated[Screen, screen_of(table)], sent: bulk.Sent, row_id: RowId, name: Name) -> Response:
        return editing.save(screen, editing.editable(screen, name), row_id, sent)


def _verbs(router: Routes, table: Table) -> None:
    can_write = [require(table.write)]  # type: ignore[arg-type] # install has looked

    @router.get("/bulk", name=f"crm:{table.name}:ask", dependencies=can_write)
    def ask(screen: Annotated[Screen, screen_of(table)], verb: Text = "", ids: Text = "") -> Response:
        """The verb and the rows it is meant for, as a page that asks; whoever names none finds the list."""
        return bulk.question(screen, verb, ids)

    @router.post("/bulk", name=f"crm:{table.name}:bulk", dependencies=can_write)
    def act(screen: Annotated[Screen, screen_of(table)], sent: bulk.Sent) -> Response:
        return bulk.run(screen, sent)
