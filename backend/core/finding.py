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
        shaped = [(_shape_of(route), route) for route in self.router.routes]
        self.known = len(shaped)
        self.parts = {}
        shapes = {ours for ours, _route in shaped if ours}
        for one in shapes:
            fitting = {None, *(ours for ours in shapes if _can_mean(ours, one))}
            part = self.parts[one] = copy.copy(self.router)
            part.routes = [route for ours, route in shaped if ours in fitting]


def _shape_of(route: BaseRoute) -> Shape | None:
    """None when it is not known, as of a folder of files."""
    return shape(route.path) if isinstance(route, UnitRoute) and ":path}" not in route.path else None


def _can_mean(ours: Shape, asked: Shape) -> bool:
    """Whether an address of the shape that is asked for may belong to a route of ours."""
    return ours[1] == asked[1] and all(
        "{" in mine or mine == theirs for mine, theirs in zip(ours[0], asked[0], strict=True)
    )


def install(router: APIRouter) -> None:
    router.middleware_stack = Finder(router)
