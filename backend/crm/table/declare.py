"""What a domain says about its list."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from pydantic import BaseModel

from backend.core.context import Principal
from backend.core.i18n import N_, _
from backend.core.permissions import Permission
from backend.core.text import number, whole_day
from backend.database.crud.base import BaseCRUD

# (a row, the screen it stands on, or `Alone`) -> HTML, with everything from outside escaped.
Cell = Callable[[Any, Any], str]
Options = tuple[tuple[str, str], ...]  # (value, what a person reads)


@dataclass(frozen=True)
class Edit:
    """A cell that can be changed where it stands. `kind`: text, number, switch, choice."""

    kind: str = "text"
    field: str = ""  # of the domain's update schema; the column's name by itself
    options: Options = ()
    link: bool = False  # the cell holds a link: only the pencil beside it opens the editor


@dataclass(frozen=True)
class Column:
    """`sort`: the parameter's value; `desc`: the first click sorts down; `hidden`: only on demand.

    `file`: the values of the table's `export` that say the same; the one of its own name by itself. `needs`: the right
    without which it is not there: neither to see, nor to sort by, nor in a file.
    """

    name: str
    label: str
    cell: Cell
    cls: str = ""
    sort: str = ""
    desc: bool = False
    hidden: bool = False
    edit: Edit | None = None
    file: tuple[str, ...] = ()
    needs: Permission | None = None

    def open_to(self, me: Principal) -> bool:
        return self.needs is None or me.may(self.needs)

    @property
    def in_file(self) -> tuple[str, ...]:
        return self.file or (self.name,)


@dataclass(frozen=True)
class Filter:
    """A chip of the filter bar. `names` are the query parameters that it sets.

    `find`: whose records a relation offers; `reads`: the right to see these. `needs`: the right over what the filter
    asks about, as a column's: whoever counts the rows that fit learns it.
    """

    name: str
    label: str
    names: tuple[str, ...]
    options: Options = ()
    kind: str = "number"
    unit: str = ""
    find: type[BaseCRUD[Any]] | None = None
    needs: Permission | None = None
    reads: Permission | None = None

    def open_to(self, me: Principal) -> bool:
        return all(right is None or me.may(right) for right in (self.needs, self.reads))

    def shown(self, on: Mapping[str, Any]) -> str:
        """What the chip says while the filter is on, else ""."""
        if self.options:
            value = on.get(self.name)
            words = dict(self.options).get(str(value))
            return _(words) if words else str(value) if value is not None else ""
        if self.kind == "relation":
            return str(on.get(self.name) or "")
        low, high = (self._value(on.get(name)) for name in (self.names * 2)[:2])
        if low and high:
            return f"{low}{self.unit}" if low == high else f"{low}\u2013{high}{self.unit}"
        if low or high:
            return f"{'≥' if low else '≤'}\u00a0{low or high}{self.unit}"
        return ""

    def is_reversed(self, on: Mapping[str, Any]) -> bool:
        """Whether the end of a range lies before its beginning, so that nothing can fit."""
        low, high = (on.get(name) for name in (self.names * 2)[:2])
        return low is not None and high is not None and bool(low > high)

    def _value(self, value: Any) -> str:
        if value is None:
            return ""
        if self.kind == "date":
            return whole_day(date.fromisoformat(str(value)[:10]))
        return number(value) if isinstance(value, int | float) and self.kind == "number" else str(value)[:10]


def choice(name: str, label: str, *options: tuple[str, str], needs: Permission | None = None) -> Filter:
    """One of some values; a boolean's are "true", "false"."""
    return Filter(name, label, (name,), options, needs=needs)


def between(  # noqa: PLR0913 - the last three by name alone
    name: str, label: str, low: str, high: str, *, kind: str = "number", unit: str = "", needs: Permission | None = None
) -> Filter:
    """Two ends, each optional; kind "number" or "date"."""
    return Filter(name, label, (low, high), (), kind, unit, needs=needs)


def empty(name: str, label: str, without: str = N_("is empty"), having: str = N_("is filled")) -> Filter:
    """Whether there is anything; the parameter is "yes" or "no"."""
    return Filter(name, label, (name,), (("no", without), ("yes", having)))


def relation(
    name: str,
    label: str,
    find: type[BaseCRUD[Any]],
    reads: Permission | None = None,
    *,
    needs: Permission | None = None,
) -> Filter:
    """A record of another domain, looked for by text; the parameter is its id. `reads` may be left out where whoever
    sees the list may see all that the relation offers.
    """
    return Filter(name, label, (name,), (), "relation", find=find, needs=needs, reads=reads)


