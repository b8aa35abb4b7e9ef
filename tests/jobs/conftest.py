"""The sender against the sandbox: real HTTP, a bot and students of each test's own."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.dispatches import DispatchCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.session import Database
from backend.jobs.outbox import Outbox
from backend.jobs.sending import ByTelegram, make_bot
from backend.sandbox.student import BotAccount, SandboxClient, Student
from backend.sandbox.testing import running_sandbox


@pytest.fixture(scope="session")
def box() -> Iterator[SandboxClient]:
    with running_sandbox() as client:
        yield client


class School:
    """A bot at the sandbox, its students, and a sender that runs while a test waits."""

    def __init__(self, box: SandboxClient, database: Database, db: Session) -> None:
        self.box = box
        self.database = database
        self.db = db
        self.account: BotAccount = box.create_bot()
        self.api_url = box.api

    def student(self, name: str = "Olga") -> Student:
        student = self.box.student(name, bot=self.account)
        student.start()
        return student

    def queue(self, student: Student | int, text: str, **values: object) -> int:
        chat_id = student if isinstance(student, int) else student.id
        made = DispatchCRUD(self.db).enqueue(
            f"test:{chat_id}:{text}",
            chat_id=chat_id,
            method="sendMessage",
            params={"text": text},
            **values,  # type: ignore[arg-type] # what a test wants different
        )
        self.db.commit()
        return made.id

    def row(self, dispatch_id: int) -> Dispatch:
        self.db.rollback()
        statement = select(Dispatch).where(Dispatch.id == dispatch_id)
        return self.db.scalars(statement, execution_options={"populate_existing": True}).one()

    def state(self, *ids: int) -> list[str]:
        return [self.row(dispatch_id).state for dispatch_id in ids]

    def send_until(self, done: Callable[[], bool], *, seconds: float = 20, holder: str = "test") -> None:
        """Runs a sender until `done`. Raises NoAnswerError."""
        asyncio.run(self._send_until(done, seconds, holder))

    async def _send_until(self, done: Callable[[], bool], seconds: float, holder: str) -> None:
        bot = make_bot(self.account.token, self.api_url)
        stop = asyncio.Event()
        task = asyncio.create_task(Outbox(self.database, ByTelegram(bot), holder).run(stop))
        try:
            await asyncio.to_thread(self.box.wait_until, done, seconds)
        finally:
            stop.set()
            await task
            await bot.session.close()


@pytest.fixture
def school(box: SandboxClient, database: Database, db: Session) -> School:
    return School(box, database, db)
