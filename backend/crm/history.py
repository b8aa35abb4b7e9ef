"""All that has happened, what exactly, and taking it back."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Form, Path, Query, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, wording
from backend.core.context import Principal
from backend.core.deps import Caller, Routes, require
from backend.core.errors import ForbiddenError
from backend.core.i18n import N_, _
from backend.core.permissions import UNDO_RIGHTS, Permission
from backend.core.templating import flash, go_to, local_path, render, see_other
from backend.crm import changes
from backend.crm.table import NUMBER, Column, Screen, Table, attributes, between, cells, choice, install, relation
from backend.crm.table.declare import Filter
from backend.crm.table.undone import in_place
from backend.database import history
from backend.database.crud import blockers
from backend.database.crud.history import ActorCRUD, HistoryListCRUD, Line
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.names import Record, names, without_page
from backend.database.crud.reverting import Clash
from backend.database.crud.undo import UndoConflictError, UndoCRUD
from backend.database.crud.views import ViewCRUD
from backend.database.models.history import ChangeSet
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.history import ChangesPage, HistoryFilters

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

PREFIX = "/dashboard/history"
router = Routes(prefix=PREFIX, dependencies=[require(Permission.DASHBOARD_READ)])
pages = Routes(prefix=PREFIX, dependencies=[require(Permission.HISTORY_READ)])
SetId = Annotated[int, Path(ge=1, le=MAX_ID)]
CLASHES = 100  # a person reads no more of them


def seen(session: "Session", me: Principal) -> HistoryListCRUD:
    """What the person may see."""
    return HistoryListCRUD(session, changes.readable(me))


def _what(line: Line, _screen: Screen) -> str:
    names = escape(", ".join(changes.named(line, brief=True)))
    if line.size > len(line.changes):
        names += escape(" " + _("and %(number)s more") % {"number": changes.more(line)})
    by = escape(changes.who(line) or wording.door(line.door))
    undone = f" · {escape(_('Undone'))}" if line.undone else ""
    link = f'<a class="ly-strong text-reset" href="{PREFIX}/{line.id}">{escape(changes.what(line))}</a>'
    small = f'<span class="ly-only-sm ly-sm ly-quiet">{by}{undone}</span>'
    return f'<span class="d-grid">{link}<span class="ly-sm ly-quiet">{names}</span>{small}</span>'


def _who(line: Line, screen: Screen) -> str:
    if by := changes.who(line):
        return atoms.person(line.actor_id or 0, by)
    return f'<span class="ly-quiet">{_door(line, screen)}</span>'


def _door(line: Line, _screen: Screen) -> str:
    return escape(wording.door(line.door))


def _state(line: Line, _screen: Screen) -> str:
    return atoms.badge("", "arrow-back-up", _("Undone")) if line.undone else ""


KINDS = (
    ("users", N_("Person")), ("lessons", N_("Lesson")), ("courses", N_("Course")), ("promo_codes", N_("Promo code")),
    ("support_tickets", N_("Ticket")), ("purchases", N_("Purchase")), ("orders", N_("Order")),
    ("payments", N_("Payment")), ("refunds", N_("Refund")), ("media", N_("File")), ("settings", N_("Setting")),
    ("api_tokens", N_("API token")), ("roles", N_("Role")), ("saved_views", N_("Saved view")),
)  # fmt: skip
TABLE = Table(
    name="history", key="change", crud=HistoryListCRUD, reader=seen, params=HistoryFilters, prefix=PREFIX,
    title=N_("History"), search="", label=changes.what, none="history/_none.html",
    columns=(
        Column("what", N_("What"), _what, file=("what", "records")),
        Column("who", N_("Who"), _who, "ly-no-sm"),
        Column("door", N_("Via"), _door, "ly-quiet ly-sm ly-col-lg"),
        Column("state", N_("State"), _state, "ly-col-md", file=("undone",)),
        Column("at", N_("When"), cells.ago("at"), "is-end ly-quiet ly-sm", "at", desc=True),
        Column(
            "ip", N_("IP address"), cells.plain("ip"), "ly-quiet ly-sm ly-col-lg", hidden=True,
            file=("ip", "request_id"), needs=Permission.AUDIT_READ,
        ),
        NUMBER,
    ),
    filters=(
        relation("actor_id", N_("Who"), ActorCRUD),
        choice("kind", N_("Record type"), *KINDS),
        Filter("record", N_("Record number"), ("record",)),
        choice("door", N_("Via"), *wording.DOORS.items()),
        between("at", N_("Date"), "since", "until", kind="date"),
    ),
    export={
        **attributes("id", "at"), "who": changes.who, "door": lambda line: wording.door(line.door),
        "what": changes.what, "records": lambda line: ", ".join(changes.named(line)),
        **attributes("undone", "ip", "request_id"),
    },
)  # fmt: skip
install(pages, TABLE)


@pages.get("/{change_set_id}", name="crm:history:detail")
def detail(request: Request, caller: Caller, change_set_id: SetId, params: Annotated[ChangesPage, Query()]) -> Response:
    records = seen(caller.session, caller.me)
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
        who=changes.who(line),
        title=changes.what(line),
        size=changes.capped(line.size),
    )


@pages.get("/{change_set_id}/undo", name="crm:history:asked")
def asked(request: Request, change_set_id: SetId) -> Response:
    """What stands in the way of an undo has no address of its own: whoever comes back to it finds the change."""
    return see_other(request, "crm:history:detail", change_set_id=change_set_id)


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
    refuse_undo(caller.session, caller.me, change_set_id)
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
    told = _("Redone") if again else _("Undone")
    if outcome.clashes:
        told = _("Undone, except for later changes: %s") % len(outcome.clashes)
    flash(request, told, kind="warn" if outcome.clashes else "good", undo=made, redo=not again)
    page = _back(caller, change_set_id, local_path(next))
    touched = UndoCRUD(caller.session).touched(made) if made is not None else []
    return in_place(request, caller, page, touched, changes.readable(caller.me)) or go_to(request, page)


def refuse_undo(session: "Session", me: Principal, change_set_id: int) -> None:
    """Raises ForbiddenError for whoever may not take the set back, by whichever page they ask for it."""
    may_undo(me, blockers.roots(session, change_set_id))
    if not me.may(Permission.HISTORY_READ) and not _is_own(session, me, change_set_id):
        raise ForbiddenError  # what stands in the way of an undo shows what was there
    if blockers.touches_staff(session, change_set_id):
        raise ForbiddenError(_(blockers.STAFF))
    if not me.may(Permission.SETTINGS_WRITE):
        ViewCRUD(session).refuse_others(change_set_id, me.user_id)


def _is_own(session: "Session", me: Principal, change_set_id: int) -> bool:
    made = session.get(ChangeSet, change_set_id)
    return made is None or (made.actor_id, made.impersonator_id) == (me.user_id, me.impersonator_id)


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


def _why_not(caller: Caller, change_set_id: int) -> str:
    """Why the person cannot undo a set, in words; "" when they can."""
    found = caller.session.get_one(ChangeSet, change_set_id)
    if reason := blockers.reasons(caller.session, [found]).get(change_set_id):
        return reason
    try:
        may_undo(caller.me, blockers.roots(caller.session, change_set_id))
    except ForbiddenError:
        return _("You do not have permission to change this.")
    return _(blockers.STAFF) if blockers.touches_staff(caller.session, change_set_id) else ""
