"""The verbs of a table: on one row, on the chosen ones, on all that match."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response
from starlette.datastructures import FormData

from backend.core import forms, viewing
from backend.core.errors import ConfirmationRequiredError, ConflictError, ForbiddenError, InvalidError
from backend.core.events import Event
from backend.core.exports import Format, export_response
from backend.core.forms import Form
from backend.core.i18n import _
from backend.core.templating import flash, go_to, render_part, see_other, wants_fragment
from backend.core.text import number, ref, sentences, zone
from backend.core.units import proved_lately
from backend.crm.table.declare import Action
from backend.crm.table.screen import Screen, respond_changed
from backend.database import audit, history
from backend.database.crud.jobs import JobCRUD
from backend.database.verbs import BULK_NOW, Outcome, Verb, apply

MOST = 100_000  # ids that a person can have ticked one by one
NAMED = 3  # reasons told in the toast, and rows of each
FILES: dict[str, Format] = {"export": "csv", "export_xlsx": "xlsx"}  # what takes rows away instead of changing them


async def _read(request: Request) -> FormData:
    return await request.form(max_files=0, max_fields=1_000, max_part_size=1_000_000)


Sent = Annotated[FormData, Depends(_read)]


@dataclass(frozen=True)
class Chosen:
    """Rows that a verb is meant for: `everything` that fits the list's filters, or these ids."""

    ids: Sequence[int]
    everything: bool


def chosen(sent: FormData) -> Chosen:
    """Raises InvalidError for what is no list of ids."""
    return Chosen(_ids(text for text in sent.getlist("ids") if isinstance(text, str)), sent.get("all") == "1")


def _ids(lists: Iterable[str]) -> list[int]:
    texts = [part for text in lists for part in text.split(",") if part]
    if len(texts) > MOST or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in texts):  # noqa: PLR2004 - of 2**63
        raise InvalidError
    return sorted({int(part) for part in texts})


def run(screen: Screen, sent: FormData) -> Response:
    """Does the verb, starts a job for more than BULK_NOW rows, or asks what the verb needs first."""
    which = chosen(sent)
    if not which.ids and not which.everything:
        return _nothing(screen)
    if kind := FILES.get(str(sent.get("verb"))):
        return _export(screen, which, kind)
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
    return go_to(screen.request, screen.url()) if which.everything else respond_changed(screen, ids)


def question(screen: Screen, verb: str, ids: str) -> Response:
    """What a verb asks before it is done to these rows; each is asked for, whatever they are."""
    action, which = screen.table.action(verb), Chosen(_ids([ids]), everything=False)
    if action is None or not which.ids:
        return go_to(screen.request, screen.url())
    if not screen.may_do(action):
        raise ForbiddenError
    return _ask(screen, action, which, None)


def _nothing(screen: Screen) -> Response:
    """Without script every verb can be pressed at any time: the list as it was says what is missing."""
    words = _("Choose rows first.")
    if wants_fragment(screen.request):
        raise InvalidError(words)
    flash(screen.request, words, kind="warn")
    return go_to(screen.request, screen.url())


def _export(screen: Screen, which: Chosen, kind: Format) -> Response:
    """The chosen rows as the list's own file holds them: its columns, in its order."""
    table, names = screen.table, screen.in_file
    if which.everything:
        return go_to(screen.request, screen.url(f"export.{kind}"))
    if screen.me.impersonator_id is not None:
        raise viewing.closed()
    if not proved_lately(screen.me):
        raise ConfirmationRequiredError
    audit.note(screen.caller.session, Event.EXPORTED, what=table.name, format=kind, rows=len(which.ids))
    rows = screen.data.rows_of(which.ids, screen.sort or table.crud.default_sort)
    cells = [table.line(row, names, screen.me) for row in rows]
    return export_response(kind, table.name, names, cells, zone(screen.me.timezone))


def _action(screen: Screen, sent: FormData) -> Action:
    action = screen.table.action(str(sent.get("verb", "")))
    if action is None:
        raise InvalidError(_("Choose what to do."))
    if not screen.may_do(action):
        raise ForbiddenError
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
        "named": _names(screen, which.ids[:NAMED]),
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
        told += _reasons(screen, outcome.errors)
    undo = history.change_set_id(screen.caller.session) if outcome.done else None
    kind = "good" if outcome.done and not outcome.errors else "warn"
    flash(screen.request, sentences(told), kind=kind, undo=undo)


def _reasons(screen: Screen, errors: Sequence[tuple[int, str]]) -> list[str]:
    """The first reasons, each once, with the first of its rows."""
    refused: dict[str, list[int]] = {}
    for row_id, why in errors:
        refused.setdefault(why, []).append(row_id)
    told, shown = [], dict(list(refused.items())[:NAMED])
    for why, ids in shown.items():
        names = _names(screen, ids[:NAMED])
        told.append(f"{', '.join([*names, *_rest(len(ids) - len(names))])}: {why}")
    return told + _rest(len(errors) - sum(map(len, shown.values())))


def _rest(left: int) -> list[str]:
    return [_("and %s more") % number(left)] if left else []


def _names(screen: Screen, ids: Sequence[int]) -> list[str]:
    """What the rows are called; the number of one that is gone."""
    names = {row.id: screen.label(row) for row in screen.data.rows_of(ids)}
    return [str(names.get(row_id, ref(row_id))) for row_id in ids]
