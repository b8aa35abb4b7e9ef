"""A route that is answered without FastAPI's general way answers as it would."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, Path, Query, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from backend.core import direct
from backend.core.config import Settings
from backend.core.deps import Routes, UnitRoute, _lean, hashing, public
from backend.routes import ROUTERS
from main import create_app


class Filters(BaseModel):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    names: list[str] = []


async def _address(request: Request) -> str:
    return str(request.scope["path"])


async def _nothing() -> int:
    return 7


def routes() -> Routes:
    """One of everything that a reading route may ask for."""
    api = Routes(prefix="/api/direct", dependencies=[public])

    @api.get("/plain")
    def plain() -> object:
        return {"plain": True}

    @api.get("/{number}/{word}")
    def all_of_it(
        request: Request,
        number: Annotated[int, Path(ge=1)],
        word: str,
        params: Annotated[Filters, Query()],
        address: Annotated[str, Depends(_address)],
        seven: Annotated[int, Depends(_nothing)],
        flag: bool = False,
        since: Annotated[int | None, Query(alias="from")] = None,
    ) -> object:
        told = {"method": request.method, "number": number, "word": word, "params": params.model_dump()}
        return told | {"address": address, "seven": seven, "flag": flag, "since": since}

    @api.get("/headed", dependencies=[hashing])
    def headed(x_word: Annotated[str, Header()] = "none") -> object:
        return {"word": x_word}

    return api


@pytest.fixture(params=["direct", "FastAPI"])
def either(settings: Settings, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    if request.param == "FastAPI":
        monkeypatch.setattr(direct, "handler", lambda _needed: None)
    app = create_app(settings)
    app.router.routes.extend(routes().routes)
    yield TestClient(app, base_url="http://127.0.0.1:8000", headers={"Accept-Language": "en"})
    app.state.database.dispose()


WHOLE = {"method": "GET", "number": 5, "address": "/api/direct/5/word", "seven": 7}
ANSWERS: list[tuple[str, int, dict[str, Any]]] = [
    ("/plain", 200, {"plain": True}),
    ("/headed", 200, {"word": "none"}),
    (
        "/5/word",
        200,
        {**WHOLE, "word": "word", "params": {"limit": 50, "names": []}, "flag": False, "since": None},
    ),
    (
        "/5/%D1%81%D0%BB%D0%BE%D0%B2%D0%BE?limit=3&names=a&names=b&flag=1&from=9",
        200,
        {
            **WHOLE,
            "address": "/api/direct/5/слово",
            "word": "слово",
            "params": {"limit": 3, "names": ["a", "b"]},
            "flag": True,
            "since": 9,
        },
    ),
    ("/0/word", 422, {"number": "Must be at least 1."}),
    ("/x/word?flag=maybe&from=y", 422, {"number": "Enter a whole number.", "flag": "Must be yes or no."}),
    ("/5/word?limit=1000", 422, {"limit": "Must be at most 100."}),
]


@pytest.mark.parametrize(("path", "status", "told"), ANSWERS)
def test_both_ways_answer_alike(either: TestClient, path: str, status: int, told: dict[str, Any]) -> None:
    answer = either.get(f"/api/direct{path}")
    assert answer.status_code == status
    found = answer.json() if status == 200 else answer.json()["error"]["fields"]
    assert {name: found[name] for name in told} == told


def test_what_asks_for_more_is_left_to_fastapi() -> None:
    served = {route.name: direct.handler(_lean(route.dependant)) is not None for route in routes().routes}
    assert served == {"plain": True, "all_of_it": True, "headed": False}


def test_nearly_all_routes_that_read_are_served_directly(app: FastAPI) -> None:
    reading = [route for router in ROUTERS for route in router.routes if "GET" in route.methods]
    assert len(reading) > 150
    left = {route.path for route in reading if direct.handler(_lean(route.dependant)) is None}
    assert {re.sub(r"\{\w+\}", "N", path) for path in left} <= {"/metrics"}
    assert all(isinstance(route, UnitRoute) for route in reading)
    assert app.state.metrics
