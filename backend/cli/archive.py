"""Backup and restore: one .tar.gz with the database, the uploaded files and a manifest.

`.env` stays outside.
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any

import typer
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from backend.cli.console import RefusedError, first_line, note, opened, settings
from backend.core import clock
from backend.core.config import Settings
from backend.database.chain import witness
from backend.database.crud.health import BACKED_UP
from backend.database.crud.settings import SettingCRUD
from backend.database.schema import current, head, is_known

FORMAT = 1
MANIFEST, MEDIA = "manifest.json", "media"
NAMES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
LEAVING_SECONDS = 2.0  # what a process that was just stopped takes to let go of the database
IN_USE = "The database is in use: stop the whole school, also workers (python -m backend.jobs) and consoles, first."
OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
File = Annotated[Path, typer.Argument(metavar="FILE", help="The archive, for example school.tar.gz.")]


def backup(file: File) -> None:
    """Write the database and the uploaded files into FILE while the school goes on."""
    config = settings()
    with opened(config) as database:
        kind = "sqlite" if database.is_sqlite else "postgresql"
        revision = current(database)
    manifest: dict[str, Any] = {"format": FORMAT, "database": kind, "revision": revision}
    if file.exists():
        raise RefusedError(f"{file} exists: name another file, a backup replaces none.")
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".backup-") as folder:
            dump = Path(folder, NAMES[kind])
            _dump(make_url(config.database_url), dump)
            manifest["sha256"] = _digest(dump)
            manifest["made_at"] = clock.now().astimezone(UTC).isoformat()
            packed = Path(folder, "packed")
            _pack(packed, dump, config.media_dir, manifest)
            packed.replace(file)
    except OSError as error:
        raise RefusedError(f"{file} could not be written: {error.strerror or error}.") from error
    if revision == head():
        with opened(config) as database:
            database.run(lambda session: SettingCRUD(session).put(BACKED_UP, {"at": manifest["made_at"]}))
    note(f"{file}: {file.stat().st_size:,} bytes. Keep .env beside it: the secrets are not inside.")


def _dump(url: URL, target: Path) -> None:
    if url.get_backend_name() == "sqlite":
        copy_sqlite(Path(url.database or ""), target)
    else:
        _postgres_tool(url, "pg_dump", "--format=custom", "--no-owner", f"--file={target}")


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a database in use; `cp` would lose what is in the WAL."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it


def _pack(packed: Path, dump: Path, media: Path, manifest: dict[str, Any]) -> None:
    described = packed.with_name(MANIFEST)
    described.write_text(json.dumps(manifest, indent=2), "utf-8")
    descriptor = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w:gz", compresslevel=6) as archive,
    ):
        archive.add(described, MANIFEST)
        archive.add(dump, dump.name)
        for path in sorted(media.rglob("*")) if media.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile by a person at work
                if path.is_file() and not path.is_symlink():
                    archive.add(path, f"{MEDIA}/{path.relative_to(media).as_posix()}", recursive=False)


def restore(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the data that are there; they are kept aside.")] = False,
) -> None:
    """Put the data of FILE in place of the present ones, which are kept aside.

    Stop the school first.
    """
    config = settings()
    url = make_url(config.database_url)
    kind = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"
    _check_stopped(config)
    with _unpacked(file) as folder:
        manifest = _check(folder, kind)
        if not yes and _has_data(config, url):
            raise RefusedError(
                "There are data already: add --yes to put the backup in their place; they are kept aside."
            )
        with _alone(config, url):
            kept = _replace(config, url, folder)
    note(f"Restored the backup of {manifest['made_at']}.")
    for path in kept:
        note(f"What was there before is in {path}.")
    if manifest["revision"] != head():
        note("The backup is of an older version: `python -m backend.cli migrate` brings it up to date.")


def _check_stopped(config: Settings) -> None:
    with socket.socket(socket.AF_INET6 if ":" in config.api_host else socket.AF_INET) as probe:
        probe.settimeout(1)
        if config.api_port and probe.connect_ex((config.api_host, config.api_port)) == 0:
            raise RefusedError(f"Something answers at {config.url}: stop the school before its data are replaced.")


@contextlib.contextmanager
def _alone(config: Settings, url: URL) -> Iterator[None]:
    """Nobody else has the database open: a worker that goes on would write into what is put aside."""
    if url.get_backend_name() == "sqlite":
        with contextlib.closing(_exclusive(Path(url.database or ""))):
            yield
        return
    until = time.monotonic() + LEAVING_SECONDS
    with opened(config) as database, database.engine.connect() as connection:
        while connection.execute(text(OTHERS)).scalar():
            if time.monotonic() > until:
                raise RefusedError(IN_USE)
            time.sleep(LEAVING_SECONDS / 20)
    yield


def _exclusive(file: Path) -> sqlite3.Connection:
    """A connection that nobody can be beside; of a damaged file, which is there to be replaced, just one."""
    found = sqlite3.connect(file if file.exists() else ":memory:", timeout=LEAVING_SECONDS, isolation_level=None)
    try:
        found.execute("PRAGMA journal_mode=DELETE")  # refused while anyone is connected, also who only waits
        found.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            found.close()
            raise RefusedError(IN_USE) from error
    return found


@contextlib.contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    """The archive's files in a folder of their own; nothing else of it, and nothing outside."""
    if not file.is_file():
        raise RefusedError(f"There is no file {file}.")
    with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".restore-") as name:
        folder = Path(name)
        try:
            with tarfile.open(file, "r:gz") as archive:
                for member in archive:
                    _extract(archive, member, folder)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise RefusedError(f"{file} cannot be read as a backup: {first_line(error)}.") from error
        yield folder


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parts = PurePosixPath(member.name).parts
    known = member.name in (MANIFEST, *NAMES.values()) or (len(parts) > 1 and parts[0] == MEDIA)
    if not (member.isfile() and known and ".." not in parts):
        raise RefusedError(f"The archive holds {member.name!r}, which no backup of ours does.")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    source: IO[bytes] | None = archive.extractfile(member)
    assert source is not None
    with source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)


