"""The finder hands a request to the same route as a walk through all of them would."""

import re
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import Scope

from backend.core.deps import UnitRoute
from backend.core.finding import Finder, shape
from tests.conftest import Api

MOST = 30  # routes of one shape, of several hundred


def requests(app: FastAPI) -> Iterator[Scope]:
    """One for every method of every route, with a number for each parameter."""
    for route in app.router.routes:
        if isinstance(route, UnitRoute):
            for method in sorted(route.methods):
                path = re.sub(r"\{[^}]+\}", "7", route.path)
                yield {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


def first(routes: list[UnitRoute], scope: Scope) -> object:
    return next((route for route in routes if route.matches(dict(scope))[0] is Match.FULL), None)


def test_every_address_is_found_among_a_few_routes_as_among_all(app: FastAPI) -> None:
    finder = app.router.middleware_stack
    assert isinstance(finder, Finder)
    finder._sort()
    asked = list(requests(app))
    assert len(asked) > 300
    for scope in asked:
        found = finder.parts.get(shape(scope["path"]))
        part = found.routes if found else None
        assert part is None or first(part, scope) is first(app.router.routes, scope), scope["path"]
    assert max(len(part.routes) for part in finder.parts.values()) < MOST < len(app.router.routes) / 10


def test_an_unknown_address_and_a_wrong_method_are_told_apart(api: Api) -> None:
    client = api("users:read")
    assert client.get("/api/users/nowhere/at/all").status_code == 404
    assert client.request("PROPFIND", "/api/users/").status_code == 405
    assert client.get("/api/nothing").status_code == 404
