"""create tags"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.String(500).with_variant(sa.String(500, collation="C"), "postgresql")

revision = "202611251352"
down_revision = "202611251342"
branch_labels = None
depends_on = None

TAGGED = {"user_tags": "users", "lesson_tags": "lessons"}


def upgrade() -> None:
    op.create_table(
        "tags",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("name_key", KEY, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("name_key", name=op.f("uq_tags_name_key")),
        sqlite_autoincrement=True,
    )
    for name, target in TAGGED.items():
        op.create_table(
            name,
            sa.Column("tag_id", BIG, nullable=False),
            sa.Column("row_id", BIG, nullable=False),
            sa.Column("id", BIG, nullable=False),
            sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f(f"fk_{name}_tag_id_tags"), ondelete="RESTRICT"),
            sa.ForeignKeyConstraint(
                ["row_id"], [f"{target}.id"], name=op.f(f"fk_{name}_row_id_{target}"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
            sa.UniqueConstraint("row_id", "tag_id", name=op.f(f"uq_{name}_row_tag")),
            sqlite_autoincrement=True,
        )
        op.create_index(f"ix_{name}_tag", name, ["tag_id", "row_id"])


def downgrade() -> None:
    for name in TAGGED:
        op.drop_table(name)
    op.drop_table("tags")
