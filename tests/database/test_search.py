"""Golden queries: what people type, and whom they mean. The same on SQLite and PostgreSQL (I14)."""

import pytest
from alembic import command
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from backend.database.schema import alembic_config
from backend.database.schemas.base import ListParams
from backend.database.schemas.users import StudentFilters
from backend.database.search import SEARCH_LENGTH, Ranking, SearchIndex, key_of, sound
from backend.database.session import Database
from tests.factories import make_lesson, make_user

PEOPLE = {
    "maria": ("Мария", "Ковалёва", "masha_kov", 418220907),
    "olga": ("Ольга", "Щукина", None, 418220908),
    "yulia": ("Юлия", "Цветкова", "yu", 418220909),
    "eugene": ("Евгений", "Хабаров", None, 418220910),
    "fedor": ("Фёдор", "Ильин", None, 418220911),
    "eva": ("Eva", "O'Brien", "evafox", 418220912),
    "jose": ("José", "García-Ruiz", None, 418220913),
    "wall": ("100%", "_ok_", None, 418220914),
}


@pytest.fixture
def people(db: Session) -> dict[str, int]:
    made = {}
    for name, (first, last, username, telegram_id) in PEOPLE.items():
        row = make_user(db, first_name=first, last_name=last, username=username, telegram_id=telegram_id)
        made[name] = row.id
    return made


def found(db: Session, q: str) -> list[int]:
    page = StudentCRUD(db).get_all(StudentFilters(q=q, sort="id"))
    assert page.total == len(page.items)
    return [row.id for row in page.items]


@pytest.mark.parametrize(
    ("q", "names"),
    [
        # case, ё, spaces, fragments, numbers
        ("мария", "maria"),
        ("МАРИЯ", "maria"),
        ("Ковалёва", "maria"),
        ("ковалева", "maria"),
        ("  ковал   мар ", "maria"),
        ("@masha", "maria"),
        ("418220908", "olga"),
        ("18220909", "yulia"),
        ("ма", "maria"),
        ("мария к", "maria"),
        ("maria ko", "maria"),
        ("ковалева м", "maria"),
        ("мария х", ""),
        # Latin for Cyrillic, in the ways in which people write it
        ("mariya", "maria"),
        ("Maria Kovaleva", "maria"),
        ("kovalyova", "maria"),
        ("olga", "olga"),
        ("shchukina", "olga"),
        ("schukina", "olga"),
        ("julia", "yulia"),
        ("yuliya", "yulia"),
        ("tsvetkova", "yulia"),
        ("evgeny", "eugene"),
        ("Yevgeniy", "eugene"),
        ("khabarov", "eugene"),
        ("habarov", "eugene"),
        ("fedor", "fedor"),
        ("fyodor", "fedor"),
        ("ol", "olga"),
        # Cyrillic for Latin
        ("ева", "maria eva"),
        ("хосе", "jose"),  # one letter away
        # the other layout of the keyboard
        ("vfhbz", "maria"),
        ("rjdfk`df", "maria"),
        ("{f,fhjd", ""),
        ("[f,fhjd", "eugene"),
        ("ьфырф", "maria"),
        ("умфащч", "eva"),
        ("jkmuf", "olga"),
        # other marks
        ("jose", "jose"),
        ("garcia", "jose"),
        ("o'brien", "eva"),
        ("100%", "wall"),
        ("_ok_", "wall"),
        # nobody
        ("никто", ""),
        ("мария хабаров", ""),
        ('"', ""),
        ('" OR "', ""),
        ("\\", ""),
        ("%%%", ""),
        ("ььь", ""),
        ("щщщщ", ""),
        ("🎨🎨🎨", ""),
    ],
)
def test_golden_queries(db: Session, people: dict[str, int], q: str, names: str) -> None:
    assert found(db, q) == [people[name] for name in names.split()]


def test_a_key_is_the_folded_text_and_then_its_sound(db: Session) -> None:
    assert key_of(" Свет  ИЗ окна ") == " свет из окна \x01 svet iz okna "
    assert key_of("sunset 2") == " sunset 2 "
    assert key_of("  ") == ""
    assert len(key_of("щ" * 400)) == SEARCH_LENGTH
    assert sound("") == ""


def test_names_sort_by_what_is_written(db: Session) -> None:
    """The second half of a key stands behind a character lower than any that people type."""
    for title in ("Арка 2", "Арка", "Арка Я", "Ёлка", "Zebra"):
        make_lesson(db, title=title)
    ordered = db.scalars(select(Lesson.title).order_by(Lesson.search_key)).all()
    assert ordered == ["Zebra", "Арка", "Арка 2", "Арка Я", "Ёлка"]


def test_what_was_there_before_is_found_by_its_sound_too(database: Database, db: Session) -> None:
    make_lesson(db, title="Свет из окна")
    db.rollback()
    config = alembic_config(database.url)

    command.downgrade(config, "202611251000")
    keys = [db.scalars(select(Lesson.search_key)).one()]
    db.rollback()
    command.upgrade(config, "head")
    keys.append(db.scalars(select(Lesson.search_key)).one())

    assert keys == ["свет из окна", " свет из окна \x01 svet iz okna "]
    assert LessonCRUD(db).get_all(ListParams(q="svet okna")).total == 1


@pytest.mark.parametrize(
    "text", ["%(t0)s", "%(t1)s", "%(t2)s x", "%(number)s", "%(newest)s %(t1)s", "%s %t0", "100%", "%%(t1)s"]
)
def test_what_looks_like_a_place_of_the_statement_is_a_text(db: Session, text: str) -> None:
    """Nobody is found, and nothing is put where it does not belong."""
    person = make_user(db, first_name="Мария", last_name=text)
    make_user(db, first_name="Анна")
    index = SearchIndex(db, User, text)
    found = [row_id for _level, row_id in Ranking(index, select(User)).behind(None, 5)]
    assert found == [person.id]
