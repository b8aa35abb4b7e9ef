"""One cell changed where it stands: the same schema as the form, nothing of others overwritten."""

from typing import Any

from fastapi.responses import Response
from starlette.datastructures import FormData

from backend.core import forms
from backend.core.errors import AppError, NotFoundError
from backend.core.forms import Form
from backend.core.i18n import _
from backend.core.templating import flash, go_to, render, render_part, wants_fragment
from backend.crm.table.declare import Column, Table
from backend.crm.table.screen import Screen, respond_row
from backend.database import history

PARTS = "table/cell.html", "table/_cell.html"


def editable(table: Table, name: str) -> Column:
    """Raises NotFoundError for a column that is not there or cannot be edited."""
    column = table.column(name)
    if column is None or column.edit is None:
        raise NotFoundError
    return column


def field_of(column: Column) -> str:
    assert column.edit is not None
    return column.edit.field or column.name


def ask(screen: Screen, column: Column, row: Any, form: Form[Any] | None = None, theirs: Any = None) -> Response:
    """The editor of a cell. `form`: what was refused; `theirs`: what somebody else wrote there meanwhile."""
    now = getattr(row, field_of(column))
    return render_part(
        screen.request,
        *PARTS,
        200 if form is None else 409 if form.error("clash") else 422,
        screen=screen,
        table=screen.table,
        column=column,
        row=row,
        now=now,
        form=form or Form(values={"value": "" if now is None else now}),
        theirs=theirs,
        action=screen.url(f"{row.id}/cell/{column.name}"),
    )


def save(screen: Screen, column: Column, row_id: int, sent: FormData) -> Response:
    """Writes the cell; 422 with what was typed, or 409 with both values, when that cannot be."""
    row, field = screen.data.get_by_id(row_id), field_of(column)
    if "keep" in sent:  # theirs
        return _saved(screen, row_id)
    typed = {"value": str(sent.get("value", ""))}
    now = getattr(row, field)
    if str(sent.get("version", "")) != str(row.version) and sent.get("was") not in (None, as_text(now)):
        told = {"clash": _("Someone else has changed this in the meantime.")}
        return ask(screen, column, row, Form(values=typed, errors=told), theirs=now)
    assert screen.table.update is not None
    form = forms.parse(screen.table.update, FormData([(field, typed["value"])]))
    if form.data is not None:
        try:
            screen.data.update(row_id, form.data)
        except AppError as error:
            form.refuse(error)
    if form.data is None:
        told = {"value": form.error(field) or next(iter(form.errors.values()), "")}
        return ask(screen, column, row, Form(values=typed, errors=told))
    flash(screen.request, _("Saved"), undo=history.change_set_id(screen.caller.session))
    return _saved(screen, row_id)


def _saved(screen: Screen, row_id: int) -> Response:
    if not wants_fragment(screen.request):
        return go_to(screen.request, screen.url())
    changed = respond_row(screen, [screen.data.row_of(row_id)])
    return render(screen.request, "table/_changed.html", changed=changed)


def as_text(value: Any) -> str:
    """A value as the editor's field holds it."""
    return "" if value is None else str(value)
