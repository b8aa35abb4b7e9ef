"""A job does what its owner may do, under their names, and no longer than they may."""

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.core.errors import ConflictError
from backend.core.permissions import ADMIN, AUTHOR, SUPPORT
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.models.history import ChangeSet
from backend.database.models.jobs import Job
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.jobs.test_work import batch, job_of, lessons, take

LOOKER = Actor(Door.WEB, None, None, "203.0.113.9", "request-1", impersonator_id=1)


@pytest.fixture
def boris(db: Session) -> User:
    made = StaffCRUD(db).create_staff(login="boris", password_hash=None, role=AUTHOR, first_name="Boris")
    db.commit()
    return made


def hide(db: Session, database: Database, owner: int, number: int = 4) -> int:
    ids = lessons(db, number)
    return database.run(lambda session: JobCRUD(session).start("lessons", "hide", {}, ids, owner).id, LOOKER)


def test_its_changes_name_who_looked_through_whose_eyes_and_from_where(
    db: Session, database: Database, boris: User
) -> None:
    job_id = hide(db, database, boris.id)
    assert take(database) == job_id
    while batch(database, job_id):
        pass
    made = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc())).first()
    assert made is not None
    assert (made.actor_id, made.impersonator_id, made.ip, made.request_id) == (
        boris.id, 1, "203.0.113.9", "request-1",
    )  # fmt: skip
    undo = database.run(
        lambda session: JobCRUD(session).start_undo(made.id, 1).id, Actor(Door.WEB, 1, None, "192.0.2.1", "request-2")
    )
    assert take(database) == undo
    while batch(database, undo):
        pass
    again = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc())).first()
    assert again is not None
    assert (again.actor_id, again.impersonator_id, again.ip, again.request_id) == (1, None, "192.0.2.1", "request-2")


@pytest.mark.parametrize("how", ["off", "role", "looker", "looker's role"])
def test_it_ends_with_the_rights_of_its_owner(db: Session, database: Database, boris: User, how: str) -> None:
    other = StaffCRUD(db).create_staff(login="olga", password_hash=None, role=ADMIN, first_name="Olga")
    db.commit()
    job_id = hide(db, database, boris.id)
    if how.startswith("looker"):
        db.get_one(type(job_of(db, job_id)), job_id).impersonator_id = other.id
        db.commit()
    assert take(database) == job_id
    assert batch(database, job_id)
    with database.transaction() as session:
        if how.endswith("role"):
            support = session.scalars(select(Role.id).where(Role.name == SUPPORT)).one()
            session.get_one(User, boris.id if how == "role" else other.id).role_id = support
        else:
            session.get_one(User, other.id if how == "looker" else boris.id).is_active = False
    assert not batch(database, job_id)
    job = job_of(db, job_id)
    assert (job.state, job.error, job.done, job.holder) == ("paused", "dismissed", 2, None)
    assert take(database) is None
    with pytest.raises(ConflictError, match="may no longer"):
        database.run(lambda session: JobCRUD(session).resume(job_id))
    with database.transaction() as session:
        session.get_one(User, boris.id).is_active = session.get_one(User, other.id).is_active = True
        for user_id, role in ((boris.id, AUTHOR), (other.id, ADMIN)):
            session.get_one(User, user_id).role_id = session.scalars(select(Role.id).where(Role.name == role)).one()
    database.run(lambda session: JobCRUD(session).resume(job_id))
    assert take(database) == job_id
    while batch(database, job_id):
        pass
    job = job_of(db, job_id)
    assert (job.state, job.error, job.done) == ("done", None, 4)


@pytest.mark.parametrize("who", ["owner", "looker"])
def test_it_ends_with_the_person(db: Session, database: Database, boris: User, who: str) -> None:
    gone = StaffCRUD(db).create_staff(login="olga", password_hash=None, role=ADMIN, first_name="Olga")
    db.commit()
    job_id = hide(db, database, gone.id if who == "owner" else boris.id)
    if who == "looker":
        db.get_one(Job, job_id).impersonator_id = gone.id
        db.commit()
    assert take(database) == job_id
    assert batch(database, job_id)
    with database.transaction() as session:
        session.execute(delete(User).where(User.id == gone.id))
    assert not batch(database, job_id)
    job = job_of(db, job_id)
    assert (job.state, job.error, job.done) == ("paused", "dismissed", 2)
