"""The schema's version: the app serves exactly the one it was written for."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text

from backend.database.session import Database

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "migrations" / "versions"
NAMED = re.compile(r'^(revision|down_revision) = (?:"(\w+)"|None)$', re.MULTILINE)


class SchemaError(RuntimeError):
    """The database is behind or ahead of this version of the program; the message says what to do."""


def alembic_config(url: str) -> Any:
    from alembic.config import Config  # noqa: PLC0415 - 4 MB that only a migration needs, not a web process

    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["url"] = url
    return config


@cache
def _migrations() -> dict[str, str]:
    """Revision -> the one before it ("" for the first), as the files say."""
    named = (dict(NAMED.findall(path.read_text("utf-8"))) for path in VERSIONS.glob("*.py"))
    return {names["revision"]: names["down_revision"] for names in named}


def head() -> str:
    (found,) = _migrations().keys() - _migrations().values()
    return found


def current(database: Database) -> str | None:
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def is_known(revision: str) -> bool:
    """Whether this version of the program has a migration of that name; one of a newer version it has not."""
    return revision in _migrations()


def check_schema(database: Database) -> None:
    """Raises SchemaError unless the database stands at our head."""
    found, wanted = current(database), head()
    if found == wanted:
        return
    if found is None or is_known(found):
        raise SchemaError(
            f"The database is behind the program (at {found or 'nothing'}, needs {wanted}). Run: alembic upgrade head"
        )
    raise SchemaError(f"The database is ahead of the program (at {found}, knows {wanted}). Install the newer version.")


def migrate(database: Database) -> None:
    """Brings the database to our head, each migration in a transaction of its own."""
    from alembic import command  # noqa: PLC0415 - see alembic_config

    command.upgrade(alembic_config(database.url), "head")
