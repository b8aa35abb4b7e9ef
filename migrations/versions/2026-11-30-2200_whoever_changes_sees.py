"""a school's own roles that hold a right to change hold the right to see as well, and those to come in"""

import sqlalchemy as sa
from alembic import op

revision = "202611302200"
down_revision = "202611301800"
branch_labels = None
depends_on = None
VIEWS = {
    "users:write": "users:read",
    "lessons:write": "lessons:read",
    "courses:write": "courses:read",
    "promo_codes:write": "promo_codes:read",
    "purchases:grant": "purchases:read",
    "purchases:refund": "purchases:read",
    "tickets:write": "tickets:read",
}
ALL = {"dashboard:read", "profile:write"}
ROLES = sa.table("roles", sa.column("id"), sa.column("permissions", sa.JSON), sa.column("is_system", sa.Boolean))


def upgrade() -> None:
    bind = op.get_bind()
    for role_id, rights in bind.execute(sa.select(ROLES.c.id, ROLES.c.permissions).where(~ROLES.c.is_system)).all():
        views = {view for change, view in VIEWS.items() if change in rights}
        more = (views | ALL) - set(rights) if rights else set()
        if more:
            bind.execute(sa.update(ROLES).where(ROLES.c.id == role_id).values(permissions=sorted({*rights, *more})))


def downgrade() -> None:
    """Which of them were given by hand is not known."""
