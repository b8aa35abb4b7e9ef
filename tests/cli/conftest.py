"""The commands as an operator calls them: in a folder of one's own, with the settings in the environment."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import update
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from backend.cli import app
from backend.core import clock
from backend.database.models.history import ChangeSet
from backend.database.models.users import User
from backend.sandbox.testing import free_port
from tests.conftest import SECRET

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with a SECRET_KEY and the port of nobody."""
    made = tmp_path / "school"
    made.mkdir()
    monkeypatch.chdir(made)
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("API_PORT", str(free_port()))
    return made


@pytest.fixture
def migrated(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a database that holds the schema and the administrator of the tests."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return folder


@pytest.fixture(autouse=True)
def just_opened(request: pytest.FixtureRequest) -> None:
    """The school of the tests is an hour old. Here it has just opened: nobody had to seal its history yet."""
    if "db" in request.fixturenames:
        db: Session = request.getfixturevalue("db")
        db.execute(update(ChangeSet).values(at=clock.now()))
        db.execute(update(User).values(created_at=clock.now()))


@pytest.fixture
def run() -> Iterator[Run]:
    """A command in this process; what it does to the process's umask ends with the test."""

    def call(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=text)

    umask = os.umask(0o077)
    os.umask(umask)
    yield call
    os.umask(umask)
