"""Rules that hold for every route, present and future."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from backend.core.deps import UnitRoute
from backend.core.permissions import WRITE_ACTIONS, Permission
from backend.core.units import is_api
from backend.routes import API, CRM, ROUTERS
from tests.conftest import Api

# Routes outside a unit of work, because they hash a password, stream or serve machines. Each has tests of its own.
APART = {
    "/login",
    "/logout",
    "/enter/{token}",
    "/auth/login",
    "/auth/refresh",
    "/auth/logout",
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/logout",
    "/health",
    "/health/ready",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/",
    "/bot/webhook",
}


def routes_of(routers: tuple[APIRouter, ...]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield route


def name(route: APIRoute) -> str:
    return f"{min(route.methods)} {route.path}"


UNITS = [route for route in routes_of(ROUTERS) if isinstance(route, UnitRoute) and not route.policy.public]
DUMMY = {"token": "x", "code": "x"}


def address(route: APIRoute) -> str:
    path = route.path
    for parameter in route.param_convertors:
        path = path.replace("{" + parameter + "}", DUMMY.get(parameter, "1"))
        path = path.replace("{" + parameter + ":path}", "x")
    return path


def test_every_other_route_is_named_here() -> None:
    apart = {route.path for route in routes_of(ROUTERS) if not isinstance(route, UnitRoute) or route.policy.public}

    assert apart - APART - {path for path in apart if path.startswith("/sandbox")} <= {
        "/dashboard/settings/language",
        "/dashboard/settings/theme",
    }


@pytest.mark.parametrize("route", UNITS, ids=name)
def test_a_write_needs_a_right_to_write(route: UnitRoute) -> None:
    actions = {permission.split(":")[-1] for group in route.policy.groups for permission in group}

    assert route.methods <= {"GET"} or actions & WRITE_ACTIONS or route.path.endswith("/auth/logout")


@pytest.mark.parametrize("route", UNITS, ids=name)
def test_an_outsider_gets_nothing(route: UnitRoute, client: TestClient) -> None:
    answer = client.request(min(route.methods), address(route))

    if is_api(route.path):
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
    else:
        assert (answer.status_code, answer.headers["Location"][:6]) == (303, "/login")


@pytest.mark.parametrize("route", [r for r in UNITS if r.path.startswith("/api") and r.policy.groups], ids=name)
def test_a_token_without_the_right_gets_nothing(route: UnitRoute, api: Api) -> None:
    others = sorted(
        permission.value
        for permission in Permission
        if permission is not Permission.BOT and not any(permission in group for group in route.policy.groups)
    )
    needed = route.policy.groups[0]
    client = api(*(scope for scope in others if scope not in needed))

    answer = client.request(min(route.methods), address(route))

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_names_tell_the_door_and_the_domain() -> None:
    doors = ("crm:", "auth:", "docs:", "system:")
    wrong = [r.name for r in routes_of(CRM) if r.path not in APART and not r.name.startswith(doors)]
    assert wrong == []


def test_api_routes_have_summaries() -> None:
    bare = [
        name(route) for route in routes_of(API) if route.include_in_schema and not (route.summary or route.description)
    ]
    assert bare == []
