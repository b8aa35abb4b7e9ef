"""Whether time or words tell who has an account: `python -m benchmarks.enumeration [--people 500]`.

The doors of the API are asked about people who have an account and as many who have none, mixed. AUC is the chance
that a known one is answered slower than an unknown one: 0.5 tells nothing. The goal: 0.45 to 0.55, and bodies that are
equal byte by byte; exit code 1 when it is missed. With TEST_DATABASE_URL it measures PostgreSQL, else SQLite.
"""

import argparse
import gc
import os
import random
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from fastapi.testclient import TestClient

from backend import init_roles
from backend.core import recovery, security, signin, signup
from backend.core.config import Settings
from backend.core.permissions import MANAGER
from backend.database.crud.users import UserCRUD
from backend.database.schema import migrate
from backend.database.session import Database
from benchmarks.storage import throwaway
from main import create_app

LEAST, MOST = 0.45, 0.55
DOORS = {
    "login": ("/api/auth/login", lambda who: {"username": who, "password": "wrong-horse-battery"}),
    "forgot-password": ("/api/auth/forgot-password", lambda who: {"email": who}),
    "register": (
        "/api/auth/register",
        lambda who: {"email": who, "password": "seven wild geese over the lake", "first_name": "Olga"},
    ),
}


def lift_limits() -> None:
    """A thousand questions from one address are what the limits are there to refuse."""
    for module, names in (
        (signin, ("ADDRESS", "EVERYONE")),
        (recovery, ("ADDRESS",)),
        (signup, ("ADDRESS", "EVERYONE")),
    ):
        for name in names:
            setattr(module, name, 1_000_000)


def populate(database: Database, people: int) -> None:
    hashed = security.hash_password("a password that nobody types")
    with database.transaction() as session:
        init_roles(session)
        users = UserCRUD(session)
        for number in range(people):
            person = users.create_staff(login=f"known{number}", password_hash=hashed, role=MANAGER)
            person.email = f"known{number:05}@school.example"


def ask(client: TestClient, door: str, people: int, again: int) -> tuple[float, set[bytes]]:
    """AUC and the different bodies of one door; `again` names people who have no account yet."""
    path, body = DOORS[door]
    known = [(f"known{number:05}@school.example", True) for number in range(people)]
    asked = known + [(f"never{again}{number:05}@school.example", False) for number in range(people)]
    random.Random(7).shuffle(asked)
    times: dict[bool, list[float]] = {True: [], False: []}
    bodies: set[bytes] = set()
    for who, has_account in asked:
        gc.collect(0)
        started = time.perf_counter()
        answer = client.post(path, json=body(who), headers={"X-Request-ID": "same"})
        times[has_account].append(time.perf_counter() - started)
        assert answer.status_code in (200, 202, 204, 401), answer.text
        bodies.add(answer.content.replace(answer.headers["x-request-id"].encode(), b"-"))
    wins = sum((a > b) + (a == b) / 2 for a in times[True] for b in times[False])
    print(f"{door}: known {median(times[True]) * 1000:.2f} ms, unknown {median(times[False]) * 1000:.2f} ms", end="; ")
    return wins / people**2, bodies


def tells_nothing(client: TestClient, door: str, people: int) -> bool:
    """Once more when it seems to: of 500 pairs in which nothing is to be told one in a hundred is outside by chance."""
    for again in range(2):
        auc, bodies = ask(client, door, people, again)
        kept = LEAST <= auc <= MOST and len(bodies) == 1
        print(f"AUC {auc:.3f}, {len(bodies)} kind of body: {'kept' if kept else 'MISSED'}", flush=True)
        if kept or len(bodies) > 1:
            return kept
    return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enumeration", description=__doc__)
    parser.add_argument("--people", type=int, default=500, help="with an account, and as many without")
    people = parser.parse_args().people
    lift_limits()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        served = os.environ.get("TEST_DATABASE_URL")
        url = stack.enter_context(throwaway("enumeration")) if served else f"sqlite:///{Path(folder, 'school.db')}"
        database = Database(url)
        migrate(database)
        populate(database, people)
        settings = Settings(
            _env_file=None,
            database_url=url,
            data_dir=Path(folder),
            secret_key=secrets.token_urlsafe(48),
            registration=True,
            api_rate_limit=0,
            run_jobs=False,
            bot_mode="off",
        )
        client = TestClient(create_app(settings), base_url="http://127.0.0.1:8000")
        client.get("/health")
        kept = [tells_nothing(client, door, people) for door in DOORS]
        database.dispose()
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
