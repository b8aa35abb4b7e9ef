"""Tags of any domain: two verbs of its list, words in its rows, a card of a record's page with its two routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from markupsafe import Markup, escape

from backend.core.deps import Caller, Routes, require
from backend.core.errors import AppError, ConflictError
from backend.core.forms import Form, form_of
from backend.core.i18n import N_, _
from backend.core.templating import flash, go_to
from backend.crm.table import Action, Field, Table
from backend.database import history
from backend.database.crud.tags import TAG, UNTAG, TagCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.tags import TagName
from backend.database.verbs import Verb, apply

IN_ROW = 3  # tags that a row names
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
Sent = Annotated[Form[TagName], form_of(TagName)]


@dataclass(frozen=True)
class Card:
    """The tags of one record. `url`: its page; `known`: what the field offers to those who may write."""

    url: str
    names: Sequence[str]
    may_write: bool
    known: Sequence[str]


def actions(table: str) -> tuple[Action, Action]:
    """The verbs of a list; their field offers what its records carry, and takes any other word."""
    name = Field("tag", N_("Tag"), "text", offers=lambda session: TagCRUD(session).known(table))
    return (
        Action("tag", N_("Add a tag"), "tag", fields=(name,)),
        Action("untag", N_("Remove a tag"), "tag", fields=(name,)),
    )


def card(caller: Caller, table: Table, row_id: int, *, closed: bool = False) -> Card:
    """`closed`: nobody may change the record."""
    tags = TagCRUD(caller.session)
    may_write = table.write is not None and caller.me.may(table.write) and not closed
    kind: str = table.crud.model.__tablename__
    names = tags.of(kind, [row_id]).get(row_id, ())
    return Card(f"{table.prefix}/{row_id}", names, may_write, tags.known(kind) if may_write else ())


def told(row: Any) -> list[str]:
    """The names that a row of a list carries (`tags_of`), in order."""
    return sorted((row.tags or "").split("\n"), key=str.casefold) if row.tags else []


def beside(note: object, row: Any) -> Markup:
    """The quiet line of a row with its tags behind."""
    if not row.tags:
        return escape(note)
    names = told(row)
    shown = "".join(f' <span class="ly-tag">{escape(name)}</span>' for name in names[:IN_ROW])
    more = f" +{len(names) - IN_ROW}" if len(names) > IN_ROW else ""
    return Markup(f"{escape(note)}{shown}{more}")  # noqa: S704 - every part is escaped


def in_file(row: Any) -> str:
    return ", ".join(told(row))


def install(router: Routes, table: Table) -> None:
    """The routes `crm:<name>:tag` and `crm:<name>:untag` of a list's records."""
    assert table.write is not None, "a list that nobody changes has no tags"
    can_write = [require(table.write)]

    @router.post("/{row_id}/tags", name=f"crm:{table.name}:tag", dependencies=can_write)
    def put(request: Request, caller: Caller, row_id: RowId, form: Sent) -> Response:
        return act(request, caller, row_id, TAG, form)

    @router.post("/{row_id}/untag", name=f"crm:{table.name}:untag", dependencies=can_write)
    def take(request: Request, caller: Caller, row_id: RowId, form: Sent) -> Response:
        return act(request, caller, row_id, UNTAG, form)

    def act(request: Request, caller: Caller, row_id: int, verb: Verb, form: Form[TagName]) -> Response:
        records = table.crud(caller.session)
        records.get_by_id(row_id)
        if form.data is None:
            raise AppError(form.error("tag") or None, fields=form.errors)
        for _row_id, why in apply(records, verb, [row_id], form.data).errors:
            raise ConflictError(why)
        words = _("Tag added") if verb is TAG else _("Tag removed")
        flash(request, words, undo=history.change_set_id(caller.session))
        return go_to(request, f"{table.prefix}/{row_id}")
