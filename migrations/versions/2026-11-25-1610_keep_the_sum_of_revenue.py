"""keep the sum of revenue"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "202611251610"
down_revision = "202611251600"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "closed_revenue",
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stars", BIG, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closed_revenue")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "closed_sales",
        sa.Column("lesson_id", BIG, nullable=True),
        sa.Column("course_id", BIG, nullable=True),
        sa.Column("count", BIG, nullable=False),
        sa.Column("stars", BIG, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.CheckConstraint("(lesson_id IS NULL) <> (course_id IS NULL)", name=op.f("ck_closed_sales_one_sellable")),
        sa.ForeignKeyConstraint(
            ["lesson_id"], ["lessons.id"], name=op.f("fk_closed_sales_lesson_id_lessons"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["course_id"], ["courses.id"], name=op.f("fk_closed_sales_course_id_courses"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closed_sales")),
        sa.UniqueConstraint("lesson_id", name=op.f("uq_closed_sales_lesson_id")),
        sa.UniqueConstraint("course_id", name=op.f("uq_closed_sales_course_id")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("closed_sales")
    op.drop_table("closed_revenue")
