"""add erased_at to users"""

import sqlalchemy as sa
from alembic import op

revision = "202611251625"
down_revision = "202611251620"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "erased_at")
