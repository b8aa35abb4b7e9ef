"""A school in which every text column that anybody fills holds hostile texts; written past the program, all at once.

The columns are found from the models: a new one gets its payloads without anyone remembering it. They are longer than
the program would let in: what the pages do with them must not depend on that.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import JSON, Column, Index, String, Table, UniqueConstraint, insert, select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.database.base import Base
from backend.database.crud.auth import SIGN_IN, SessionCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import ApiToken, AuthIdentity, Credential, OneTimeToken
from backend.database.models.courses import Course
from backend.database.models.dispatches import Dispatch
from backend.database.models.doors import Registration
from backend.database.models.imports import ImportRow
from backend.database.models.jobs import Job, JobError
from backend.database.models.media import TelegramFile
from backend.database.models.orders import Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.system import BotChat, Setting
from backend.database.models.tags import Tag, UserTag
from backend.database.models.tickets import Message
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.access import everything
from tests.factories import make_lesson
from tests.payloads import TEXTS

ROWS = 100  # the most that a list shows at once
AT_ONCE = len(TEXTS) // ROWS + 1  # payloads in a cell, so that these rows hold them all
# A table of rights with a hundred columns would say nothing more, and each change stands on the page of its record.
SINGLE = "sessions", "roles", "change_sets", "changes"
INVITED = "an-invitation"
LINKS = {"reset": "a-way-back", "verify": "an-address", SIGN_IN: "a-way-in"}  # of Vera's
SIGNED_UP = "a-registration"
# What only the program writes: hashes, keys, states. A column that is not named here gets payloads.
OURS = {
    "audit_blocks.*", "audit_redactions.*", "idempotency_keys.*", "leases.*", "rate_buckets.*", "sign_in_flows.*",
    "change_set_parts.*", "*.purpose", "refresh_tokens.*", "*.token_hash", "*.status", "*.state", "*.kind",
    "*.language", "*.request_id", "*.door", "users.password_hash", "users.ui_language", "users.theme",
    "users.timezone", "users.login_key", "users.email_key", "registrations.password_hash", "change_sets.label",
    "changes.entity", "changes.root", "changes.op", "roles.permissions", "api_tokens.scopes", "api_tokens.hint",
    "credentials.secret", "credentials.public_id", "credentials.public_key", "credentials.data", "imports.target",
    "imports.plan", "import_rows.verdict", "import_rows.outcome", "jobs.records", "jobs.verb", "jobs.arguments",
    "media.path", "media.mime", "media.sha256", "orders.payload", "orders.currency", "orders.source",
    "payments.currency", "payments.provider", "auth_identities.provider", "saved_views.list_name",
    "view_marks.list_name", "sessions.method", "sessions.level", "settings.key", "dispatches.dedupe_key",
    "dispatches.channel", "dispatches.method", "messages.side", "promo_codes.code_key", "tags.name_key",
}  # fmt: skip


def planted(table: Table) -> list[Column[Any]]:
    return [
        column
        for column in table.columns
        if isinstance(column.type, String | JSON)
        and not {f"{table.name}.{column.name}", f"{table.name}.*", f"*.{column.name}"} & OURS
    ]


PLANTED = {str(column) for table in Base.metadata.sorted_tables for column in planted(table)}


def plant(database: Database) -> dict[str, str]:
    """All payloads in each column of the first rows, some of them in each of a hundred rows more of every kind.

    Returns the number of a record of each kind, by path parameter.
    """
    with database.write_sessions() as db:
        ids = _one_of_each(db)
        db.commit()
    with database.transaction() as db:
        clones: dict[tuple[str, int], list[int]] = {}
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in db.execute(select(table)).mappings()]
            for row in rows:
                if texts := _texts(table, row):
                    where = [column == row[column.name] for column in table.primary_key]
                    db.execute(update(table).where(*where).values(_hostile(table, row, texts)))
            if "id" in table.c and rows and table.name not in SINGLE:
                more = list(_more(table, rows, clones))
                db.execute(insert(table), more)
    return ids


def _one_of_each(db: Session) -> dict[str, str]:
    """A school with one of each record, those included that only others write."""
    ids = everything(db)
    role = Role(name="Роль", permissions=["users:read"])
    tag = Tag(name="x", name_key="x")
    event = SecurityEvent(kind="authn_login_success", door="web", user_id=1, ip="x", user_agent="x", data={"name": "x"})
    db.add_all([role, tag, event])
    db.flush()
    person = User(login="vera", email="v@x.example", first_name="x", last_name="x", role_id=role.id)
    db.add(person)
    db.flush()
    later = clock.now() + timedelta(days=1)
    # What somebody changed, what failed, what was given: their words stand on pages of their own.
    db.get_one(User, ids["user_id"]).first_name = db.get_one(Course, ids["course_id"]).description = "y"
    db.get_one(Dispatch, ids["dispatch_id"]).state = "failed"
    db.get_one(Job, ids["job_id"]).failed = 1
    film = make_lesson(db, media_id=int(ids["media_id"]))
    db.get_one(Payment, 1).payer_telegram_id = None
    db.add_all([
        Purchase(user_id=int(ids["user_id"]), course_id=int(ids["course_id"]), payment_id="grant:x", amount=0,
                 status="completed", reason="x"),
        UserTag(tag_id=tag.id, row_id=int(ids["user_id"])),
        Credential(user_id=1, kind="passkey", name="x", public_id="x", public_key="x", confirmed_at=clock.now()),
        AuthIdentity(user_id=1, provider="google", issuer="x", subject="x", name="x"),
        ApiToken(name="x", token_hash="x", hint="x", scopes=["users:read"], user_id=1),
        OneTimeToken(user_id=person.id, purpose="invite", token_hash=security.digest(INVITED), expires_at=later),
        *(
            OneTimeToken(user_id=person.id, purpose=purpose, token_hash=security.digest(secret), expires_at=later,
                         data={"email": "x"})
            for purpose, secret in LINKS.items()
        ),
        JobError(job_id=int(ids["job_id"]), row_id=1, message="x"),
        Refund(payment_id=1, amount=1, reason="x", status="failed", error="x"),
        TelegramFile(media_id=int(ids["media_id"]), bot_id=1, file_id="x"),
        BotChat(telegram_id=1, data={"x": "x"}),
        Registration(token_hash=security.digest(SIGNED_UP), email="x", first_name="x", language="en",
                     password_hash="x", expires_at=later),
        ImportRow(import_id=int(ids["import_id"]), number=3, cells=["x"], verdict="changed", told={"x": ["x", "x"]}),
        Setting(key="school", value={"name": "x"}),
        Message(chat_id=1, sender_id=1, side="staff", body="x"),
        Message(chat_id=1, sender_id=1, side="staff", body="x", internal=True),
    ])  # fmt: skip
    db.flush()
    halfway = SessionCRUD(db).open(
        db.get_one(User, 1), kind="cookie", user_agent="x", ip="x", lifetime=timedelta(hours=1), method="password",
        level="pending",
    )  # fmt: skip
    gift = db.scalars(select(Purchase.id).where(Purchase.amount == 0)).one()
    return ids | {
        "gift_id": str(gift),
        "film_id": str(film.id),
        "event_id": str(event.id),
        "role_id": str(role.id),
        "staff_id": str(person.id),
        "token": INVITED,
        "halfway": halfway[1],
    }


def _texts(table: Table, row: dict[str, Any]) -> tuple[str, ...]:
    """What this row holds: few where it stands on every page (the names of the school and of the admin)."""
    if row.get("is_system"):
        return ()
    return _some(7) if _stays(table, row) else TEXTS


def _stays(table: Table, row: dict[str, Any]) -> bool:
    return bool(row.get("is_system")) or table.name == "settings" or (table.name == "users" and row["id"] == 1)


def _some(number: int) -> tuple[str, ...]:
    at = number * AT_ONCE % len(TEXTS)
    return (TEXTS + TEXTS)[at : at + AT_ONCE]


def _more(
    table: Table, rows: list[dict[str, Any]], clones: dict[tuple[str, int], list[int]]
) -> Iterator[dict[str, Any]]:
    """Rows like these, each a hundred times; what belongs to one of them belongs to the same number of its clones."""
    last = max(row["id"] for row in rows)
    for row in (each for each in rows if not _stays(table, each)):
        numbers = clones[table.name, row["id"]] = []
        for number in range(ROWS):
            last += 1
            numbers.append(last)
            new = row | {"id": last} | {name: _other(row[name], last) for name in _alone(table)}
            for column in table.columns:
                for key in column.foreign_keys:
                    found = clones.get((key.column.table.name, row[column.name]))
                    new[column.name] = found[number] if found else row[column.name]
            if table.name == "users":
                new["role_id"] = min(each["role_id"] for each in rows)  # not the long name of Vera's, a hundred times
            yield _hostile(table, new, _some(number))


def _alone(table: Table) -> set[str]:
    """Columns in which, by themselves or with others, no two rows are alike."""
    keys = (*table.constraints, *table.indexes)
    unique = [key for key in keys if isinstance(key, UniqueConstraint) or (isinstance(key, Index) and key.unique)]
    return {column.name for key in unique for column in key.columns if not column.foreign_keys}


def _other(value: Any, number: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    return value + number if isinstance(value, int) else f"{value} {number}"


def _hostile(table: Table, row: dict[str, Any], texts: tuple[str, ...]) -> dict[str, Any]:
    """The row with the texts in each column that is planted, in another order in each."""
    alone = _alone(table)
    for at, column in enumerate(planted(table)):
        turn = at * 37 % len(texts)
        # With the column's name at both ends: so a page tells what it shows, whichever part of it.
        text = " ".join((f"⟦{column}⟧", *texts[turn:], *texts[:turn], f"⟦{column}⟧"))
        if str(row[column.name]).startswith("grant:"):
            text = f"grant:{text}"
        if column.name in alone:
            text += f" {row['id']}"
        if column.name == "address" and row["address"] is None:
            continue  # a letter's alone
        if column.name == "words" and row.get("verdict") == "changed":
            continue  # what is wrong with a row is shown in the place of what it would change
        if isinstance(column.type, JSON):
            row[column.name] = _filled(row[column.name], text, _kept(table, row))
        else:
            row[column.name] = text
    return row


def _kept(table: Table, row: dict[str, Any]) -> set[str]:
    """What keeps its value in a JSON column: in the history, the columns that the program fills."""
    if table.name != "changes":
        return {"language"}  # of a letter
    changed = Base.metadata.tables[row["entity"]]
    return {column.name for column in changed.columns} - {column.name for column in planted(changed)}


def _filled(value: Any, text: str, kept: set[str]) -> Any:
    """With this text for every text in it."""
    if isinstance(value, dict):
        return {name: each if name in kept else _filled(each, text, kept) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, text, kept) for each in value]
    return text if isinstance(value, str) else value
