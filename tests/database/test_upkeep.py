"""The pieces of SQLite's search index: put together step by step, with nothing lost and nobody kept waiting."""

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from backend.database import upkeep
from backend.database.crud.users import StudentCRUD, UserCRUD
from backend.database.models.users import User
from backend.database.schemas.users import StudentFilters
from backend.database.session import Database
from backend.jobs.periodic import CHORES
from tests.factories import make_user

CHORE = next(chore for chore in CHORES if chore.name == "put-searches-together")


def pieces(db: Session, name: str = "users_search") -> int:
    db.rollback()
    return db.execute(text(f"SELECT count(DISTINCT segid) FROM {name}_idx")).scalar_one()


def found(db: Session) -> list[int]:
    db.rollback()
    return sorted(row.id for row in StudentCRUD(db).get_all(StudentFilters(q="орлова", limit=100)).items)


@pytest.fixture
def written(database: Database, db: Session) -> None:
    """Students who came in four lots, some of whom have married since."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL puts its own together")
    db.execute(text("INSERT INTO users_search(users_search, rank) VALUES ('automerge', 0)"))  # as if there were much
    role = UserCRUD(db).student_role_id()
    for begin in range(0, 400, 100):
        names = {n: "Анна Орлова" if n % 40 == 0 else f"Вера{n}" for n in range(begin, begin + 100)}
        db.add_all(User(role_id=role, first_name=name, telegram_id=10**6 + n) for n, name in names.items())
        db.commit()
    db.execute(update(User).where(User.id % 3 == 0).values(search_key=" ким "))
    db.commit()


@pytest.mark.usefixtures("written")
def test_the_pieces_become_one_and_find_the_same(
    database: Database, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, many, steps = found(db), pieces(db), 1
    monkeypatch.setattr(upkeep, "PAGES", 1)
    while database.run(CHORE.work):
        steps += 1
        assert found(db) == before
    assert (many > 2, pieces(db), steps > 3) == (True, 1, True)
    assert len(before) == 7
    for name in upkeep.indexes():
        db.execute(text(f"INSERT INTO {name}({name}) VALUES ('integrity-check')"))
    assert database.run(CHORE.work) is False


@pytest.mark.usefixtures("written")
def test_a_little_beside_much_is_left_to_the_next_time(
    database: Database, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SMALL", 2)
    while database.run(CHORE.work):
        pass
    make_user(db, first_name="Одна")
    assert (pieces(db), database.run(CHORE.work), pieces(db)) == (2, False, 2)


def test_every_model_that_is_searched_has_its_index_looked_after() -> None:
    assert upkeep.indexes() == [
        "courses_search", "lessons_search", "promo_codes_search", "support_tickets_search", "users_search",
    ]  # fmt: skip


def test_there_is_nothing_to_do_on_postgresql(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has something to do")
    assert database.run(CHORE.work) is False
