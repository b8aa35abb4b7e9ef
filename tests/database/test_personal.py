"""Personal data of a student: all of it in the copy, none of it anywhere after the erasure, and the books equal."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, String, Text, func, inspect, select, text
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.errors import ConflictError
from backend.database import personal
from backend.database.base import Base
from backend.database.chain.sealing import seal
from backend.database.chain.verifying import verify
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import (
    ApiToken,
    AuthIdentity,
    AuthSession,
    Credential,
    IdempotencyKey,
    OneTimeToken,
    SignInPlace,
)
from backend.database.models.dispatches import Dispatch
from backend.database.models.doors import Registration, SignInFlow
from backend.database.models.history import Change, ChangeSet
from backend.database.models.imports import Import
from backend.database.models.jobs import Job, JobError, JobRow
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.system import BotChat
from backend.database.models.tags import Tag, UserTag
from backend.database.models.tickets import Message, SupportTicket
from backend.database.models.users import User
from backend.database.personal.places import BOOKS, PLACES
from backend.database.personal.traces import whose
from backend.database.session import Database
from tests.factories import make_import, make_lesson, make_order, make_purchase, make_ticket, make_user, make_view, save

CANARY = "zqxcanary"
# Texts that say nothing about a person: words of the program, the school's own content, random keys, books.
NOT_PERSONAL = {
    **dict.fromkeys(("audit_blocks", "audit_redactions"), "numbers and hashes"),
    **dict.fromkeys(("courses", "lessons", "course_lessons", "promo_codes", "order_lines"), "what the school sells"),
    **dict.fromkeys(("media", "telegram_files", "roles", "settings", "leases"), "the school's own"),
    "rate_buckets": "numbers and addresses, for some hours",
    "refresh_tokens": "random, and gone with their session",
    "change_set_parts": "names of tables",
    "promo_redemptions": "words of the program",
    "chats": "words of the program",
    "orders": "words of the program, and a random key",
    "view_marks": "words of the program",
}
WORDS_OF_THE_PROGRAM = {
    "kind", "door", "side", "status", "state", "method", "level", "purpose", "provider", "currency", "theme", "op",
    "entity", "root", "label", "verdict", "outcome", "list_name", "scopes", "request_id", "owner", "key",
    "request_hash", "timezone", "language_code", "ui_language", "issuer", "channel", "language",
}  # fmt: skip
# The number of a payment is what the books know it by; random keys open nothing without their other half; the plan of a
# file names our own fields, and a job is done to many.
KEPT = {
    "payments.provider_charge_id", "purchases.payment_id", "orders.payload", "api_tokens.token_hash",
    "imports.target", "imports.plan", "jobs.records", "jobs.verb", "jobs.arguments", "jobs.holder", "jobs.error",
}  # fmt: skip
BY_HAND = {  # cleared by code of their own, see Eraser
    "tags.name", "tags.name_key", "saved_views.name", "import_rows.cells", "import_rows.told", "import_rows.words",
    "job_rows.data", "idempotency_keys.response", "changes.before", "changes.after", "change_sets.ip",
    "security_events.ip", "security_events.user_agent", "security_events.data", "users.search_key",
    "support_tickets.search_key", "imports.filename", "imports.header",
}  # fmt: skip


def texts(table: Any) -> list[str]:
    return [column.name for column in table.columns if isinstance(column.type, String | Text | JSON)]


def test_every_text_of_every_table_is_decided_on() -> None:
    gone = {place.table for place in PLACES if place.goes}
    put = {f"{place.table}.{name}" for place in PLACES for name in place.put}
    undecided = {
        f"{table.name}.{name}"
        for table in Base.metadata.sorted_tables
        if table.name not in gone and table.name not in NOT_PERSONAL
        for name in texts(table)
        if name not in WORDS_OF_THE_PROGRAM
    }
    assert undecided - put - BY_HAND - KEPT == set()


def fill(row: Base, at: str) -> None:
    """A canary in every text of a row that a person might have written."""
    for column in inspect(type(row)).columns:
        name, kind = column.name, column.type
        if name in ("email", "email_key", "address"):
            continue  # by these other rows are found
        if name in WORDS_OF_THE_PROGRAM or f"{row.__tablename__}.{name}" in KEPT or name.endswith("_hash"):
            continue
        if isinstance(kind, JSON) and name != "scopes":
            setattr(row, name, {"x": f"{CANARY} {at}"})
        elif isinstance(kind, String) and not column.foreign_keys:
            setattr(row, name, f"{CANARY}-{at}"[: kind.length or 99])


def letters(event: SecurityEvent) -> list[Dispatch]:
    """What others hold of the person: alerts of an event about them, a sent message, a letter of old."""
    params = {"language": "ru", "values": {"details": f"Мария {CANARY} · 192.0.2.7"}}
    former, mail = f"old-{CANARY}@example.org", {"channel": "email", "params": params, "state": "sent"}
    told = {"chat_id": 5, "method": "sendMessage", "state": "sent"}
    alert = {"address": "anna@school.example", "method": "alert"}
    rest, other = f"{event.kind}:{event.user_id}:account", {"values": {"details": "someone else"}}
    return [
        Dispatch(dedupe_key=f"letter:alert:{event.id}:1", **alert, **mail),
        Dispatch(dedupe_key=f"letter:alert:{rest}:2026-11-29T10:00:00:1", **alert, **mail),
        Dispatch(dedupe_key=f"alert:{event.id}:1:chat", params={"text": f"Мария {CANARY}"}, **told),
        Dispatch(dedupe_key="letter:x", address=former, method="register", **mail),
        Dispatch(dedupe_key="named", params={"text": f"write to {former}"}, **told),
        Dispatch(dedupe_key=f"letter:alert:{event.id}0:1", channel="email", params=other, **alert),
        Dispatch(
            dedupe_key=f"letter:alert:{event.kind}:0::2026-11-29T10:00:00:1", channel="email", params=other, **alert
        ),
    ]


def before(db: Session, user: User) -> None:
    """What they were called once, and where that stands."""
    former = f"old-{CANARY}@example.org"
    user.username, user.email = f"{CANARY}_former", former
    db.commit()
    user.username, user.email = None, "Maria@example.org"
    event = SecurityEvent(kind="authn_login_fail_max", user_id=user.id, door="web")
    about = {"first_name": "x", "language": "ru", "password_hash": "p", "expires_at": clock.now()}
    save(
        db,
        event,
        SecurityEvent(kind="sensitive_read", actor_id=1, door="web", data={"filters": f"q={former}"}),
        Registration(token_hash="f", email=former.title(), **about),
    )
    save(db, *letters(event))
    make_import(db, "users", [[f"@{CANARY}_former"], [former], ["@other"]], ["username"])
    others_say(db, user)


def others_say(db: Session, user: User) -> None:
    """What stands of them in the texts of others."""
    other, named = make_user(db, username="an_other"), f"@{CANARY}_former, OLD-{CANARY}@example.org."
    ticket = make_ticket(db, other, subject=f"Write to {CANARY}_former", message=f"Help\n{named}", admin_response=named)
    bought = make_purchase(db, other, make_lesson(db), reason=f"A gift of {CANARY}_former")
    payment = db.scalars(select(Payment).where(Payment.provider_charge_id == bought.payment_id)).one()
    payment.status, db.get_one(Order, payment.order_id).status = "refunded", "refunded"
    job = Job(records="lessons", verb="delete", state="done")
    save(db, job, *(Tag(name=f"{name}{CANARY}_former", name_key=f"{name}{CANARY}_former") for name in ("", "@")))
    save(
        db,
        Refund(payment_id=payment.id, amount=payment.amount, status="done", actor_id=1, reason=named),
        JobError(job_id=job.id, row_id=1, message=named),
        make_view(db, name=f"of {CANARY}_former"),
        make_view(db, name=f"of old-{CANARY}@example.org"),
        Dispatch(
            dedupe_key="line", chat_id=6, method="sendMessage", state="sent", params={"text": f"see\n{CANARY}_former"}
        ),
    )
    ticket.chat.messages.append(Message(side="staff", body=f"<{named}>"))
    db.commit()
    about = {"header": ["username", f"{CANARY}_former"], "filename": f"list_of_{CANARY}_former_2026.csv"}
    make_import(db, "users", [["x", "y"]], ["username", "first_name"], state="done", **about)


@pytest.fixture
def student(db: Session) -> User:
    """A student in every table that may know of one, with a canary in every text; and a colleague with the same."""
    user, other, lesson = (
        make_user(db, telegram_id=987654321012, password_hash="the hash", email="Maria@example.org"),
        make_user(db),
        make_lesson(db),
    )
    ticket, gone = make_ticket(db, user), make_ticket(db, user, subject=f"{CANARY} deleted", message=CANARY)
    make_ticket(db, other), make_purchase(db, other, lesson)
    make_purchase(db, user, lesson), make_order(db, user, make_lesson(db))
    returned = make_purchase(db, user, make_lesson(db), revoked_at=clock.now())
    payment = db.scalars(select(Payment).where(Payment.provider_charge_id == returned.payment_id)).one()
    payment.status, db.get_one(Order, payment.order_id).status = "refunded", "refunded"
    before(db, user)
    tag, shared = Tag(name=CANARY, name_key=CANARY), Tag(name="shared", name_key="shared")
    job = Job(records="users", verb="delete", state="done", owner_id=user.id)
    save(db, tag, shared, job, Refund(payment_id=payment.id, amount=payment.amount, status="done", actor_id=1))
    now = clock.now()
    save(
        db,
        *(UserTag(row_id=who.id, tag_id=each.id) for who, each in ((user, tag), (user, shared), (other, shared))),
        Dispatch(dedupe_key="a", chat_id=user.telegram_id, user_id=user.id, method="sendMessage", params={}),
        Dispatch(dedupe_key="b", chat_id=user.telegram_id, method="sendMessage", params={}),
        Dispatch(dedupe_key="c", channel="email", address="Maria@Example.org", method="reset", params={}),
        SignInFlow(user_id=user.id, state_hash="s", browser="b", provider="google", sealed="x", expires_at=now),
        Registration(
            token_hash="r", email="maria@example.org", first_name="x", language="ru", password_hash="p", expires_at=now
        ),
        BotChat(telegram_id=user.telegram_id, data={}),
        AuthSession(user_id=user.id, kind="cookie", token_hash="h", token_version=1, expires_at=now),
        SignInPlace(user_id=user.id, user_agent="x", network="x"),
        Credential(user_id=user.id, kind="totp"),
        AuthIdentity(user_id=user.id, provider="google", issuer="https://idp.example", subject="1"),
        OneTimeToken(user_id=user.id, purpose="reset", token_hash="o", expires_at=now),
        ApiToken(user_id=user.id, name="x", token_hash="t", hint="x", scopes=[]),
        JobError(job_id=job.id, row_id=user.id, message="x"),
        *(JobRow(job_id=job.id, row_id=n, data={"telegram_id": user.telegram_id, "n": CANARY}) for n in (1, 2)),
        *(IdempotencyKey(owner="token:1", key=key, request_hash="x", status=201, response=body) for key, body in {
            "1": f'{{"id":5,"telegram_id":{user.telegram_id},"first_name":"{CANARY}"}}',
            "2": f'{{"body":"{CANARY}","ticket_id":{ticket.id}}}',
            "3": f'{{"x":"{CANARY}","user_id":{user.id},"y":1}}',
            "4": f'{{"user_id":{user.id}1,"ticket_id":{ticket.id}1,"telegram_id":1}}',
        }.items()),
        SecurityEvent(kind="authn_login_fail", user_id=user.id, door="web", ip=CANARY, data={"x": CANARY}),
        SecurityEvent(kind="authn_login_fail", user_id=other.id, door="web", ip="192.0.2.1", user_agent="other"),
        ChangeSet(actor_id=user.id, door="web", ip=CANARY),
        make_view(db, owner_id=user.id),
        make_view(db, name="shared", query=f"q=%40{CANARY}-user"),
    )  # fmt: skip
    who = whose(db, user.id)
    for place in PLACES:
        for row in db.scalars(select(place.model).where(place.mine(who))).all():
            fill(row, str(row.id)) if place.model is not User else fill(row, "user")
    db.commit()
    user.username = f"{CANARY}-user"
    db.commit()
    make_import(db, "users", [[str(user.telegram_id), CANARY], ["1", "other"]], ["telegram_id", "first_name"])
    TicketCRUD(db).delete(gone.id)
    db.commit()
    return user


def everything(db: Session) -> dict[str, str]:
    """All that the database holds, by table, the insides of SQLite's search index included."""
    if db.get_bind().dialect.name == "sqlite":
        names = db.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
    else:
        names = [table.name for table in Base.metadata.sorted_tables]
    return {name: repr(db.execute(text(f'SELECT * FROM "{name}"')).all()) for name in names}


