"""letters: the outbox gets a channel; ways in that are under way"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC = sa.DateTime(timezone=True)
QUEUE = ["state", "priority", "not_before", "id"]
ADDRESSED = (
    "(channel = 'telegram' AND chat_id IS NOT NULL AND address IS NULL)"
    " OR (channel = 'email' AND chat_id IS NULL AND address IS NOT NULL)"
)

revision = "202611251620"
down_revision = "202611251610"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("dispatches", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("channel", sa.String(length=8), server_default="telegram", nullable=False))
        batch.add_column(sa.Column("address", sa.String(length=254), nullable=True))
        batch.add_column(sa.Column("expires_at", UTC, nullable=True))
        batch.alter_column("chat_id", existing_type=sa.BigInteger(), nullable=True)
        batch.create_check_constraint(op.f("ck_dispatches_channel"), "channel IN ('telegram', 'email')")
        batch.create_check_constraint(op.f("ck_dispatches_addressed"), ADDRESSED)
        batch.drop_index("ix_dispatches_queue")
        batch.create_index("ix_dispatches_queue", ["channel", *QUEUE])
    create_flows()
    create_registrations()


def create_flows() -> None:
    op.create_table(
        "sign_in_flows",
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("expires_at", UTC, nullable=False),
        sa.Column("used_at", UTC, nullable=True),
        sa.Column("id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sign_in_flows_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_flows")),
        sa.UniqueConstraint("state_hash", name=op.f("uq_sign_in_flows_state_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sign_in_flows_user_id"), "sign_in_flows", ["user_id"])
    op.create_index(op.f("ix_sign_in_flows_expires_at"), "sign_in_flows", ["expires_at"])


def create_registrations() -> None:
    op.create_table(
        "registrations",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("first_name", sa.String(length=128), nullable=False),
        sa.Column("last_name", sa.String(length=128), nullable=True),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("expires_at", UTC, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_registrations_token_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_registrations_expires_at"), "registrations", ["expires_at"])


def downgrade() -> None:
    op.drop_table("registrations")
    op.drop_table("sign_in_flows")
    op.execute("DELETE FROM dispatches WHERE channel <> 'telegram'")
    with op.batch_alter_table("dispatches", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_index("ix_dispatches_queue")
        batch.create_index("ix_dispatches_queue", QUEUE)
        batch.drop_constraint(op.f("ck_dispatches_addressed"), type_="check")
        batch.drop_constraint(op.f("ck_dispatches_channel"), type_="check")
        batch.alter_column("chat_id", existing_type=sa.BigInteger(), nullable=False)
        for column in ("expires_at", "address", "channel"):
            batch.drop_column(column)
