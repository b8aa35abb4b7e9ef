"""All that has happened, what exactly, and taking it back."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Form, Path, Query, Request
from fastapi.responses import Response

from backend.core import wording
from backend.core.context import Principal
from backend.core.deps import Caller, Routes, require
from backend.core.errors import ForbiddenError
from backend.core.exports import csv_response
from backend.core.i18n import _
from backend.core.permissions import UNDO_RIGHTS, Permission
from backend.core.templating import flash, go_to, local_path, render, render_list, see_other
from backend.core.text import number, zone
from backend.crm import changes
from backend.database import history, listing
from backend.database.crud import blockers
from backend.database.crud.history import CAP, HistoryListCRUD, Line
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.names import Record, names, without_page
from backend.database.crud.reverting import Clash
from backend.database.crud.undo import UndoConflictError, UndoCRUD
from backend.database.crud.views import ViewCRUD
from backend.database.models.history import ChangeSet
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.history import ChangesPage, HistoryFilters

PREFIX = "/dashboard/history"
router = Routes(prefix=PREFIX, dependencies=[require(Permission.DASHBOARD_READ)])
can_read = [require(Permission.HISTORY_READ)]
Filters = Annotated[HistoryFilters, Query()]
SetId = Annotated[int, Path(ge=1, le=MAX_ID)]
CSV = ("id", "at", "who", "door", "what", "records", "undone", "ip", "request_id")
CLASHES = 100  # a person reads no more of them


@router.get("/", name="crm:history:index", dependencies=can_read)
def index(request: Request, caller: Caller, params: Filters) -> Response:
    records = _records(caller)
    page = records.lines(params.asked(zone(caller.me.timezone)), cap=listing.PAGE_CAP)
    filters = {"staff": records.staff(), "kinds": _kinds(records)}
    words = {"what": what, "who": who, "named": named, "more": more}
    return render_list(request, "history", page=page, params=params, **filters, **words)


@router.get("/export.csv", name="crm:history:csv", dependencies=can_read)
def export(caller: Caller, params: Filters) -> Response:
    """Everything that fits the filters, not the first page alone."""
    everything = {"limit": listing.API_CAP, "cursor": None}
    asked = params.asked(zone(caller.me.timezone)).model_copy(update=everything)
    lines = _records(caller).lines(asked, cap=listing.API_CAP).items
    return csv_response("history", CSV, (_cells(line) for line in lines))


@router.get("/{change_set_id}", name="crm:history:detail", dependencies=can_read)
def detail(request: Request, caller: Caller, change_set_id: SetId, params: Annotated[ChangesPage, Query()]) -> Response:
    records = _records(caller)
    line, page = records.line(change_set_id), records.changes(change_set_id, params)
    return render(
        request,
        "history/detail.html",
        line=line,
        page=page,
        params=params,
        records=changes.records(caller.session, page.items),
        undone_by=records.undone_by(change_set_id),
        why=_why_not(caller, change_set_id),
        who=who(line),
        title=what(line),
        size=_capped(line.size),
    )


@router.post(
    "/{change_set_id}/undo", name="crm:history:undo", dependencies=[require(*dict.fromkeys(UNDO_RIGHTS.values()))]
)
def undo(
    request: Request,
    caller: Caller,
    change_set_id: SetId,
    next: Annotated[str, Form(max_length=1000)] = "",  # noqa: A002 - the field's name in every form
    rest: Annotated[bool, Form(description="Although some of it was changed since")] = False,
) -> Response:
    may_undo(caller.me, blockers.roots(caller.session, change_set_id))
    if blockers.touches_staff(caller.session, change_set_id):
        raise ForbiddenError(_(blockers.STAFF))
    if not caller.me.may(Permission.SETTINGS_WRITE):
        ViewCRUD(caller.session).refuse_others(change_set_id, caller.me.user_id)
    jobs = JobCRUD(caller.session)
    if jobs.is_long(change_set_id):
        return see_other(request, "crm:jobs:detail", job_id=jobs.start_undo(change_set_id, caller.me.user_id).id)
    try:
        with caller.session.begin_nested():  # a refusal leaves nothing half done
            outcome = UndoCRUD(caller.session).undo(change_set_id, rest=rest)
    except UndoConflictError as error:
        return _refused(request, caller, change_set_id, error, next)
    made = history.change_set_id(caller.session)
    again = caller.session.get_one(ChangeSet, change_set_id).label == "undo"
    told = _("Done again") if again else _("Undone")
    if outcome.clashes:
        told = _("Undone but for what was changed since: %s") % len(outcome.clashes)
    flash(request, told, kind="warn" if outcome.clashes else "good", undo=made, redo=not again)
    return go_to(request, _back(caller, change_set_id, local_path(next)))


def may_undo(me: Principal, roots: set[str]) -> None:
    """Raises ForbiddenError unless the person may change every record of the set."""
    for root in roots:
        right = UNDO_RIGHTS.get(root)
        if right is None or not me.may(right):
            raise ForbiddenError


def _refused(request: Request, caller: Caller, change_set_id: int, error: UndoConflictError, back: str) -> Response:
    """What stands in the way, record by record and field by field, with the choice to undo the rest."""
    clashes = error.clashes[:CLASHES]
    if request.headers.get("HX-Request") == "true":
        flash(request, error.message, kind="warn")
        return go_to(request, f"{PREFIX}/{change_set_id}")
    standing = names(caller.session, {(clash.root, clash.root_id) for clash in clashes})
    linked = standing.keys() - without_page(caller.session, standing)
    return render(
        request,
        "history/conflict.html",
        409,
        change_set_id=change_set_id,
        clashes=[_clash(clash, standing, linked) for clash in clashes],
        more=len(error.clashes) - len(clashes),
        partly=error.partly,
        again=caller.session.get_one(ChangeSet, change_set_id).label == "undo",
        back=local_path(back),
    )


def _clash(clash: Clash, standing: Mapping[Record, str], linked: Collection[Record]) -> dict[str, Any]:
    root = clash.root, clash.root_id
    return {
        "name": changes.numbered(*root, standing.get(root, "")),
        "url": changes.record_url(*root) if root in linked else "",
        "entity": clash.entity if clash.entity != clash.root else "",
        "field": wording.column(clash.name) if clash.name else "",
        "now": changes.said(clash.name, clash.now, {}) if clash.name else "",
        "then": changes.said(clash.name, clash.then, {}) if clash.name else "",
        "why": clash.why,
    }


def _back(caller: Caller, change_set_id: int, target: str) -> str:
    """Where to go on: not to the page of a record that the undo has taken away."""
    for root, row_id in UndoCRUD(caller.session).taken_away(change_set_id):
        page = changes.record_url(root, row_id)
        if page and (target == page or target.startswith((f"{page}/", f"{page}?"))):
            return changes.LISTS[root]
    return target


def _records(caller: Caller) -> HistoryListCRUD:
    return HistoryListCRUD(caller.session, changes.readable(caller.me))


def _kinds(records: HistoryListCRUD) -> list[tuple[str, str]]:
    """(table, words) of what a reader may look for."""
    known = HistoryFilters.model_fields["kind"].annotation
    tables = [table for kind in getattr(known, "__args__", ()) for table in getattr(kind, "__args__", ())]
    shown = [table for table in tables if records.kinds is None or table in records.kinds]
    return [(table, _capital(wording.entity(table))) for table in shown]


def _why_not(caller: Caller, change_set_id: int) -> str:
    """Why the person cannot undo a set, in words; "" when they can."""
    found = caller.session.get_one(ChangeSet, change_set_id)
    if reason := blockers.reasons(caller.session, [found]).get(change_set_id):
        return reason
    try:
        may_undo(caller.me, blockers.roots(caller.session, change_set_id))
    except ForbiddenError:
        return _("You do not have the right to change this.")
    return _(blockers.STAFF) if blockers.touches_staff(caller.session, change_set_id) else ""


def who(line: Line) -> str:
    """Who did it: a person, a token, or a door by itself."""
    person = " ".join(filter(None, (line.first_name, line.last_name)))
    return person or line.token or ""


def what(line: Line) -> str:
    """What was done to what, in few words."""
    if not line.changes:
        return _("Nothing is left of this change")
    told = []
    for change in line.changes:
        words = f"{wording.op(change.op)} {wording.entity(change.entity)}"
        if words not in told:
            told.append(words)
    return _capital(", ".join(told))


def named(line: Line) -> list[str]:
    """The records of the first changes."""
    records = dict.fromkeys((change.root, change.root_id) for change in line.changes)
    return [changes.numbered(*record, line.names.get(record, "")) for record in records]


def more(line: Line) -> str:
    """How many changes a list does not name."""
    return _capped(line.size, len(line.changes))


def _capped(size: int, shown: int = 0) -> str:
    return f"{number(CAP)}+" if size > CAP else number(size - shown)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _cells(line: Line) -> Sequence[object]:
    label = f"{what(line)}: {wording.label(line.label)}" if line.label else what(line)
    door = wording.door(line.door)
    return line.id, line.at, who(line), door, label, ", ".join(named(line)), line.undone, line.ip, line.request_id
