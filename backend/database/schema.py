"""The schema's version: the app serves exactly the one it was written for."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from backend.database.session import Database

ROOT = Path(__file__).parents[2]


class SchemaError(RuntimeError):
    """The database is behind or ahead of this version of the program; the message says what to do."""


def alembic_config(url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["url"] = url
    return config


def head() -> str:
    found = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    assert found is not None
    return found


def current(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str) -> bool:
    """Whether this version of the program has a migration of that name; one of a newer version it has not."""
    scripts = ScriptDirectory.from_config(alembic_config("")).walk_revisions()
    return revision in {script.revision for script in scripts}


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
    command.upgrade(alembic_config(database.url), "head")
