"""What one request shows of a table: the columns it asks for, its rows as HTML, the answers around them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from markupsafe import Markup, escape
from pydantic import BaseModel, Field, create_model, field_validator

from backend.core import clock, saved
from backend.core.atoms import icon
from backend.core.context import Principal
from backend.core.deps import Current, read_query
from backend.core.errors import InvalidError
from backend.core.i18n import _, current_language
from backend.core.links import set_filters, url_with
from backend.core.templating import go_to, render, render_list, wants_fragment
from backend.core.text import current_timezone, ref, zone
from backend.crm.table.cells import pencil
from backend.crm.table.declare import Action, Column, Filter, Table
from backend.database import listing
from backend.database.crud.base import BaseCRUD
from backend.database.listing import Page
from backend.database.rows import among

DENSE = "dense"
LONGEST = 40


class Look(BaseModel):
    """How a list looks, in its address beside what it shows."""

    cols: Annotated[list[str], Field(max_length=LONGEST, description="Columns, when not the usual ones")] = []
    density: Annotated[str | None, Field(max_length=10)] = None
    view: Annotated[str | None, Field(max_length=20, description="The saved view that is open, `all` for none")] = None

    @field_validator("cols", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [value or ""]
        return [name for text in texts if isinstance(text, str) for name in text.split(",") if name][:LONGEST]

    @field_validator("density")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return DENSE if value == DENSE else None

    @field_validator("view")
    @classmethod
    def _number(cls, value: str | None) -> str | None:
        return value if value == saved.ALL or (value or "").isdecimal() else None


@cache
def screen_params(params: type[BaseModel]) -> type[BaseModel]:
    """A domain's parameters with those of the look."""
    return create_model(f"{params.__name__}Screen", __base__=(Look, params))


