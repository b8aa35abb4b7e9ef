"""A client that costs little: one socket, prepared bytes, no library between.

Run as a program it holds a page in an endless loop: python -m benchmarks.client PORT < request
"""

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

END = b"\r\n\r\n"
SIZE = 1 << 18
IDLE_SECONDS = 3  # uvicorn closes a connection that is silent for 5, as one is while its rival answers slowly


class UnexpectedError(RuntimeError):
    """An answer that is not 200; its beginning is the message."""


def request(path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    """The bytes of a GET, or of a POST when there is a body."""
    known = {"Host": "127.0.0.1", **headers}
    if body is not None:
        known |= {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in known.items()]
    return "\r\n".join(lines).encode() + END + (body or b"")


def complete(data: bytes) -> int | None:
    """The length of the whole answer at the beginning of `data`, None while it is not all there."""
    head = data.find(END)
    if head < 0:
        return None
    lower = data[:head].lower()
    at = lower.find(b"content-length:")
    if at < 0:
        raise UnexpectedError(data[:300].decode("utf-8", "replace"))
    length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
    whole = head + len(END) + length
    return whole if len(data) >= whole else None


class Wire:
    """One kept connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.used = time.monotonic()

    def ask(self, sent: bytes) -> bytes:
        """The whole answer. Raises UnexpectedError unless it is a 200."""
        self.socket.sendall(sent)
        data = b""
        while True:
            more = self.socket.recv(SIZE)
            if not more:
                raise UnexpectedError("the server closed the connection")
            data += more
            whole = complete(data)
            if whole is not None:
                break
        if not data.startswith(b"HTTP/1.1 200"):
            raise UnexpectedError(data[:600].decode("utf-8", "replace"))
        return data[:whole]

    def body(self, sent: bytes) -> bytes:
        return self.ask(sent).split(END, 1)[1]

    def time(self, sent: bytes, times: int) -> list[float]:
        """Milliseconds of each of so many requests, one after another."""
        if time.monotonic() - self.used > IDLE_SECONDS:
            self.close()
            self._connect()
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            self.ask(sent)
            taken.append((time.perf_counter() - started) * 1000)
        self.used = time.monotonic()
        return taken

    def close(self) -> None:
        self.socket.close()


class _Loop(asyncio.Protocol):
    """Asks again as soon as it has its answer: every `step`-th request, from the first on."""

    def __init__(self, sent: Sequence[bytes], until: float, first: int, step: int) -> None:
        self.sent = sent
        self.until = until
        self.next = first
        self.step = step
        self.data = b""
        self.done = 0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.transport.write(self.sent[self.next % len(self.sent)])
        self.next += self.step

    def data_received(self, data: bytes) -> None:
        self.data += data
        if complete(self.data) is None:
            return
        if not self.data.startswith(b"HTTP/1.1 200"):
            self.closed.set_exception(UnexpectedError(self.data[:300].decode("utf-8", "replace")))
            self.transport.close()
            return
        self.data = b""
        self.done += 1
        if time.perf_counter() < self.until:
            self._ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def rate(port: int, sent: Sequence[bytes], *, clients: int = 16, seconds: float = 4.0) -> float:
    """Answers a second to so many clients that ask without a pause; they share the requests out."""

    async def run() -> float:
        started = time.perf_counter()
        until = started + seconds
        create, loops = asyncio.get_running_loop().create_connection, []
        for number in range(clients):
            made = partial(_Loop, sent, until, number, clients)
            loops.append((await create(made, "127.0.0.1", port))[1])
        await asyncio.gather(*(loop.closed for loop in loops))
        return sum(loop.done for loop in loops) / (time.perf_counter() - started)

    return asyncio.run(run())


def main() -> None:
    wire, sent = Wire(int(sys.argv[1])), sys.stdin.buffer.read()
    with suppress(KeyboardInterrupt, OSError):
        while True:
            wire.ask(sent)


if __name__ == "__main__":
    main()
