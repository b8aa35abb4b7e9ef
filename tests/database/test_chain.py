"""The chain over the history: what was written is proved, and whatever is done to it outside the program is named."""

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.database.base import Base
from backend.database.chain import digests, sealing
from backend.database.chain.digests import TABLES
from backend.database.chain.redacting import MODELS, redacting
from backend.database.chain.sealing import seal
from backend.database.chain.verifying import glance, verify
from backend.database.models.audit import AuditBlock, AuditRedaction, SecurityEvent
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.system import Setting
from backend.database.session import Database
from tests.conftest import make_settings
from tests.database.chained import ACTOR, problem, sql, work
from tests.factories import make_user


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MOST", 12)


@pytest.fixture
def sealed(database: Database, settings: Settings) -> int:
    """A school with a history under a chain of several blocks; how many rows."""
    work(database, 8)
    count = seal(database, settings)
    found = verify(database, settings)
    assert (found.problem, found.rows, found.waiting) == (None, count, True)  # the beginning of the chain is an event
    return count


def test_a_row_is_hashed_as_its_json(database: Database) -> None:
    work(database)
    with database.snapshot() as connection:
        found = connection.exec_driver_sql(f"{digests._select(connection, 'changes')} ORDER BY id").fetchall()
        lines = [f"changes{json.dumps(list(row), separators=(',', ':'))}".encode() for row in found]
        hashed = digests.rows(connection, "changes", None, found[-1][0])
    assert hashed == [(row[0], hashlib.sha256(line).digest()) for row, line in zip(found, lines, strict=True)]
    assert len(hashed) > 0


def test_every_column_of_the_history_is_hashed() -> None:
    for table, columns in TABLES.items():
        assert {"id", *columns} == set(Base.metadata.tables[table].c.keys())
    assert set(MODELS) == set(TABLES)


def test_blocks_hold_every_row_once_and_the_last_one_grows(
    database: Database, settings: Settings, db: Session, sealed: int
) -> None:
    blocks = db.scalars(select(AuditBlock).order_by(AuditBlock.id)).all()
    assert len(blocks) > 3
    assert sum(block.ranges[table][1] for block in blocks for table in TABLES) == sealed
    assert [block.prev_hash for block in blocks[1:]] == [block.hash for block in blocks[:-1]]
    first = blocks[-1].hash, len(blocks[-1].marks)

    work(database)
    assert seal(database, settings) == 6  # and the event of the beginning
    assert seal(database, settings) == 0
    db.expire_all()
    grown = db.get_one(AuditBlock, blocks[-1].id)
    assert (grown.hash, len(grown.marks)) != first
    found = verify(database, settings)
    assert (found.problem, found.rows, found.waiting) == (None, sealed + 6, False)
    head = db.get_one(Setting, sealing.HEAD).value
    assert (found.blocks, found.head) == (head["id"], f"{head['id']}:{head['hash']}")


def test_a_change_of_any_column_is_named(database: Database, settings: Settings, db: Session, sealed: int) -> None:
    sql(db, "PRAGMA foreign_keys=OFF" if database.is_sqlite else "SET session_replication_role = replica")
    for table, columns in TABLES.items():
        held: Any = Base.metadata.tables[table]
        row = db.execute(select(held).order_by(held.c.id).offset(2).limit(1)).one()
        for name in columns:
            kind, value = held.c[name].type.python_type, getattr(row, name)
            if name == "op":
                other: Any = "delete"
            elif isinstance(value, dict):
                other = {**value, "title": "forged"}
            elif kind is int:
                other = 7 if value is None else value + 100
            else:
                other = f"{value or ''}x" if kind is str else value.replace(microsecond=(value.microsecond + 1) % 10**6)
            db.execute(update(held).where(held.c.id == row.id).values({name: other}))
            found = problem(database, settings)
            assert f"{table} {row.id} was changed." in found, (table, name, found)
            db.execute(update(held).where(held.c.id == row.id).values({name: value}))
        assert problem(database, settings) == "none", table


