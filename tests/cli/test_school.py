"""Schema, demo school, doctor."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from backend.cli import doctor
from backend.core.config import Settings
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.models.users import Role, User
from backend.database.schema import alembic_config, head
from backend.database.session import Database
from tests.cli.conftest import Run
from tests.conftest import make_settings
from tests.factories import make_promo

OLDEST = "202611211030"


@pytest.fixture
def file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///./school.db")
    return folder / "school.db"


def test_migrate_makes_schema_and_roles_and_may_be_repeated(run: Run, file: Path) -> None:
    for _ in range(2):
        done = run("migrate")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"The database is at {head()}.\n")
    database = Database(f"sqlite:///{file}")
    with database.read() as session:
        assert session.scalar(select(func.count(Role.id))) == 5
    database.dispose()
    assert not (file.parent / "backups").exists()


def test_a_change_of_schema_begins_with_a_copy(run: Run, file: Path) -> None:
    command.upgrade(alembic_config(f"sqlite:///{file}"), OLDEST)
    with sqlite3.connect(file) as old:
        old.execute("INSERT INTO roles (name, permissions, is_system) VALUES ('Гость', '[]', 0)")
    old.close()
    done = run("migrate")
    [copy] = (file.parent / "backups").iterdir()
    assert done.stderr.splitlines() == [
        f"Before the change of schema the database was copied to {copy}.", f"The database is at {head()}.",
    ]  # fmt: skip
    assert copy.name.startswith(f"school-{OLDEST}-")
    with sqlite3.connect(copy) as kept:
        assert kept.execute("SELECT name FROM roles").fetchall() == [("Гость",)]
        assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLDEST,)]
    kept.close()


def test_without_room_for_the_copy_nothing_is_changed(run: Run, file: Path) -> None:
    command.upgrade(alembic_config(f"sqlite:///{file}"), OLDEST)
    (file.parent / "backups").write_text("in the way")
    done = run("migrate")
    assert (done.exit_code, "could not be copied to" in done.stderr) == (1, True)
    with sqlite3.connect(file) as old:
        assert old.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLDEST,)]
    old.close()


def test_a_newer_schema_is_refused(run: Run, file: Path) -> None:
    run("migrate")
    with sqlite3.connect(file) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '209901010000'")
    newer.close()
    done = run("migrate")
    assert (done.exit_code, done.stderr) == (
        1,
        f"The database is ahead of the program (at 209901010000, knows {head()}): install the newer version again.\n",
    )


@pytest.mark.usefixtures("migrated")
def test_the_demo_school_comes_and_goes(run: Run, db: Session) -> None:
    assert run("demo").exit_code == 0
    db.rollback()
    assert (db.scalar(select(func.count(User.id))) or 0) > 200
    assert run("demo").stderr == "Nothing to do.\n"
    assert run("demo", "--remove").exit_code == 0
    db.rollback()
    assert db.scalar(select(func.count(User.id))) == 1


def test_the_demo_school_comes_into_a_folder_that_has_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    assert run("demo").exit_code == 0
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert run("demo").stderr == "Nothing to do.\n"


# -- doctor


def weak(**changes: object) -> list[str]:
    values = {"secret_key": "another-key-another-key-another-key-987654321", **changes}
    config = make_settings(str(values.pop("database_url", "sqlite:///./x.db")), Path("data"), **values)
    return [line.partition(":")[0].partition(" ")[0] for line in doctor.weak_settings(config)]


FINE: dict[str, object] = {"telegram_bot_token": "123456:x", "api_rate_limit": 1200}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"base_url": "http://school.example", "allow_http": True, "trusted_proxies": "10.0.0.1"}, ["BASE_URL"]),
        ({"base_url": "https://school.example"}, ["BASE_URL"]),
        ({"base_url": "https://school.example", "trusted_proxies": "10.0.0.1"}, []),
        ({"debug": True}, ["DEBUG"]),
        ({"telegram_bot_token": "", "sandbox": True}, ["SANDBOX"]),
        ({"telegram_bot_token": ""}, ["No"]),
        ({"api_rate_limit": 0}, ["API_RATE_LIMIT=0"]),
        ({"access_token_expire_minutes": 61}, ["ACCESS_TOKEN_EXPIRE_MINUTES"]),
        ({"trusted_proxies": "*"}, ["TRUSTED_PROXIES=*"]),
        ({"admin_password": "tulip-kettle-orbit"}, ["ADMIN_PASSWORD"]),
        ({"admin_password": "password1234"}, ["ADMIN_PASSWORD", "ADMIN_PASSWORD"]),
        ({"database_url": "postgresql://lyceum@db/x"}, ["DATABASE_URL"]),
        ({"database_url": "postgresql://lyceum:postgres@db/x"}, ["DATABASE_URL"]),
        ({"database_url": "postgresql://lyceum@127.0.0.1/x"}, []),
        ({"database_url": "postgresql://lyceum:k3jh4g5@db.example/x"}, ["The"]),
        ({"database_url": "postgresql://lyceum:k3jh4g5@db.example/x?sslmode=verify-full"}, []),
    ],
)
def test_every_weak_setting_is_listed(changes: dict[str, object], named: list[str]) -> None:
    assert weak(**{**FINE, **changes}) == named


@pytest.mark.usefixtures("migrated")
def test_doctor_lists_and_counts(run: Run, db: Session, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:x")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if database.is_sqlite:
        Path(database.engine.url.database or "").chmod(0o600)
    weak_password = [] if database.is_sqlite else ["- "]
    done = run("doctor")
    if not weak_password:
        assert (done.exit_code, done.stdout) == (0, "Nothing weak was found.\n")

    Path(".env").write_text("")
    Path(".env").chmod(0o644)
    db.scalars(select(User)).one().password_hash = None
    ApiTokenCRUD(db).issue("forgotten", frozenset({"users:read"}))
    ApiTokenCRUD(db).issue("built-in bot", frozenset({"bot"}))
    db.commit()
    done = run("doctor")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-4:] == [
        "- .env can be read by other users of this machine: chmod go= .env",
        "- admin has no password yet: set one in the settings.",
        "- The API token 'forgotten' was never used: revoke it in the settings.",
        "3 to mend.",
    ]


@pytest.mark.usefixtures("migrated")
def test_one_weakness_is_one(run: Run, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("the tests' PostgreSQL has no password")
    Path(database.engine.url.database or "").chmod(0o600)
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:x")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = run("doctor")
    assert (done.exit_code, done.stdout.splitlines()) == (
        1, ["- Lyceum runs as root: run it as a user of its own.", "One to mend."],
    )  # fmt: skip


def found(config: Settings) -> list[str]:
    return list(doctor.weak_data(config))


def test_doctor_looks_into_the_database(settings: Settings, db: Session, tmp_path: Path) -> None:
    assert found(settings) == []
    db.scalars(select(User)).one().is_active = False
    db.commit()
    assert found(settings) == ["There is no administrator: python -m backend.cli create-admin"]
    nowhere = make_settings(f"sqlite:///{tmp_path}/none/x.db", tmp_path)
    assert found(nowhere)[0].startswith("The folder ")
    empty = make_settings(f"sqlite:///{tmp_path}/empty.db", tmp_path)
    assert found(empty)[0].startswith("The database is behind the program")


def test_doctor_reads_the_books(settings: Settings, db: Session) -> None:
    make_promo(db, code="SPRING", current_uses=3)
    db.commit()
    [line] = found(settings)
    assert line.startswith("The books do not agree: I3 promo codes whose counter is not the number of")


@pytest.mark.parametrize("first", [1, -8])
def test_doctor_sees_a_damaged_database(db: Session, database: Database, first: int) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL checks itself")
    db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    db.close()
    database.dispose()
    path = Path(database.engine.url.database or "")
    content = bytearray(path.read_bytes())
    for page in range(first % (len(content) // 4096), len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)
    assert any("damaged" in line for line in doctor.damage(database))
    database.dispose()


def test_little_room_on_the_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "FEW_BYTES", 10**18)
    lines = list(doctor.weak_files(make_settings(f"sqlite:///{tmp_path}/x.db", tmp_path)))
    assert lines[-1] == f"Less than 1000000000 GB is free on the disk of {tmp_path}: make room."