def _check(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a backup that is whole and that this version can work with."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        dump, found = folder / NAMES[manifest["database"]], manifest["database"]
        whole = manifest["format"] == FORMAT and _digest(dump) == manifest["sha256"]
        known = is_known(manifest["revision"])
        datetime.fromisoformat(manifest["made_at"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError("This is no backup of Lyceum: it has no manifest that fits.") from error
    if not whole:
        raise RefusedError("The backup is damaged: its database is not what was written into it.")
    if found != kind:
        raise RefusedError(f"The backup is of {found}, but DATABASE_URL names {kind}.")
    if not known:
        raise RefusedError("The backup is of a newer version of the program: install that one first.")
    if kind == "sqlite":
        _check_sqlite(dump)
    return manifest


def _check_sqlite(dump: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{dump}?mode=ro", uri=True)) as connection:
        try:
            [[verdict], *_rest] = connection.execute("PRAGMA integrity_check").fetchall()
            orphans = connection.execute("PRAGMA foreign_key_check").fetchone()
        except sqlite3.DatabaseError as error:
            verdict, orphans = str(error), None
    if verdict != "ok" or orphans:
        raise RefusedError(
            f"The backup's database is damaged: {verdict if verdict != 'ok' else 'rows without their parents'}."
        )


def _has_data(config: Settings, url: URL) -> bool:
    if config.media_dir.is_dir() and any(config.media_dir.iterdir()):
        return True
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").exists()
    with opened(config) as database:
        return current(database) is not None


def _aside(path: Path) -> Path:
    moment = clock.now().astimezone(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return path.with_name(f"{path.name}.before-{moment}")


def _replace(config: Settings, url: URL, folder: Path) -> list[Path]:
    """All or nothing; what was there before is in the files that it names. Raises RefusedError."""
    is_sqlite = url.get_backend_name() == "sqlite"
    media, file = config.media_dir.absolute(), Path((is_sqlite and url.database) or "database.dump").absolute()
    kept = [_aside(file), _aside(media)]
    try:
        witness.forget(config)  # what comes has an older history, as the operator wants it
        with contextlib.ExitStack() as undo:  # no step may fail after the one of PostgreSQL, which commits
            _replace_media(undo, media, folder / MEDIA, kept[1])
            if is_sqlite:
                _replace_sqlite(undo, file, folder / NAMES["sqlite"], kept[0])
            else:
                _replace_postgres(undo, url, folder / NAMES["postgresql"], kept[0])
            undo.pop_all()
    except OSError as error:
        left = " and ".join(str(path) for path in kept if path.exists())
        state = f"What was there before is in {left}" if left else "Everything is as it was"
        named = f"{error.filename} ({error.strerror})" if error.filename else error
        raise RefusedError(f"The data could not be replaced because of {named}. {state}.") from error
    return [path for path in kept if path.exists()]


def _rename(undo: contextlib.ExitStack, source: Path, target: Path) -> None:
    source.rename(target)
    undo.callback(target.rename, source)


def _replace_sqlite(undo: contextlib.ExitStack, file: Path, dump: Path, aside: Path) -> None:
    new = file.with_name(file.name + ".new")
    file.parent.mkdir(parents=True, exist_ok=True)
    undo.callback(new.unlink, missing_ok=True)
    shutil.move(dump, new)  # whole beside the old one first, so that a full disk loses neither
    for ending in ("", "-wal", "-shm"):
        part = file.with_name(file.name + ending)
        if part.exists():
            _rename(undo, part, aside.with_name(aside.name + ending))
    _rename(undo, new, file)


def _replace_postgres(undo: contextlib.ExitStack, url: URL, dump: Path, aside: Path) -> None:
    undo.callback(aside.unlink, missing_ok=True)
    _postgres_tool(url, "pg_dump", "--format=custom", "--no-owner", f"--file={aside}")
    _postgres_tool(
        url, "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction",
        f"--dbname={url.database}", str(dump),
    )  # fmt: skip


def _replace_media(undo: contextlib.ExitStack, media: Path, restored: Path, aside: Path) -> None:
    new = media.with_name(media.name + ".new")
    shutil.rmtree(new, ignore_errors=True)  # of a restore that was killed
    if restored.is_dir():
        media.parent.mkdir(parents=True, exist_ok=True)
        undo.callback(shutil.rmtree, new, ignore_errors=True)
        shutil.move(restored, new)
    if media.is_dir():
        _rename(undo, media, aside)
    if new.is_dir():
        _rename(undo, new, media)


def _postgres_tool(url: URL, tool: str, *arguments: str) -> None:
    """Runs PostgreSQL's own tool; the password goes through the environment, where `ps` does not
    show it.
    """
    program = shutil.which(tool)
    if program is None:
        raise RefusedError(f"{tool} is not installed here: install postgresql-client (the server's version or newer).")
    told = {
        "PGHOST": url.host,
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
    }
    told |= {"PGDATABASE": url.database, "PGSSLMODE": str(url.query.get("sslmode") or "")}
    told["PGOPTIONS"] = "-c lock_timeout=10s"
    environment = os.environ | {name: str(value) for name, value in told.items() if value}
    done = subprocess.run(  # noqa: S603 - a fixed program with our own arguments
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RefusedError(f"{tool} failed: {first_line(done.stderr) or 'without a word'}.")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
