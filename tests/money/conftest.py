from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from tests.factories import make_lesson, make_user
from tests.money.till import Till

Later = Callable[[timedelta], None]


@pytest.fixture
def till(bot: TestClient) -> Till:
    return Till(bot)


@pytest.fixture
def maria(db: Session) -> User:
    return make_user(db)


@pytest.fixture
def lesson(db: Session) -> Lesson:
    return make_lesson(db, price=249)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Lets time pass: `later(timedelta(minutes=16))`."""

    def move(by: timedelta) -> None:
        now = clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + by)

    return move
