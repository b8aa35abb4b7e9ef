"""The real bot on the real app, against the sandbox's Bot API over real HTTP."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from backend.bot import payments
from backend.bot.http import Patience
from backend.bot.run import make_api, make_service, run_bot
from backend.bot.service import Service
from backend.core.config import Settings
from backend.core.permissions import expand_scopes
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.session import Database
from backend.jobs.outbox import Outbox
from backend.jobs.sending import ByTelegram
from backend.jobs.sending import make_bot as sender_bot
from backend.sandbox.student import BotAccount, SandboxClient, Student
from backend.sandbox.testing import running_sandbox

PATIENCE = 15.0


class Line:
    """The way from the bot to /api, which a test may cut."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.down = ""  # requests whose path contains this fail
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(f"{scope['method']} {scope['path']}")
        if self.down and self.down in scope["path"]:
            await JSONResponse({"error": {"code": "unavailable"}}, 503)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class RunningBot:
    """The bot in a thread with an event loop of its own."""

    def __init__(self, make: Callable[[], Service], settings: Settings, *, by_webhook: bool) -> None:
        self._make = make
        self._settings = settings
        self._by_webhook = by_webhook
        self._loop = asyncio.new_event_loop()
        self._begun = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self.service: Service | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._begun.wait(PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _main(self) -> None:
        self.service = self._make()
        work = run_bot(self._settings, self.service, by_webhook=self._by_webhook)
        self._task = asyncio.create_task(work)
        self._begun.set()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._finish()

    async def _finish(self) -> None:
        """An update that came by webhook may still be in hand: it must not outlive its loop."""
        begun = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        late = (await asyncio.wait(begun, timeout=2.0))[1] if begun else begun
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def stop(self) -> None:
        """As on SIGTERM: what has begun is finished."""
        if self._thread.is_alive() and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@dataclass
class School:
    """One app, one database, one bot, as many students as a test wants."""

    line: Line
    settings: Settings
    box: SandboxClient
    account: BotAccount
    token: str
    database: Database
    bots: list[RunningBot] = field(default_factory=list)

    def start_bot(self, *, by_webhook: bool = False) -> RunningBot:
        def make() -> Service:
            api = make_api("http://127.0.0.1:8000", lambda: self.token, self.line)
            return make_service(self.settings, api, self.account.token)

        bot = RunningBot(make, self.settings, by_webhook=by_webhook)
        self.bots.append(bot)
        return bot

    def hurry(self) -> None:
        """A test that takes /api away need not wait as long as a student would."""
        for bot in self.bots:
            assert bot.service is not None
            bot.service.api = bot.service.api.patient(Patience(1.0))

    def student(self, first_name: str = "Olga", language_code: str = "en", **names: str) -> Student:
        return self.box.student(first_name, language_code=language_code, bot=self.account, **names)

    def calls(self, method: str) -> list[dict[str, Any]]:
        return self.box.calls(method, self.account)

    def deliver_outbox(self) -> int:
        """Lets the real sender empty the outbox; how many calls left."""
        before = self._left()
        asyncio.run(self._send())
        assert self._left("failed") == 0
        return before

    async def _send(self) -> None:
        bot, stop = sender_bot(self.account.token, self.settings.bot_api_url), asyncio.Event()
        sending = asyncio.create_task(Outbox(self.database, ByTelegram(bot), "tests").run(stop))
        while self._left():  # noqa: ASYNC110 - rows tell no event
            await asyncio.sleep(0.05)
        stop.set()
        await sending
        await bot.session.close()

    def _left(self, *states: str) -> int:
        with self.database.read() as session:
            counted = select(func.count()).where(Dispatch.state.in_(states or ("pending", "sending")))
            return session.scalar(counted) or 0


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxClient]:
    with running_sandbox() as client:
        yield client


@pytest.fixture
def bot_settings(settings: Settings, sandbox: SandboxClient) -> Settings:
    changes = {"telegram_api_url": sandbox.api, "school_name": "Window Light"}
    return settings.model_copy(update=changes)


@pytest.fixture
def school(
    app: FastAPI, database: Database, bot_settings: Settings, sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[School]:
    # Nobody sends the outbox until a test does: a receipt would be waited for in vain.
    monkeypatch.setattr(payments, "RECEIPT_SECONDS", 0.0)
    with database.transaction() as session:
        _row, token = ApiTokenCRUD(session).issue("bot", expand_scopes(["bot"]))
    account = sandbox.create_bot()
    sandbox.rules(account, rate=False)
    school = School(Line(app), bot_settings, sandbox, account, token, database)
    yield school
    school.line.down = ""
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
def ivan(running: School) -> Student:
    return running.student("Иван", language_code="ru")


@pytest.fixture
def fresh(db: Session) -> Callable[[], Session]:
    """The session, seeing what the app has written since."""

    def look() -> Session:
        db.rollback()
        db.expire_all()
        return db

    return look
