"""The database's schema, and the demo school."""

from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from backend.cli.archive import copy_sqlite
from backend.cli.console import ENV, OPERATOR, RefusedError, note, opened, seal_now, settings
from backend.cli.firstrun import write_secrets
from backend.core import clock
from backend.core.config import Settings
from backend.database.crud.roles import ensure_roles
from backend.database.schema import SchemaError, current, head, is_known
from backend.database.schema import migrate as upgrade
from backend.database.session import Database


def migrate() -> None:
    """Bring the database to this version's schema; a SQLite file is copied first."""
    config = settings()
    with opened(config) as database:
        bring_up(database)
        seal_now(database, config)
    note(f"The database is at {head()}.")


def bring_up(database: Database) -> None:
    """Schema and roles as this version needs them. Refuses a database of a newer program."""
    found = current(database)
    if found is not None and not is_known(found):
        raise SchemaError(
            f"The database is ahead of the program (at {found}, knows {head()}): install the newer version again."
        )
    if found != head():
        if found is not None and database.is_sqlite:
            note(f"Before the change of schema the database was copied to {_copy(database, found)}.")
        upgrade(database)
    ensure_roles(database, OPERATOR)


def _copy(database: Database, revision: str) -> Path:
    file = Path(make_url(database.url).database or "").absolute()
    folder = file.parent / "backups"
    moment = clock.now().astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    target = folder / f"{file.stem}-{revision}-{moment}.db"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        copy_sqlite(file, target)
    except OSError as error:
        raise RefusedError(
            f"The database could not be copied to {target} before the change: {error.strerror}."
        ) from error
    return target


def demo(
    remove: Annotated[bool, typer.Option("--remove", help="Take the demo school out again.")] = False,
) -> None:
    """Fill the database with the demo school: students, lessons, sales, tickets."""
    write_secrets(ENV)
    config = settings()
    with opened(config) as database:
        bring_up(database)
        show(remove_demo(database) if remove else load_demo(database, config))
        seal_now(database, config)


def load_demo(database: Database, config: Settings) -> list[str]:
    from backend import demo as demo_school  # noqa: PLC0415 - its texts are read when wanted

    seal_now(database, config)  # the chain of a new school begins before the past that the demo school has
    return demo_school.load(database, config).lines()


def remove_demo(database: Database) -> list[str]:
    from backend import demo as demo_school  # noqa: PLC0415 - its texts are read when wanted

    return demo_school.remove(database).lines()


def show(lines: list[str]) -> None:
    for line in lines:
        note(line)
