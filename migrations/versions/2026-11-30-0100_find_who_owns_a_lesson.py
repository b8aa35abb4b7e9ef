"""what is owned comes first in the index of it: whoever has a lesson is found in the index alone"""

import sqlalchemy as sa
from alembic import op

revision = "202611300100"
down_revision = "202611292230"
branch_labels = None
depends_on = None

LIVE = "status = 'completed' AND revoked_at IS NULL AND {} IS NOT NULL"


def _indexed(*order: str) -> None:
    for thing in ("lesson", "course"):
        rule = sa.text(LIVE.format(f"{thing}_id"))
        columns = [name.format(thing) for name in order]
        name = f"uq_purchases_owned_{thing}"
        op.drop_index(name, table_name="purchases")
        op.create_index(name, "purchases", columns, unique=True, sqlite_where=rule, postgresql_where=rule)


def upgrade() -> None:
    _indexed("{}_id", "user_id")


def downgrade() -> None:
    _indexed("user_id", "{}_id")
