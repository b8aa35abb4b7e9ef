"""Personal data from the terminal."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.events import Event
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.history import Change
from backend.database.models.users import User
from tests.cli.conftest import Run
from tests.factories import make_user


def test_a_person_is_copied_into_a_file_and_erased(run: Run, migrated: Path, db: Session) -> None:
    student = make_user(db, first_name="Мария", last_name="Ковалёва", email="maria@example.org")
    done = run("export-person", "Maria@example.org", "maria.json")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    copy = migrated / "maria.json"
    assert json.loads(copy.read_text("utf-8"))["person"]["email"] == "maria@example.org"
    assert copy.stat().st_mode & 0o077 == 0
    assert "could not be written: File exists." in run("export-person", str(student.id), "maria.json").stderr
    assert "could not be written: No such file" in run("export-person", str(student.id), "no/maria.json").stderr
    told = db.scalars(select(SecurityEvent.data).where(SecurityEvent.kind == Event.EXPORTED.value)).all()
    assert told == [{"what": "person"}]  # of the one copy there is

    refused = run("erase-person", str(student.id), text="Мария\n")
    assert (refused.exit_code, "That is another name" in refused.stderr) == (1, True)
    done = run("erase-person", str(student.id), text="Мария Ковалёва\n")
    assert (done.exit_code, f"Number {student.id} is nobody now" in done.stderr) == (0, True)
    db.expire_all()
    assert db.get_one(User, student.id).email is None
    again = run("erase-person", str(student.id), "--yes")
    assert (again.exit_code, again.stderr) == (1, "This person's data has already been erased.\n")


@pytest.mark.usefixtures("migrated")
def test_a_deleted_person_is_erased_by_the_number_in_the_history(run: Run, db: Session) -> None:
    student = make_user(db, first_name="Мария", last_name="Ковалёва")
    UserCRUD(db).delete(student.id)
    db.commit()
    assert "There is no person" in run("export-person", str(student.id), "x.json").stderr
    assert "That is another name" in run("erase-person", str(student.id), text="Мария\n").stderr
    done = run("erase-person", str(student.id), text="Мария Ковалёва\n")
    assert (done.exit_code, f"Number {student.id} is nobody now" in done.stderr) == (0, True)
    db.expire_all()
    assert "Ковалёва" not in str(db.execute(select(Change.before, Change.after)).all())
    assert "already been erased" in run("erase-person", str(student.id), "--yes").stderr


def test_a_stranger_and_the_staff_at_work_are_refused(run: Run, migrated: Path) -> None:
    assert "There is no person 77" in run("export-person", "77", "x.json").stderr
    assert not (migrated / "x.json").exists()
    assert run("erase-person", "admin", "--yes").stderr.startswith("Turn off the account first")
