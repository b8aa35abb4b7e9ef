"""name the parts of change sets"""

import sqlalchemy as sa
from alembic import op

revision = "202611251308"
down_revision = "202611251302"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_change_sets_at": ["at", "id"],
    "ix_change_sets_actor": ["actor_id", "at", "id"],
    "ix_change_sets_door": ["door", "at", "id"],
}
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "change_set_parts",
        sa.Column("change_set_id", BIG, nullable=False),
        sa.Column("root", sa.String(length=32), nullable=False),
        sa.Column("entity", sa.String(length=32), nullable=False),
        sa.Column("lead", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["change_set_id"],
            ["change_sets.id"],
            name=op.f("fk_change_set_parts_change_set_id_change_sets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("change_set_id", "root", "entity", name=op.f("pk_change_set_parts")),
    )
    op.execute(
        "INSERT INTO change_set_parts (change_set_id, root, entity, lead, at)"
        " SELECT found.change_set_id, found.root, found.entity,"
        " row_number() OVER (PARTITION BY found.change_set_id, found.root ORDER BY found.entity) = 1, change_sets.at"
        " FROM (SELECT DISTINCT change_set_id, root, entity FROM changes) AS found"
        " JOIN change_sets ON change_sets.id = found.change_set_id"
    )
    op.create_index("ix_change_set_parts_root", "change_set_parts", ["root", "lead", "at", "change_set_id"])
    op.drop_index("ix_change_sets_actor", table_name="change_sets")
    for name, columns in INDEXES.items():
        op.create_index(name, "change_sets", columns)
    op.create_index("ix_changes_set", "changes", ["change_set_id", "id"])
    op.drop_index("ix_changes_change_set_id", table_name="changes")


def downgrade() -> None:
    op.create_index("ix_changes_change_set_id", "changes", ["change_set_id"])
    op.drop_index("ix_changes_set", table_name="changes")
    for name in INDEXES:
        op.drop_index(name, table_name="change_sets")
    op.create_index("ix_change_sets_actor", "change_sets", ["actor_id", "id"])
    op.drop_table("change_set_parts")
