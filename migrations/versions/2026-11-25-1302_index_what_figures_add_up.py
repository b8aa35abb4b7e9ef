"""index what figures add up"""

import sqlalchemy as sa
from alembic import op

revision = "202611251302"
down_revision = "202611251256"
branch_labels = None
depends_on = None

PURCHASES = {
    "ix_purchases_revenue": ["status", "created_at", "amount"],
    "ix_purchases_lesson_revenue": ["status", "lesson_id", "created_at", "amount"],
}


def upgrade() -> None:
    for name, columns in PURCHASES.items():
        op.create_index(
            name,
            "purchases",
            columns,
            sqlite_where=sa.text("revoked_at IS NULL AND is_test = 0 AND amount > 0"),
            postgresql_where=sa.text("revoked_at IS NULL AND NOT is_test AND amount > 0"),
        )
    op.create_index(
        "ix_support_tickets_undone",
        "support_tickets",
        ["assignee_id", "last_message_at", "id"],
        sqlite_where=sa.text("status <> 'closed'"),
        postgresql_where=sa.text("status <> 'closed'"),
    )


def downgrade() -> None:
    op.drop_index("ix_support_tickets_undone", table_name="support_tickets")
    for name in PURCHASES:
        op.drop_index(name, table_name="purchases")
