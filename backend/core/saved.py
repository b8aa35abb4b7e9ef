"""The saved views of whoever looks: the menu of a list, the pins of the sidebar, what is left of a stale one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError

from backend.core.context import ANONYMOUS, Principal
from backend.core.errors import InvalidError
from backend.core.i18n import _
from backend.core.links import url_with
from backend.core.navigation import FOOT, SECTIONS, Item
from backend.database.crud.views import View, ViewCRUD

ALL = "all"  # `view=all` in the address: the list as it is, whatever it opens with
MANY = 100  # parameters of one view
NOT_SAVED: dict[str, Any] = dict.fromkeys(("cursor", "view", "limit"))


def item_of(list_name: str) -> Item | None:
    """The sidebar's item of a list."""
    return ITEMS.get(list_name)


def _names(item: Item) -> tuple[str, ...]:
    return (item.route.removeprefix("crm:").removesuffix(":index"), *item.lists)


ITEMS = {name: item for section in (*SECTIONS, FOOT) for item in section.items for name in _names(item)}


def views_of(request: Request) -> list[View]:
    """Loaded once for a page, and only for those who have any. What is of a list that they may not see is left out."""
    me: Principal = getattr(request.state, "me", ANONYMOUS)
    if not me.has_views or me.user_id is None:
        return []
    found: list[View] | None = getattr(request.state, "views", None)
    if found is None:
        found = request.state.views = [view for view in _load(request, me.user_id) if may_see(me, view.list_name)]
    return found


def _load(request: Request, user_id: int) -> list[View]:
    unit = request.state.unit
    if unit.is_open:
        return ViewCRUD(unit.session).seen_by(user_id)
    with request.app.state.database.read() as own:
        return ViewCRUD(own).seen_by(user_id)


def may_see(me: Principal, list_name: str) -> bool:
    item = item_of(list_name)
    return item is not None and me.may(item.permission)


def query_of(params: BaseModel) -> str:
    """What a view keeps of an address."""
    return url_with(params, "", **NOT_SAVED).removeprefix("?")


@dataclass(frozen=True)
class Menu:
    """The views of one list. `current`: the one that is open; `changed`: with other filters than it keeps."""

    list_name: str
    own: tuple[View, ...]
    shared: tuple[View, ...]
    current: View | None
    changed: bool
    query: str
    all_url: str


def menu(request: Request, list_url: str, list_name: str, params: BaseModel) -> Menu | None:
    """None for a list that has no place in the sidebar: who may see it is not known here."""
    me: Principal = request.state.me
    if not may_see(me, list_name):
        return None
    views = [view for view in views_of(request) if view.list_name == list_name]
    asked, query = getattr(params, "view", None), query_of(params)
    current = next((view for view in views if str(view.id) == asked), None)
    return Menu(
        list_name,
        tuple(view for view in views if view.owner_id == me.user_id),
        tuple(view for view in views if view.owner_id != me.user_id),
        current,
        current is not None and sorted(parse_qsl(current.query)) != sorted(parse_qsl(query)),
        query,
        f"{list_url}?view={ALL}" if any(view.is_default for view in views) else list_url,
    )


def address(list_url: str, view_id: int, query: str) -> str:
    """Where a view opens: the list with its filters, and its number, so that the list knows it."""
    return f"{list_url}?{query}&view={view_id}" if query else f"{list_url}?view={view_id}"


def fitting(model: type[BaseModel], query: str) -> tuple[Any, list[str]]:
    """A stored query as the parameters that a list takes today, and the names of what it does not take any more.

    Raises InvalidError for more of them than any list has.
    """
    try:
        pairs = parse_qsl(query, max_num_fields=MANY)
    except ValueError:
        raise InvalidError(_("A view can have at most %s conditions.") % MANY) from None
    known = {name for name in model.model_fields if name not in NOT_SAVED}
    dropped = list(dict.fromkeys(name for name, _value in pairs if name not in known | NOT_SAVED.keys()))
    sent = _grouped(model, ((name, value) for name, value in pairs if name in known))
    try:
        params = model.model_validate(sent)
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]} or set(sent)
        dropped += sorted(wrong)
        params = model.model_validate({name: value for name, value in sent.items() if name not in wrong})
    return params, dropped


def _grouped(model: type[BaseModel], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if model.model_fields[name].annotation == list[str]:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found
