"""count purchases of users"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "202611291600"
down_revision = "202611251640"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_users_role_created": ["role_id", "created_at", "id", "purchases", "spent"],
    "ix_users_role_purchases": ["role_id", "purchases", "id", "spent"],
    "ix_users_role_spent": ["role_id", "spent", "id", "purchases"],
}
# What crud/entitlements.py counts: of all at once, before there is an index to keep up.
COUNT = """
UPDATE users SET purchases = held.number, spent = held.stars FROM (
  SELECT user_id, count(*) AS number, sum(CASE WHEN is_test THEN 0 ELSE amount END) AS stars
  FROM purchases WHERE status = 'completed' AND revoked_at IS NULL GROUP BY user_id
) AS held WHERE held.user_id = users.id"""


def upgrade() -> None:
    for name in ("purchases", "spent"):
        op.add_column("users", sa.Column(name, BIG, server_default=sa.text("0"), nullable=False))
    op.drop_index("ix_users_role_created", table_name="users")
    # PostgreSQL writes each row anew into every index, and the one of the search is dear: it is made again afterwards.
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("DROP INDEX users_search")
    op.execute(COUNT)
    op.execute("UPDATE users SET username = NULL WHERE username = ''")
    if postgresql:
        op.execute("CREATE INDEX users_search ON users USING gin (search_key gin_trgm_ops)")
    for name, columns in INDEXES.items():
        op.create_index(name, "users", columns)
    unnamed = sa.text("username IS NULL")
    op.create_index(
        "ix_users_unnamed",
        "users",
        ["role_id", "username", "created_at", "id"],
        sqlite_where=unnamed,
        postgresql_where=unnamed,
    )
    # Named as the indexes of the search, which no model has: Alembic cannot compare an expression on SQLite.
    op.execute("CREATE INDEX users_username_search ON users (lower(username))")


def downgrade() -> None:
    op.execute("DROP INDEX users_username_search")
    for name in ("ix_users_unnamed", *INDEXES):
        op.drop_index(name, table_name="users")
    op.create_index("ix_users_role_created", "users", ["role_id", "created_at", "id"])
    for name in ("spent", "purchases"):
        op.drop_column("users", name)
