"""add reason to purchases"""

import sqlalchemy as sa
from alembic import op

revision = "202611251000"
down_revision = "202611211034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("purchases", sa.Column("reason", sa.String(length=500), nullable=True))


def downgrade() -> None:
    op.drop_column("purchases", "reason")
