"""add single keys to users"""

import sqlalchemy as sa
from alembic import op

revision = "202611251253"
down_revision = "202611251245"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("single_keys", sa.Boolean(), server_default=sa.true(), nullable=False))


def downgrade() -> None:
    op.drop_column("users", "single_keys")
