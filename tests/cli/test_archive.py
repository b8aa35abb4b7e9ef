"""A backup that restores: whole, verified, and with what was there before kept aside."""

import json
import shutil
import sqlite3
import stat
import tarfile
import threading
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from backend.cli import archive
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from tests.cli.conftest import Run
from tests.factories import make_lesson

pytestmark = pytest.mark.usefixtures("migrated")


@pytest.fixture
def school(db: Session, migrated: Path) -> Path:
    """Two lessons and an uploaded file."""
    for title in ("Scales", "Chords"):
        make_lesson(db, title=title)
    db.commit()
    media = migrated / "data" / "media" / "ab"
    media.mkdir(parents=True)
    (media / "clip.mp4").write_bytes(b"moving")
    return migrated


def titles(database: Database) -> list[str]:
    database.dispose()
    with database.read() as session:
        return list(session.scalars(select(Lesson.title).order_by(Lesson.id)))


def names(file: Path) -> list[str]:
    with tarfile.open(file) as packed:
        return packed.getnames()


def test_a_backup_holds_the_database_the_files_and_no_secret(run: Run, school: Path, database: Database) -> None:
    (school / ".env").write_text("SECRET_KEY=hidden")
    done = run("backup", "school.tar.gz")
    assert (done.exit_code, done.stderr.split(":")[0]) == (0, "school.tar.gz")
    dump = "database.sqlite3" if database.is_sqlite else "database.dump"
    assert names(school / "school.tar.gz") == ["manifest.json", dump, "media/ab/clip.mp4"]
    assert stat.S_IMODE((school / "school.tar.gz").stat().st_mode) == 0o600
    assert sorted(path.name for path in school.iterdir()) == [".env", "data", "school.tar.gz"]


def test_what_was_lost_comes_back_and_what_was_there_stays_aside(
    run: Run, school: Path, database: Database, db: Session
) -> None:
    run("backup", "school.tar.gz")
    db.execute(Lesson.__table__.delete())
    make_lesson(db, title="New")
    db.commit()
    db.close()
    database.dispose()
    (school / "data" / "media" / "ab" / "clip.mp4").write_bytes(b"other")

    refused = run("restore", "school.tar.gz")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (1, "There are data already")
    assert titles(database) == ["New"]
    database.dispose()

    done = run("restore", "school.tar.gz", "--yes")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("Restored the backup of 20")
    assert titles(database) == ["Scales", "Chords"]
    assert (school / "data" / "media" / "ab" / "clip.mp4").read_bytes() == b"moving"
    [kept_media] = (school / "data").glob("media.before-*")
    assert (kept_media / "ab" / "clip.mp4").read_bytes() == b"other"
    kept = [line.removeprefix("What was there before is in ").rstrip(".") for line in done.stderr.splitlines()[1:]]
    assert [Path(path).exists() for path in kept] == [True, True]
    if database.is_sqlite:
        with sqlite3.connect(kept[0]) as old:
            assert old.execute("SELECT title FROM lessons").fetchall() == [("New",)]
        old.close()


def test_a_copy_of_a_school_at_work_is_whole(run: Run, school: Path, database: Database) -> None:
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with database.transaction() as session:
                session.add_all(Lesson(title=f"{letter}{number}", price=1) for letter in "ab")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(3):
            assert run("backup", f"{number}.tar.gz").exit_code == 0
    finally:
        stop.set()
        worker.join()
    database.dispose()
    assert run("restore", "2.tar.gz", "--yes").exit_code == 0
    found = titles(database)
    assert [title[1:] for title in found if title.startswith("a")] == [t[1:] for t in found if t.startswith("b")]


def test_a_backup_replaces_no_file(run: Run, school: Path) -> None:
    (school / "school.tar.gz").write_text("precious")
    done = run("backup", "school.tar.gz")
    assert (done.exit_code, done.stderr) == (1, "school.tar.gz exists: name another file, a backup replaces none.\n")
    assert (school / "school.tar.gz").read_text() == "precious"


def test_a_backup_into_nowhere_is_refused(run: Run, school: Path) -> None:
    done = run("backup", str(school / "no" / "such" / "x.tar.gz"))
    assert (done.exit_code, done.stderr.strip().endswith("could not be written: No such file or directory.")) == (
        1,
        True,
    )


