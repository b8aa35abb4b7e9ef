"""The sidebar of one page: what of core.navigation is there for this person, and their own views below it."""

from typing import Any

from fastapi import Request

from backend.core import saved
from backend.core.context import Principal
from backend.core.i18n import _
from backend.core.links import Links
from backend.core.navigation import FOOT, SECTIONS, Item, Link, Pin


def drawn(request: Request, me: Principal, links: Links) -> dict[str, Any]:
    """[(title, [Link])] and the foot's links."""

    def shown(items: tuple[Item, ...]) -> list[Item]:
        return [item for item in items if me.may(item.permission) and links.has(item.route)]

    sections = [(section.title, shown(section.items)) for section in (*SECTIONS, FOOT)]
    urls = {item.route: links.url(item.route) for _title, items in sections for item in items}
    current = _current(request.url.path, list(urls.values()))
    badges: dict[str, int] = getattr(request.state, "badges", {})
    pins = _pins(request, links)

    def link(item: Item) -> Link:
        url, count = urls[item.route], badges.get(item.badge)
        waiting = _(item.waiting) if item.waiting else ""
        keeper = f"crm:{item.badge}:badge"
        live = links.url(keeper) if links.has(keeper) else ""
        shown_as = _(item.label), item.icon, url, url == current
        return Link(*shown_as, count, waiting, item.badge, live, pins.get(item.route, ()), item.key)

    told = [(_(title) if title else "", [link(item) for item in items]) for title, items in sections]
    return {"sections": [pair for pair in told[:-1] if pair[1]], "foot": told[-1][1]}


def _pins(request: Request, links: Links) -> dict[str, list[Pin]]:
    """The views that the person keeps in the sidebar, by the route of their list."""
    found: dict[str, list[Pin]] = {}
    for view in saved.views_of(request):
        if view.is_pinned:
            address, is_open = links.url("crm:views:open", view_id=view.id), request.query_params.get("view")
            pin = Pin(view.name, address, is_open == str(view.id))
            found.setdefault(f"crm:{view.list_name}:index", []).append(pin)
    return found


def _current(path: str, urls: list[str]) -> str:
    """The sidebar's address that holds this path; /dashboard/, which holds others, only itself."""
    fitting = [
        url
        for url in urls
        if path == url
        or (path.startswith(url.rstrip("/") + "/") and not any(u != url and u.startswith(url) for u in urls))
    ]
    return max(fitting, key=len, default="")
