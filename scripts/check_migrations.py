"""Migrations on both databases: up, equal to the models, down to nothing, up again.

SQLite in a temporary folder; PostgreSQL in a fresh database of the server that TEST_DATABASE_URL
names (`scripts/with_postgres.py` sets it).
"""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url

ROOT = Path(__file__).parents[1]
STEPS = (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head"))


class MigrationError(Exception):
    pass


def alembic(url: str, *arguments: str) -> str:
    """What the command prints. The door is the one of people: alembic and DATABASE_URL."""
    environment = os.environ | {
        "DATABASE_URL": url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "TELEGRAM_BOT_TOKEN": "",
        "SANDBOX": "0",
    }
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MigrationError(f"alembic {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def leftovers(url: str) -> list[str]:
    """The tables besides Alembic's own."""
    engine = create_engine(url)
    try:
        return sorted(set(inspect(engine).get_table_names()) - {"alembic_version"})
    finally:
        engine.dispose()


def walk(url: str) -> None:
    heads = alembic(url, "heads").splitlines()
    if len(heads) != 1:
        raise MigrationError(f"one head is wanted, there are {len(heads)}: {', '.join(heads)}")
    for step in STEPS:
        alembic(url, *step)
        if step[0] == "downgrade" and (tables := leftovers(url)):
            raise MigrationError(f"downgrade base leaves {', '.join(tables)}")


@contextmanager
def sqlite_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/migrations.db"


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    database = f"lyceum_migrations_{secrets.token_hex(4)}"
    name = sql.Identifier(database)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            url = make_url(server).set(drivername="postgresql+psycopg", database=database)
            yield url.render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def main() -> int:
    server = os.environ.get("TEST_DATABASE_URL")
    databases = {"SQLite": sqlite_database()}
    if server:
        databases["PostgreSQL"] = postgres_database(server)
    else:
        print("TEST_DATABASE_URL is not set: PostgreSQL is left out")
    failed = False
    for name, database in databases.items():
        with database as url:
            try:
                walk(url)
                print(f"{name}: up, equal to the models, down, up")
            except MigrationError as error:
                failed = True
                print(f"{name}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
