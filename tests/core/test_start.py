"""What a start puts right by itself, whichever command starts the app, and whom it believes."""

import json
import threading

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.permissions import AUTHOR, SUPPORT, SYSTEM_ROLES
from backend.database.crud.roles import ensure_roles
from backend.database.models.auth import AuthSession
from backend.database.models.users import Role
from backend.database.session import Database
from main import create_app
from tests.conftest import ORIGIN, PASSWORD, make_settings
from tests.doors import BASE, program, sign_in, token_of

RIGHTS = {name: sorted(permissions) for name, permissions in SYSTEM_ROLES.items()}


def roles(db: Session) -> dict[str, list[str]]:
    return {role.name: role.permissions for role in db.scalars(select(Role).execution_options(populate_existing=True))}


def damage(db: Session) -> None:
    """As `alembic upgrade head` alone, or an older version, leaves it."""
    db.execute(delete(Role).where(Role.name == SUPPORT))
    db.scalars(select(Role).where(Role.name == AUTHOR)).one().permissions = ["lessons:read"]
    db.commit()


def test_the_start_brings_the_roles_up_to_date(app: FastAPI, db: Session) -> None:
    damage(db)
    with TestClient(app, base_url=BASE) as client:
        assert client.get("/health").status_code == 200
    assert roles(db) == RIGHTS


def test_processes_that_start_at_once_do_not_stumble_over_each_other(settings: Settings, db: Session) -> None:
    damage(db)
    databases = [Database(settings.database_url) for _ in range(4)]
    failures: list[Exception] = []

    def start(database: Database) -> None:
        try:
            ensure_roles(database)
        except Exception as error:  # noqa: BLE001 - the test shows whatever it was
            failures.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.dispose()
    assert (failures, roles(db)) == ([], RIGHTS)


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "seen"),
    [
        ("10.0.0.7", "10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "198.51.100.66, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("10.0.0.7", "198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("", "127.0.0.1", "203.0.113.9", "127.0.0.1"),
    ],
)
def test_an_address_is_believed_of_trusted_proxies_only(
    settings: Settings, db: Session, trusted: str, peer: str, header: str, seen: str
) -> None:
    app = create_app(make_settings(settings.database_url, settings.data_dir, trusted_proxies=trusted))
    headers = {**ORIGIN, "X-Forwarded-For": header}
    client = TestClient(app, base_url=BASE, headers=headers, follow_redirects=False, client=(peer, 1))
    client.headers["X-CSRF-Token"] = token_of(client.get("/login"))
    assert sign_in(client, PASSWORD).status_code == 303
    assert db.scalars(select(AuthSession.ip)).all() == [seen]
    app.state.database.dispose()


def test_what_machines_ask_all_day_does_not_fill_the_log(app: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    client = program(app, "127.0.0.1")
    for path in ("/health", "/health/ready", "/metrics", "/login"):
        assert client.get(path).status_code == 200
    assert program(app, "203.0.113.5").get("/metrics").status_code == 401
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["path"], line["status"]) for line in lines if line["event"] == "request"] == [
        ("/login", 200),
        ("/metrics", 401),
    ]
