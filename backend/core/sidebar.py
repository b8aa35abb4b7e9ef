"""The sidebar of one page: what of core.navigation is there for this person, and their own views below it."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from fastapi import Request

from backend.core import saved
from backend.core.context import Principal
from backend.core.i18n import _
from backend.core.links import Links
from backend.core.navigation import FOOT, SECTIONS, Item, Link, Pin

Pins = tuple[tuple[str, Pin], ...]  # by the route of their list


@dataclass(frozen=True)
class Sidebar:
    """What it depends on; put together only when a page draws it (core.kept finds it again by these values)."""

    rights: frozenset[str]
    current: str
    badges: tuple[tuple[str, int], ...]
    pins: Pins
    links: Links = field(compare=False)

    @property
    def sections(self) -> list[tuple[str, list[Link]]]:
        """(title, its links)."""
        return [pair for pair in self._told[:-1] if pair[1]]

    @property
    def foot(self) -> list[Link]:
        return self._told[-1][1]

    @cached_property
    def _told(self) -> list[tuple[str, list[Link]]]:
        shown = _shown(self.links, self.rights)
        return [(_(title) if title else "", [self._link(item, url) for item, url in items]) for title, items in shown]

    def _link(self, item: Item, url: str) -> Link:
        keeper = f"crm:{item.badge}:badge"
        live = self.links.url(keeper) if self.links.has(keeper) else ""
        count, waiting = dict(self.badges).get(item.badge), _(item.waiting) if item.waiting else ""
        pins = [pin for route, pin in self.pins if route == item.route]
        return Link(
            _(item.label), item.icon, url, url == self.current, count, waiting, item.badge, live, pins, item.key
        )


def drawn(request: Request, me: Principal, links: Links) -> Sidebar:
    badges: dict[str, int] = getattr(request.state, "badges", {})
    current = _current(request.scope["path"], links, me.permissions)
    return Sidebar(me.permissions, current, tuple(badges.items()), _pins(request, links), links)


@lru_cache(maxsize=64)
def _shown(links: Links, rights: frozenset[str]) -> list[tuple[str, list[tuple[Item, str]]]]:
    """(title, its items with their addresses) that someone with these rights sees; the foot comes last."""
    return [
        (
            section.title,
            [
                (item, links.url(item.route))
                for item in section.items
                if item.permission in rights and links.has(item.route)
            ],
        )
        for section in (*SECTIONS, FOOT)
    ]


def _pins(request: Request, links: Links) -> Pins:
    """The views that the person keeps in the sidebar."""
    is_open = request.query_params.get("view")
    return tuple(
        (
            item.route,
            Pin(view.name, links.url("crm:views:open", view_id=view.id), is_open == str(view.id)),
        )
        for view in saved.views_of(request)
        if view.is_pinned and (item := saved.item_of(view.list_name))
    )


@lru_cache(maxsize=1000)
def _current(path: str, links: Links, rights: frozenset[str]) -> str:
    """The sidebar's address that holds this path, the longest of several; the overview holds only itself."""
    home = links.url("crm:dashboard:index")
    holding = [
        (held, url)
        for _title, items in _shown(links, rights)
        for item, url in items
        for held in (url, *(links.url(route) for route in item.holds))
        if path == held or (held != home and path.startswith(held.rstrip("/") + "/"))
    ]
    return max(holding, key=lambda pair: len(pair[0]), default=("", ""))[1]
