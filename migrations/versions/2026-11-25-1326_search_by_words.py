"""search by words"""

import sqlalchemy as sa
from alembic import op

from backend.database.search.keys import SOUND, key_of, normalise, sound

revision = "202611251326"
down_revision = "202611251308"
branch_labels = None
depends_on = None

TITLED = ("lessons", "courses", "promo_codes", "support_tickets")
NAMES = ("first_name", "last_name", "username", "login", "email", "telegram_id")
BATCH = 2000


def upgrade() -> None:
    """A space goes around every word and @ before a username: beginnings of words get trigrams, usernames a place."""
    for table in TITLED:
        _rewrite(table, ("search_key",), lambda row: key_of(row.search_key.partition(SOUND)[0]))
    _rewrite("users", NAMES, lambda row: key_of(_text(row, "@")))


def downgrade() -> None:
    for table in TITLED:
        _rewrite(table, ("search_key",), lambda row: _old(row.search_key.partition(SOUND)[0]))
    _rewrite("users", NAMES, lambda row: _old(_text(row, "")))


def _text(row, mark: str) -> str:  # type: ignore[no-untyped-def] # a row of NAMES
    username = row.username and f"{mark}{row.username}"
    parts = (row.first_name, row.last_name, username, row.login, row.email, row.telegram_id)
    return " ".join(str(part) for part in parts if part)


def _old(text: str) -> str:
    key = normalise(text)
    told = sound(key)
    return key if told == key else f"{key}{SOUND}{told}"[:500]


def _rewrite(name: str, columns: tuple[str, ...], make) -> None:  # type: ignore[no-untyped-def] # row -> str
    connection = op.get_bind()
    table = sa.table(name, sa.column("id", sa.BigInteger), sa.column("search_key", sa.String), *map(sa.column, columns))
    change = table.update().where(table.c.id == sa.bindparam("row")).values(search_key=sa.bindparam("key"))
    read = sa.select(table.c.id, *(table.c[column] for column in columns)).order_by(table.c.id).limit(BATCH)
    last = 0
    while rows := connection.execute(read.where(table.c.id > last)).all():
        last = rows[-1].id
        connection.execute(change, [{"row": row.id, "key": make(row)} for row in rows])
