"""A text of our own in every field of every form and body: in no log or metric, and no secret in a table (B18)."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.base import Base
from tests.access import API, PAGES, Rule, everything
from tests.conftest import Api
from tests.doors import browser, program
from tests.figures import Figure
from tests.routes import Schemas, schemas_of

TEXT, SECRET = "canary-5b1d", "canary-of-a-secret-7f3a"
# What is never to be kept as it came, whoever sends it; codes of second factors, but no promo codes.
SECRETS = {"password", "repeat", "current", "otp", "refresh_token", "answer", "draft", "carried"}
CODES = {"AppForm", "ConfirmForm", "SecondForm"}
Sent = dict[str, Any]


def filled(schemas: list[type[BaseModel]]) -> Sent:
    """Each field with a text, long enough for a password."""
    return {
        name: SECRET if name in SECRETS or (name == "code" and schema.__name__ in CODES) else TEXT
        for schema in schemas
        for name in schema.model_fields
    }


def bodies(read: Schemas, rule: Rule) -> Iterator[Sent]:
    """All at once, and each alone: of many wrong fields a handler may look at the first only."""
    every = filled(read[rule.name.rstrip("/")])
    yield every
    yield from ({name: value} for name, value in every.items())


def written(app: FastAPI, capfd: pytest.CaptureFixture[str]) -> str:
    told = capfd.readouterr()
    metrics: bytes = app.state.metrics.render()
    return told.err + told.out + metrics.decode()


def test_nothing_that_is_sent_is_written_to_a_log_or_a_metric(
    app: FastAPI, admin: TestClient, api: Api, db: Session, capfd: pytest.CaptureFixture[str], figure: Figure
) -> None:
    ids, read = everything(db), schemas_of(app)
    senders = {
        True: (api("bot", *(scope for rule in API for scope in rule.scopes if ":" in scope)), program(app)),
        False: (admin, browser(app)),
    }
    tried, left = 0, ("/logout", "/delete", "/return", "/sessions/revoke")  # or nobody is there to send the rest
    for rule in (*API, *PAGES):
        if rule.path.endswith(left) or rule.method == "DELETE":
            continue
        for client in senders[rule in API]:
            for sent in bodies(read, rule) if rule.writes else ({"q": TEXT, "next": f"/{TEXT}", "password": SECRET},):
                kind = "params" if not rule.writes else "json" if rule in API else "data"
                client.request(rule.method, rule.address(ids), **{kind: sent})
                tried += 1
    assert tried > 1000
    seen = written(app, capfd)
    assert '"event": "request"' in seen
    lines = [line for line in seen.splitlines() if TEXT in line or SECRET in line]
    assert lines == []
    tables = Base.metadata.sorted_tables
    assert [table.name for table in tables if SECRET in str(db.execute(select(table)).all())] == []
    figure("B18", "canaries found in logs, errors, metrics or the database", 0, "0", tried)
