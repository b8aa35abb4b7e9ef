"""chain the history: blocks over what was written, and what was taken out of it lawfully"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC = sa.DateTime(timezone=True)
# The history outlives whom it names: a deleted person must not change a sealed row.
LOOSE = (("actor_id", "users"), ("impersonator_id", "users"), ("token_id", "api_tokens"))
# The last migration rebuilt these tables, and with that they forgot to number rows for good.
REBUILT = ("sessions", "one_time_tokens")

revision = "202611251640"
down_revision = "202611251625"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("change_sets", table_kwargs={"sqlite_autoincrement": True}) as batch:
        for column, table in LOOSE:
            batch.drop_constraint(op.f(f"fk_change_sets_{column}_{table}"), type_="foreignkey")
    if op.get_bind().dialect.name == "sqlite":
        for name in REBUILT:
            with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
                pass
    op.create_table(
        "audit_blocks",
        sa.Column("at", UTC, nullable=False),
        sa.Column("ranges", sa.JSON(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_blocks")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_redactions",
        sa.Column("table_name", sa.String(length=32), nullable=False),
        sa.Column("row_id", BIG, nullable=False),
        sa.Column("was", sa.String(length=64), nullable=False),
        sa.Column("now", sa.String(length=64), nullable=True),
        sa.Column("event_id", BIG, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_redactions")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_redactions_row", "audit_redactions", ["table_name", "row_id", "id"])
    op.create_index("ix_audit_redactions_event", "audit_redactions", ["event_id", "id"])


def downgrade() -> None:
    op.drop_table("audit_redactions")
    op.drop_table("audit_blocks")
    op.execute("DELETE FROM settings WHERE key = 'audit_head'")
    for column, table in LOOSE:
        op.execute(f"UPDATE change_sets SET {column} = NULL WHERE {column} NOT IN (SELECT id FROM {table})")
    with op.batch_alter_table("change_sets", table_kwargs={"sqlite_autoincrement": True}) as batch:
        for column, table in LOOSE:
            name = op.f(f"fk_change_sets_{column}_{table}")
            batch.create_foreign_key(name, table, [column], ["id"], ondelete="SET NULL")
