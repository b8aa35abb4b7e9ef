"""remember where people sign in"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC = sa.DateTime(timezone=True)

revision = "202611291910"
down_revision = "202611291900"
branch_labels = None
depends_on = None

AT_ONCE = 1000
# Whole sign-ins alone, and nobody else's look through the eyes of a person.
OWN = "level = 'full' AND impersonator_id IS NULL"
SEEN = f"""
UPDATE users SET seen_at = here.at FROM (
  SELECT user_id, max(last_seen_at) AS at FROM sessions WHERE {OWN} GROUP BY user_id
) AS here WHERE here.user_id = users.id"""
PLACES = sa.text(f"""
SELECT user_id, user_agent, ip, min(created_at) AS first_at, max(last_seen_at) AS last_at
FROM sessions WHERE {OWN} GROUP BY user_id, user_agent, ip""").columns(first_at=UTC, last_at=UTC)


def upgrade() -> None:
    op.add_column("users", sa.Column("seen_at", UTC, nullable=True))
    places = op.create_table(
        "sign_in_places",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("user_agent", sa.String(length=255), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("first_at", UTC, nullable=False),
        sa.Column("last_at", UTC, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sign_in_places_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_places")),
        sa.UniqueConstraint("user_id", "user_agent", "network", name="uq_sign_in_places_place"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sign_in_places_last", "sign_in_places", ["last_at"])
    op.execute(SEEN)
    rows = folded(op.get_bind().execute(PLACES).all())
    for start in range(0, len(rows), AT_ONCE):
        op.bulk_insert(places, rows[start : start + AT_ONCE])


def folded(found: Iterable[Any]) -> list[dict[str, Any]]:
    """One row for a program and a network, whatever the addresses in it."""
    moments: dict[tuple[int, str, str], tuple[datetime, datetime]] = {}
    for row in found:
        key = (row.user_id, row.user_agent, network(row.ip))
        first, last = moments.get(key, (row.first_at, row.last_at))
        moments[key] = min(first, row.first_at), max(last, row.last_at)
    names = ("user_id", "user_agent", "network", "first_at", "last_at")
    return [dict(zip(names, (*key, *times), strict=True)) for key, times in moments.items()]


def network(ip: str) -> str:
    """As core/hosts.py said it when this was written."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False).network_address) + "/64"


def downgrade() -> None:
    op.drop_table("sign_in_places")
    op.drop_column("users", "seen_at")
