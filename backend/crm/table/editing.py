"""One cell changed where it stands: the same schema as the form, nothing of others overwritten."""

from typing import Any

from fastapi.responses import Response
from starlette.datastructures import FormData

from backend.core import forms
from backend.core.errors import AppError, NotFoundError
from backend.core.forms import Form
from backend.core.i18n import _
from backend.core.templating import flash, render_part, wants_fragment
from backend.crm.table.declare import Column
from backend.crm.table.screen import Screen, respond_changed
from backend.database import history

PARTS = "table/cell.html", "table/_cell.html"


def editable(screen: Screen, name: str) -> Column:
    """Raises NotFoundError for a column that is not there for this person or cannot be edited."""
    column = next((each for each in screen.offered if each.name == name), None)
    if column is None or column.edit is None:
        raise NotFoundError
    return column


def field_of(column: Column) -> str:
    assert column.edit is not None
    return column.edit.field or column.name


def record(screen: Screen, row_id: int) -> Any:
    """The record of a row; None when it is gone and the row has to go after it. Raises NotFoundError for a page."""
    try:
        return screen.data.get_by_id(row_id)
    except NotFoundError:
        if not wants_fragment(screen.request):
            raise
        return None


def gone(screen: Screen, row_id: int) -> Response:
    """Takes the row of a record that somebody has deleted meanwhile out of the list, and its editor with it."""
    flash(screen.request, _("Someone has deleted this in the meantime."), kind="warn")
    return respond_changed(screen, [row_id], NotFoundError.status)


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
    row, field = record(screen, row_id), field_of(column)
    if row is None:
        return gone(screen, row_id)
    if "keep" in sent:  # theirs
        return respond_changed(screen, [row_id])
    typed = {"value": str(sent.get("value", ""))}
    now = getattr(row, field)
    # A row that has moved on is written only where it stands as it was shown, and not for those who do not say how.
    if sent.get("version") != str(row.version) and sent.get("was") != as_text(now):
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
    made = history.change_set_id(screen.caller.session)
    if made is not None:  # what is as it was closes without a word
        flash(screen.request, _("Saved"), undo=made)
    return respond_changed(screen, [row_id])


def as_text(value: Any) -> str:
    """A value as the editor's field holds it."""
    return "" if value is None else str(value)
