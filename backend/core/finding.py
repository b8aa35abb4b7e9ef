"""Which route an address means. FastAPI asks one after another: of several hundred, a tenth of a page's time."""

import copy

from fastapi.routing import APIRouter
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from backend.core.deps import UnitRoute

Shape = tuple[tuple[str, ...], int]


def shape(path: str) -> Shape:
    """The first two segments and the number of slashes: (("dashboard", "users"), 3) of "/dashboard/users/5"."""
    return tuple(path.split("/", 3)[1:3]), path.count("/")


class Finder:
    """Stands before a router and lets it look only at the routes of the address' shape, in their order."""

    def __init__(self, router: APIRouter) -> None:
        self.router = router
        self.known = 0
        self.parts: dict[Shape, APIRouter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.router.routes) != self.known:
            self._sort()
        scope["router"] = self.router  # addresses are made of all routes
        part = None if scope.get("root_path") else self.parts.get(shape(scope.get("path", "")))
        await (part or self.router).app(scope, receive, send)

    def _sort(self) -> None:
        routes = self.router.routes
        self.known = len(routes)
        self.parts = {}
        for one in {shape(route.path) for route in routes if isinstance(route, UnitRoute)}:
            part = self.parts[one] = copy.copy(self.router)
            part.routes = [route for route in routes if _can_mean(route, one)]


def _can_mean(route: BaseRoute, asked: Shape) -> bool:
    """Whether an address of this shape may belong to the route; who knows that of a folder of files."""
    if not isinstance(route, UnitRoute) or ":path}" in route.path:
        return True
    segments, slashes = shape(route.path)
    return slashes == asked[1] and all(
        "{" in ours or ours == theirs for ours, theirs in zip(segments, asked[0], strict=True)
    )


def install(router: APIRouter) -> None:
    router.middleware_stack = Finder(router)