def holding(db: Session, *words: object) -> set[str]:
    found = everything(db).items()
    return {table for table, held in found if any(str(word).casefold() in held.casefold() for word in words)}


def books(db: Session) -> Any:
    sums = select(func.count(), func.sum(Payment.amount)), select(func.count(), func.sum(Purchase.amount))
    return [tuple(db.execute(found).one()) for found in sums], LedgerCRUD(db).problems()


def test_nothing_personal_is_left_and_the_books_are_equal(
    database: Database, settings: Settings, db: Session, student: User
) -> None:
    seal(database, settings)
    number, before = student.id, books(db)
    assert {"users", "changes", "messages", "tags", "import_rows", "job_rows", "payments"} <= holding(db, CANARY)
    assert len(holding(db, CANARY)) >= 20
    database.run(lambda session: personal.Eraser(session).erase(number), Actor(Door.CLI))
    db.expire_all()
    assert holding(db, CANARY, "987654321012", "maria@example") == set()
    assert books(db) == before
    left = db.get_one(User, number)
    assert (left.name, left.is_active, left.erased_at is not None) == (f"#{number}", False, True)
    tags = dict(db.execute(select(Tag.name, Tag.name_key)).all())
    assert sorted(name.rstrip("0123456789") for name in tags) == ["@[…] ", "[…] ", "shared"]
    assert all(name == key for name, key in tags.items())
    # Others keep what they wrote, but for the words that named the person.
    ticket = db.scalars(select(SupportTicket).where(SupportTicket.subject.startswith("Write to"))).one()
    assert (ticket.subject, ticket.search_key) == ("Write to […]", " write to [...] \x01 vrite to [...] ")
    assert (ticket.message, ticket.admin_response, ticket.version) == ("Help\n@[…], […].", "@[…], […].", 2)
    bodies = select(Message.body).where(Message.body.contains("@[…]")).order_by(Message.id)
    assert db.scalars(bodies).all() == ["Help\n@[…], […].", "<@[…], […].>"]
    assert db.scalars(select(Import.filename).order_by(Import.id)).all()[1:2] == ["[…]"]
    assert db.scalars(select(IdempotencyKey.key)).all() == ["4"]
    assert db.scalars(select(SecurityEvent.ip).where(SecurityEvent.user_agent == "other")).all() == ["192.0.2.1"]
    assert len(db.scalars(select(Dispatch.id)).all()) == 4  # alerts of others, and what named them
    assert db.scalars(select(Dispatch.params).where(Dispatch.dedupe_key == "named")).all() == [{"text": "[…]"}]
    assert verify(database, settings).problem is None  # the chain over the history is whole
    # That it was done is known, and by whom.
    assert db.scalars(select(ChangeSet.label).order_by(ChangeSet.id.desc())).first() == "erase"
    assert db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id.desc())).first() == "sensitive_delete"


