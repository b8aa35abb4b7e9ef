"""The real bot on the real app, against the sandbox's Bot API over real HTTP."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session

from backend.bot.run import make_api, make_service, run_bot
from backend.bot.service import Service
from backend.core.config import Settings
from backend.core.permissions import expand_scopes
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.session import Database
from backend.sandbox.student import BotAccount, SandboxClient, Student
from backend.sandbox.testing import running_sandbox

START_SECONDS = 10.0


class RunningBot:
    """The bot in a thread with an event loop of its own."""

    def __init__(self, make: Callable[[], Service], settings: Settings, *, by_webhook: bool) -> None:
        self._make = make
        self._settings = settings
        self._by_webhook = by_webhook
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self.service: Service | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.service = self._make()
        self._task = self._loop.create_task(
            run_bot(self._settings, self.service, by_webhook=self._by_webhook)
        )
        self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def stop(self) -> None:
        """As on SIGTERM: what has begun is finished."""
        if self._thread.is_alive() and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(START_SECONDS)


@dataclass
class School:
    """One app, one database, one bot, as many students as a test wants."""

    app: FastAPI
    settings: Settings
    box: SandboxClient
    account: BotAccount
    token: str
    bots: list[RunningBot] = field(default_factory=list)

    def start_bot(self, *, by_webhook: bool = False) -> RunningBot:
        def make() -> Service:
            api = make_api("http://127.0.0.1:8000", lambda: self.token, self.app)
            return make_service(self.settings, api, self.account.token)

        bot = RunningBot(make, self.settings, by_webhook=by_webhook)
        self.bots.append(bot)
        return bot

    def student(self, first_name: str = "Olga", language_code: str = "en", **names: str) -> Student:
        return self.box.student(first_name, language_code=language_code, bot=self.account, **names)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxClient]:
    with running_sandbox() as client:
        yield client


@pytest.fixture
def bot_settings(settings: Settings, sandbox: SandboxClient) -> Settings:
    return settings.model_copy(update={"telegram_api_url": sandbox.api, "school_name": "Lyceum"})


@pytest.fixture
def school(
    app: FastAPI, database: Database, bot_settings: Settings, sandbox: SandboxClient
) -> Iterator[School]:
    with database.transaction() as session:
        _row, token = ApiTokenCRUD(session).issue("bot", expand_scopes(["bot"]))
    account = sandbox.create_bot()
    sandbox.rules(account, rate=False)
    school = School(app, bot_settings, sandbox, account, token)
    yield school
    for bot in school.bots:
        bot.stop()


@pytest.fixture
def running(school: School) -> School:
    """A school whose bot is polling."""
    school.start_bot()
    return school


@pytest.fixture
def olga(running: School) -> Student:
    return running.student("Olga")


@pytest.fixture
def ольга(running: School) -> Student:
    return running.student("Ольга", language_code="ru")


@pytest.fixture
def fresh(db: Session) -> Callable[[], Session]:
    """The session, seeing what the app has written since."""

    def look() -> Session:
        db.rollback()
        db.expire_all()
        return db

    return look
