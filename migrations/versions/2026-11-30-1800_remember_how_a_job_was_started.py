"""jobs say through whose eyes, from where and with which request they were started"""

import sqlalchemy as sa
from alembic import op

revision = "202611301800"
down_revision = "202611301000"
branch_labels = None
depends_on = None
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("impersonator_id", BIG, nullable=True))
    op.add_column("jobs", sa.Column("ip", sa.String(64), nullable=True))
    op.add_column("jobs", sa.Column("request_id", sa.String(64), nullable=True))


def downgrade() -> None:
    for name in ("impersonator_id", "ip", "request_id"):
        op.drop_column("jobs", name)
