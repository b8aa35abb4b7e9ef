"""Index search keys by trigrams: FTS5 with triggers on SQLite, pg_trgm on PostgreSQL."""

from alembic import op

revision = "202611211034"
down_revision = "202611211033"
branch_labels = None
depends_on = None

TABLES = ("users", "lessons", "courses", "promo_codes", "support_tickets")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in TABLES:
            for statement in sqlite_index(table):
                op.execute(statement)
        return
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for table in TABLES:
        op.execute(f"CREATE INDEX {table}_search ON {table} USING gin (search_key gin_trgm_ops)")


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in TABLES:
        if sqlite:
            for moment in ("insert", "update", "delete"):
                op.execute(f"DROP TRIGGER {table}_search_{moment}")
            op.execute(f"DROP TABLE {table}_search")
        else:
            op.execute(f"DROP INDEX {table}_search")


def sqlite_index(table: str) -> list[str]:
    """An external-content table: the text is stored once, in the table itself."""
    name, tokens = f"{table}_search", "tokenize='trigram'"
    forget = f"INSERT INTO {name}({name}, rowid, search_key) VALUES ('delete', old.id, old.search_key);"
    learn = f"INSERT INTO {name}(rowid, search_key) VALUES (new.id, new.search_key);"
    return [
        f"CREATE VIRTUAL TABLE {name} USING fts5(search_key, content='{table}', content_rowid='id', {tokens})",
        f"INSERT INTO {name}({name}) VALUES ('rebuild')",
        f"CREATE TRIGGER {name}_insert AFTER INSERT ON {table} BEGIN {learn} END",
        f"CREATE TRIGGER {name}_delete AFTER DELETE ON {table} BEGIN {forget} END",
        f"CREATE TRIGGER {name}_update AFTER UPDATE OF search_key ON {table} BEGIN {forget} {learn} END",
    ]
