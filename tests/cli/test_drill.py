"""The drill: a backup of a school that sells, signs in and answers comes up elsewhere, whole and of one moment."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import Row, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from backend.cli import checkup
from backend.core.config import Settings
from backend.database.chain.sealing import seal
from backend.database.models.auth import AuthSession
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import Message, SupportTicket
from backend.database.session import Database
from main import create_app
from tests.cli.conftest import Run
from tests.conftest import POSTGRES, Api, _postgres, make_settings
from tests.doors import ask_tokens, program
from tests.factories import make_lesson, make_promo, make_user
from tests.figures import Figure
from tests.money.till import Till

pytestmark = pytest.mark.usefixtures("migrated")


class Worker(threading.Thread):
    """Round after round a new student buys with a code and asks, the staff answer, and an administrator signs in.

    In this order, one by one: at any moment no later step was done more often than the one before, nor twice less.
    """

    def __init__(self, number: int, app: FastAPI, till: Till, db: Session, rounds: int) -> None:
        super().__init__()
        self.number, self.app, self.till = number, app, till
        self.students = [make_user(db, last_name=f"Worker {number}") for _ in range(rounds)]
        self.lesson = make_lesson(db, price=100)
        self.stop, self.rounds, self.failed = threading.Event(), 0, ""

    def run(self) -> None:
        try:
            for student in self.students:
                if self.stop.is_set():
                    return
                self.till.buy(student, self.lesson, "SPRING")
                asked = self.till.bot.post("/api/tickets/", json=self.question(student.id))
                told = {"from": "staff", "text": f"Answer of worker {self.number}"}
                answered = self.till.bot.post(f"/api/tickets/{asked.json()['id']}/messages", json=told)
                entered = ask_tokens(program(self.app, f"198.51.100.{self.number}"))
                assert (asked.status_code, answered.status_code, entered.status_code) == (201, 201, 200)
                self.rounds += 1
            raise AssertionError("the students ran out before the backup was done")
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            self.failed = repr(error)

    def question(self, user_id: int) -> dict[str, object]:
        return {"user_id": user_id, "subject": f"Worker {self.number}", "message": "It does not open"}


@contextmanager
def at_work(workers: list[Worker], database: Database, settings: Settings, warm: int) -> Iterator[None]:
    """They work until the block ends, each for `warm` rounds before it begins; the chain is sealed all the while."""
    done = threading.Event()

    def keep_sealing() -> None:
        while not done.is_set():
            seal(database, settings)
            time.sleep(0.05)

    threads: list[threading.Thread] = [*workers, threading.Thread(target=keep_sealing)]
    for thread in threads:
        thread.start()
    try:
        while any(worker.rounds < warm for worker in workers):
            assert not [worker.failed for worker in workers if worker.failed]
            time.sleep(0.02)
        yield
    finally:
        for worker in workers:
            worker.stop.set()
        for worker in workers:
            worker.join()
        done.set()
        threads[-1].join()


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[str]:
    """The address of an empty database elsewhere."""
    if not POSTGRES:
        yield f"sqlite:///{tmp_path}/elsewhere/school.db"
        return
    name = f"{make_url(database_url).database}_copy"
    _postgres(f'CREATE DATABASE "{name}"')
    yield make_url(database_url).set(database=name).render_as_string(hide_password=False)
    _postgres(f'DROP DATABASE "{name}" WITH (FORCE)')


def counted(session: Session, worker: Worker) -> list[int]:
    """How often each step of this worker's rounds stands in the database, in their order."""
    steps = (
        select(func.count(Purchase.id)).where(Purchase.lesson_id == worker.lesson.id),
        select(func.count(SupportTicket.id)).where(SupportTicket.subject == f"Worker {worker.number}"),
        select(func.count(Message.id)).where(Message.body == f"Answer of worker {worker.number}"),
        select(func.count(AuthSession.id)).where(AuthSession.ip == f"198.51.100.{worker.number}"),
    )
    return [session.scalar(step) or 0 for step in steps]


def check_copy(copy: Database, settings: Settings, workers: list[Worker], least: list[int]) -> None:
    """No orphan, books that agree, a chain that is whole, and per worker one moment of its rounds."""
    orphans: list[Row[tuple[object, ...]]] = []
    with copy.read() as session:
        if copy.is_sqlite:  # PostgreSQL proves foreign keys as it restores them
            orphans = list(session.execute(text("PRAGMA foreign_key_check")).all())
        steps = [counted(session, worker) for worker in workers]
    assert orphans == []
    assert list(checkup.weak_data(settings)) == []
    for found, acknowledged, worker in zip(steps, least, workers, strict=True):
        assert found == sorted(found, reverse=True)
        assert found[0] - found[-1] in (0, 1)
        assert acknowledged <= found[-1] <= worker.rounds


Crew = Callable[[int, int], list[Worker]]


@pytest.fixture
def crew(app: FastAPI, api: Api, db: Session) -> Crew:
    """So many workers with students for so many rounds each."""
    make_promo(db, code="SPRING", max_uses=10**6)
    return lambda count, rounds: [Worker(n, app, Till(api("bot", "tickets:write")), db, rounds) for n in range(count)]


def drill(run: Run, workers: list[Worker], place: str, warm: int, backups: int) -> int:
    """`warm`: rounds of each worker before the backups, of which the last one is restored. Returns its rounds."""
    settings, database = workers[0].app.state.settings, workers[0].app.state.database
    with at_work(workers, database, settings, warm):
        noted = run("audit", "verify").stderr
        for number in range(backups):
            least = [worker.rounds for worker in workers]
            done = run("backup", f"{number}.tar.gz")
            assert done.exit_code == 0, done.stderr
    assert not [worker.failed for worker in workers if worker.failed]

    elsewhere = Path("elsewhere").absolute()
    with pytest.MonkeyPatch.context() as there:
        there.setenv("DATABASE_URL", place)
        there.setenv("DATA_DIR", str(elsewhere))
        done = run("restore", f"{backups - 1}.tar.gz")
        assert done.exit_code == 0, done.stderr
        proved = run("audit", "verify", "--head", noted.split()[-1])
    assert (proved.exit_code, "rows in" in proved.stdout) == (0, True), (noted, proved.stderr)
    moved = make_settings(place, elsewhere)
    copied = create_app(moved)
    check_copy(copied.state.database, moved, workers, least)
    assert ask_tokens(program(copied)).status_code == 200  # and the school opens there
    copied.state.database.dispose()
    return sum(least)


LACKING = "acknowledged rounds of work that a restored backup lacks"


def test_a_backup_of_a_busy_school_comes_up_elsewhere(run: Run, crew: Crew, place: str, figure: Figure) -> None:
    kept = drill(run, crew(2, 40), place, warm=1, backups=1)
    figure("A11", LACKING, 0, "0", kept)


@pytest.mark.slow
def test_the_second_backup_of_a_crowded_school_does_too(run: Run, crew: Crew, place: str, figure: Figure) -> None:
    kept = drill(run, crew(5, 200), place, warm=2, backups=2)  # five tries at a time is what one account may have
    figure("A11", LACKING, 0, "0", kept)
