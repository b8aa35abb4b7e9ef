"""Where generated schools are kept: files in .bench/, databases of TEST_DATABASE_URL's server."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL, make_url

from backend.database.schema import head
from backend.database.session import Database
from benchmarks.school import Size, build

FOLDER = Path(__file__).parents[1] / ".bench"
VERSION = 2  # of the generator
KEPT_SECONDS = 14 * 86_400  # its dates end where it was made


@contextmanager
def throwaway(about: str) -> Iterator[str]:
    """The URL of an empty database of TEST_DATABASE_URL's server, gone afterwards."""
    name, server = f"lyceum_{about}_{secrets.token_hex(4)}", make_url(os.environ["TEST_DATABASE_URL"])
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield server.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def school(kind: str, size: Size) -> Iterator[str]:
    """The URL of a filled database of this kind ("sqlite" or "postgresql")."""
    FOLDER.mkdir(exist_ok=True)
    name = f"lyceum_bench_{size.name}_{head()}_{VERSION}"
    url = _sqlite(name) if kind == "sqlite" else _postgres(name)
    if url is None:
        url = _make(kind, name, size)
    yield url.render_as_string(hide_password=False)


def available(kind: str) -> bool:
    return kind == "sqlite" or bool(os.environ.get("TEST_DATABASE_URL"))


def _sqlite(name: str) -> URL | None:
    path, made = FOLDER / f"{name}.db", FOLDER / f"{name}.made"
    fresh = path.exists() and made.exists() and time.time() - made.stat().st_mtime < KEPT_SECONDS
    return URL.create("sqlite", database=str(path)) if fresh else None


def _server() -> URL:
    return make_url(os.environ["TEST_DATABASE_URL"]).set(drivername="postgresql")


def _postgres(name: str) -> URL | None:
    with _maintenance() as connection:
        found = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            (name,),
        ).fetchone()
    # The description is written last: a school that is not whole has none.
    if found is None or not found[0] or time.time() - float(found[0]) > KEPT_SECONDS:
        return None
    return _server().set(drivername="postgresql+psycopg", database=name)


@contextmanager
def _maintenance() -> Iterator[psycopg.Connection]:
    address = _server().set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def _make(kind: str, name: str, size: Size) -> URL:
    print(f"Generating {size.users:,} users on {kind} (kept for next time)...", flush=True)
    started = time.perf_counter()
    url = _make_sqlite(name, size) if kind == "sqlite" else _make_postgres(name, size)
    print(f"  in {time.perf_counter() - started:.0f} s", flush=True)
    return url


def _make_sqlite(name: str, size: Size) -> URL:
    path = FOLDER / f"{name}.db"
    for leftover in FOLDER.glob(f"{name}.*"):
        leftover.unlink()
    database = Database(f"sqlite:///{path}")
    build(database, size)
    database.dispose()
    (FOLDER / f"{name}.made").touch()  # only now is it whole
    return URL.create("sqlite", database=str(path))


def _make_postgres(name: str, size: Size) -> URL:
    url = _server().set(drivername="postgresql+psycopg", database=name)
    with _maintenance() as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    database = Database(url.render_as_string(hide_password=False))
    build(database, size)
    database.dispose()
    with _maintenance() as connection:
        connection.execute(f"COMMENT ON DATABASE \"{name}\" IS '{time.time():.0f}'")
    return url
