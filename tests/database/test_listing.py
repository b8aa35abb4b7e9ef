"""Keyset pages: whatever the sort, the ties and the page size, every row once and in order, both ways."""

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import ColumnElement, exists
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import AppError
from backend.database import walking
from backend.database.crud.base import BaseCRUD
from backend.database.crud.sales import PaymentListCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.ticket_list import TicketListCRUD
from backend.database.crud.users import StudentCRUD, UserCRUD
from backend.database.listing import Cursor, Page, count_of, parse_sort
from backend.database.models.orders import OrderLine, Refund
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from backend.database.schemas.base import ListParams
from backend.database.schemas.users import StudentFilters
from tests.factories import make_user

NAMES = ("Анна", "анна", "Ёлка", "ель", "Zoe", "zoë", "Ян", "1")


@pytest.fixture
def crowd(db: Session) -> UserCRUD:
    """Thirty people with many ties in every sort column."""
    dice, start = random.Random(7), clock.now()
    for _ in range(30):
        make_user(
            db,
            first_name=dice.choice(NAMES),
            last_name=None,
            username=None,
            created_at=start + timedelta(seconds=dice.randrange(4)),
        )
    return UserCRUD(db)


def walk(people: UserCRUD, sort: str, limit: int) -> tuple[list[int], list[Page[User]]]:
    pages, cursor = [], None
    while not pages or cursor:
        pages.append(people.get_all(ListParams(sort=sort, limit=limit, cursor=cursor)))
        cursor = pages[-1].next
    return [row.id for page in pages for row in page.items], pages


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name", "-name", "id", "-id"])
@pytest.mark.parametrize("limit", [1, 4, 30, 31])
def test_every_row_once_in_order_both_ways(crowd: UserCRUD, sort: str, limit: int) -> None:
    column, descending = sort.removeprefix("-"), sort.startswith("-")
    rows = list(crowd.session.query(User))
    key = {"created_at": lambda u: (u.created_at, u.id), "name": lambda u: (u.search_key, u.id), "id": lambda u: u.id}
    expected = [user.id for user in sorted(rows, key=key[column], reverse=descending)]

    forward, pages = walk(crowd, sort, limit)
    assert forward == expected

    back, cursor = [row.id for row in pages[-1].items], pages[-1].prev
    while cursor:
        page = crowd.get_all(ListParams(sort=sort, limit=limit, cursor=cursor))
        back = [row.id for row in page.items] + back
        assert page.next
        cursor = page.prev
    assert back == expected
    assert pages[0].prev is None


FIGURES: list[dict[str, int | str]] = [
    {},
    {"purchases_min": 2},
    {"purchases_max": 2, "spent_min": 1},
    {"spent_min": 10, "spent_max": 20},
    {"spent_max": 0},
    {"bought": "no"},
    {"bought": "yes", "purchases_max": 3},
]


def fits(user: User, asked: dict[str, int | str]) -> bool:
    low, high = (int(asked.get(f"purchases_{end}", default)) for end, default in (("min", 0), ("max", 99)))
    paid, most = (int(asked.get(f"spent_{end}", default)) for end, default in (("min", 0), ("max", 99)))
    bought = {"yes": user.purchases > 0, "no": user.purchases == 0}.get(str(asked.get("bought")), True)
    return low <= user.purchases <= high and paid <= user.spent <= most and bought


@pytest.mark.parametrize("few", [0, 1000], ids=["walked", "found first"])
@pytest.mark.parametrize("sort", ["spent", "-spent", "purchases", "-purchases", "created_at", "-name"])
def test_figures_sort_and_filter_both_ways(
    crowd: UserCRUD, monkeypatch: pytest.MonkeyPatch, sort: str, few: int
) -> None:
    """Five values among thirty people: nearly every page ends between equals."""
    monkeypatch.setattr(walking, "FEW", few)
    dice, people = random.Random(5), [user for user in crowd.session.query(User) if user.telegram_id]
    for person in people:
        number = dice.randrange(5)
        person.purchases, person.spent = number, 10 * dice.randrange(number + 1)
    crowd.session.commit()
    name, down = sort.removeprefix("-"), sort.startswith("-")
    column = {"name": "search_key"}.get(name, name)
    students = StudentCRUD(crowd.session)
    for asked in FIGURES:
        expected = [user for user in people if fits(user, asked)]
        expected.sort(key=lambda user: (getattr(user, column), user.id), reverse=down)
        ids = [user.id for user in expected]
        for cap in (5, 100, None):
            forward, cursor, page = [], None, None
            while page is None or cursor:
                params = StudentFilters(sort=sort, limit=4, cursor=cursor, **asked)
                page = students.get_all(params, cap=cap)
                forward += [row.id for row in page.items]
                cursor = page.next
                assert page.total == (None if cap is None or len(ids) > cap else len(ids))
            assert (asked, forward) == (asked, ids)
        back, cursor = [row.id for row in page.items], page.prev
        while cursor:
            page = students.get_all(StudentFilters(sort=sort, limit=4, cursor=cursor, **asked))
            back = [row.id for row in page.items] + back
            cursor = page.prev
        assert (asked, back) == (asked, ids)


