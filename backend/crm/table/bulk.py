"""The verbs of a table: on one row, on the chosen ones, on all that match."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response
from markupsafe import Markup
from starlette.datastructures import FormData

from backend.core import forms, viewing
from backend.core.errors import ConfirmationRequiredError, ConflictError, InvalidError
from backend.core.events import Event
from backend.core.exports import csv_response
from backend.core.forms import Form
from backend.core.i18n import _
from backend.core.templating import flash, go_to, render, render_part, see_other, wants_fragment
from backend.core.text import number
from backend.core.units import proved_lately
from backend.crm.table.declare import Action
from backend.crm.table.screen import Screen, respond_row
from backend.database import audit, history
from backend.database.crud.jobs import JobCRUD
from backend.database.verbs import BULK_NOW, Outcome, Verb, apply

MOST = 100_000  # ids that a person can have ticked one by one
NAMED = 3  # refusals told in the toast


async def _read(request: Request) -> FormData:
    return await request.form(max_files=0, max_fields=1_000, max_part_size=1_000_000)


Sent = Annotated[FormData, Depends(_read)]


@dataclass(frozen=True)
class Chosen:
    """Rows that a verb is meant for: `everything` that fits the list's filters, or these ids."""

    ids: Sequence[int]
    everything: bool


def chosen(sent: FormData) -> Chosen:
    """Raises InvalidError for what is no list of ids, or none at all."""
    texts = [part for text in sent.getlist("ids") if isinstance(text, str) for part in text.split(",") if part]
    everything = sent.get("all") == "1"
    if len(texts) > MOST or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in texts):  # noqa: PLR2004 - of 2**63
        raise InvalidError
    ids = sorted({int(part) for part in texts})
    if not ids and not everything:
        raise InvalidError(_("Choose at least one row."))
    return Chosen(ids, everything)


def run(screen: Screen, sent: FormData) -> Response:
    """Does the verb, starts a job for more than BULK_NOW rows, or asks what the verb needs first."""
    which = chosen(sent)
    if sent.get("verb") == "export":
        return _export(screen, which)
    action = _action(screen, sent)
    verb: Verb = screen.data.verbs[action.verb]
    form = _arguments(verb, sent)
    if form is None or (form.data is None and verb.arguments is not None):
        return _ask(screen, action, which, form)
    ids = screen.data.matching(screen.asked, BULK_NOW) if which.everything else which.ids
    if ids is None or len(ids) > BULK_NOW:
        return _start(screen, verb, form, which)
    outcome = apply(screen.data, verb, ids, form.data)
    if not outcome.done and len(ids) == 1 and outcome.errors:
        raise ConflictError(outcome.errors[0][1])
    _tell(screen, action, outcome)
    if not wants_fragment(screen.request) or which.everything:
        return go_to(screen.request, screen.url())
    return render(screen.request, "table/_changed.html", changed=_changed(screen, ids))


def _export(screen: Screen, which: Chosen) -> Response:
    table = screen.table
    if which.everything:
        return go_to(screen.request, screen.url("export.csv"))
    if screen.me.impersonator_id is not None:
        raise viewing.closed()
    if not proved_lately(screen.me):
        raise ConfirmationRequiredError
    audit.note(screen.caller.session, Event.EXPORTED, what=table.name, rows=len(which.ids))
    cells = ([get(row) for get in table.export.values()] for row in screen.data.rows_of(which.ids))
    return csv_response(table.name, list(table.export), cells)


def _action(screen: Screen, sent: FormData) -> Action:
    action = screen.table.action(str(sent.get("verb", "")))
    if action is None:
        raise InvalidError(_("Choose what to do."))
    return action


def _arguments(verb: Verb, sent: FormData) -> Form[Any] | None:
    """None while nothing was answered yet."""
    if verb.arguments is None:
        return Form()
    if "asked" not in sent:
        return None
    names = set(verb.arguments.model_fields)
    return forms.parse(verb.arguments, FormData([(key, value) for key, value in sent.multi_items() if key in names]))


def _ask(screen: Screen, action: Action, which: Chosen, form: Form[Any] | None) -> Response:
    session = screen.caller.session
    fields = [(each, each.options(session)) for each in action.fields]
    names = "table/ask.html", "table/_ask.html"
    context: dict[str, Any] = {
        "table": screen.table,
        "action": action,
        "fields": fields,
        "which": which,
        "url": screen.url("bulk"),
    }
    status = 422 if form is not None else 200
    return render_part(screen.request, *names, status, screen=screen, form=form or Form(), **context)


def _start(screen: Screen, verb: Verb, form: Form[Any], which: Chosen) -> Response:
    """More rows than one transaction should hold: a job does them."""
    data, caller = screen.data, screen.caller
    ids = data.ids_of(screen.asked) if which.everything else which.ids
    arguments = form.data.model_dump(mode="json") if form.data is not None else {}
    job = JobCRUD(caller.session).start(data.model.__tablename__, verb.name, arguments, ids, caller.me.user_id)
    return see_other(screen.request, "crm:jobs:detail", job_id=job.id)


def _tell(screen: Screen, action: Action, outcome: Outcome) -> None:
    told = [f"{_(action.label)}: {number(outcome.done)}"]
    if outcome.same:
        told.append(_("unchanged: %s") % number(outcome.same))
    if outcome.errors:
        told.append(_("rejected: %s") % number(len(outcome.errors)))
        refused = outcome.errors[:NAMED]
        names = {row.id: screen.table.label(row) for row in screen.data.rows_of([row_id for row_id, _why in refused])}
        told += [f"{names.get(row_id, row_id)}: {why}" for row_id, why in refused]
    undo = history.change_set_id(screen.caller.session) if outcome.done else None
    kind = "good" if outcome.done and not outcome.errors else "warn"
    flash(screen.request, ". ".join(told), kind=kind, undo=undo)


def _changed(screen: Screen, ids: Sequence[int]) -> Markup:
    """The rows as they are now, in their places; those that are gone leave theirs."""
    left = screen.data.rows_of(ids)
    gone = sorted(set(ids) - {row.id for row in left})
    away = Markup('<hx-partial hx-target="#{}-{}" hx-swap="delete"></hx-partial>')
    return respond_row(screen, left) + Markup("").join(away.format(screen.table.key, row_id) for row_id in gone)
