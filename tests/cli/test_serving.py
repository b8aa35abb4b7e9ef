"""The first start and every later one, as real processes."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from backend.core.config import ROOT, Settings
from tests.conftest import POSTGRES
from tests.doors import token_of

if POSTGRES:
    pytest.skip("the first start is about files; its database work is tested on both", allow_module_level=True)

Start = Callable[..., "School"]


@dataclass
class School:
    """A `serve` process: what it said, and where it listens."""

    process: subprocess.Popen[str]
    said: str

    @property
    def url(self) -> str:
        found = re.search(r"Address\s+(\S+)", self.said)
        assert found is not None, self.said
        return found[1]

    @property
    def link(self) -> str | None:
        found = re.search(r"Sign in\s+(\S+)", self.said)
        return found[1] if found else None

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path, headers={"Accept-Language": "en"}, timeout=60)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return kept | {"PYTHONPATH": str(ROOT), "API_PORT": "0", "RUN_JOBS": "0", "BOT_MODE": "off"} | changes


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def call(*arguments: str, **changes: str) -> School:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve", *arguments],
            cwd=tmp_path, env=environment(**changes), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        running.append(process)
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if line == "\n" and "API" in said:
                break
        return School(process, said)

    yield call
    for process in running:
        process.kill()
        process.communicate(timeout=60)


def refusal(folder: Path, *arguments: str, **changes: str) -> str:
    """What a start that cannot be says; the exit code is 1."""
    command = [sys.executable, "-m", "backend.cli", "serve", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(**changes), text=True, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr


def test_the_first_start_opens_a_school(start: Start, tmp_path: Path) -> None:
    school = start("--no-demo")
    assert school.get("/health").json() == {"status": "ok"}
    assert "server" not in school.get("/health").headers
    lines = [line.split(maxsplit=1)[0] for line in school.said.splitlines() if line.startswith("  ")]
    assert lines == ["Address", "Sign", "Sandbox", "API", "Secrets"]

    written = (tmp_path / ".env").read_text()
    assert re.fullmatch(r"#.*\nSECRET_KEY=[\w-]{64}\nSANDBOX=1\n", written)
    for private in (".env", "lyceum.db", "data"):
        assert stat.S_IMODE((tmp_path / private).stat().st_mode) & 0o077 == 0, private

    assert school.link is not None
    with httpx2.Client(headers={"Accept-Language": "en", "Sec-Fetch-Site": "same-origin"}, timeout=60) as browser:
        page = browser.get(school.link)
        assert "Sign in as admin" in page.text
        answer = browser.post(school.link, data={"csrf_token": token_of(page)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
        assert browser.get(school.url + "/dashboard/settings/").status_code == 200
    assert school.stop() == 0

    again = start("--no-demo")
    assert (tmp_path / ".env").read_text() == written
    assert again.link is not None  # nobody has a password yet: without a link nobody could come in
    assert "Secrets" not in again.said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whoever_started_it_in_the_background_can_interrupt_it(start: Start, workers: str) -> None:
    """A shell lets what it starts with & ignore the signal; it comes as soon as the school is said to be open."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        school = start("--no-demo", "--workers", workers)
    finally:
        signal.signal(signal.SIGINT, before)
    assert school.stop() in (0, 130)


@pytest.mark.slow
def test_a_demo_school_is_written_once(start: Start) -> None:
    first = start()
    first.stop()
    second = start()
    assert second.get("/health/ready").json()["status"] == "ok"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(second.url.rpartition(":")[2]))) == 0


def test_the_administrator_of_the_settings_signs_in_by_password(start: Start) -> None:
    named = {"ADMIN_USERNAME": "anna", "ADMIN_PASSWORD": "tulip-kettle-orbit"}
    school = start("--no-demo", **named)
    assert school.link is not None
    body = {"username": "anna", "password": "tulip-kettle-orbit"}
    answer = httpx2.post(school.url + "/auth/login", json=body, timeout=60)
    assert answer.status_code == 200
    with httpx2.Client(headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as browser:
        page = browser.get(school.url + "/login")
        answer = browser.post(school.url + "/login", data=body | {"csrf_token": token_of(page)})
        assert answer.status_code == 303
    school.stop()
    assert start("--no-demo", **named).link is None
    assert start("--no-demo", "--link", **named).link is not None


def workers_of(school: School) -> set[int]:
    process = school.process.pid
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def kilobytes(process: int, of: str) -> int:
    found = re.search(rf"^{of}:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process stands alone")
def test_two_processes_serve_one_port_and_share_their_memory(start: Start) -> None:
    school = start("--no-demo", "--workers", "2")
    assert school.get("/health").status_code == 200
    workers = workers_of(school)
    assert len(workers) == 2
    for worker in workers:
        own = kilobytes(worker, "Private_Dirty") + kilobytes(worker, "Private_Clean")
        assert own < kilobytes(worker, "Rss") / 2

    killed = workers.pop()
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while len(workers_of(school) - {killed}) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers_of(school) - {killed}) == 2
    assert [school.get("/health").status_code for _ in range(10)] == [200] * 10
    assert school.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process stands alone")
def test_processes_end_with_their_supervisor(start: Start) -> None:
    """`kill -9` leaves nobody behind who would hold the port."""
    school = start("--no-demo", "--workers", "2")
    assert school.get("/health").status_code == 200
    workers = workers_of(school)
    school.process.kill()
    school.process.communicate(timeout=30)  # they have its output open until they end
    deadline = time.monotonic() + 30
    while (left := [worker for worker in workers if runs(worker)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def runs(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_it_says_when_the_bot_is_off(start: Start) -> None:
    school = start("--no-demo", SECRET_KEY="another-key-another-key-another-key-987654321")
    assert re.search(r"Bot\s+off: set TELEGRAM_BOT_TOKEN, or SANDBOX=1", school.said)
    assert "Sandbox" not in school.said


def test_a_busy_port_is_one_sentence_and_changes_nothing(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        told = refusal(tmp_path, API_PORT=str(port))
    assert told == (
        f"Port {port} on 127.0.0.1 is busy or not ours (Address already in use): stop the other program,"
        f" or choose another port with API_PORT={port + 1}.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_told_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        told = refusal(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written" in told