def test_rows_that_go_come_or_change_places_are_named(
    database: Database, settings: Settings, db: Session, sealed: int
) -> None:
    sql(db, "PRAGMA foreign_keys=OFF" if database.is_sqlite else "SET session_replication_role = replica")
    for table in TABLES:
        held: Any = Base.metadata.tables[table]
        rows = [dict(row) for row in db.execute(select(held).order_by(held.c.id)).mappings()]
        second, third = rows[1], rows[2]
        mine = held.c.id == second["id"]

        db.execute(delete(held).where(mine))
        found = problem(database, settings)
        assert f"a row before {table} {third['id']} is missing." in found or "are missing at its end" in found
        db.execute(held.insert(), second)
        assert problem(database, settings) == "none"

        db.execute(held.insert(), {**second, "id": -5} | ({"undoes_id": None} if table == "change_sets" else {}))
        assert f"{table} -5 was added." in problem(database, settings)
        db.execute(delete(held).where(held.c.id == -5))

        # The same contents in another order.
        db.execute(delete(held).where(held.c.id.in_([second["id"], third["id"]])))
        db.execute(held.insert(), [{**second, "id": third["id"]}, {**third, "id": second["id"]}])
        assert f"{table} {second['id']} was changed." in problem(database, settings)
        db.execute(delete(held).where(held.c.id.in_([second["id"], third["id"]])))
        db.execute(held.insert(), [second, third])
        assert problem(database, settings) == "none"

        # All that one block holds of a table, from the front of it to its end.
        last = db.scalars(select(AuditBlock).order_by(AuditBlock.id)).all()[0].ranges[table][0]
        gone = [row for row in rows if row["id"] <= last]
        db.execute(delete(held).where(held.c.id <= last))
        assert f"Block 1 ({table} 1 to {last}): rows are missing at its end, 0 of {len(gone)} are" in problem(
            database, settings
        )
        db.execute(held.insert(), gone)
    assert problem(database, settings) == "none"


def rewrite(db: Session, database: Database) -> None:
    """What someone with the whole database, but without the key, can do: the chain made anew over forged rows."""
    before = digests.START
    known = dict.fromkeys(TABLES)
    for block in db.scalars(select(AuditBlock).order_by(AuditBlock.id)):
        ranges, block.marks = {}, b""
        with database.engine.connect() as connection:
            for table in TABLES:
                high = block.ranges[table][0]
                rows = digests.rows(connection, table, known[table], high)
                ranges[table] = list(digests.extended((0, 0, digests.START), rows, high))
                known[table] = high
                block.marks += digests.marks(table, rows)
        block.ranges, block.prev_hash = ranges, before
        block.hash = before = digests.block_hash(block)
        db.flush()


def test_nobody_makes_the_chain_anew_without_the_key(
    database: Database, settings: Settings, db: Session, sealed: int
) -> None:
    sql(db, "UPDATE security_events SET ip = '203.0.113.9' WHERE id = 2")
    rewrite(db, database)
    last = db.scalars(select(AuditBlock).order_by(AuditBlock.id.desc())).first()
    assert last is not None
    assert problem(database, settings) == f"Block {last.id} is not the one that was signed."

    forged = db.get_one(Setting, sealing.HEAD)
    forged.value = {**forged.value, "hash": last.hash}
    db.flush()
    assert problem(database, settings) == "The head is not signed by any key of SECRET_KEY."
    work(database)
    with pytest.raises(sealing.ChainError):  # nor does our own sealer sign what was forged
        seal(database, settings)
    for value in ({}, {"id": "x"}, {"id": last.id, "hash": last.hash, "at": "", "signature": "ё"}):
        db.execute(update(Setting).where(Setting.key == sealing.HEAD).values(value=value))
        assert problem(database, settings) == "The head is not signed by any key of SECRET_KEY."
    db.execute(delete(Setting).where(Setting.key == sealing.HEAD))
    assert problem(database, settings) == "The signed head is missing, although there are blocks."


