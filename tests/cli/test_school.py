"""Schema, demo school, doctor."""

import sqlite3
import stat
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.models.users import Role, User
from backend.database.schema import alembic_config, head
from backend.database.session import Database
from tests.cli.conftest import Run

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


def test_the_past_of_the_demo_school_makes_no_history_suspicious(run: Run, file: Path) -> None:
    assert run("demo").exit_code == 0
    with sqlite3.connect(file) as made:
        assert made.execute("SELECT data FROM security_events WHERE kind = 'sys_audit_started'").fetchall() == [("{}",)]
    made.close()


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
