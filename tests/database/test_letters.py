"""Letters that wait: to whom one can be written, and what becomes of those that are too old."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.letters import LetterCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.session import Database
from tests.factories import make_user

LINK = "http://127.0.0.1:8000/reset/very-secret-token"


def test_nobody_without_an_address_is_written_to(db: Session) -> None:
    person, letters = make_user(db, first_name="Anna", email=None), LetterCRUD(db)

    with pytest.raises(ValueError, match=f"person {person.id} has no e-mail"):
        letters.write_to(person, "reset", link=LINK)
    assert db.scalars(select(Dispatch.id)).all() == []

    letters.write_to(person, "reset", to="old@pupils.example", link=LINK)
    person.email = "anna@pupils.example"
    letters.write_to(person, "reset", link=LINK)
    addresses = db.scalars(select(Dispatch.address).order_by(Dispatch.id)).all()
    assert addresses == ["old@pupils.example", "anna@pupils.example"]


def test_a_letter_that_is_too_old_loses_its_link_unless_it_is_leaving(database: Database, db: Session) -> None:
    past, soon = clock.now() - timedelta(seconds=1), clock.now() + timedelta(hours=1)
    made = [
        ("pending", None, past),
        ("failed", "rejected: 550", past),
        ("sending", None, past),
        ("failed", "rejected: 550", soon),
    ]
    for state, error, until in made:
        row = LetterCRUD(db).post("reset", to="anna@pupils.example", language="en", name="Anna", link=LINK)
        row.state, row.error, row.expires_at = state, error, until
    db.commit()

    assert database.run(lambda session: LetterCRUD(session).close()) is False

    rows = db.scalars(select(Dispatch).order_by(Dispatch.id), execution_options={"populate_existing": True})
    assert [(row.state, row.error, "sealed" in row.params) for row in rows] == [
        ("failed", "expired", False),
        ("failed", "rejected: 550", False),  # what the server said stays
        ("sending", None, True),  # its sender may need the link in this moment
        ("failed", "rejected: 550", True),  # it may be sent again
    ]
