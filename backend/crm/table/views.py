"""Saved views as a table opens them: what it takes no more, or not from this person, is left out and named."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from backend.core import saved
from backend.core.deps import Current
from backend.core.i18n import _
from backend.core.links import set_filters
from backend.core.templating import flash, go_to, wants_fragment
from backend.crm.table.declare import TABLES, Table
from backend.crm.table.screen import Screen, screen_params
from backend.database.crud.views import View
from backend.database.models.views import SavedView


def opens_with(screen: Screen) -> Response | None:
    """On to the view that the person opens this list with, from its bare address alone."""
    request = screen.request
    if request.url.query or wants_fragment(request):
        return None
    views = [view for view in saved.views_of(request) if view.is_default and view.list_name == screen.table.name]
    return opened(request, screen.caller, views[0]) if views else None


def opened(request: Request, caller: Current, view: View | SavedView) -> Response:
    """On to the view's list."""
    table = TABLES[view.list_name]
    query, dropped = fitting(table, caller, view.query)
    if dropped:
        told = _(
            "The view “%(name)s” uses something that no longer exists or is closed to you: %(what)s. The rest is shown."
        )
        flash(request, told % {"name": view.name, "what": ", ".join(dropped)}, kind="warn")
    return go_to(request, saved.address(f"{table.prefix}/", view.id, query))


def fitting(table: Table, caller: Current, query: str) -> tuple[str, list[str]]:
    """A query as the table takes it today from this person, and what it does not take, in words."""
    params, dropped = saved.fitting(screen_params(table.params), query)
    offered = {column.name for column in table.columns if column.open_to(caller.me)}
    kept: dict[str, Any] = {"cols": [name for name in params.cols if name in offered]}
    if kept["cols"] != params.cols:
        dropped.append("cols")
    if params.sort and params.sort.removeprefix("-") not in table.sorts(caller.me):
        kept["sort"] = None
        dropped.append("sort")
    for name in _unfit(table, caller, params):
        kept[name] = type(params).model_fields[name].default
        dropped.append(name)
    return saved.query_of(params.model_copy(update=kept)), list(_named(table, dropped))


def _unfit(table: Table, caller: Current, params: Any) -> Iterator[str]:
    """The filters that ask about what the person may not see, or for a record that is gone."""
    on = set_filters(params)
    for each in table.filters:
        if not each.open_to(caller.me):
            yield from (name for name in each.names if name in on)
        elif each.find is not None and each.name in on and not each.find(caller.session).options("", on[each.name]):
            yield each.name


def _named(table: Table, names: Iterable[str]) -> Iterable[str]:
    labels = table.parameters()
    return dict.fromkeys(_(labels[name]) if name in labels else name for name in names)
