"""One sandbox for the whole run; every test has a bot, and students, of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiogram.methods import GetUpdates

from backend.sandbox.student import SandboxClient, Student
from backend.sandbox.testing import running_sandbox
from tests.sandbox.bots import Blocking, Scene
from tests.sandbox.desk import Desk, open_desk


@pytest.fixture(scope="session")
def box() -> Iterator[SandboxClient]:
    with running_sandbox() as client:
        yield client


@pytest.fixture
def scene(box: SandboxClient) -> Iterator[Scene]:
    """A bot and a student who has already pressed Start."""
    account = box.create_bot()
    bot = Blocking(box.api, account.token)
    olga = box.student("Olga", username="olga", language_code="ru", bot=account)
    olga.start()
    bot.update()
    bot(GetUpdates(offset=bot.offset))
    yield Scene(box, account, bot, olga)
    bot.close()


@pytest.fixture
def bot(scene: Scene) -> Blocking:
    return scene.bot


@pytest.fixture
def olga(scene: Scene) -> Student:
    return scene.olga


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database_url, tmp_path / "data") as opened:
        yield opened
