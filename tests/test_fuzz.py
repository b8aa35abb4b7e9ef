"""Hostile but well-formed traffic from the OpenAPI document: no input gives a server error.

CASES in all over every operation; `make fuzz` asks a running school for more.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.openapi import from_dict
from schemathesis.python import asgi
from sqlalchemy import delete
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from backend.core.permissions import Permission
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.models.auth import RateBucket
from backend.database.session import Database
from main import create_app
from tests.conftest import POSTGRES, Seed, make_settings, reset
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user

# Reading the document needs no database.
DOCUMENT = create_app(make_settings("sqlite:///unused.db", Path("unused"))).openapi()
CASES = int(os.environ.get("LYCEUM_FUZZ_CASES", "1000"))


@pytest.fixture(scope="module")
def school(template_database: str, seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document, read once, before a school with some of everything and a token that may do everything."""
    folder = tmp_path_factory.mktemp("fuzzed")
    url = template_database
    if POSTGRES:
        reset(url, seed)  # no test of this file may reset it once more
    else:
        url = f"sqlite:///{folder}/test.db"
        shutil.copy(make_url(template_database).database or "", folder / "test.db")
    app = create_app(make_settings(url, folder / "data"))
    database: Database = app.state.database
    with Session(database.engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False) as db:
        for _ in range(3):
            fill(db)
    with database.transaction() as session:
        _token, secret = ApiTokenCRUD(session).issue("fuzz", frozenset(p.value for p in Permission))
    loaded = from_dict(DOCUMENT)
    loaded.app = app
    loaded.location = "/openapi.json"
    loaded.headers = {"Authorization": f"Bearer {secret}", "Accept-Language": "en"}
    with asgi.get_client(app) as client:  # its lifespan begins once, not for each request
        loaded.client = client
        yield loaded
    database.dispose()


def fill(db: Session) -> None:
    maria, lesson = make_user(db), make_lesson(db)
    make_course(db, [lesson])
    make_promo(db)
    make_purchase(db, maria, lesson)
    make_ticket(db, maria)


@pytest.fixture
def fuzzed(school: Any) -> Any:
    """Nobody is shut out for what the tests before have tried."""
    with school.app.state.database.transaction() as session:
        session.execute(delete(RateBucket))
    return school


def operations() -> list[tuple[str, str]]:
    """(path, method) of every documented operation."""
    methods = {"get", "put", "post", "delete", "patch"}
    found = [(path, name) for path, item in DOCUMENT["paths"].items() for name in item if name in methods]
    return sorted(found, key=lambda operation: operation[1] == "delete")  # which leaves the others less to find


OPERATIONS = operations()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_input_gives_a_server_error(path: str, method: str, fuzzed: Any) -> None:
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
        answer = case.call(base_url="http://127.0.0.1:8000", headers=fuzzed.headers, session=fuzzed.client)
        assert answer.status_code < 500, (answer.status_code, answer.text)
        assert answer.status_code != 401 or "/auth/" in path  # the token counts, so the cases reach the code
        if answer.status_code >= 400 and path.startswith(("/api", "/auth")):
            assert {"code", "message", "request_id"} <= answer.json()["error"].keys()

    survives()
