"""search by sound"""

import sqlalchemy as sa
from alembic import op

from backend.database.search import SOUND, key_of

revision = "202611251001"
down_revision = "202611251000"
branch_labels = None
depends_on = None

TABLES = ("users", "lessons", "courses", "promo_codes", "support_tickets")
BATCH = 2000


def upgrade() -> None:
    """What is there already gets the second half of its key: how it sounds."""
    _rewrite(key_of)


def downgrade() -> None:
    _rewrite(lambda key: key.partition(SOUND)[0])


def _rewrite(make) -> None:  # type: ignore[no-untyped-def] # str -> str
    connection = op.get_bind()
    for name in TABLES:
        table = sa.table(name, sa.column("id", sa.BigInteger), sa.column("search_key", sa.String))
        change = table.update().where(table.c.id == sa.bindparam("row")).values(search_key=sa.bindparam("key"))
        last = 0
        while rows := connection.execute(
            sa.select(table.c.id, table.c.search_key).where(table.c.id > last).order_by(table.c.id).limit(BATCH)
        ).all():
            last = rows[-1].id
            changed = [{"row": row.id, "key": key} for row in rows if (key := make(row.search_key)) != row.search_key]
            if changed:
                connection.execute(change, changed)
