"""A big body behind a real server: whoever may not send it is refused before it is read."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backend.core.permissions import SUPPORT
from tests.conftest import SignIn

LENGTH = 51_000_000
FEW = 300_000  # what the server has taken from the socket before anyone was asked
BOUNDARY = "b" * 20
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="video"; filename="x.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
).encode()
CHUNK = HEAD + b"\0" * 60_000


@dataclass
class Door:
    """The app behind a port, with a count of the body's bytes that it asked for."""

    app: FastAPI
    port: int = 0
    taken: int = 0
    running: threading.Thread = field(default_factory=threading.Thread)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted() -> Any:
            message = await receive()
            self.taken += len(message.get("body", b""))
            return message

        await self.app(scope, counted, send)

    def send(self, headers: dict[str, str], *, length: int | None = LENGTH, end: bytes = b"") -> int:
        """The status of a POST whose body begins and, unless `end` and `length` say so, never ends."""
        size = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
        lines = ["POST /dashboard/lessons/ HTTP/1.1", "Host: 127.0.0.1:8000", size]
        lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        chunk = CHUNK + end
        if not length:
            chunk = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as wire:
            wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + chunk)
            return int(wire.recv(4096).split(b" ", 2)[1])


@pytest.fixture
def door(app: FastAPI) -> Iterator[Door]:
    made = Door(app)
    server = uvicorn.Server(uvicorn.Config(made, port=0, lifespan="off", log_config=None, proxy_headers=False))
    made.running = threading.Thread(target=server.run)
    made.running.start()
    while not server.started:
        assert made.running.is_alive()
        time.sleep(0.01)
    made.port = server.servers[0].sockets[0].getsockname()[1]
    yield made
    server.should_exit = True
    server.force_exit = True
    made.running.join(10)


def headers_of(client: TestClient) -> dict[str, str]:
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return {"Cookie": cookies, "Sec-Fetch-Site": "same-origin", "Accept-Language": "en"}


STRANGERS = [
    ("nobody", {}, 303),
    ("nobody", {"Cookie": "lyceum=made-up"}, 303),
    ("support", {}, 403),
    ("admin", {"Sec-Fetch-Site": "cross-site"}, 403),
    ("admin", {"Sec-Fetch-Site": "same-site"}, 403),
    ("admin", {"X-CSRF-Token": "made.up"}, 403),
]


@pytest.fixture
def people(admin: TestClient, staff: SignIn, client: TestClient) -> dict[str, TestClient]:
    return {"nobody": client, "admin": admin, "support": staff(SUPPORT)}


@pytest.mark.parametrize("length", [LENGTH, None])
@pytest.mark.parametrize(("who", "changes", "status"), STRANGERS)
def test_a_strangers_upload_is_not_read(
    door: Door, people: dict[str, TestClient], who: str, changes: dict[str, str], status: int, length: int | None
) -> None:
    assert door.send({**headers_of(people[who]), **changes}, length=length) == status
    assert door.taken < FEW


def test_what_an_author_sends_is_read(door: Door, admin: TestClient) -> None:
    sent = headers_of(admin) | {"X-CSRF-Token": str(admin.headers["X-CSRF-Token"])}
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    assert door.send(sent, length=len(CHUNK + end), end=end) == 422  # the other fields are missing
    assert door.taken == len(CHUNK + end)


def test_a_length_beyond_the_limit_is_refused_unread_even_of_an_admin(door: Door, admin: TestClient) -> None:
    sent = headers_of(admin) | {"X-CSRF-Token": str(admin.headers["X-CSRF-Token"])}
    assert door.send(sent, length=60_000_000) == 413
    assert door.taken < FEW