@dataclass(frozen=True)
class Screen:
    """One list for one person; the caller is known once the endpoint runs."""

    table: Table
    request: Request
    caller: Current
    params: Any

    @property
    def me(self) -> Principal:
        return self.caller.me

    @cached_property
    def data(self) -> BaseCRUD[Any]:
        return self.table.data(self.caller.session, self.me)

    @cached_property
    def offered(self) -> Sequence[Column]:
        """The columns that the person may choose from."""
        return [column for column in self.table.columns if column.open_to(self.me)]

    @cached_property
    def filters(self) -> Sequence[Filter]:
        return [each for each in self.table.filters if each.open_to(self.me)]

    @cached_property
    def columns(self) -> Sequence[Column]:
        """The first and those that the address names, in the table's order; the usual ones when it names none."""
        chosen = set(self.params.cols) & {column.name for column in self.offered}
        first, *rest = self.offered
        return [first, *(column for column in rest if (column.name in chosen if chosen else not column.hidden))]

    @property
    def in_file(self) -> list[str]:
        """The values that a file of this list holds: of the chosen columns, everything when none are chosen."""
        names = self.table.in_file(self.columns) if self.params.cols else list(self.table.export)
        closed = self.table.closed_in_file(self.me)
        return [name for name in names if name not in closed]

    @cached_property
    def asked(self) -> Any:
        """The parameters with moments instead of days, on the clock of whoever asks.

        Raises InvalidError or AppError `bad_sort` for what the person may not ask about. It is not passed over: a verb
        on all that match would meet rows that they did not mean.
        """
        self._refuse_closed()
        return self.params.asked(zone(self.me.timezone)) if hasattr(self.params, "asked") else self.params

    def _refuse_closed(self) -> None:
        closed = [name for each in self.table.filters if not each.open_to(self.me) for name in each.names]
        if closed and (asked := set_filters(self.params).keys() & closed):
            self.request.state.labels = self.table.parameters()
            raise InvalidError(fields=dict.fromkeys(sorted(asked), _("You do not have permission to see this.")))
        if self.params.sort:
            listing.parse_sort(self.params.sort, self.table.sorts(self.me))

    def page(self) -> Page[Any]:
        return self.data.shown(self.asked, cap=listing.PAGE_CAP)

    def url(self, tail: str = "") -> str:
        """An address below the table's with the same parameters."""
        return url_with(self.params, f"{self.table.prefix}/{tail}")

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What all but the rows and the pages of a list depends on (core.kept); one page has it as the next."""
        url = url_with(self.params, self.table.prefix, cursor=None)
        return self.table.name, url, self.sort, self.may_write, self.me.permissions

    @property
    def may_write(self) -> bool:
        return self.table.write is not None and self.me.may(self.table.write)

    @cached_property
    def actions(self) -> Sequence[Action]:
        """The verbs that are offered; more may be needed than the right to change the rows."""
        return tuple(action for action in self.table.actions if self.may_do(action)) if self.may_write else ()

    def may_do(self, action: Action) -> bool:
        right = self.table.crud.verbs[action.verb].right
        return right is None or self.me.may(right)

    @property
    def dense(self) -> bool:
        return bool(self.params.density)

    @property
    def sort(self) -> str:
        """What the headings say; a search without a chosen order has one of its own, the best first."""
        if self.params.q and not self.params.sort and self.table.crud.is_indexed():
            return ""
        return self.asked.sort or self.table.crud.default_sort

    def chips(self) -> list[tuple[Filter, str]]:
        """The filters with what each says; "" while it is off."""
        on = set_filters(self.params)
        for each in self.filters:
            if each.find and each.name in on:
                named = each.find(self.caller.session).options("", on[each.name])
                on[each.name] = named[0][1] if named else ref(on[each.name])
        return [(each, each.shown(on)) for each in self.filters]

    def reversed_ranges(self) -> list[tuple[Filter, dict[str, Any]]]:
        """The filters whose end lies before their beginning, with the parameters the other way round."""
        on = set_filters(self.params)
        found = [each for each in self.filters if each.is_reversed(on)]
        return [
            (each, {name: on[other] for name, other in zip(each.names, each.names[::-1], strict=True)})
            for each in found
        ]

    @cached_property
    def label(self) -> Callable[[Any], str]:
        """What a row is called."""
        known = self.table.names is None or self.me.may(self.table.names)
        return self.table.label if known else lambda row: ref(row.id)

    def rows(self, items: Iterable[Any]) -> Markup:
        """The rows as HTML, made of the columns' functions."""
        draw = _Row(self, [self._cell(column) for column in self.columns])
        return Markup("".join(map(_once(self, draw), items)))  # noqa: S704 - the functions of the columns escape

    def _cell(self, column: Column) -> tuple[str, Callable[[Any, Any], str], str]:
        """(what opens the cell, its content, what closes it); an editable one is a button or has a pencil."""
        edit = column.edit if self.may_write and self.table.update is not None else None
        opening = f'<td class="{column.cls}">' if column.cls else "<td>"
        if edit is None:
            return opening, column.cell, "</td>"
        label = escape(_("Change: %s") % _(column.label))
        if edit.link:
            return opening, column.cell, f"{pencil(column.name, label)}</td>"
        button = f'<button type="button" class="ly-cell" data-edit="{column.name}" title="{label}">'
        return opening + button, column.cell, "</button></td>"


def screen_of(table: Table) -> Any:
    """The table as one request asks for it, as a dependency."""
    model = screen_params(table.params)

    async def build(request: Request) -> Screen:
        try:
            params = read_query(request, model)
        except RequestValidationError:
            request.state.labels = table.parameters()
            raise
        return Screen(table, request, Current(request.state.unit), params)

    return Depends(build)


DRAWN = 2_000  # rows, about 6 MB


class _Drawn:
    """The rows of this minute as they were drawn, by how they look, then by their values."""

    def __init__(self) -> None:
        self._minute = 0
        self._shelves: dict[tuple[Any, ...], dict[tuple[Any, ...], str]] = {}

    def this_minute(self) -> dict[tuple[Any, ...], dict[tuple[Any, ...], str]]:
        minute = int(clock.now().timestamp()) // 60
        if minute != self._minute or sum(map(len, self._shelves.values())) >= DRAWN:
            self._minute, self._shelves = minute, {}
        return self._shelves


_drawn = _Drawn()


