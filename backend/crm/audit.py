"""Who signed in, what was refused, whose rights changed: the security events, and whether the history is whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.responses import Response
from markupsafe import escape

from backend.core import atoms, wording
from backend.core.deps import Caller, Current, Routes, crud, require
from backend.core.events import DETAILS, LABELS, VALUES, Event
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.core.templating import render
from backend.core.text import number
from backend.core.useragents import describe
from backend.crm.table import NUMBER, Column, Screen, Table, attributes, between, cells, choice, install, relation
from backend.database.chain.redacting import PROOF
from backend.database.chain.sealing import BROKEN, HEAD
from backend.database.chain.verifying import VERIFIED
from backend.database.crud.events import SecurityEventCRUD
from backend.database.crud.history import ActorCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.users import full_name
from backend.database.schemas.audit import EventFilters
from backend.database.schemas.base import MAX_ID

PREFIX = "/dashboard/settings/audit"
router = Routes(prefix=PREFIX, dependencies=[require(Permission.AUDIT_READ)])
Events = Annotated[SecurityEventCRUD, crud(SecurityEventCRUD)]
EventId = Annotated[int, Path(ge=1, le=MAX_ID)]
SHOWN = 10  # events of a person's page
BAD = frozenset({
    Event.LOGIN_FAIL_MAX, Event.TOKEN_REUSE, Event.AUDIT_BROKEN,
})  # fmt: skip
DOUBTFUL = frozenset({
    Event.LOGIN_FAIL, Event.LOGIN_NEW_DEVICE, Event.FACTOR_FAIL, Event.FACTOR_REMOVED, Event.RECOVERY_USED,
    Event.REFUSED, Event.ERASED, Event.AUDIT_STARTED,
})  # fmt: skip


def details(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value) in words; what only programs understand is left to the file of events."""
    return [(_(DETAILS[name]), _detail(name, value)) for name, value in data.items() if name in DETAILS]


def _detail(name: str, value: Any) -> str:
    if name in ("role", "before", "after"):
        return wording.role(str(value))
    if name == PROOF:
        return number(value["rows"])
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return _(VALUES[value]) if isinstance(value, str) and value in VALUES else wording.value(value, name)


def words(row: Any) -> str:
    """What happened, as a person says it."""
    label = LABELS.get(row.kind)
    return _(label) if label else str(row.kind)


def _weight(row: Any) -> str:
    first = row.kind == Event.AUDIT_STARTED and not row.data  # with the history of a new school
    return "bad" if row.kind in BAD else "warn" if row.kind in DOUBTFUL and not first else ""


def _what(row: Any, _screen: Screen) -> str:
    kind = _weight(row)
    mark = f" {atoms.badge(kind, 'alert-triangle', _('Needs attention'))}" if kind else ""
    link = f'<a class="ly-strong text-reset" href="{PREFIX}/{row.id}">{escape(words(row))}</a>{mark}'
    small = f'<span class="ly-only-sm ly-sm ly-quiet">{escape(_about(row))}</span>'
    return f'<span class="d-grid"><span>{link}</span>{small}</span>'


def _about(row: Any) -> str:
    return cells.name_of(row) or actor(row)


def actor(row: Any) -> str:
    """Who did it: a person, a token, or a part of the program."""
    return full_name(row.actor_first or "", row.actor_last) or row.token or wording.door(row.door)


@dataclass(frozen=True)
class Latest:
    """A line of a person's page; `by` is who did it, unless it was the person."""

    id: int
    at: datetime
    words: str
    mark: str
    ip: str | None
    by: str


def latest(caller: Current, user_id: int) -> list[Latest] | None:
    """What happened to a person's account lately; None for whoever may not know."""
    if not caller.me.may(Permission.AUDIT_READ):
        return None
    return [
        Latest(row.id, row.at, words(row), _weight(row), row.ip, "" if row.actor_id == user_id else actor(row))
        for row in SecurityEventCRUD(caller.session).about(user_id, SHOWN)
    ]


def _person(row: Any, _screen: Screen) -> str:
    if row.user_id and (name := cells.name_of(row)):
        return atoms.person(row.user_id, name)
    return f'<span class="ly-quiet">{escape(actor(row))}</span>'


def _by(row: Any, _screen: Screen) -> str:
    return escape(actor(row))


def _chain(caller: Any, _params: Any, _page: Any) -> dict[str, Any]:
    """The state of the chain over the history."""
    found = SettingCRUD(caller.session)
    head, broken, verified = found.find(HEAD), found.find(BROKEN), found.find(VERIFIED)
    problem = (broken or {}).get("problem") or (verified or {}).get("problem")
    return {"sealed_at": _moment(head), "verified_at": _moment(verified), "problem": problem}


def _moment(value: dict[str, Any] | None) -> datetime | None:
    return datetime.fromisoformat(value["at"]) if value else None


TABLE = Table(
    name="audit", key="event", crud=SecurityEventCRUD, params=EventFilters, prefix=PREFIX,
    title=N_("Security events"), search=N_("IP address or request ID"), label=words, none="audit/_none.html",
    tabs="audit/_chain.html", extra=_chain,
    columns=(
        Column("what", N_("What"), _what, file=("kind", "what", "data")),
        Column("who", N_("Account"), _person, "ly-no-sm", file=("about", "user_id")),
        Column(
            "actor", N_("Done by"), _by, "ly-quiet ly-sm ly-col-lg",
            file=("by", "actor_id", "impersonator_id", "token_id"),
        ),
        Column("door", N_("Via"), lambda row, _s: escape(wording.door(row.door)), "ly-quiet ly-sm ly-col-lg"),
        Column("ip", N_("IP address"), cells.plain("ip"), "ly-quiet ly-sm ly-col-md"),
        Column("at", N_("When"), cells.ago("at"), "is-end ly-quiet ly-sm", "at", desc=True),
        NUMBER,
    ),
    filters=(
        choice("kind", N_("What happened"), *((kind.value, label) for kind, label in LABELS.items())),
        relation("user_id", N_("Person"), ActorCRUD, Permission.AUDIT_READ),
        choice("door", N_("Via"), *wording.DOORS.items()),
        between("at", N_("Date"), "since", "until", kind="date"),
    ),
    export={
        **attributes("id", "at", "kind"), "what": words, "about": cells.name_of, "by": actor,
        **attributes("user_id", "actor_id", "impersonator_id", "token_id", "door", "ip", "user_agent", "request_id"),
        "data": lambda row: str(row.data) if row.data else "",
    },
)  # fmt: skip
install(router, TABLE)


@router.get("/{event_id}", name="crm:audit:detail")
def detail(request: Request, caller: Caller, events: Events, event_id: EventId) -> Response:
    row = events.row_of(event_id)
    sets = events.change_sets(row.request_id) if caller.me.may(Permission.HISTORY_READ) else []
    return render(
        request,
        "audit/detail.html",
        row=row,
        title=words(row),
        details=details(row.data),
        about=cells.name_of(row),
        by=actor(row),
        door=wording.door(row.door),
        device=describe(row.user_agent) if row.user_agent else "",
        change_sets=sets,
    )
