"""Migrations are transactional on both databases: a failed or killed one leaves nothing behind."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.schema import SchemaItem

from backend.core.config import DatabaseSettings
from backend.database import models  # noqa: F401 - fills the metadata
from backend.database.base import Base, BigInt, UTCDateTime
from backend.database.search import Key


def url() -> str:
    given: str | None = context.config.attributes.get("url")
    return given or DatabaseSettings().database_url


def include(item: SchemaItem, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
    """SQLite's full-text tables are ours, but not models."""
    if name is None or kind not in ("table", "index"):
        return True
    if kind == "index":
        return not name.endswith("_search")
    only = context.config.attributes.get("only")
    return name in only if only else "_search" not in name


def render(kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """A migration names the database's types, so that it does not change with our code."""
    if kind != "type":
        return False
    if isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if item is BigInt:
        return "BIG"
    return "KEY" if item is Key else False


def prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    # Batch migrations rebuild tables; with foreign keys on, that would cascade.
    connection.execute("PRAGMA foreign_keys=OFF")


def begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def run() -> None:
    engine = create_engine(url())
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", begin_sqlite)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_object=include,
            render_item=render,
            render_as_batch=True,
            transactional_ddl=True,
            transaction_per_migration=True,
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
