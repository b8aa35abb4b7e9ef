"""Which route an address means. FastAPI asks one after another: of several hundred, a tenth of a page's time."""

import copy

from fastapi.routing import APIRouter
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from backend.core.deps import UnitRoute


def beginning(path: str) -> str:
    """The first two segments: "/dashboard/users" of "/dashboard/users/5"."""
    return "/".join(path.split("/", 3)[:3])


class Finder:
    """Stands before a router and lets it look only at the routes that begin as the address does, in their order."""

    def __init__(self, router: APIRouter) -> None:
        self.router = router
        self.known = 0
        self.parts: dict[str, APIRouter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.router.routes) != self.known:
            self._sort()
        scope["router"] = self.router  # addresses are made of all routes
        part = None if scope.get("root_path") else self.parts.get(beginning(scope.get("path", "")))
        await (part or self.router).app(scope, receive, send)

    def _sort(self) -> None:
        named = [(_fixed(route), route) for route in self.router.routes]
        self.known = len(named)
        self.parts = {}
        for name in {name for name, _route in named if name}:
            part = self.parts[name] = copy.copy(self.router)
            part.routes = [route for fixed, route in named if fixed in ("", name)]


def _fixed(route: BaseRoute) -> str:
    """How every address of a route begins; "" when that is not known, as of a folder of files."""
    name = beginning(route.path_format) if isinstance(route, UnitRoute) else ""
    return "" if "{" in name else name


def install(router: APIRouter) -> None:
    router.middleware_stack = Finder(router)
