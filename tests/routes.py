"""The routes of an app: those with a policy, and the names of all others."""

from collections.abc import Iterable, Iterator

from fastapi import FastAPI
from starlette.routing import BaseRoute

from backend.core.deps import UnitRoute

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
