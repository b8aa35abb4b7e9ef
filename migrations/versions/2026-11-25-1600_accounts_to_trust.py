"""accounts to trust: second factors, accounts elsewhere, security events, sessions that know more"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC = sa.DateTime(timezone=True)
TOTP = sa.text("kind = 'totp'")

revision = "202611251600"
down_revision = "202611251352"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_security_events()
    create_credentials()
    create_identities()
    with op.batch_alter_table("change_sets") as batch:
        batch.add_column(sa.Column("impersonator_id", BIG, nullable=True))
        batch.create_foreign_key(
            op.f("fk_change_sets_impersonator_id_users"), "users", ["impersonator_id"], ["id"], ondelete="SET NULL"
        )
    with op.batch_alter_table("one_time_tokens") as batch:
        batch.add_column(sa.Column("data", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    widen_sessions()


def create_security_events() -> None:
    op.create_table(
        "security_events",
        sa.Column("at", UTC, nullable=False),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("impersonator_id", BIG, nullable=True),
        sa.Column("token_id", BIG, nullable=True),
        sa.Column("door", sa.String(length=8), nullable=False),
        sa.Column("ip", sa.String(length=64), nullable=True),
        sa.Column("user_agent", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_security_events_at", "security_events", ["at", "id"])
    op.create_index("ix_security_events_kind", "security_events", ["kind", "at", "id"])
    op.create_index("ix_security_events_user", "security_events", ["user_id", "at", "id"])


def create_credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("secret", sa.String(length=512), nullable=True),
        sa.Column("public_id", sa.String(length=1400), nullable=True),
        sa.Column("public_key", sa.String(), nullable=True),
        sa.Column("sign_count", BIG, nullable=False),
        sa.Column("last_step", BIG, nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("confirmed_at", UTC, nullable=True),
        sa.Column("used_at", UTC, nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.CheckConstraint("kind IN ('totp', 'passkey', 'recovery')", name=op.f("ck_credentials_kind")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_credentials_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("public_id", name=op.f("uq_credentials_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_credentials_user_id"), "credentials", ["user_id"])
    op.create_index(
        "uq_credentials_totp", "credentials", ["user_id"], unique=True, sqlite_where=TOTP, postgresql_where=TOTP
    )


def create_identities() -> None:
    op.create_table(
        "auth_identities",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("used_at", UTC, nullable=True),
        sa.Column("id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_auth_identities_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_identities")),
        sa.UniqueConstraint("issuer", "subject", name="uq_auth_identities_subject"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_auth_identities_user_id"), "auth_identities", ["user_id"])


def widen_sessions() -> None:
    with op.batch_alter_table("sessions") as batch:
        batch.add_column(sa.Column("level", sa.String(length=8), server_default="full", nullable=False))
        batch.add_column(sa.Column("method", sa.String(length=64), server_default="password", nullable=False))
        batch.add_column(sa.Column("confirmed_at", UTC, nullable=True))
        batch.add_column(sa.Column("impersonator_id", BIG, nullable=True))
        batch.add_column(sa.Column("parent_id", BIG, nullable=True))
        batch.add_column(sa.Column("reason", sa.String(length=200), server_default="", nullable=False))
        batch.add_column(sa.Column("read_only", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch.create_check_constraint(op.f("ck_sessions_level"), "level IN ('pending', 'full')")
        for column, table in (("impersonator_id", "users"), ("parent_id", "sessions")):
            name = op.f(f"fk_sessions_{column}_{table}")
            batch.create_foreign_key(name, table, [column], ["id"], ondelete="CASCADE")
    op.execute("UPDATE sessions SET confirmed_at = created_at")
    with op.batch_alter_table("sessions") as batch:
        batch.alter_column("confirmed_at", existing_type=UTC, nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("sessions") as batch:
        for column, table in (("parent_id", "sessions"), ("impersonator_id", "users")):
            batch.drop_constraint(op.f(f"fk_sessions_{column}_{table}"), type_="foreignkey")
        batch.drop_constraint(op.f("ck_sessions_level"), type_="check")
        for column in ("read_only", "reason", "parent_id", "impersonator_id", "confirmed_at", "method", "level"):
            batch.drop_column(column)
    with op.batch_alter_table("one_time_tokens") as batch:
        batch.drop_column("data")
    with op.batch_alter_table("change_sets") as batch:
        batch.drop_constraint(op.f("fk_change_sets_impersonator_id_users"), type_="foreignkey")
        batch.drop_column("impersonator_id")
    op.drop_table("auth_identities")
    op.drop_table("credentials")
    op.drop_table("security_events")
