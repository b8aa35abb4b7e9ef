"""Whoever has the whole database, but neither the key nor the folder of data, begins no history anew unnoticed."""

import stat
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.cli.auditing import _forget
from backend.cli.checkup import broken_chain
from backend.core import clock
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.database import audit, personal
from backend.database.chain import digests, redacting, witness
from backend.database.chain.digests import ChainError
from backend.database.chain.sealing import close, seal
from backend.database.chain.verifying import glance, verify
from backend.database.crud.keys import KeyCRUD
from backend.database.models.audit import AuditBlock, AuditRedaction, SecurityEvent
from backend.database.models.history import Change, ChangeSet
from backend.database.models.system import Setting
from backend.database.session import Database
from backend.jobs.sealing import once
from tests.conftest import make_settings
from tests.database.chained import problem, sql, work
from tests.database.rivals import overtaken
from tests.factories import make_user, save

OTHER = "another-key-another-key-another-key-0987654321"
CUT = "The history was cut or begun anew: audit_head.json in DATA_DIR knows another block"


@pytest.fixture
def sealed(database: Database, settings: Settings, db: Session) -> None:
    """The chain of a school of this minute, in two blocks."""
    db.execute(update(ChangeSet).values(at=clock.now()))
    work(database, 3)
    seal(database, settings)
    database.run(close)
    work(database)
    seal(database, settings)


def forget_chain(db: Session, *, all_traces: bool = True) -> None:
    for table in ("audit_blocks", "audit_redactions"):
        sql(db, f"DELETE FROM {table}")
    sql(db, "DELETE FROM settings WHERE key IN ('audit_head', 'audit_broken')")
    if all_traces:
        sql(db, "DELETE FROM security_events WHERE kind = 'sys_audit_started'")
    sql(db, "UPDATE security_events SET ip = '8.8.8.8' WHERE kind = 'authn_login_success'")


def started(db: Session) -> list[dict[str, Any]]:
    asked = select(SecurityEvent.data).where(SecurityEvent.kind == Event.AUDIT_STARTED.value)
    return list(db.scalars(asked.order_by(SecurityEvent.id)))


@pytest.mark.parametrize("all_traces", [True, False])
def test_a_chain_that_is_gone_is_not_begun_anew(
    database: Database, settings: Settings, db: Session, sealed: None, all_traces: bool
) -> None:
    assert [problem(database, settings), glance(database, settings)] == ["none", None]
    forget_chain(db, all_traces=all_traces)
    assert [problem(database, settings), glance(database, settings)] == [f"{CUT} 2."] * 2
    assert [line.partition(".")[0] for line in broken_chain(database, settings)] == [
        f"The history chain is broken: {CUT.partition('.')[0]}",
    ]
    assert once(database, settings) == 0
    assert db.scalars(select(AuditBlock)).all() == []
    [told] = db.scalars(select(SecurityEvent.data).where(SecurityEvent.kind == Event.AUDIT_BROKEN.value))
    assert told == {"problem": f"{CUT} 2."}


def test_an_older_database_with_its_older_head_is_named(
    database: Database, settings: Settings, db: Session, sealed: None
) -> None:
    older = db.get_one(AuditBlock, 2), db.get_one(Setting, "audit_head").value
    was = {name: getattr(older[0], name) for name in ("ranges", "hash", "marks")}
    work(database)
    seal(database, settings)  # the second block grows
    assert problem(database, settings) == "none"
    db.execute(update(AuditBlock).where(AuditBlock.id == 2).values(was))
    db.execute(update(Setting).where(Setting.key == "audit_head").values(value=older[1]))
    assert problem(database, settings) == f"{CUT} 2."
    with pytest.raises(ChainError, match="cut or begun anew"):
        seal(database, settings)


def test_the_file_is_private_and_says_nothing_of_others(
    database: Database, settings: Settings, tmp_path: Path, db: Session, sealed: None
) -> None:
    [file] = settings.data_dir.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("audit_head.json", 0o600)
    seen = witness.recall(settings)
    assert seen is not None
    assert (seen.id, seen.hash) == (2, db.get_one(AuditBlock, 2).hash)
    other_key = make_settings(settings.database_url, settings.data_dir, secret_key=OTHER)
    other_base = make_settings("sqlite:///./other.db", settings.data_dir)
    assert [witness.recall(other) for other in (other_key, other_base)] == [None, None]
    kept = file.read_text()
    for content in ("", "[]", "{}", kept.replace('"id": 2', '"id": 3'), kept.replace("2,", "x,")):
        file.write_text(content)
        assert witness.recall(settings) is None
    assert problem(database, settings) == "none"