def _once(screen: Screen, draw: Callable[[Any], str]) -> Callable[[Any], str]:
    """A row with the same values looks the same to the same kind of reader for a minute: it is drawn once.

    Lists are read again and again (Back, typing, several people), and drawing is most of their cost.
    """
    look = (
        screen.table.name, tuple(column.name for column in screen.columns), screen.me.permissions,
        current_language.get(), current_timezone.get(),
    )  # fmt: skip
    shelf = _drawn.this_minute().setdefault(look, {})

    def drawn(row: Any) -> str:
        values = listing.values_of(row)
        if values is None:
            return draw(row)
        try:
            found = shelf.get(values)
        except TypeError:  # it holds a JSON value
            return draw(row)
        if found is None:
            found = shelf[values] = draw(row)
        return found

    return drawn


class _Row:
    """Draws one row after another; what all of them share is put together once."""

    def __init__(self, screen: Screen, cells: Sequence[tuple[str, Callable[[Any, Any], str], str]]) -> None:
        self.screen = screen
        self.first, self.rest = cells[0], cells[1:]
        self.table = screen.table
        self.choosing = bool(screen.actions)
        self.menu = self.table.menu and screen.may_write
        self.pick, self.more = str(escape(_("Select: %s"))), str(escape(_("Actions: %s")))
        self.dots = icon("dots-vertical")
        self.fitting = [action for action in screen.actions if action.fits is not None]

    def __call__(self, row: Any) -> str:
        screen, table = self.screen, self.table
        opening, content, closing = self.first
        name = escape(screen.label(row)) if self.choosing or self.menu else ""
        parts = [f'<tr id="{table.key}-{row.id}"{self._state(row)}>', opening]
        if self.choosing:
            parts.append(
                f'<input class="form-check-input ly-tick" type="checkbox" name="ids" value="{row.id}" form="bulk"'
                f' aria-label="{self.pick % name}">'
            )
        parts += content(row, screen), closing
        for opening, content, closing in self.rest:
            parts += opening, content(row, screen), closing
        if self.menu:
            parts.append(
                f'<td class="is-tight ly-no-sm"><a class="btn btn-ghost btn-icon btn-sm ly-rowmenu" data-rowmenu'
                f' href="{escape(table.url_of(row))}" aria-label="{self.more % name}">{self.dots}</a></td>'
            )
        parts.append("</tr>")
        return "".join(parts)

    def _state(self, row: Any) -> str:
        """The verbs that this row's menu leaves out."""
        useless = [action.verb for action in self.fitting if action.fits is not None and not action.fits(row)]
        return f' data-not="{" ".join(useless)}"' if useless else ""


def respond(screen: Screen) -> Response:
    """The page or, for htmx, its changing part."""
    page, names = screen.page(), ("table/index.html", "table/_table.html")
    return render_list(screen.request, names, page=page, params=screen.params, **_around(screen, page))


def _around(screen: Screen, page: Page[Any]) -> dict[str, Any]:
    table = screen.table
    more = table.extra(screen.caller, screen.params, page) if table.extra else {}  # noqa: S610 - no Django here
    return {"screen": screen, "list_url": f"{table.prefix}/", **more}


def respond_changed(screen: Screen, ids: Sequence[int], status: int = 200) -> Response:
    """The list after these of its rows were changed, as a reload would show it: those that fit stay in their places.

    When rows leave, the counts follow; what fits on one page is drawn anew, with its empty state if it comes to that.
    """
    if not wants_fragment(screen.request):
        return go_to(screen.request, screen.url())
    data, params = screen.data, screen.params
    fitting = data.ids_of(screen.asked).where(among(data.session, data.model.id, ids))
    rows = data.rows_of(data.session.scalars(fitting).all())
    away = sorted(set(ids) - {row.id for row in rows})
    if away and params.cursor:  # perhaps the last rows of a page in the middle
        return go_to(screen.request, url_with(params, f"{screen.table.prefix}/", cursor=None))
    page = screen.page() if away else Page[Any]()
    whole = bool(away) and page.next is None
    context = {"rows": rows, "away": away, "page": page if away else None, "whole": whole, "params": params}
    return render(screen.request, "table/_changed.html", status, **context, **_around(screen, page))
