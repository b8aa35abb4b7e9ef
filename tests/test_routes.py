"""Rules that hold for every route, present and future."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from backend.core.deps import UnitRoute
from backend.core.permissions import WRITE_ACTIONS
from backend.routes import API, CRM, ROUTERS

# Routes that are open to everyone: ways in, language and theme, and what serves machines. Each has tests of its own.
APART = {
    "/login",
    "/login/second",
    "/login/second/passkey",
    "/login/passkey",
    "/logout",
    "/enter/{token}",
    "/invite/{token}",
    "/auth/login",
    "/auth/refresh",
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/forgot-password",
    "/api/auth/register",
    "/forgot",
    "/forgot/sent",
    "/register",
    "/register/sent",
    "/reset/{token}",
    "/confirm/{token}",
    "/welcome/{token}",
    "/login/with/{provider}",
    "/login/from/{provider}",
    "/health",
    "/health/ready",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/",
    "/dashboard/settings/language",
    "/dashboard/settings/theme",
}


def routes_of(routers: tuple[APIRouter, ...]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield route


def name(route: APIRoute) -> str:
    return f"{min(route.methods)} {route.path}"


UNITS = [route for route in routes_of(ROUTERS) if isinstance(route, UnitRoute) and not route.policy.public]


def test_every_other_route_is_named_here() -> None:
    apart = {route.path for route in routes_of(ROUTERS) if not isinstance(route, UnitRoute) or route.policy.public}
    assert apart == APART


@pytest.mark.parametrize("route", UNITS, ids=name)
def test_a_write_needs_a_right_to_write(route: UnitRoute) -> None:
    actions = {permission.split(":")[-1] for group in route.policy.groups for permission in group}

    assert (
        route.methods <= {"GET"}
        or actions & WRITE_ACTIONS
        or route.path.endswith(("/auth/logout", "/dashboard/return"))
    )


def test_names_tell_the_door_and_the_domain() -> None:
    doors = ("crm:", "auth:", "docs:", "system:")
    wrong = [r.name for r in routes_of(CRM) if r.path not in APART and not r.name.startswith(doors)]
    assert wrong == []


def test_api_routes_have_summaries() -> None:
    bare = [
        name(route) for route in routes_of(API) if route.include_in_schema and not (route.summary or route.description)
    ]
    assert bare == []
