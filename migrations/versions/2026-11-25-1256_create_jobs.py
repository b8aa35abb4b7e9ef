"""create jobs"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "202611251256"
down_revision = "202611251253"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("records", sa.String(length=32), nullable=False),
        sa.Column("verb", sa.String(length=64), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        *(sa.Column(name, BIG, nullable=False) for name in ("total", "position", "done", "same", "failed")),
        sa.Column("cursor", BIG, nullable=True),
        sa.Column("worked_ms", BIG, nullable=False),
        sa.Column("owner_id", BIG, nullable=True),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("change_set_id", BIG, nullable=True),
        sa.Column("error", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", BIG, nullable=False),
        sa.CheckConstraint("kind IN ('bulk', 'undo', 'import')", name=op.f("ck_jobs_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'paused', 'done', 'cancelled', 'failed')", name=op.f("ck_jobs_state")
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_jobs_owner_id_users"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["change_set_id"],
            ["change_sets.id"],
            name=op.f("fk_jobs_change_set_id_change_sets"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("change_set_id", name=op.f("uq_jobs_change_set_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_queue", "jobs", ["state", "lease_until", "id"])
    op.create_index("ix_jobs_owner", "jobs", ["owner_id", "id"])
    op.create_table(
        "job_rows",
        sa.Column("job_id", BIG, autoincrement=False, nullable=False),
        sa.Column("row_id", BIG, autoincrement=False, nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "row_id", name=op.f("pk_job_rows")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job_errors",
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("row_id", BIG, nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_errors_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_errors")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_errors_job", "job_errors", ["job_id", "id"])


def downgrade() -> None:
    op.drop_table("job_errors")
    op.drop_table("job_rows")
    op.drop_table("jobs")
