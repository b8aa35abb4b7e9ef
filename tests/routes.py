"""The routes of an app: those with a policy, and the names of all others."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.routing import BaseRoute

from backend.core.deps import UnitRoute
from backend.database.schemas.base import Input

# What is no UnitRoute: files that are everyone's, Telegram's calls, which bring a secret, and the sandbox, which is for
# this machine and the staff. tests/test_doors_attacked.py looks at each.
OUTSIDE = [
    "Mount /static",
    "Route /bot/webhook",
    "APIRoute /sandbox/",
    "APIRoute /sandbox",
    "APIRoute /sandbox/events",
    "APIRoute /sandbox/act/{verb}",
    "Mount /sandbox",
]


def flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)  # FastAPI keeps what was included as it came
        yield from (route,) if included is None else flat(included.routes)


def routes_of(app: FastAPI) -> Iterator[UnitRoute]:
    return (route for route in flat(app.router.routes) if isinstance(route, UnitRoute))


def outside(app: FastAPI) -> list[str]:
    return [
        f"{type(route).__name__} {getattr(route, 'path', route)}"
        for route in flat(app.router.routes)
        if not isinstance(route, UnitRoute)
    ]


Schemas = dict[str, list[type[BaseModel]]]
"""What each route reads its form or body with, by method and path without the last slash."""


def schemas_of(app: FastAPI) -> Schemas:
    return {
        f"{method} {route.path.rstrip('/')}": list(schemas(route.dependant))
        for route in routes_of(app)
        for method in route.methods or ()
    }


def schemas(dependant: Any) -> Iterator[type[BaseModel]]:
    for dependency in dependant.dependencies:
        for cell in getattr(dependency.call, "__closure__", None) or ():
            if isinstance(cell.cell_contents, type) and issubclass(cell.cell_contents, Input):
                yield cell.cell_contents
        yield from schemas(dependency)
    for field in dependant.body_params:
        kind = field.field_info.annotation
        for one in (kind, *get_args(kind)):  # or an optional body
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield one