def repack(source: Path, target: Path, **changed: bytes | None) -> None:
    """The same archive with some members changed, added or (None) left out."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        contents = {member.name: old.extractfile(member).read() for member in old}  # type: ignore[union-attr] # files
        for name, content in (contents | changed).items():
            if content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                new.addfile(info, BytesIO(content))


@pytest.fixture
def good(run: Run, school: Path) -> Path:
    run("backup", "good.tar.gz")
    return school / "good.tar.gz"


def manifest(good: Path, **changes: object) -> bytes:
    with tarfile.open(good) as packed:
        found = json.loads(packed.extractfile("manifest.json").read())  # type: ignore[union-attr] # a file
    return json.dumps(found | changes).encode()


def test_hostile_and_damaged_archives_change_nothing(run: Run, good: Path, database: Database) -> None:
    dump = "database.sqlite3" if database.is_sqlite else "database.dump"
    other = "postgresql" if database.is_sqlite else "sqlite"
    bad: dict[str, tuple[dict[str, bytes | None], str]] = {
        "outside": ({"media/../../evil": b"x"}, "The archive holds 'media/../../evil', which no backup of ours does."),
        "absolute": ({"/etc/evil": b"x"}, "The archive holds '/etc/evil', which no backup of ours does."),
        "stranger": ({"run.sh": b"x"}, "The archive holds 'run.sh', which no backup of ours does."),
        "bare": ({"manifest.json": None}, "This is no backup of Lyceum: it has no manifest that fits."),
        "empty": ({dump: None}, "This is no backup of Lyceum: it has no manifest that fits."),
        "text": ({"manifest.json": b"{"}, "This is no backup of Lyceum: it has no manifest that fits."),
        "list": ({"manifest.json": b"[]"}, "This is no backup of Lyceum: it has no manifest that fits."),
        "newer": ({"manifest.json": manifest(good, revision="209901010000")}, "The backup is of a newer version"),
        "timeless": ({"manifest.json": manifest(good, made_at=None)}, "This is no backup of Lyceum"),
        "painted": ({"manifest.json": manifest(good, made_at="\x1b[2J")}, "This is no backup of Lyceum"),
        "format": ({"manifest.json": manifest(good, format=2)}, "The backup is damaged"),
        "cut": ({dump: b"SQLite format 3\0"}, "The backup is damaged"),
        "kind": (
            {"manifest.json": manifest(good, database=other), archive.NAMES[other]: b""},
            "The backup is damaged",
        ),
    }
    for name, (changed, told) in bad.items():
        file = good.with_name(f"{name}.tar.gz")
        repack(good, file, **changed)
        done = run("restore", file.name, "--yes")
        assert (done.exit_code, done.stderr.startswith(told)) == (1, True), (name, done.stderr)
        assert titles(database) == ["Scales", "Chords"]
        database.dispose()
    assert not list(good.parent.glob("*.before-*"))
    assert not (good.parent.parent / "evil").exists()


def test_links_inside_an_archive_are_refused(run: Run, good: Path) -> None:
    with tarfile.open("links.tar.gz", "w:gz") as packed:
        info = tarfile.TarInfo("media/link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(info)
    assert "which no backup of ours does" in run("restore", "links.tar.gz", "--yes").stderr


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive_is_told_so(run: Run, school: Path, content: bytes) -> None:
    (school / "x.tar.gz").write_bytes(content)
    done = run("restore", "x.tar.gz", "--yes")
    assert (done.exit_code, done.stderr.startswith("x.tar.gz cannot be read as a backup: ")) == (1, True)
    assert run("restore", "none.tar.gz").stderr == "There is no file none.tar.gz.\n"


def test_a_truncated_archive_is_refused(run: Run, good: Path, database: Database) -> None:
    content = good.read_bytes()
    (good.parent / "half.tar.gz").write_bytes(content[: len(content) // 2])
    assert run("restore", "half.tar.gz", "--yes").exit_code == 1
    assert titles(database) == ["Scales", "Chords"]


def test_rows_without_their_parents_are_damage(run: Run, good: Path, database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("pg_restore checks the constraints itself")
    database.dispose()
    file = good.parent / "database.sqlite3"
    with tarfile.open(good) as packed:
        file.write_bytes(packed.extractfile("database.sqlite3").read())  # type: ignore[union-attr] # a file
    with sqlite3.connect(file) as broken:
        broken.execute("UPDATE users SET role_id = 999")
    broken.close()
    changed = file.read_bytes()
    digest = archive._digest(file)
    repack(good, good.parent / "orphans.tar.gz", **{
        "database.sqlite3": changed, "manifest.json": manifest(good, sha256=digest),
    })  # fmt: skip
    done = run("restore", "orphans.tar.gz", "--yes")
    assert done.stderr == "The backup's database is damaged: rows without their parents.\n"


def test_another_kind_of_database_is_refused(run: Run, good: Path, database: Database) -> None:
    kind, other = ("sqlite", "postgresql") if database.is_sqlite else ("postgresql", "sqlite")
    with tarfile.open(good) as packed:
        content = packed.extractfile(archive.NAMES[kind]).read()  # type: ignore[union-attr] # a file
    changed: dict[str, bytes | None] = {
        archive.NAMES[kind]: None, archive.NAMES[other]: content, "manifest.json": manifest(good, database=other),
    }  # fmt: skip
    repack(good, good.parent / "other.tar.gz", **changed)
    done = run("restore", "other.tar.gz", "--yes")
    assert done.stderr == f"The backup is of {other}, but DATABASE_URL names {kind}.\n"


def test_a_backup_of_an_older_version_says_what_comes_next(
    run: Run, good: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.dispose()
    monkeypatch.setattr(archive, "head", lambda: "209901010000")
    done = run("restore", "good.tar.gz", "--yes")
    assert done.stderr.splitlines()[-1].startswith("The backup is of an older version: ")


def test_a_running_school_is_not_replaced(run: Run, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        monkeypatch.setenv("API_PORT", str(busy.getsockname()[1]))
        done = run("restore", "good.tar.gz", "--yes")
    assert (done.exit_code, done.stderr.startswith("Something answers at http://127.0.0.1:")) == (1, True)


def test_a_school_whose_worker_goes_on_is_not_replaced(run: Run, good: Path, database: Database) -> None:
    """It listens to no port, and only waits for work at the moment."""
    database.dispose()
    worker = Database(database.url)
    with worker.read() as session:
        assert session.scalar(select(func.count(Lesson.id))) == 2
    done = run("restore", "good.tar.gz", "--yes")
    assert (done.exit_code, done.stderr) == (1, f"{archive.IN_USE}\n")
    assert not list(good.parent.rglob("*.before-*"))
    worker.dispose()
    assert run("restore", "good.tar.gz", "--yes").exit_code == 0


def test_a_damaged_database_can_be_replaced(run: Run, good: Path, database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL keeps its own files")
    database.dispose()
    Path(database.engine.url.database or "").write_bytes(b"no database at all" * 500)
    assert run("restore", "good.tar.gz", "--yes").exit_code == 0
    assert titles(database) == ["Scales", "Chords"]


@pytest.mark.parametrize("stuck", ["media", "media.new", "database"])
def test_a_restore_that_fails_leaves_everything_as_it_was(
    run: Run, good: Path, database: Database, db: Session, monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    make_lesson(db, title="New")
    db.commit()
    db.close()
    database.dispose()
    clip = good.parent / "data" / "media" / "ab" / "clip.mp4"
    clip.write_bytes(b"other")
    rename = Path.rename
    name = f"{Path(database.engine.url.database or '').name}.new" if stuck == "database" else stuck

    def busy(self: Path, target: Path) -> Path:
        if self.name == name:
            raise OSError(16, "Device or resource busy", str(self))
        return rename(self, target)

    real = archive._postgres_tool

    def full(url: URL, tool: str, *arguments: str) -> None:
        if tool == "pg_restore" and stuck == "database":
            raise OSError(28, "No space left on device", tool)
        real(url, tool, *arguments)

    monkeypatch.setattr(Path, "rename", busy)
    monkeypatch.setattr(archive, "_postgres_tool", full)
    done = run("restore", "good.tar.gz", "--yes")
    assert (done.exit_code, done.stderr.endswith("). Everything is as it was.\n")) == (1, True)
    assert titles(database) == ["Scales", "Chords", "New"]
    assert clip.read_bytes() == b"other"
    assert sorted(path.name for path in (good.parent / "data").iterdir()) == ["media"]
    assert not list(good.parent.parent.rglob("*.before-*")) + list(good.parent.parent.glob("*.new"))


def test_a_restored_history_is_an_older_one_on_purpose(run: Run, good: Path, database: Database) -> None:
    assert run("create-token", "website", "--scope", "users:read").exit_code == 0
    assert (good.parent / "data" / "audit_head.json").exists()
    database.dispose()
    assert run("restore", "good.tar.gz", "--yes").exit_code == 0
    done = run("audit", "verify")
    assert (done.exit_code, "are as they were written" in done.stdout) == (0, True)


def test_into_an_empty_place_no_yes_is_needed(
    run: Run, good: Path, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not database.is_sqlite:
        pytest.skip("a PostgreSQL database of the tests is never empty")
    new = tmp_path / "new" / "deep"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{new}/school.db")
    monkeypatch.setenv("DATA_DIR", str(new / "data"))
    done = run("restore", str(good))
    assert (done.exit_code, len(done.stderr.splitlines())) == (0, 1)
    copy = Database(f"sqlite:///{new}/school.db")
    assert titles(copy) == ["Scales", "Chords"]
    with copy.read() as session:
        assert session.scalar(select(func.count(Lesson.id))) == 2
    copy.dispose()
    assert (new / "data" / "media" / "ab" / "clip.mp4").read_bytes() == b"moving"


def test_postgresql_needs_its_own_tools(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite needs no tool")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    done = run("backup", "x.tar.gz")
    assert (done.exit_code, done.stderr.startswith("pg_dump is not installed here")) == (1, True)


def test_a_tool_that_fails_is_quoted(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite needs no tool")
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/false")
    done = run("backup", "x.tar.gz")
    assert (done.exit_code, done.stderr) == (1, "pg_dump failed: without a word.\n")