def test_cut_ends_and_forged_blocks_are_named(database: Database, settings: Settings, db: Session, sealed: int) -> None:
    held: Any = AuditBlock.__table__
    blocks = [dict(row) for row in db.execute(select(held).order_by(held.c.id)).mappings()]
    last, middle = blocks[-1], blocks[2]

    def put_back(*rows: dict[str, Any]) -> None:
        db.execute(delete(held).where(held.c.id.in_([row["id"] for row in rows])))
        db.execute(held.insert(), list(rows))
        assert problem(database, settings) == "none"

    db.execute(delete(held).where(held.c.id == last["id"]))
    cut = f"The end of the chain is missing: block {last['id']} was the last one."
    assert (problem(database, settings), glance(database, settings)) == (cut, cut)
    put_back(last)
    db.execute(delete(held).where(held.c.id == 3))
    assert problem(database, settings) == "Block 3 is missing."
    put_back(middle)
    for name, value, told in (
        ("prev_hash", "0" * 64, "does not go on from block 2."), ("hash", "0" * 64, "does not fit its hash."),
        ("ranges", {}, "does not fit its hash."), ("at", blocks[1]["at"].replace(year=2020), "does not fit its hash."),
        ("ranges", {**middle["ranges"], "changes": [1.5, 1, ""]}, "does not fit its hash."),
    ):  # fmt: skip
        db.execute(update(held).where(held.c.id == 3).values({name: value}))
        assert problem(database, settings) == f"Block 3 {told}"
        put_back(middle)
    db.execute(update(held).where(held.c.id == last["id"]).values(ranges={}))
    assert problem(database, settings) == f"Block {last['id']} does not fit its hash."
    put_back(last)
    for number in (-1, last["id"] + 1):
        db.execute(held.insert(), {**last, "id": number})
        assert problem(database, settings) in (
            f"Block {number} was added without the key.",
            f"There is a block {number}.",
        )
        db.execute(delete(held).where(held.c.id == number))
    # An old head is known to whoever kept it: the end that was cut with it is not there.
    found = verify(database, settings, expected=f"{middle['id']}:{middle['hash']}")
    assert found.problem is None
    assert verify(database, settings, expected=f"{last['id'] + 1}:{last['hash']}").problem == (
        f"Block {last['id'] + 1} is not the one that was expected."
    )


def test_what_is_no_text_is_named_too(database: Database, settings: Settings, db: Session, sealed: int) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL keeps nothing of the kind")
    sql(db, "UPDATE security_events SET user_agent = CAST(x'ff' AS TEXT) WHERE id = 2")
    assert problem(database, settings).endswith("a row cannot be read.")
    sql(db, "UPDATE security_events SET user_agent = x'ff' WHERE id = 2")
    assert problem(database, settings).endswith("security_events 2 was changed.")


def test_the_key_of_yesterday_signs_until_it_is_dropped(
    database: Database, settings: Settings, tmp_path: Any, sealed: int
) -> None:
    old, new = settings.secret_key.get_secret_value(), "another-key-another-key-another-key-0987654321"
    both = make_settings(settings.database_url, tmp_path, secret_key=f"{new},{old}")
    alone = make_settings(settings.database_url, tmp_path, secret_key=new)
    assert [problem(database, keys) for keys in (both, alone)] == [
        "none", "The head is not signed by any key of SECRET_KEY.",
    ]  # fmt: skip
    assert seal(database, both) == 1  # each round signs under the first key
    assert [problem(database, keys) for keys in (both, alone)] == ["none", "none"]


def test_what_is_redacted_lawfully_keeps_the_chain_whole(
    database: Database, settings: Settings, db: Session, sealed: int
) -> None:
    changes = list(db.scalars(select(Change.id).where(Change.entity == "lessons").order_by(Change.id).limit(4)))
    events = list(db.scalars(select(SecurityEvent.id).order_by(SecurityEvent.id).limit(2)))
    sets = list(db.scalars(select(ChangeSet.id).order_by(ChangeSet.id).limit(2)))
    work(database)  # and what no block holds yet
    newest = db.scalars(select(Change.id).order_by(Change.id.desc()).limit(1)).all()
    with database.transaction(ACTOR) as session, redacting(session, Event.ERASED, user_id=7, why="asked") as redactor:
        redactor.blank("changes", [*changes, *newest], keys={"title", "price"})
        redactor.blank("change_sets", sets)
        redactor.blank("security_events", events, keys={"method"})
    with database.transaction(ACTOR) as session, redacting(session, Event.ERASED, user_id=8) as redactor:
        redactor.blank("changes", changes[:2])  # once more, all of it
    row = db.get_one(Change, changes[0])
    assert (row.before, set(row.after.values())) == ({}, {None})
    told = db.get_one(SecurityEvent, events[0])
    assert (told.ip, told.user_agent, told.data) == (None, "", {"method": None})
    assert (db.get_one(ChangeSet, sets[0]).ip, problem(database, settings)) == (None, "none")
    assert seal(database, settings) > 0
    assert problem(database, settings) == "none"


