"""The product as it runs: `uvicorn main:app` in processes of its own, which a test may kill."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from backend.sandbox.testing import free_port
from tests.conftest import SECRET

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
START_SECONDS = 100


class Server:
    """One web process on a free port."""

    def __init__(self, database_url: str, data_dir: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(data_dir),
            "API_PORT": str(self.port),
            "API_RATE_LIMIT": "0",
            "BOT_MODE": "off",
            "RUN_JOBS": "0",
            **settings,
        }
        self.log = data_dir.with_name(f"server-{self.port}.log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Begins to start; `ready` waits for it."""
        command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--no-access-log"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        return self

    def ready(self) -> "Server":
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"no server after {START_SECONDS} s: {self.log.read_text()}")

    def kill(self) -> None:
        """kill -9: no goodbye, no flush."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


def at_once(work: Callable[[T], Any], items: Iterable[T], threads: int = 16) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