@dataclass(frozen=True)
class Field:
    """What a verb asks before it runs: a field of its `arguments`.

    `choices`: a record of that domain; `offers`: words to choose from or to write others.
    """

    name: str
    label: str
    kind: str = "number"
    choices: type[BaseCRUD[Any]] | None = None
    hint: str = ""
    offers: Callable[[Any], Sequence[str]] | None = None

    def options(self, session: Any) -> Sequence[Any]:
        """(id, name) pairs of `choices`, or the words of `offers`."""
        if self.choices is not None:
            return self.choices(session).options("")
        return self.offers(session) if self.offers is not None else ()


@dataclass(frozen=True)
class Action:
    """A verb of the domain (BaseCRUD.verbs) as the list offers it.

    `fits` says of which rows alone it is offered in their menus.
    """

    verb: str
    label: str
    icon: str
    bad: bool = False
    fields: tuple[Field, ...] = ()
    fits: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Table:
    """A list of the CRM. `name` is the domain's, as in `crm:<name>:index`; `key` begins the ids of its rows.

    `label`: what a row is called; `page`: the address of a row's page; `edit`: it has a form at <page>/edit;
    `update`: the schema of an edited cell; `export`: the columns of its files; `none`, `tabs`, `above`: templates of
    the empty state, above the list, and above the list as part of what filters change; `extra`: what these need,
    (caller, params, page) -> mapping; `reader`: the domain as one person may see it, (session, person) -> CRUD;
    `guarded`: values of `export` that need a right although their column does not; `closed`: which of them a person
    does not find in this row, (row, person) -> names; `names`: the right without which rows are called by numbers.
    """

    name: str
    key: str
    crud: type[BaseCRUD[Any]]
    params: type[BaseModel]
    prefix: str
    title: str
    search: str
    label: Callable[[Any], str]
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...] = ()
    actions: tuple[Action, ...] = ()
    export: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    update: type[BaseModel] | None = None
    write: Permission | None = None
    page: Callable[[Any], str] | None = None
    new: tuple[str, str] | None = None  # (route, label) of the primary action
    menu: bool = True
    none: str = ""  # template of the empty state
    above: str = ""  # template above the list: tabs, sums
    extra: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None
    tabs: str = ""
    edit: bool = False
    reader: Callable[[Any, Principal], BaseCRUD[Any]] | None = None
    guarded: Mapping[str, Permission] = field(default_factory=dict)
    closed: Callable[[Any, Principal], Collection[str]] | None = None
    names: Permission | None = None

    def data(self, session: Any, me: Principal) -> BaseCRUD[Any]:
        return self.reader(session, me) if self.reader else self.crud(session)

    def url_of(self, row: Any) -> str:
        return self.page(row) if self.page else f"{self.prefix}/{row.id}"

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def in_file(self, columns: Iterable[Column]) -> list[str]:
        """What a file with these columns holds, in their order behind the number."""
        return list(dict.fromkeys(["id", *(name for column in columns for name in column.in_file)]))

    def closed_in_file(self, me: Principal) -> set[str]:
        """The values of `export` that this person finds in no file, whatever columns they choose."""
        closed = {name for column in self.columns if not column.open_to(me) for name in column.in_file}
        return closed | {name for name, right in self.guarded.items() if not me.may(right)}

    def line(self, row: Any, names: Iterable[str], me: Principal) -> list[object]:
        """A row as a file of these values holds it."""
        closed = self.closed(row, me) if self.closed else ()
        return ["" if name in closed else self.export[name](row) for name in names]

    def sorts(self, me: Principal) -> list[str]:
        """What this person may sort by."""
        closed = {column.sort for column in self.columns if not column.open_to(me)}
        return [name for name in ("id", *self.crud.sorts) if name not in closed]

    def parameters(self) -> dict[str, str]:
        """What people know the parameters of the address as."""
        labels = {"q": N_("search text"), "sort": N_("sort order"), "cols": N_("columns")}
        return labels | {name: each.label for each in self.filters for name in each.names}

    def action(self, verb: str) -> Action | None:
        return next((action for action in self.actions if action.verb == verb), None)


TABLES: dict[str, Table] = {}  # by name: every list of the CRM


@dataclass(frozen=True)
class Alone:
    """Where a cell stands that is on no list: only who looks is known."""

    me: Principal


@pass_context
def cell(context: Context, table: str, column: str, row: Any) -> Markup:
    """One cell of a list, wherever else a page shows it."""
    found = TABLES[table].column(column)
    assert found is not None
    return Markup(found.cell(row, Alone(context["me"])))  # noqa: S704 - a column's function escapes


def attributes(*names: str) -> dict[str, Callable[[Any], object]]:
    """Columns of a file that are attributes of the row."""
    return {name: attrgetter(name) for name in names}


PERCENT = Field("percent", N_("Percent"), hint=N_("-20 makes it a fifth cheaper, 10 a tenth more expensive"))
