"""index every sort"""

from alembic import op

revision = "202611251030"
down_revision = "202611251001"
branch_labels = None
depends_on = None

# What lists sort by, then the id that settles ties.
INDEXES = {
    "ix_users_role_name": ("users", ["role_id", "search_key", "id"]),
    "ix_users_role": ("users", ["role_id", "id"]),
    "ix_support_tickets_updated": ("support_tickets", ["updated_at", "id"]),
    "ix_payments_amount": ("payments", ["amount", "id"]),
    "ix_promo_codes_uses": ("promo_codes", ["current_uses", "id"]),
    "ix_courses_price": ("courses", ["total_price", "id"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _columns) in INDEXES.items():
        op.drop_index(name, table_name=table)
