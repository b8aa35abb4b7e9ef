"""A file of 50,000 students: read, checked, written; again, when nothing is new; and with all of them changed."""

import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.crm.imports import look_through, take_in
from backend.database.crud.imports import ImportCRUD
from backend.database.crud.intake import work as imports
from backend.database.crud.intake.kinds import KINDS
from backend.database.crud.intake.plan import Plan
from backend.database.models.jobs import Job
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs import work
from benchmarks.report import Line
from benchmarks.school import admin

ROWS, GOAL = 50_000, 60
FIRST = 9_000_000_000  # telegram_ids that no generated student has
HEADER = ("telegram_id", "first_name", "last_name", "username", "email", "language_code", "source")
ME = Actor(Door.WEB, None)


def file_imports(url: str, rows: int = ROWS) -> Iterator[Line]:
    database = Database(url)
    try:
        yield _timed("import, all new", rows, *_import(database, rows, "Ковалёва"))
        seconds, written = _import(database, rows, "Ковалёва")
        yield _timed("import, again", rows, seconds, rows)
        yield Line("import, again: changed", "0", str(written), ok=written == 0, values={"changed": written})
        yield _timed("import, all changed", rows, *_import(database, rows, "Иванова"))
    finally:
        database.run(lambda session: session.execute(delete(User).where(User.telegram_id >= FIRST)))
        database.dispose()


def _timed(title: str, rows: int, seconds: tuple[float, float, float], done: int) -> Line:
    read, checked, written = seconds
    whole = sum(seconds)
    return Line(
        f"{title}: {rows:,} rows",
        f"<= {GOAL} s",
        f"{whole:.1f} s ({read:.1f} read, {checked:.1f} checked, {written:.1f} written)",
        ok=whole <= GOAL and done == rows,
        values={"seconds": whole, "read": read, "checked": checked, "written": written},
    )


def _import(database: Database, rows: int, surname: str) -> tuple[tuple[float, float, float], int]:
    """How long the steps took, and how many rows were written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "students.csv"
        _write(path, rows, surname)
        began = time.perf_counter()
        owner = database.run(lambda session: admin(session).id)
        import_id = take_in(database, KINDS["users"], owner, path, path.name)
        read = time.perf_counter()
    look_through(database, import_id, Plan(HEADER, "telegram_id"), ME)
    checked = time.perf_counter()
    written = _run(database, import_id)
    seconds = read - began, checked - read, time.perf_counter() - checked
    database.run(lambda session: ImportCRUD(session).delete(import_id))
    return seconds, written


def _run(database: Database, import_id: int) -> int:
    def start(session: Session) -> int:
        files = ImportCRUD(session)
        assert files.start(import_id, 1)
        return imports.start(files, files.get_by_id(import_id)).id

    job_id, pace = database.run(start), work.Pace.of(database)
    assert work.claim(database, "bench") == job_id
    more = True
    while more:
        began = time.monotonic()
        more = work.step(database, job_id, "bench", pace.rows, began)
        pace.learn(time.monotonic() - began)
        time.sleep(pace.rest if more else 0)
    with database.read() as session:
        return session.get_one(Job, job_id).done


def _write(path: Path, rows: int, surname: str) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(HEADER)
        writer.writerows(
            (FIRST + n, "Мария", f"{surname} {n}", f"maria{n}", f"maria{n}@example.org", "ru", "old_site")
            for n in range(rows)
        )
