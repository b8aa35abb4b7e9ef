"""All that is known of a person, as JSON values: what they may ask for (GDPR, article 15)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.events import Event
from backend.core.i18n import N_, _
from backend.database import audit
from backend.database.base import Base
from backend.database.crud.alerts import KEYS as ALERT_KEYS
from backend.database.crud.users import UserCRUD
from backend.database.history import to_json
from backend.database.models.audit import SecurityEvent
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import Change, ChangeSet
from backend.database.models.tags import Tag, UserTag
from backend.database.models.users import User
from backend.database.personal.places import BOOKS, PLACES, Place, Whose
from backend.database.personal.traces import changes_of, events_of, whose
from backend.database.rows import table_of

FORMAT = 1
OF_THE_DOER = frozenset({"actor_id", "impersonator_id", "ip", "user_agent"})
ADDRESSES = frozenset({"ip", "network"})
LEFT_OUT = N_("Security events and IP addresses are left out: whoever made this file may not view security events.")
Rows = list[dict[str, Any]]
Dossier = dict[str, Any]


def dossier(session: Session, user_id: int, *, events: bool = True) -> Dossier:
    """{"format", "made_at", "left_out", "person": {...}, "<table>": [rows], "tags", "history", "security_events"}.

    `events`: with the security events and the addresses that the person came from; without them `left_out` says so.
    Leaves a security event. Raises NotFoundError.
    """
    who = whose(session, UserCRUD(session).get_by_id(user_id).id)
    tables = {place.table: _rows(session, place, who) for place in (*PLACES, *BOOKS) if place.model is not UserTag}
    if not events:
        tables = {table: [_without(row, ADDRESSES) for row in rows] for table, rows in tables.items()}
        told = tables[Dispatch.__tablename__]  # alerts, to somebody who was on staff, tell of events too
        tables[Dispatch.__tablename__] = [row for row in told if not row["dedupe_key"].startswith(ALERT_KEYS)]
    [person] = tables.pop(User.__tablename__)
    audit.note(session, Event.EXPORTED, user_id=user_id, what="person")
    return {
        "format": FORMAT,
        "made_at": to_json(clock.now()),
        **({} if events else {"left_out": _(LEFT_OUT)}),
        "person": person,
        **{table: rows for table, rows in sorted(tables.items()) if rows},
        "tags": list(session.scalars(select(Tag.name).join(UserTag).where(UserTag.row_id == user_id))),
        "history": _history(session, who),
        **({"security_events": _events(session, who)} if events else {}),
    }


def _rows(session: Session, place: Place, who: Whose) -> Rows:
    """Without the browsers of those who looked through the person's eyes."""
    found = _plain(session, place.model, place.mine(who), place.secret)
    return [row for row in found if row.get("impersonator_id") in (None, who.user_id)]


def _events(session: Session, who: Whose) -> Rows:
    """What someone else did to the person is theirs to know; who that was and from where is not."""
    rows = _plain(session, SecurityEvent, events_of(who), frozenset({"token_id"}))
    return [
        row if (row["impersonator_id"] or row["actor_id"]) in (None, who.user_id) else _without(row, OF_THE_DOER)
        for row in rows
    ]


def _without(row: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _plain(session: Session, model: type[Base], mine: ColumnElement[bool], secret: frozenset[str]) -> Rows:
    table = table_of(model)
    columns = [column for column in table.columns if column.name not in secret]
    found = session.execute(select(*columns).where(mine).order_by(*table.primary_key.columns))
    return [{name: to_json(value) for name, value in row.items()} for row in found.mappings()]


def _history(session: Session, who: Whose) -> Rows:
    """Who of the staff it was is theirs to keep: the person learns when, through what and what exactly."""
    columns: Sequence[Any] = (ChangeSet.at, ChangeSet.door, ChangeSet.label, Change.entity, Change.entity_id, Change.op)
    mine = changes_of(session, who)
    found = session.execute(
        select(*columns, Change.before, Change.after)
        .join(ChangeSet, ChangeSet.id == Change.change_set_id)
        .where(mine)
        .order_by(Change.id)
    )
    return [{name: to_json(value) for name, value in row.items()} for row in found.mappings()]
