"""Selections that travel as one text: their rows are what the database would hand out."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.models.users import Role, User
from backend.database.packed import Packed
from tests.factories import make_user

PEOPLE = select(
    User.id, User.first_name, User.username, User.is_active, User.created_at, User.last_seen_at, Role.permissions
).join(User.role)


def test_rows_come_as_they_would_on_their_own(db: Session) -> None:
    seen = clock.now() - timedelta(days=400)
    first = make_user(db, first_name='Мария "Маша" \\ <b>', last_seen_at=seen)
    second = make_user(db, first_name="", is_active=False, last_seen_at=seen.replace(microsecond=0))
    wanted = PEOPLE.where(User.id.in_([first.id, second.id])).order_by(User.id)

    packed = Packed(wanted)
    rows = packed.rows(db.scalar(select(packed.column)))

    assert [tuple(row) for row in rows] == [tuple(row) for row in db.execute(wanted)]
    assert (rows[0].first_name, rows[0].last_seen_at, rows[1].is_active) == ('Мария "Маша" \\ <b>', seen, False)


def test_no_rows_are_an_empty_list(db: Session) -> None:
    packed = Packed(PEOPLE.where(User.id == 0))

    assert packed.rows(db.scalar(select(packed.column))) == []


def test_packed_in_packed(db: Session) -> None:
    person = make_user(db)
    inner = Packed(select(User.id, User.created_at).where(User.role_id == Role.id).correlate(Role))
    outer = Packed(select(Role.id, inner.column.label("people")).where(Role.id == person.role_id))

    (row,) = outer.rows(db.scalar(select(outer.column)))

    assert [tuple(found) for found in inner.rows(row.people)] == [(person.id, person.created_at)]