def test_the_file_of_the_database_holds_nothing_either(database: Database, db: Session, student: User) -> None:
    if not database.is_sqlite:
        pytest.skip("VACUUM is PostgreSQL's own business")
    database.run(lambda session: personal.Eraser(session).erase(student.id))
    terms = "CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, users_search, row)"
    with database.engine.connect() as connection:
        connection.execute(text(terms))
        assert connection.execute(text("SELECT count(*) FROM temp.terms WHERE term LIKE '%zqx%'")).scalar() == 0
    db.close()
    personal.scrub(database, whole=True)
    path = Path(str(database.engine.url.database))
    for file in path.parent.glob(path.name + "*"):
        assert re.findall(rb"(?i)zqxcan|987654321012", file.read_bytes()) == [], file


def test_the_copy_holds_all_of_it_and_no_secret(database: Database, db: Session, student: User) -> None:
    user_id = student.id
    copy = json.dumps(database.run(lambda session: personal.dossier(session, user_id)), ensure_ascii=False)
    found = json.loads(copy)
    for place in (*PLACES, *BOOKS):
        rows = [found["person"]] if place.model is User else found.get(place.table, [])
        assert rows or place.model is UserTag, place.table
        assert not any(place.secret & row.keys() for row in rows), place.table
        for name in place.put.keys() - place.secret:
            assert all(name in row for row in rows), (place.table, name)
    assert set(found["tags"]) == {CANARY, "shared"}
    assert f"{CANARY} deleted" in json.dumps(found["history"])
    assert "other" not in {event["user_agent"] for event in found["security_events"]}
    assert "the hash" not in copy
    event = db.scalars(select(SecurityEvent).order_by(SecurityEvent.id.desc())).first()
    assert event is not None
    assert (event.kind, event.user_id, event.data) == ("sensitive_read", user_id, {"what": "person"})


