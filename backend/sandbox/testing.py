"""Real servers for tests: in a thread of this process, or as a process that can be killed."""

import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from backend.sandbox.app import Sandbox, mount
from backend.sandbox.student import SandboxClient

START_SECONDS = 90.0  # aiogram alone takes seconds to import on a busy machine


def free_port() -> int:
    """A port for a server that starts later, or once more.

    Not one of those that the system hands to outgoing connections (32768 and up): one of these may have it by then.
    """
    while True:
        port = 16_000 + secrets.randbelow(16_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Runs any application under uvicorn in a thread; yields its origin.

    A sandbox on `app.state.sandbox` is told to stop first, so that no long poll holds the server.
    """
    port = port or free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name=f"uvicorn-{port}", daemon=True)
    thread.start()
    try:
        _await(lambda: server.started or not thread.is_alive())
        yield f"http://127.0.0.1:{port}"
    finally:
        sandbox: Sandbox | None = getattr(app.state, "sandbox", None)
        if sandbox is not None:
            sandbox.stop()
        server.should_exit = True
        thread.join(START_SECONDS)


@contextmanager
def running_sandbox(path: Path | None = None) -> Iterator[SandboxClient]:
    """A sandbox alone, in a thread: `with running_sandbox() as box: ...`."""
    app = FastAPI(openapi_url=None, telemetry={"tracing": False, "metrics": False, "logs": False})
    mount(app, path=path, page=False)
    with served(app) as origin, SandboxClient(origin) as client:
        yield client


class SandboxProcess:
    """A sandbox as a process of its own, to be killed and started again on the same state file."""

    def __init__(self, state: Path) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "backend.sandbox", "--port", str(self.port)]
        self._command += ["--state", str(state)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own module
        _await(lambda: _answers(self.port))

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not start")
        time.sleep(0.02)
