"""How the commands talk: results on stdout, everything else on stderr, a refusal is one sentence
and exit code 1.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from backend.core import logging
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.errors import AppError
from backend.database.chain.digests import ChainError
from backend.database.chain.sealing import is_behind, seal
from backend.database.schema import SchemaError, check_schema
from backend.database.session import Database

OPERATOR = Actor(Door.CLI)
ENV = Path(".env")  # of the folder that a command runs in


class RefusedError(Exception):
    """What cannot be done and what to do about it, in one sentence."""


class Commands(typer.core.TyperGroup):
    """Turns the failures that an operator can mend into sentences."""

    def invoke(self, ctx: Any) -> Any:
        os.umask(0o077)  # what we write is for this user's eyes
        logging.configure()
        try:
            return super().invoke(ctx)
        except RefusedError as refused:
            message = str(refused)
        except AppError as error:
            message = "; ".join(error.fields.values()) or error.message
        except SchemaError as error:
            message = str(error)
        except SQLAlchemyError as error:
            message = f"The database refused: {first_line(getattr(error, 'orig', None) or error)}"
        typer.echo(message, err=True)
        raise typer.Exit(1)


def first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]


def note(message: str) -> None:
    """For the person at the terminal; scripts read stdout."""
    typer.echo(message, err=True)


def settings() -> Settings:
    """The settings, or a refusal that names each wrong variable and how to mend it."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [sentence(problem) for problem in error.errors()]
    if len(problems) == 1:
        raise RefusedError(problems[0])
    raise RefusedError("\n  - ".join(("The settings cannot be used:", *problems)))


def sentence(problem: Any) -> str:
    """One of pydantic's problems as a sentence that names the variable and the fix."""
    name = str(problem["loc"][0]).upper() if problem["loc"] else ""
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            told = f"{name} is not set: `make run` makes one, or write it into .env (docs/configuration.md says how)"
        case "value_error":
            told = problem["msg"].removeprefix("Value error, ")
            told = told if not name or name in told else f"{name}: {told}"
        case "int_parsing" | "int_type":
            told = f"{name} must be a whole number, not {problem['input']!r}"
        case "bool_parsing" | "bool_type":
            told = f"{name} must be 1 or 0, not {problem['input']!r}"
        case "greater_than_equal":
            told = f"{name} must be {limits['ge']} or more, not {problem['input']}"
        case "less_than_equal":
            told = f"{name} must be {limits['le']} or less, not {problem['input']}"
        case "string_pattern_mismatch":
            told = f"{name} must be one of {limits['pattern'].strip('^$()').replace('|', ', ')}"
        case _:
            told = f"{name}: {problem['msg']}"
    return told if told.endswith((".", ")")) else f"{told}."


def connect(config: Settings) -> Database:
    """The database of the settings, which answers. Refuses with where it was looked for."""
    try:
        url = make_url(config.database_url)
        database = Database(config.database_url, pool_size=4, settings=config)
    except (ArgumentError, ValueError) as error:
        raise RefusedError(f"DATABASE_URL is no database address ({first_line(error)}).") from error
    if database.is_sqlite:
        _check_folder(Path(url.database or ""))
    try:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
    except SQLAlchemyError as error:
        database.dispose()
        reason = first_line(getattr(error, "orig", None) or error)
        if database.is_sqlite:
            raise RefusedError(f"{url.database} is no database that Lyceum can open ({reason}).") from error
        where = f"{url.host or 'localhost'}:{url.port or 5432}"
        raise RefusedError(
            f"The database at {where} does not let us in ({reason}). Start it or mend DATABASE_URL."
        ) from error
    return database


def _check_folder(file: Path) -> None:
    folder = file.absolute().parent
    if not folder.is_dir():
        raise RefusedError(f"The folder {folder} for the database does not exist: make it, or change DATABASE_URL.")
    probe = folder / f".lyceum-{id(file)}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RefusedError(
            f"The folder {folder} is read-only, but the database is kept there:"
            " make it writable, or point DATABASE_URL elsewhere."
        ) from error


@contextmanager
def opened(config: Settings) -> Iterator[Database]:
    """The database of the settings, closed afterwards."""
    database = connect(config)
    try:
        yield database
    finally:
        database.dispose()


@contextmanager
def ready_database() -> Iterator[Database]:
    """The database at our schema, for commands that work with its rows.

    Raises SchemaError or RefusedError.
    """
    config = settings()
    with opened(config) as database:
        check_schema(database)
        yield database
        seal_now(database, config)


def seal_now(database: Database, config: Settings) -> None:
    """Puts what a command wrote under the chain of the history before it ends: no server may come by for long."""
    try:
        if is_behind(database):
            seal(database, config, OPERATOR)
    except (ChainError, TimeoutError) as error:
        note(f"The history could not be sealed: {error}")


def block(title: str, rows: list[tuple[str, str]]) -> None:
    """A heading with aligned lines below it."""
    width = max(len(name) for name, _value in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    typer.echo("\n".join(("", title, "", *lines, "")))
    sys.stdout.flush()
