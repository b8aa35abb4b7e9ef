"""The sealer of the chain among people at work: beside another one, killed, and when the chain is broken."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.events import Event
from backend.database.chain import sealing
from backend.database.chain.digests import TABLES
from backend.database.chain.sealing import close, find_head, last_block, seal
from backend.database.chain.verifying import verify
from backend.database.models.audit import SecurityEvent
from backend.database.session import Database
from backend.jobs.sealing import once
from tests.database.chained import problem, sql, work


@contextmanager
def writing(database: Database, writers: int) -> Iterator[list[Exception]]:
    """So many people at work beside the block; what went wrong."""
    stop, failed = threading.Event(), list[Exception]()

    def write() -> None:
        try:
            while not stop.is_set():
                work(database)
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_two_sealers_among_eight_writers_put_every_row_into_one_block(
    database: Database, settings: Settings, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "MOST", 40)
    with writing(database, 8) as failed:
        until, sealers = time.monotonic() + 1.5, []

        def keep_sealing() -> None:
            while time.monotonic() < until:
                seal(database, settings)

        for _ in range(2):
            sealers.append(threading.Thread(target=keep_sealing))
            sealers[-1].start()
        for thread in sealers:
            thread.join()
    assert failed == []
    while seal(database, settings):
        pass
    found = verify(database, settings)
    rows = sum(db.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES)
    assert (found.problem, found.rows, found.waiting) == (None, rows, False)
    assert found.blocks > 2


def test_head_and_last_block_are_of_one_moment_however_they_are_read(database: Database, settings: Settings) -> None:
    work(database)
    seal(database, settings)
    with database.snapshot() as connection:
        first = last_block(connection)
        work(database)
        seal(database, settings)
        head, again = find_head(connection), last_block(connection)
    assert [found.hash for found in (head, again) if found and first] == [first.hash] * 2


def test_a_sealer_that_is_late_does_not_extend_a_block_that_others_went_on_from(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(database)
    seal(database, settings)
    run = database.run

    def late(*args: Any) -> Any:
        """What others do between what a sealer reads and what it writes."""
        monkeypatch.undo()
        with database.transaction() as unit:
            close(unit)
        seal(database, settings)
        return run(*args)

    work(database)
    monkeypatch.setattr(database, "run", late)
    seal(database, settings)
    found = verify(database, settings)
    assert (found.problem, found.blocks, found.waiting) == (None, 2, False)


SEALER = """
import sys
from backend.core.config import Settings
from backend.database.chain import sealing
from backend.database.session import Database
sealing.MOST = 15
settings = Settings()
database = Database(settings.database_url)
print("ready", flush=True)
while True:
    sealing.seal(database, settings)
"""


def test_a_sealer_that_is_killed_leaves_a_whole_chain(database: Database, settings: Settings, db: Session) -> None:
    work(database, 2)
    environment = os.environ | {
        "DATABASE_URL": settings.database_url, "SECRET_KEY": settings.secret_key.get_secret_value(),
        "DATA_DIR": str(settings.data_dir),
    }  # fmt: skip
    with (
        subprocess.Popen([sys.executable, "-c", SEALER], env=environment, stdout=subprocess.PIPE) as sealer,
        writing(database, 2) as failed,
    ):
        assert sealer.stdout is not None
        assert sealer.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        sealer.send_signal(signal.SIGKILL)
    assert failed == []
    assert problem(database, settings) == "none"
    while seal(database, settings):
        pass
    found = verify(database, settings)
    rows = sum(db.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES)
    assert (found.problem, found.rows, found.waiting) == (None, rows, False)


def test_the_chore_seals_what_waits_and_tells_a_break_once(database: Database, settings: Settings, db: Session) -> None:
    work(database, 2)
    seal(database, settings)

    def turn() -> int:
        sql(db, "DELETE FROM leases")
        return once(database, settings)

    assert (turn(), turn()) == (1, 0)
    sql(db, "UPDATE audit_blocks SET hash = '' WHERE id = (SELECT max(id) FROM audit_blocks)")
    work(database)
    assert (turn(), turn()) == (0, 0)
    [told] = db.scalars(select(SecurityEvent.data).where(SecurityEvent.kind == Event.AUDIT_BROKEN.value))
    assert "is not the one that was signed." in told["problem"]
