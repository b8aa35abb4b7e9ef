"""Changes as a page shows them: records with names and links, columns and values in words, texts word by word."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from backend.core import wording
from backend.core.context import Principal
from backend.core.i18n import _
from backend.core.permissions import ROLE_TITLES, Permission
from backend.core.templating import env
from backend.core.text import number, ref
from backend.core.textdiff import Piece, compare
from backend.database.base import Base
from backend.database.crud.history import CAP, LINKS, Entry, Line, Sight
from backend.database.crud.names import NAMED, Record, name_in, named_in, names, without_page
from backend.database.history import NOISE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

P = Permission
NUMBERED = ("purchases", "payments", "orders")  # never deleted
EMPTY = (None, "", False)
LONG = 60  # characters; a longer text is compared word by word
# Who may read what in the history, by the table of the record.
READ_RIGHTS: Mapping[str, Permission] = {
    "users": P.USERS_READ,
    "lessons": P.LESSONS_READ,
    "courses": P.COURSES_READ,
    "media": P.LESSONS_READ,
    "promo_codes": P.PROMO_CODES_READ,
    "support_tickets": P.TICKETS_READ,
    "chats": P.TICKETS_READ,
    "orders": P.PURCHASES_READ,
    "payments": P.PURCHASES_READ,
    "purchases": P.PURCHASES_READ,
    "refunds": P.PURCHASES_READ,
}
LISTS = {
    "users": "/dashboard/users/",
    "lessons": "/dashboard/lessons/",
    "courses": "/dashboard/courses/",
    "promo_codes": "/dashboard/promo-codes/",
    "support_tickets": "/dashboard/tickets/",
    "purchases": "/dashboard/sales/",
    "payments": "/dashboard/sales/payments/",
    "orders": "/dashboard/sales/orders/",
}


@dataclass(frozen=True)
class Field:
    """A column that changed. `pieces`: of a long text."""

    label: str
    before: str = ""
    after: str = ""
    pieces: Sequence[Piece] = ()


@dataclass(frozen=True)
class Row:
    op: str
    entity: str
    fields: Sequence[Field]


@dataclass(frozen=True)
class Shown:
    """What happened to one record and its children."""

    kind: str
    name: str
    url: str  # "" when it has no page or is gone
    rows: Sequence[Row]
    personal: str = ""  # where the data of a deleted person are erased


def readable(me: Principal) -> Sight:
    """Whose history a person may read: of what they may look at; what has no right of its own is the settings'."""
    closed = {table for table, right in READ_RIGHTS.items() if not me.may(right)}
    if not me.may(P.SETTINGS_WRITE):
        return Sight(frozenset(READ_RIGHTS) - closed, staff=me.may(P.STAFF_WRITE))
    return Sight(frozenset(Base.metadata.tables) - closed if closed else None, staff=me.may(P.STAFF_WRITE))


def record_url(table: str, row_id: int) -> str:
    """The page of a record; "" for those without one."""
    return f"{LISTS[table]}{row_id}" if table in LISTS else ""


def numbered(table: str, row_id: int, name: str = "") -> str:
    """What a record is called; by its number when it has no name, and by its kind when it is the only one."""
    if table == "roles" and name in ROLE_TITLES:
        return _(ROLE_TITLES[name])
    return name or (f"{wording.entity(table)} {ref(row_id)}" if row_id else wording.entity(table))


def records(session: "Session", changes: Iterable[Any]) -> list[Shown]:
    """Changes that follow each other on one record stand together."""
    changes = list(changes)
    standing = names(session, named_in(changes) | {(change.root, change.root_id) for change in changes})
    called = {(c.root, c.root_id): name_in(c.root, c.before | c.after) for c in changes if c.entity == c.root}
    hidden, shown = without_page(session, standing), []
    for root, some in groupby(changes, key=lambda change: (change.root, change.root_id)):
        name = standing.get(root) or called.get(root) or ""
        there = (root in standing and root not in hidden) or root[0] in NUMBERED
        url = record_url(*root) if there else ""
        rows = [_row(change, standing) for change in some]
        deleted = root[0] == "users" and root not in standing and any(row.op == "delete" for row in rows)
        personal = f"{record_url(*root)}/personal" if deleted else ""
        shown.append(Shown(root[0], numbered(*root, name), url, rows, personal))
    return shown


def _row(change: Any, standing: Mapping[Record, str]) -> Row:
    if change.op == "update":
        fields = [
            _changed(name, change.before.get(name), change.after.get(name), standing)
            for name in dict.fromkeys([*change.before, *change.after])
        ]
        return Row(change.op, change.entity, fields)
    image = change.after if change.op == "create" else change.before
    told = [(name, value) for name, value in image.items() if name in wording.COLUMNS and name not in NOISE]
    kept = [(wording.column(name), said(name, value, standing)) for name, value in told if value not in EMPTY]
    made = change.op == "create"
    fields = [Field(name, after=words) if made else Field(name, before=words) for name, words in kept]
    return Row(change.op, change.entity, fields)


def _changed(name: str, before: Any, after: Any, standing: Mapping[Record, str]) -> Field:
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > LONG:
        return Field(wording.column(name), pieces=compare(before, after))
    return _from_to(name, before, after, standing)


def _from_to(name: str, before: Any, after: Any, standing: Mapping[Record, str]) -> Field:
    return Field(wording.column(name), said(name, before, standing), said(name, after, standing))


def said(name: str, value: Any, standing: Mapping[Record, str]) -> str:
    """A value in words; a number that names a record as that record's name."""
    table = NAMED.get(name)
    if table is None or not isinstance(value, int):
        return wording.value(value, name)
    return numbered(table, value, standing.get((table, value), ""))


def told(entry: Entry) -> Iterator[Field]:
    """What the history of one record says of a change set: what changed, and whom a link came or went to."""
    for change in entry.changes:
        if change.op == "update":
            for name, after in change.after.items():
                yield _from_to(name, change.before.get(name), after, entry.names)
        elif change.entity in LINKS:
            name = LINKS[change.entity]
            known = said(name, (change.before or change.after).get(name), entry.names)
            yield Field(wording.column(name), *((known, "") if change.op == "delete" else ("", known)))


env.globals["told"] = told


def who(line: Line) -> str:
    """Who did it: a person, a token, or a door by itself; of a borrowed account both people."""
    person = " ".join(filter(None, (line.first_name, line.last_name)))
    looker = " ".join(filter(None, (line.by_first, line.by_last)))
    return wording.borrowed(looker, person) if looker and person else person or line.token or ""


def what(line: Line) -> str:
    """What was done to what, in few words."""
    return wording.happened(line.changes, line.label or "") if line.changes else _("Nothing is left of this change")


def named(line: Line, *, brief: bool = False) -> list[str]:
    """The records of the first changes. `brief`: those without a name only when none has one."""
    records = dict.fromkeys((change.root, change.root_id) for change in line.changes)
    called = [record for record in records if brief and line.names.get(record)]
    return [numbered(*record, line.names.get(record, "")) for record in called or records]


def more(line: Line) -> str:
    """How many changes a list does not name."""
    return capped(line.size, len(line.changes))


def capped(size: int, shown: int = 0) -> str:
    return f"{number(CAP)}+" if size > CAP else number(size - shown)
