"""whoever has a lesson is found in the index alone, and so are the tickets that nobody has answered yet"""

import sqlalchemy as sa
from alembic import op

revision = "202611300100"
down_revision = "202611292230"
branch_labels = None
depends_on = None

UNANSWERED = "ix_support_tickets_unanswered"
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
    rule = sa.text("first_reply_at IS NULL")
    columns = ["last_message_at", "id"]
    op.create_index(UNANSWERED, "support_tickets", columns, sqlite_where=rule, postgresql_where=rule)


def downgrade() -> None:
    op.drop_index(UNANSWERED, table_name="support_tickets")
    _indexed("user_id", "{}_id")