def test_where_no_file_can_be_written_the_history_is_sealed_all_the_same(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    nowhere = settings.model_copy(update={"data_dir": tmp_path / "file" / "data"})
    work(database)
    assert seal(database, nowhere) > 0
    assert problem(database, nowhere) == "none"


def test_a_start_over_older_history_says_so(database: Database, settings: Settings, db: Session, sealed: None) -> None:
    """On a machine that knows of no head."""
    assert started(db) == [{}]
    assert list(broken_chain(database, settings)) == []
    first = clock.now() - timedelta(minutes=11)
    db.execute(update(ChangeSet).where(ChangeSet.id == 1).values(at=first))
    forget_chain(db)
    witness.forget(settings)
    seal(database, settings)
    assert started(db) == [{"older_at": first.isoformat()}]
    [line] = broken_chain(database, settings)
    assert (line.startswith("The history chain was started on "), "over history that was already" in line) == (
        True,
        True,
    )
    long_ago = clock.now() - timedelta(days=91)
    db.execute(update(SecurityEvent).where(SecurityEvent.kind == "sys_audit_started").values(at=long_ago))
    assert list(broken_chain(database, settings)) == []


def test_what_was_closed_stays_closed_under_another_key(
    database: Database, settings: Settings, db: Session, sealed: None
) -> None:
    mark = database.run(close)
    database.run(lambda session: KeyCRUD(session).rotate())
    work(database)
    seal(database, settings)
    found = verify(database, settings, mark)
    assert (found.problem, found.blocks) == (None, 3)


def erase(database: Database, db: Session, settings: Settings) -> list[Any]:
    """A person comes and is erased; their rows as they were."""
    person = make_user(db, first_name="Maria", email="maria@example.org")
    seal(database, settings)
    rows = db.execute(select(Change.id, Change.before, Change.after)).all()
    database.run(lambda session: personal.Eraser(session).erase(person.id), Actor(Door.CLI))
    seal(database, settings)
    assert problem(database, settings) == "none"
    return list(rows)


def test_redactions_that_are_gone_are_missed(database: Database, settings: Settings, db: Session, sealed: None) -> None:
    rows = erase(database, db, settings)
    for row in rows:
        db.execute(update(Change).where(Change.id == row.id).values(before=row.before, after=row.after))
    sql(db, "DELETE FROM audit_redactions")
    event = db.scalars(select(SecurityEvent.id).where(SecurityEvent.kind == Event.ERASED.value)).one()
    assert problem(database, settings) == f"The redactions that security_events {event} tells of are missing."

    # A restart that nobody signed excuses nothing.
    with database.transaction() as session:
        audit.note(session, Event.AUDIT_STARTED, reason="a lie", problem=None)
    restart = db.scalars(select(SecurityEvent.id).order_by(SecurityEvent.id.desc())).first()
    words = f"security_events {restart} tells of a restart and is not signed by any key of SECRET_KEY."
    assert problem(database, settings) == words
    with pytest.raises(ChainError, match="tells of a restart"):
        seal(database, settings)


def test_a_restart_excuses_older_redactions_also_of_keys_that_are_gone(
    database: Database, settings: Settings, db: Session, sealed: None
) -> None:
    erase(database, db, settings)
    later = settings.model_copy(update={"secret_key": SecretStr(OTHER)})
    moved = Database(settings.database_url, settings=later)
    forget_chain(db, all_traces=False)
    witness.forget(settings)
    moved.run(lambda session: redacting.note_restart(session, "another key", None))
    seal(moved, later)
    assert problem(moved, later) == "none"
    moved.dispose()


def restart(database: Database, settings: Settings) -> None:
    database.run(lambda session: _forget(session, settings, "looked into", None))


def test_a_redaction_forged_before_a_restart_hides_no_later_change(
    database: Database, settings: Settings, db: Session, sealed: None
) -> None:
    victim = db.scalars(select(Change.id).order_by(Change.id.desc())).first()
    assert victim is not None
    change = update(Change).where(Change.id == victim)

    def digest() -> str:
        [(_id, found)] = digests.rows_of(db.connection(), "changes", [victim])
        return found.hex()

    was, before = digest(), db.scalars(select(Change.after).where(Change.id == victim)).one()
    db.execute(change.values(after={"price": 0}))
    now = digest()
    db.execute(change.values(after=before))
    told = {"rows": 1, "proof": digests.proof([("changes", victim, was, now)]), "mac": "x"}
    with database.transaction() as session:
        event = audit.note(session, Event.ERASED, redactions=told)
    assert problem(database, settings) == f"The redactions that security_events {event} tells of are missing."
    restart(database, settings)
    seal(database, settings)
    assert problem(database, settings) == "none"
    db.execute(change.values(after={"price": 0}))
    save(db, AuditRedaction(table_name="changes", row_id=victim, was=was, now=now, event_id=event))
    seal(database, settings)
    assert problem(database, settings) == (
        f"The redaction of changes {victim} is told by an event from before the chain was begun anew."
    )


def test_a_restart_lets_an_erasure_end_first(database: Database, settings: Settings, db: Session, sealed: None) -> None:
    person = make_user(db, first_name="Maria").id
    seal(database, settings)
    rival = threading.Thread(target=restart, args=(database, settings))
    with database.transaction(Actor(Door.CLI)) as session:
        personal.Eraser(session).erase(person)
        session.flush()
        rival.start()
        rival.join(0.3)
        assert rival.is_alive()  # it waits
    rival.join(30)
    seal(database, settings)
    assert problem(database, settings) == "none"
    assert db.scalars(select(AuditRedaction)).all() == []


def test_new_keys_sign_the_head_that_a_sealer_has_just_made(
    database: Database, settings: Settings, db: Session, sealed: None
) -> None:
    work(database)
    sealer = threading.Thread(target=seal, args=(database, settings))

    def rival(_connection: Any) -> None:
        sealer.start()
        sealer.join(0.5)
        assert sealer.is_alive()  # it waits

    with overtaken(database.engine, "INSERT INTO security_events", rival) as tried:
        database.run(lambda session: KeyCRUD(session).rotate())
    sealer.join(30)
    assert len(tried) == 1
    assert problem(database, settings) == "none"
    seal(database, settings)
    assert problem(database, settings) == "none"


@pytest.mark.parametrize("values", [{"was": "zz"}, {"now": "zz"}])
def test_a_redaction_that_is_none_is_a_verdict(
    database: Database, settings: Settings, db: Session, sealed: None, values: dict[str, str]
) -> None:
    db.add(AuditRedaction(**{"table_name": "changes", "row_id": 1, "was": "00", "now": None, "event_id": 1} | values))
    db.flush()
    assert problem(database, settings) == "The redaction of changes 1 holds no digests."