def erase(database: Database, user_id: int) -> None:
    database.run(lambda session: personal.Eraser(session).erase(user_id))


def test_who_may_not_be_erased(database: Database, db: Session) -> None:
    student, lesson = make_user(db), make_lesson(db)
    make_purchase(db, student, lesson)
    payment = db.scalars(select(Payment)).one()
    refund = Refund(payment_id=payment.id, amount=payment.amount, status="requested")
    save(db, refund)
    with pytest.raises(ConflictError, match="refund to this person is in progress"):
        erase(database, student.id)
    refund.status = "done"
    db.commit()
    erase(database, student.id)
    with pytest.raises(ConflictError, match="already been erased"):
        erase(database, student.id)
    with pytest.raises(ConflictError, match="Turn off the account first"):
        erase(database, 1)
    db.get_one(User, 1).is_active = False
    db.commit()
    erase(database, 1)


def test_what_is_erased_stays_erased(database: Database, db: Session) -> None:
    student = make_user(db, first_name="Мария")
    bought = make_purchase(db, student, make_lesson(db))
    number = db.scalars(select(Change.change_set_id).where(Change.entity == "users")).first()
    student.first_name = "Марья"
    db.commit()
    renamed = db.scalars(select(func.max(ChangeSet.id))).one()
    erase(database, student.id)
    erased = db.scalars(select(func.max(ChangeSet.id))).one()
    for change_set_id in (number, renamed, erased):
        with pytest.raises(ConflictError):
            database.run(lambda session, at=change_set_id: UndoCRUD(session).undo(at, rest=True))
    from backend.database.crud.purchases import PurchaseCRUD

    with pytest.raises(ConflictError, match="there is no one to refund"):
        database.run(lambda session: PurchaseCRUD(session).refund(bought.id))
    with pytest.raises(ConflictError, match="already been erased"):
        database.run(lambda session: UserCRUD(session).set_active(student.id, True))
