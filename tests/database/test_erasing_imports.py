"""Files on their way in while a person is erased: which of their rows are about the person."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.imports import ImportCRUD
from backend.database.crud.intake.plan import Plan, Seen
from backend.database.models.imports import Import, ImportRow
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from tests.database.test_personal import erase
from tests.factories import make_import, make_lesson, make_user

NUMBER = 7000001234567


def checked(database: Database, table: Import) -> None:
    """As a person checks a file before they import it."""

    def check(session: Session) -> None:
        imports = ImportCRUD(session)
        number, seen = imports.plan(table.id, Plan(**table.plan)), Seen()
        last = imports.check(table.id, number, 0, seen)
        assert last is not None
        assert imports.check(table.id, number, last, seen) is None

    database.run(check)


def verdicts(db: Session) -> list[tuple[str, bool]]:
    """Of each row, and whether it is empty by now."""
    db.expire_all()
    return [(row.verdict, set(row.cells) == {"[…]"}) for row in db.scalars(select(ImportRow).order_by(ImportRow.id))]


def test_a_record_of_another_list_with_their_number_is_not_the_person(database: Database, db: Session) -> None:
    student = make_user(db)
    lesson = make_lesson(db, id=student.id, title="Lesson", price=5)
    table = make_import(db, "lessons", [[str(lesson.id), "Better"]], ["id", "title"])
    checked(database, table)
    assert db.scalars(select(ImportRow.record_id)).all() == [student.id]
    erase(database, student.id)
    assert verdicts(db) == [("changed", False)]
    outcome = database.run(lambda session: ImportCRUD(session).run_now(table.id))
    assert outcome is not None
    assert (outcome.done, outcome.errors) == (1, [])
    db.expire_all()
    assert db.get_one(Lesson, lesson.id).title == "Better"


@pytest.mark.parametrize("check", [True, False])
def test_a_number_written_with_gaps_names_the_person(database: Database, db: Session, check: bool) -> None:
    """Whether a row is right, wrong, the second of its kind, or was not looked at yet."""
    student = make_user(db, telegram_id=NUMBER, first_name="Мария")
    written = "7 000 001 234 567", "7\u00a0000\u202f001 234\u2009567", str(NUMBER), "7 000 001 234 568"
    rows = [[number, "Мария", "no address"] for number in written]
    table = make_import(db, "users", rows, ["telegram_id", "first_name", "email"])
    if check:
        checked(database, table)
        assert [verdict for verdict, _gone in verdicts(db)] == ["wrong"] * 4
    make_import(db, "lessons", [[written[0]]], ["title"])  # which is no person's number there
    erase(database, student.id)
    assert [gone for _verdict, gone in verdicts(db)] == [True, True, True, False, False]
