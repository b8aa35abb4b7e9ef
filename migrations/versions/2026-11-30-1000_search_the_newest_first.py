"""the index of the search says in which group of ids a row stands: on PostgreSQL"""

from alembic import op

revision = "202611301000"
down_revision = "202611300100"
branch_labels = None
depends_on = None

TABLES = ("users", "lessons", "courses", "promo_codes", "support_tickets")
# It stands first: the index is then read from the group on, and not from its beginning.
GROUPS = "(ARRAY[(id >> 12) | 0::bigint, (id >> 15) | 1099511627776::bigint, (id >> 18) | 2199023255552::bigint])"


def upgrade() -> None:
    _index(f"{GROUPS}, search_key gin_trgm_ops")


def downgrade() -> None:
    _index("search_key gin_trgm_ops")


def _index(columns: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"DROP INDEX {table}_search")
            op.execute(f"CREATE INDEX {table}_search ON {table} USING gin ({columns})")
