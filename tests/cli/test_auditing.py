"""`audit`: the operator proves the history, and is told which row is not as it was written."""

from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.models.audit import AuditBlock, SecurityEvent
from backend.database.models.history import ChangeSet
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("migrated")


def test_the_history_is_proved_and_a_change_of_it_named(run: Run, migrated: Path, db: Session) -> None:
    db.execute(update(ChangeSet).values(at=clock.now()))  # a school of this minute
    db.commit()
    assert run("create-token", "website", "--scope", "users:read").exit_code == 0  # a command seals what it wrote
    [block] = db.scalars(select(AuditBlock))
    done = run("audit", "verify")
    held = sum(entry[1] for entry in block.ranges.values())
    assert (done.exit_code, done.stdout.partition(" (")[0]) == (
        0, f"{held:,} rows in 1 blocks are as they were written",
    )  # fmt: skip
    head = done.stderr.rpartition(" ")[2].strip()
    assert run("audit", "verify", "--head", head).exit_code == 0

    last = db.execute(text("SELECT max(id) FROM changes")).scalar_one()
    db.execute(text("UPDATE changes SET root_id = 77 WHERE id = :id"), {"id": last})
    broken = run("audit", "verify")
    assert (broken.exit_code, broken.stdout) == (1, "")
    assert f"changes {last} was changed. The history was changed outside the program" in broken.stderr

    assert run("audit", "restart", "a restored copy").exit_code == 0
    assert run("audit", "verify").exit_code == 0
    told = select(SecurityEvent.data).where(SecurityEvent.kind == "sys_audit_started").order_by(SecurityEvent.id)
    assert [entry.get("reason", entry) for entry in db.scalars(told)] == [{}, "a restored copy", {"again": True}]
    lost = run("audit", "verify", "--head", head)
    assert (lost.exit_code, lost.stderr.partition(" The history")[0]) == (
        1, "Block 1 is not the one that was expected.",
    )  # fmt: skip
    assert run("audit", "verify", "--head", "x").exit_code == 1
