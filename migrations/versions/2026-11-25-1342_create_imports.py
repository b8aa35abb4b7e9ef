"""create imports"""

import sqlalchemy as sa
from alembic import op

revision = "202611251342"
down_revision = "202611251326"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", BIG, nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("owner_id", BIG, nullable=False),
        sa.Column("filename", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("checks", BIG, nullable=False),
        sa.Column("job_id", BIG, nullable=True),
        sa.Column("change_set_id", BIG, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('reading', 'read', 'checked', 'started', 'done')", name=op.f("ck_imports_state")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_imports_owner_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_imports_owner", "imports", ["owner_id", "target", "id"])
    op.create_table(
        "import_rows",
        sa.Column("id", BIG, nullable=False),
        sa.Column("import_id", BIG, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("cells", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("record_id", BIG, nullable=True),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("words", sa.String(), nullable=True),
        sa.CheckConstraint("outcome IN ('', 'done', 'refused')", name=op.f("ck_import_rows_outcome")),
        sa.CheckConstraint("verdict IN ('', 'new', 'changed', 'same', 'wrong')", name=op.f("ck_import_rows_verdict")),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_import_rows_import_id_imports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_rows")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_import_rows_verdict", "import_rows", ["import_id", "verdict", "id"])


def downgrade() -> None:
    op.drop_table("import_rows")
    op.drop_table("imports")
