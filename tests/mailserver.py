"""A mail server over real TCP: says what a test told it to say, and keeps what it was given."""

import asyncio
import base64
import contextlib
import email.policy
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser


@dataclass
class Taken:
    """One letter as it came over the wire."""

    sender: str
    recipients: list[str]
    raw: bytes
    secure: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        found = BytesParser(policy=email.policy.default).parsebytes(self.raw)
        assert isinstance(found, EmailMessage)
        return found

    def part(self, subtype: str) -> str:
        found = self.message.get_body((subtype,))
        assert found is not None
        return str(found.get_content())


@dataclass
class MailServer:
    """`answers`: what it says next to a command instead of 250, as {"RCPT": ["550 5.1.1 no such user"]}."""

    tls: ssl.SSLContext | None = None
    accounts: dict[str, str] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)
    silent: bool = False
    taken: list[Taken] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)  # the commands
    port: int = 0

    def __enter__(self) -> "MailServer":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_error: object) -> None:
        async def close() -> None:
            self._server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._talk, "127.0.0.1", 0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            await asyncio.sleep(60)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
            await Talk(self, reader, writer).run()
        writer.close()


@dataclass
class Talk:
    """One connection."""

    server: MailServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    secure: bool = False
    user: str | None = None
    sender: str = ""
    recipients: list[str] = field(default_factory=list)

    async def run(self) -> None:
        await self.say("220 test ESMTP")
        while line := (await self.reader.readline()).decode().strip():
            verb = line[:4].upper()
            self.server.heard.append(verb)
            if self.server.answers.get(verb):
                await self.say(self.server.answers[verb].pop(0))
            else:
                answer = getattr(self, verb.lower(), None)
                await (answer(line) if answer else self.say("250 ok"))
            if verb == "QUIT":
                return

    async def say(self, words: str) -> None:
        self.writer.write(words.encode() + b"\r\n")
        await self.writer.drain()

    async def ehlo(self, _line: str) -> None:
        starttls = ["250-STARTTLS"] if self.server.tls and not self.secure else []
        await self.say("\r\n".join(["250-test", *starttls, "250-SMTPUTF8", "250 AUTH PLAIN"]))

    async def star(self, _line: str) -> None:
        assert self.server.tls is not None
        await self.say("220 go")
        await self.writer.start_tls(self.server.tls)
        self.secure = True

    async def auth(self, line: str) -> None:
        _nothing, self.user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        right = self.server.accounts.get(self.user) == password
        await self.say("235 ok" if right else "535 5.7.8 wrong password")

    async def mail(self, line: str) -> None:
        self.sender, self.recipients = _within(line), []
        await self.say("250 ok")

    async def rcpt(self, line: str) -> None:
        self.recipients.append(_within(line))
        await self.say("250 ok")

    async def data(self, _line: str) -> None:
        await self.say("354 go")
        raw = await self.reader.readuntil(b"\r\n.\r\n")
        self.server.taken.append(Taken(self.sender, self.recipients, raw[:-5], self.secure, self.user))
        await self.say("250 taken")

    async def quit(self, _line: str) -> None:
        await self.say("221 bye")


def _within(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
