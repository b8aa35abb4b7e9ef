"""Doors that must not tell who has an account do the same work for everyone (its time: `benchmarks/enumeration.py`)."""

import re
from collections import Counter
from threading import BoundedSemaphore

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import security
from backend.database.models.users import User
from tests.figures import Figure

EMAIL = "anna@school.example"
DOORS = {
    "login": {"username": "", "password": "wrong-horse-battery"},
    "forgot-password": {"email": ""},
    "register": {"email": "", "password": "seven wild geese over the lake", "first_name": "Olga"},
}


class Gate(BoundedSemaphore):
    """What every hash of a password goes through, counting."""

    passed = 0

    def __enter__(self) -> bool:
        self.passed += 1
        return super().__enter__()


def kinds(statements: list[str]) -> Counter[str]:
    """What is done to which table. A savepoint is released or rolled back: either is the end of it."""
    found = (re.sub(r"^(RELEASE|ROLLBACK TO) SAVEPOINT.*", "END", text.replace('"', "")) for text in statements)
    return Counter(" ".join(re.findall(r"^\w+|(?<=FROM )\w+|(?<=INTO )\w+|(?<=^UPDATE )\w+", text)) for text in found)


@pytest.mark.parametrize("door", DOORS)
def test_known_and_unknown_people_cost_the_same_work(
    app: FastAPI,
    client: TestClient,
    db: Session,
    queries: list[str],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
    figure: Figure,
) -> None:
    db.scalars(select(User).where(User.login == "admin")).one().email = EMAIL
    db.flush()
    object.__setattr__(app.state.settings, "registration", True)
    gate = Gate(2)
    monkeypatch.setattr(security, "_hashing", gate)
    work = {}
    for who in ("nobody@school.example", EMAIL):
        gate.passed = 0
        queries.clear()
        body = {name: value or who for name, value in DOORS[door].items()}
        answer = client.post(f"/api/auth/{door}", json=body, headers={"X-Request-ID": "same"})
        work[who] = (answer.status_code, len(answer.content), gate.passed, kinds(queries))
    assert work[EMAIL] == work["nobody@school.example"]
    assert sum(work[EMAIL][3].values()) > 3
    figure("B6", "doors that do other work for people with an account", 0, "0", 1)
