"""What fits best comes first, in the same order on both databases, and pages of it neither skip nor double a row."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.errors import AppError
from backend.database.crud.users import StudentCRUD, UserCRUD
from backend.database.listing import API_CAP, PAGE_CAP, SEARCH_CAP, Cursor
from backend.database.models.users import User
from backend.database.schemas.users import StudentFilters
from backend.database.search import SearchIndex
from backend.database.search.index import pieces
from backend.database.search.lookup import stands, widest
from backend.database.search.made import Formula
from backend.database.session import Database
from tests.factories import make_user

FIRST = ("Анна", "Аня", "Иван", "Ян", "Олег", "Лина", "Марина", "Anna", "Ли")
LAST = ("Орлова", "Иванова", "Ли", "Ким", "Анненская", "О'Нил", None)
ASKED = (
    "анна", "ан", "а", "ли", "ива", "орл ан", "anna", "@an", "@anna_1", "anna_1", "ova", "jhkjdf", "418 22",
    "418-220-07", "+418 220 007", "а о", "н", "_", "%", "'", "я", "ь", "@", "418", "ан ли к",
)  # fmt: skip


@pytest.fixture(params=[0, 2_000], ids=["near", "far"])
def school(db: Session, database: Database, request: pytest.FixtureRequest) -> Session:
    """With ids one after another, and as far from each other as those of a small part of a large school."""
    dice = random.Random(5)
    with database.transaction() as session:
        role = UserCRUD(session).student_role_id()
        for number in range(180):
            first, last = dice.choice(FIRST), dice.choice(LAST)
            username = dice.choice((None, f"anna_{number}", f"oleg{number}", "li"))
            telegram_id = 418_220_000 + number
            person = User(role_id=role, first_name=first, last_name=last, username=username, telegram_id=telegram_id)
            if request.param:
                person.id = (number + 1) * request.param
            session.add(person)
            session.flush()
    return db


def expected(db: Session, q: str) -> list[int]:
    """By reading every key."""
    index = SearchIndex(db, User, q)
    students = db.execute(select(User.id, User.search_key).where(User.telegram_id.is_not(None))).all()
    places = []
    for row_id, key in students:
        read = [*index.ways, *(way for way in index.letters if any(key.startswith(text) for text in pieces(way[0], 2)))]
        fitting = [way for way in read if all(any(text in key for text in pieces(term, 3)) for term in way)]
        if fitting or not index.asks:
            places.append((index.level_of(row_id, key) if index.asks else 0, -row_id))
    return [-row_id for _level, row_id in sorted(places)]


def walk(crud: StudentCRUD, q: str) -> list[int]:
    pages, cursor = [], None
    while not pages or cursor:
        pages.append(crud.get_all(StudentFilters(q=q, limit=7, cursor=cursor)))
        cursor = pages[-1].next
    forward = [row.id for page in pages for row in page.items]
    back, cursor = [row.id for row in pages[-1].items], pages[-1].prev
    while cursor:
        page = crud.get_all(StudentFilters(q=q, limit=7, cursor=cursor))
        back, cursor = [row.id for row in page.items] + back, page.prev
    assert back == forward
    return forward


@pytest.mark.parametrize("q", ASKED)
def test_the_best_come_first_on_every_page(school: Session, q: str) -> None:
    crud, ids = StudentCRUD(school), expected(school, q)
    if q != "@":  # asks for nothing: the list in its own order
        assert walk(crud, q) == ids
    assert crud.get_all(StudentFilters(q=q, limit=1)).total == len(ids)
    by_id = StudentFilters(q=q, sort="id", limit=100)
    assert [row.id for row in crud.get_all(by_id).items] == sorted(ids)[:100]
    one = school.scalars(select(User.id).where(User.telegram_id == 418_220_007)).one()
    filtered = crud.get_all(StudentFilters(q=q, telegram_id=418_220_007))
    assert [row.id for row in filtered.items] == [row_id for row_id in ids if row_id == one]


def test_a_username_comes_before_names(db: Session) -> None:
    named = make_user(db, first_name="Masha", last_name="Levina", username=None)
    begins = make_user(db, first_name="Anna", last_name=None, username="masha_2000")
    handle = make_user(db, first_name="Vera", last_name=None, username="masha")
    names = [make_user(db, first_name="Мария", last_name="Машарова", username=None), named, handle]
    fragment = make_user(db, first_name="Тамаша", last_name=None, username=None)

    found = [row.id for row in StudentCRUD(db).get_all(StudentFilters(q="masha")).items]

    assert found == [handle.id, named.id, names[0].id, begins.id, fragment.id]
    only = [row.id for row in StudentCRUD(db).get_all(StudentFilters(q="@masha")).items]
    assert only == [handle.id, begins.id]


def test_who_is_meant_but_for_a_typo_is_sorted_too(db: Session) -> None:
    people = [make_user(db, first_name=name, last_name="Ковалёв", username=None).id for name in ("Мария", "Анна")]
    for sort in ("name", "-id"):
        page = StudentCRUD(db).get_all(StudentFilters(q="кавалев", sort=sort))
        assert ([row.id for row in page.items], page.total) == (people[::-1], 2)


def test_a_page_counts_to_a_hundred_and_the_api_on(db: Session) -> None:
    for number in range(SEARCH_CAP + 1):
        make_user(db, first_name=f"Ян {number}")
    crud = StudentCRUD(db)
    seen = [
        crud.get_all(StudentFilters(q="ян", sort=sort), cap=cap)
        for sort in (None, "name")
        for cap in (PAGE_CAP, API_CAP)
    ]
    assert [(page.total, page.capped, page.cap) for page in seen] == [(None, True, 100), (101, False, 10_000)] * 2


def test_a_cursor_of_another_order_is_refused(db: Session) -> None:
    for cursor in (Cursor("-created_at", 1, 1), Cursor("best", "x", 1), Cursor("best", None, 1)):
        with pytest.raises(AppError) as refused:
            StudentCRUD(db).get_all(StudentFilters(q="ян", cursor=cursor.encode()))
        assert refused.value.code == "bad_cursor"
    make_user(db, first_name="Ян")
    beyond = StudentFilters(q="ян", cursor=Cursor("best", 99, 1).encode())
    assert StudentCRUD(db).get_all(beyond).items == []


TEXTS = st.text(alphabet="ab ", min_size=1, max_size=4)


@given(st.lists(st.lists(st.lists(TEXTS, min_size=1, max_size=2), min_size=1, max_size=2), max_size=4), TEXTS, TEXTS)
def test_fewer_groups_of_texts_find_the_same(formula: Formula, begin: str, end: str) -> None:
    fewer = widest(formula)
    assert all(group in formula for group in fewer)
    assert stands(fewer, begin + end) is stands(formula, begin + end)


def test_a_typo_is_looked_for_where_it_leaves_most() -> None:
    left = [[["valova"]], [["alova"]], [[" ko"], ["lova"]], [[" kov"], ["ova"]], [[" kova"], ["va "]], [[" koval"]]]
    assert widest(left) == [[["alova"]], [[" ko"], ["lova"]], [[" kov"], ["ova"]]]


@pytest.mark.parametrize(("q", "asked"), [("сафин", 2), ("орлова", 2), ("сафмн", 2), ("918273", 1)])
def test_who_fits_is_found_once_before_typos_are_forgiven(
    school: Session, queries: list[str], q: str, asked: int
) -> None:
    """SQLite's index: for one who fits, for many (a few, then the newest), for a typo, for a number of nobody."""
    if school.get_bind().dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by itself")
    make_user(school, first_name="Тимур", last_name="Сафин")
    queries.clear()
    StudentCRUD(school).get_all(StudentFilters(q=q))
    assert sum(" MATCH " in each for each in queries) == asked
