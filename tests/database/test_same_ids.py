"""I14: every list in every order, and every filter, gives the ids that plain Python gives, on both databases."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.base import Base
from backend.database.crud.base import BaseCRUD
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.desk import DeskCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.sales import PaymentListCRUD, SaleCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Payment
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from backend.database.schemas.base import ListParams
from backend.database.schemas.lessons import LessonFilters
from backend.database.schemas.purchases import PurchaseFilters
from backend.database.schemas.tickets import TicketFilters
from backend.database.schemas.users import StudentFilters
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user

START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ("Ёлка", "ель", "Zoe", "zoë", "Ян", "1", "арка", "Арка 2", "ß", "日本", "a_b", "100%", "_")
LISTS: dict[str, tuple[type[BaseCRUD[Any]], type[Any]]] = {
    "students": (StudentCRUD, User),
    "lessons": (LessonCRUD, Lesson),
    "courses": (CourseCRUD, Course),
    "promo codes": (PromoCodeCRUD, PromoCode),
    "purchases": (PurchaseCRUD, Purchase),
    "sales": (SaleCRUD, Purchase),
    "payments": (PaymentListCRUD, Payment),
    "tickets": (TicketCRUD, SupportTicket),
    "desk": (DeskCRUD, SupportTicket),
}
NAMED = {"title": "search_key", "name": "search_key", "code": "search_key"}


@pytest.fixture
def school(db: Session) -> Session:
    """A dozen records of each kind, with ties wherever something is sorted by."""
    dice = random.Random(11)

    def then() -> datetime:
        return START + timedelta(days=dice.randrange(4))

    for word in WORDS:
        made = then()
        person = make_user(db, first_name=word, last_name=None, username=None, created_at=made)
        lesson = make_lesson(db, title=word, price=dice.randrange(3), is_active=dice.random() < 0.5, created_at=made)
        make_course(db, title=word, total_price=dice.randrange(3), created_at=made)
        make_promo(db, code=f"{word.replace(' ', '')}x", current_uses=dice.randrange(3), created_at=made)
        make_purchase(db, person, lesson, amount=1 + dice.randrange(3), created_at=made)
        waits = then() if dice.random() < 0.5 else START
        make_ticket(
            db, person, subject=word, created_at=made, last_message_at=then(), updated_at=then(), waiting_since=waits
        )
    return db


def walk(crud: BaseCRUD[Any], params: ListParams) -> list[int]:
    """All ids, four at a time; on the way back the same."""
    pages, cursor = [], None
    while not pages or cursor:
        pages.append(crud.get_all(params.model_copy(update={"cursor": cursor, "limit": 4})))
        cursor = pages[-1].next
    forward = [row.id for page in pages for row in page.items]
    back, cursor = [row.id for row in pages[-1].items], pages[-1].prev
    while cursor:
        page = crud.get_all(params.model_copy(update={"cursor": cursor, "limit": 4}))
        back, cursor = [row.id for row in page.items] + back, page.prev
    assert back == forward
    assert pages[0].total == len(forward)
    return forward


def rows(db: Session, model: type[Base]) -> list[Any]:
    found = list(db.scalars(select(model)))
    return [row for row in found if not isinstance(row, User) or row.telegram_id is not None]


@pytest.mark.parametrize("name", LISTS)
def test_an_order_is_pythons_order(school: Session, name: str) -> None:
    crud, model = LISTS[name]
    found = rows(school, model)
    assert len(found) == len(WORDS)
    for sort in ("id", *crud.sorts):
        key = attrgetter(NAMED.get(sort, sort), "id")
        expected = [row.id for row in sorted(found, key=key)]

        assert (sort, walk(crud(school), ListParams(sort=sort))) == (sort, expected)
        assert (sort, walk(crud(school), ListParams(sort=f"-{sort}"))) == (sort, expected[::-1])


FILTERS: list[tuple[str, ListParams, Callable[[Any], bool]]] = [
    ("students", StudentFilters(bought="yes"), lambda user: True),
    ("students", StudentFilters(waiting=False), lambda user: False),
    ("lessons", LessonFilters(is_active=False), lambda lesson: not lesson.is_active),
    ("lessons", LessonFilters(price_min=1, price_max=1), lambda lesson: lesson.price == 1),
    ("purchases", PurchaseFilters(since=START + timedelta(days=2)), lambda row: row.created_at >= START + timedelta(2)),
    ("purchases", PurchaseFilters(until=START + timedelta(days=2)), lambda row: row.created_at < START + timedelta(2)),
    ("tickets", TicketFilters(status="closed"), lambda ticket: False),
    ("students", StudentFilters(q="ел"), lambda user: user.first_name in ("Ёлка", "ель")),
    ("students", StudentFilters(q="ZOE"), lambda user: user.first_name in ("Zoe", "zoë")),
    ("lessons", LessonFilters(q="%"), lambda lesson: False),
    ("lessons", LessonFilters(q="00%"), lambda lesson: lesson.title == "100%"),
    ("lessons", LessonFilters(q="a_b"), lambda lesson: lesson.title == "a_b"),
    ("lessons", LessonFilters(q="SS"), lambda lesson: lesson.title == "ß"),
    ("lessons", LessonFilters(q="日本"), lambda lesson: lesson.title == "日本"),
    ("courses", ListParams(q="арка"), lambda course: course.title in ("арка", "Арка 2")),
    ("courses", ListParams(q="fhrf 2"), lambda course: course.title == "Арка 2"),
    ("courses", ListParams(q="fhrf"), lambda course: course.title in ("арка", "Арка 2")),
    ("desk", TicketFilters(q="Zoe"), lambda ticket: ticket.subject in ("Zoe", "zoë")),
    ("sales", PurchaseFilters(q="ель"), lambda row: row.user.first_name == "ель"),
]


@pytest.mark.parametrize("name", sorted({name for name, _params, _fits in FILTERS}))
def test_a_filter_is_pythons_filter(school: Session, name: str) -> None:
    crud, model = LISTS[name]
    people = {user.id: user for user in rows(school, User)}
    found = rows(school, model)
    for row in found:
        if isinstance(row, Purchase):
            row.user = people[row.user_id]
    for params, fits in [(params, fits) for listed, params, fits in FILTERS if listed == name]:
        asked = params.model_copy(update={"sort": "id"})

        assert (params, walk(crud(school), asked)) == (params, sorted(row.id for row in found if fits(row)))
