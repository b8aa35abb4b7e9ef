"""A bad line to Telegram: reset, silent, slow or answered by somebody else. The bot comes through it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.dispatches import DispatchCRUD
from backend.database.models.users import User
from backend.sandbox.student import Student
from tests.bot.conftest import School

SOMEBODY = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<html"


class Wire:
    """A TCP proxy in a thread; a change of `mode` cuts what is open."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.mode = "good"
        self.loop = asyncio.new_event_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(10)

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self.over = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self.over.wait()
        server.close()
        self._cut()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # the transports end in their own turn

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await self._speak(reader, writer)
        writer.transport.abort()  # a reset, not a polite end
        self.tasks.discard(task)

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "reset":
            return
        if self.mode == "silent":
            await asyncio.sleep(60)
        if self.mode == "somebody else":
            await reader.read(65536)
            writer.write(SOMEBODY)
            await writer.drain()
            return
        if self.mode == "slow":
            await asyncio.sleep(0.7)
        back, forth = await asyncio.open_connection(self.target.hostname, self.target.port)
        pumps = [asyncio.create_task(pump(reader, forth)), asyncio.create_task(pump(back, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            forth.transport.abort()

    def _cut(self) -> None:
        for task in list(self.tasks):
            task.cancel()

    def turn(self, mode: str) -> None:
        self.mode = mode
        self.loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.over.set)
        self._thread.join(10)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.fixture
def wire(school: School) -> Iterator[Wire]:
    wire = Wire(school.settings.telegram_api_url)
    address = f"http://127.0.0.1:{wire.port}/sandbox"
    school.settings = school.settings.model_copy(update={"telegram_api_url": address})
    yield wire
    wire.close()


@pytest.mark.parametrize("mode", ["reset", "silent", "somebody else", "slow"])
def test_a_bad_line_is_come_through(school: School, wire: Wire, db: Session, mode: str) -> None:
    school.start_bot()
    olga: Student = school.student("Olga")
    assert olga.ask("/start").text.startswith("Olga, welcome")

    wire.turn(mode)
    olga.send("/help")
    owed = DispatchCRUD(db).enqueue("owed", chat_id=olga.id, method="sendMessage", params={"text": "Your answer"})
    time.sleep(1.0)
    began = time.monotonic()
    wire.turn("good")

    assert olga.wait("what I can do", timeout=20.0).by_bot
    assert time.monotonic() - began < 15
    assert school.deliver_outbox() == 1
    db.refresh(owed)
    assert owed.state == "sent"
    assert len([message for message in olga.from_bot() if message.text == "Your answer"]) == 1
    assert db.scalars(select(User.telegram_id).where(User.telegram_id == olga.id)).all() == [olga.id]


def test_a_dead_line_does_not_fill_the_log(school: School, wire: Wire, capfd: pytest.CaptureFixture[str]) -> None:
    school.start_bot()
    assert school.student("Olga").ask("/start").text.startswith("Olga, welcome")
    capfd.readouterr()

    wire.turn("reset")
    time.sleep(4.0)

    lines = [line for line in capfd.readouterr().err.splitlines() if "polling_failed" in line]
    assert 1 <= len(lines) <= 8