@pytest.mark.parametrize(("cap", "told"), [(31, (31, False)), (30, (None, True)), (5, (None, True))])
def test_the_count_stops_at_its_cap(crowd: UserCRUD, cap: int, told: tuple[int | None, bool]) -> None:
    page = crowd.get_all(ListParams(limit=3), cap=cap)  # thirty and the admin

    assert (page.total, page.capped) == told


def test_a_page_behind_the_last_row_still_has_the_count(crowd: UserCRUD) -> None:
    first = crowd.get_all(ListParams(sort="id", limit=10))
    assert first.next
    for row in crowd.session.query(User).where(User.id > first.items[-1].id):
        crowd.session.delete(row)
    crowd.session.commit()

    page = crowd.get_all(ListParams(sort="id", limit=10, cursor=first.next))

    assert (list(page.items), page.total, page.capped) == ([], 10, False)
    nothing = crowd.get_all(ListParams(q="nobody-is-called-so"))
    assert (list(nothing.items), nothing.total, nothing.next) == ([], 0, None)


def test_a_cursor_fits_only_the_sort_it_was_made_for(crowd: UserCRUD) -> None:
    made = crowd.get_all(ListParams(sort="name", limit=3)).next

    with pytest.raises(AppError) as refused:
        crowd.get_all(ListParams(sort="-name", limit=3, cursor=made))

    assert (refused.value.status, refused.value.code) == (400, "bad_cursor")


@pytest.mark.parametrize("value", [None, True, 2**70, "x\0", "2026-01-01T00:00:00", [], {}])
def test_a_forged_cursor_is_refused(crowd: UserCRUD, value: object) -> None:
    for sort in ("created_at", "name", "id"):
        forged = Cursor(sort, value, 1).encode()
        if sort == "name" and isinstance(value, str) and value.isprintable():
            continue  # any printable text is a name
        with pytest.raises(AppError, match="broken or out of date"):
            crowd.get_all(ListParams(sort=sort, cursor=forged))


@pytest.mark.parametrize("sort", ["", "-", "password_hash", "--id", "id;drop"])
def test_only_named_columns_sort(sort: str) -> None:
    with pytest.raises(AppError) as refused:
        parse_sort(sort, ["id", "name"])

    assert refused.value.code == "bad_sort"


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("ёлка", {"Ёлка Ивановна"}),
        ("ЕЛКА", {"Ёлка Ивановна"}),
        ("елк иван", {"Ёлка Ивановна"}),
        ("ё", {"Ёлка Ивановна"}),
        ("100%", {"100% Правда"}),
        ("_", set()),
        ('"', set()),
        ("st_ra", {"st_range Имя"}),
        ("нет такой", set()),
        ("  ", {"Ёлка Ивановна", "100% Правда", "st_range Имя"}),
        ("OR AND NOT", set()),
        ("*", set()),
    ],
)
def test_search_takes_what_people_type_literally(db: Session, q: str, found: set[str]) -> None:
    for first, last in (("Ёлка", "Ивановна"), ("100%", "Правда"), ("st_range", "Имя")):
        make_user(db, first_name=first, last_name=last, username=None)

    page = UserCRUD(db).get_all(ListParams(q=q))

    assert {user.name for user in page.items if user.telegram_id} == found


# -- counts


def counted(crud: type[BaseCRUD[Any]], *conditions: ColumnElement[bool]) -> str:
    return " ".join(str(count_of(crud.list_statement(), conditions, 10)).split())


def test_a_count_leaves_out_what_a_list_only_shows() -> None:
    """Joins along a foreign key that is never null or to what may be missing take no row away."""
    assert "FROM support_tickets WHERE support_tickets.subject = " in counted(
        TicketListCRUD, SupportTicket.subject == "a"
    )
    assert "FROM payments LIMIT" in counted(PaymentListCRUD)


def test_a_count_keeps_the_tables_that_a_condition_asks() -> None:
    by_payer = counted(PaymentListCRUD, User.first_name == "a")
    by_refund = counted(
        PaymentListCRUD, Refund.status == "done", exists().where(OrderLine.title == "a").correlate(OrderLine)
    )
    assert "FROM payments LEFT OUTER JOIN users ON users.telegram_id = payments.payer_telegram_id WHERE" in by_payer
    assert ("JOIN refunds" in by_refund, "JOIN order_lines" in by_refund, "JOIN users" in by_refund) == (
        True,
        True,
        False,
    )
    staff = counted(StaffCRUD)  # its own condition asks the role
    assert "FROM users JOIN roles ON roles.id = users.role_id WHERE roles.name != " in staff
