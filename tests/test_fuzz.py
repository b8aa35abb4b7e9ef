"""Hostile but well-formed traffic from the OpenAPI document: no input gives a server error.

CASES in all over every operation; `LYCEUM_FUZZ_CASES` asks for more.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.openapi import from_dict
from schemathesis.schemas import BaseSchema as OpenApiSchema
from sqlalchemy.orm import Session

from backend.core.permissions import Permission
from main import create_app
from tests.conftest import Api, make_settings
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user

CASES = int(os.environ.get("LYCEUM_FUZZ_CASES", "2000"))


@pytest.fixture
def fuzzed(app: FastAPI, api: Api, db: Session) -> Any:
    """A school with one of everything, and a token that may do everything."""
    maria, lesson = make_user(db), make_lesson(db)
    make_course(db, [lesson])
    make_promo(db, code="SPRING")
    make_purchase(db, maria, lesson)
    make_ticket(db, maria)
    loaded = from_dict(app.openapi())
    loaded.app = app
    loaded.location = "/openapi.json"
    loaded.headers = {"Authorization": api(*(p.value for p in Permission)).headers["Authorization"]}
    return loaded


def operations() -> list[tuple[str, str]]:
    """(path, method) of every documented operation; reading the document needs no database."""
    document = create_app(make_settings("sqlite:///unused.db", Path("unused"))).openapi()
    methods = {"get", "put", "post", "delete", "patch"}
    return [(path, name) for path, item in document["paths"].items() for name in item if name in methods]


OPERATIONS = operations()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_input_gives_a_server_error(path: str, method: str, fuzzed: OpenApiSchema) -> None:
    strategy = fuzzed[path][method.upper()].as_strategy()

    @given(case=strategy)
    @settings(
        max_examples=CASES // len(OPERATIONS) + 1,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    def survives(case: schemathesis.Case) -> None:
        answer = case.call(base_url="http://127.0.0.1:8000", headers=fuzzed.headers)
        assert answer.status_code < 500, (answer.status_code, answer.text)
        assert answer.status_code != 401 or "/auth/" in path  # the token counts, so the cases reach the code
        if answer.status_code >= 400 and path.startswith(("/api", "/auth")):
            assert {"code", "message", "request_id"} <= answer.json()["error"].keys()

    survives()


NASTY = [
    "\0",
    "\ud800",
    "9" * 40,
    "-1",
    "%00",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "",
    " ",
    "ё" * 5000,
]


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/",
        "/dashboard/users/",
        "/dashboard/lessons/",
        "/dashboard/courses/",
        "/dashboard/promo-codes/",
        "/dashboard/sales/",
        "/dashboard/tickets/",
    ],
)
@pytest.mark.parametrize(
    "name", ["q", "sort", "cursor", "limit", "is_active", "days", "since", "status", "user_id", "tab"]
)
def test_no_query_breaks_a_page(admin: TestClient, path: str, name: str) -> None:
    for value in NASTY:
        answer = admin.get(path, params={name: value.encode("utf-8", "surrogatepass")})
        assert answer.status_code in (200, 303, 400, 404, 422), (path, name, value)