def test_nobody_redacts_but_by_an_event(database: Database, settings: Settings, db: Session, sealed: int) -> None:
    last = db.scalars(select(Change.id).where(Change.entity == "lessons").limit(1)).one()
    with database.transaction(ACTOR) as session, redacting(session, Event.ERASED, user_id=7) as redactor:
        redactor.blank("changes", [last])

    def back(statement: str, undo: str, words: str) -> None:
        sql(db, statement)
        assert words in problem(database, settings)
        sql(db, undo)
        assert problem(database, settings) == "none"

    kept = json.dumps(db.get_one(Change, last).after)
    db.execute(update(Change).where(Change.id == last).values(after={"title": "forged"}))
    assert problem(database, settings) == f"changes {last} is not what its redaction left."
    db.execute(update(Change).where(Change.id == last).values(after=json.loads(kept)))
    assert problem(database, settings) == "none"
    back(
        f"UPDATE audit_redactions SET row_id = row_id + 1000 WHERE row_id = {last} AND table_name = 'changes'",
        f"UPDATE audit_redactions SET row_id = {last} WHERE row_id = {last + 1000} AND table_name = 'changes'",
        f"changes {last} was changed.",
    )
    move = "UPDATE audit_redactions SET event_id = event_id"
    back(f"{move} + 1000", f"{move} - 1000", "is told by no event.")
    [told_by] = db.scalars(select(func.min(AuditRedaction.event_id)))
    db.add(AuditRedaction(table_name="changes", row_id=10**6, was="00", now=None, event_id=told_by))
    db.flush()
    assert problem(database, settings).endswith("is told by no event.")


@pytest.mark.parametrize("deed", ["UPDATE security_events SET ip = '192.0.2.66'", "DELETE FROM security_events"])
@pytest.mark.parametrize("mac", [None, "0" * 64, "another", 7])
def test_nobody_redacts_without_the_key(
    database: Database, settings: Settings, db: Session, sealed: int, deed: str, mac: object
) -> None:
    """Whoever can write to the database can write an event and a redaction as well, but cannot sign them."""
    connection = db.connection()
    was = dict(digests.rows_of(connection, "security_events", [2]))[2].hex()
    db.execute(text(f"{deed} WHERE id = 2"))
    left = dict(digests.rows_of(connection, "security_events", [2])).get(2)
    now = left.hex() if left else None
    proof = digests.proof([("security_events", 2, was, now)])
    told: dict[str, object] = {"rows": 1, "proof": proof, "mac": mac}
    if mac == "another":  # of an honest redaction
        with database.transaction(ACTOR) as session, redacting(session, Event.ERASED, user_id=7) as redactor:
            redactor.blank("changes", [1])
        honest = db.scalars(select(SecurityEvent).order_by(SecurityEvent.id.desc())).first()
        assert honest is not None
        told["mac"] = honest.data["redactions"]["mac"]
    event = SecurityEvent(kind=Event.ERASED.value, door="web", user_agent="", data={"redactions": told})
    db.add(event)
    db.flush()
    db.add(AuditRedaction(table_name="security_events", row_id=2, was=was, now=now, event_id=event.id))
    db.flush()
    words = f"security_events {event.id} tells redactions and is not signed by any key of SECRET_KEY."
    assert problem(database, settings) == words
    with pytest.raises(digests.ChainError, match="tells redactions"):
        seal(database, settings)


def test_the_end_of_a_person_changes_no_sealed_row(database: Database, settings: Settings, db: Session) -> None:
    person = make_user(db)
    with database.transaction(Actor(Door.WEB, person.id, impersonator_id=person.id)) as session:
        session.add(Lesson(title="Scales", price=1))
    seal(database, settings)
    db.execute(text("DELETE FROM users WHERE id = :id"), {"id": person.id})
    assert db.scalars(select(ChangeSet.actor_id).order_by(ChangeSet.id.desc())).first() == person.id
    assert problem(database, settings) == "none"
