"""tell strong proofs of sessions from others"""

import sqlalchemy as sa
from alembic import op

revision = "202611291900"
down_revision = "202611291610"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("strong_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "strong_at")
