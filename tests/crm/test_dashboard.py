"""The overview says what the ledger says, and each person sees what they may."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.crud.analytics import AnalyticsCRUD, Period
from tests.conftest import SignIn
from tests.factories import make_lesson, make_purchase, make_ticket, make_user


def figures(page: str) -> dict[str, str]:
    found = HTMLParser(page)
    return {
        card.css_first(".ly-kpi-name").text(): card.css_first(".ly-kpi-value").text().replace("\xa0", " ").strip()
        for card in found.css("a.ly-kpi")
    }


def test_only_real_kept_stars_are_revenue(admin: TestClient, db: Session) -> None:
    lesson, now = make_lesson(db, price=200), clock.now()
    make_purchase(db, make_user(db), lesson)
    make_purchase(db, make_user(db), lesson, amount=50)
    make_purchase(db, make_user(db), lesson, is_test=True)
    make_purchase(db, make_user(db), lesson, revoked_at=now)
    make_purchase(db, make_user(db), lesson, created_at=now - timedelta(days=40))

    page = admin.get("/dashboard/", headers={"Accept-Language": "en"})

    shown = figures(page.text)
    assert (shown["Revenue"], shown["Sales"], shown["New students"]) == ("250 ★", "2", "5")


def test_a_day_is_a_day_of_the_readers_clock(db: Session) -> None:
    lesson = make_lesson(db, price=100)
    # 22:30 UTC on 20 November is 21 November in Moscow and 20 November in London.
    make_purchase(db, make_user(db), lesson, created_at=datetime(2026, 11, 20, 22, 30, tzinfo=UTC))

    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=False):
        by_zone = {
            name: list(AnalyticsCRUD(db).earnings(Period.ending_now(7, ZoneInfo(name)))[0].values)[-2:]
            for name in ("Europe/Moscow", "Europe/London", "Asia/Kathmandu", "Pacific/Kiritimati")
        }

    assert by_zone == {
        "Europe/Moscow": [0.0, 100.0],
        "Europe/London": [100.0, 0.0],
        "Asia/Kathmandu": [0.0, 100.0],
        "Pacific/Kiritimati": [100.0, 0.0],  # it is 22 November there already
    }


def test_change_against_the_period_before(db: Session) -> None:
    lesson, now = make_lesson(db, price=100), clock.now()
    make_purchase(db, make_user(db), lesson, amount=120)
    make_purchase(db, make_user(db), lesson, amount=100, created_at=now - timedelta(days=8))

    revenue, sales = AnalyticsCRUD(db).earnings(Period.ending_now(7, ZoneInfo("UTC")))

    assert (revenue.total, revenue.before, revenue.change) == (120.0, 100.0, pytest.approx(0.2))
    assert (sales.total, sales.before, sales.change) == (1.0, 1.0, 0.0)


def test_who_waits_longest_comes_first(admin: TestClient, db: Session) -> None:
    now = clock.now()
    make_ticket(db, make_user(db), subject="Second", waiting_since=now - timedelta(minutes=5))
    make_ticket(db, make_user(db), subject="First", waiting_since=now - timedelta(hours=2))
    make_ticket(db, make_user(db), subject="Answered", waiting_since=None)

    page = HTMLParser(admin.get("/dashboard/").text)

    card = page.css_first("section[aria-labelledby=waiting]")
    assert [link.text() for link in card.css("ul a")] == ["First", "Second"]
    assert [badge.text().strip() for badge in card.css("ul .badge")] == ["2 h", "5 min"]


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        (MANAGER, {"Revenue", "Sales", "New students", "First reply"}),
        (SUPPORT, {"Revenue", "Sales", "New students", "First reply"}),
        (AUTHOR, set()),
    ],
)
def test_each_role_sees_its_figures(staff: SignIn, role: str, shown: set[str]) -> None:
    page = staff(role).get("/dashboard/", headers={"Accept-Language": "en"})

    assert (page.status_code, set(figures(page.text))) == (200, shown)


def test_an_author_sees_the_newest_lessons(staff: SignIn, db: Session) -> None:
    author = staff(AUTHOR)
    assert "No lessons yet" in author.get("/dashboard/", headers={"Accept-Language": "en"}).text
    for number in range(8):
        make_lesson(db, title=f"Lesson {number}", price=number)

    page = HTMLParser(author.get("/dashboard/", headers={"Accept-Language": "en"}).text)

    card = page.css_first("section[aria-labelledby=lessons]")
    assert [link.text() for link in card.css("tbody a")] == [f"Lesson {number}" for number in (7, 6, 5, 4, 3, 2)]


def test_a_visitor_is_sent_to_sign_in(client: TestClient) -> None:
    answer = client.get("/dashboard/?days=7")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/dashboard/%3Fdays%3D7")


@pytest.mark.parametrize("count", [1, 3])
def test_the_overview_costs_the_same_whatever_its_rows(
    admin: TestClient, db: Session, queries: list[str], count: int
) -> None:
    for _ in range(count):
        person = make_user(db)
        make_purchase(db, person, make_lesson(db))
        make_ticket(db, person)
    admin.get("/dashboard/")
    queries.clear()

    admin.get("/dashboard/")

    assert len(queries) == 10


NASTY = [
    "\0",
    "\ud800",
    "9" * 40,
    "-1",
    "%00",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "",
    " ",
    "ё" * 5000,
]


def test_no_query_breaks_the_overview(admin: TestClient) -> None:
    """Lists have a test of their own (tests/crm/test_addresses.py)."""
    for name, value in itertools.product(("days", "cursor", "limit"), NASTY):
        answer = admin.get("/dashboard/", params={name: value.encode("utf-8", "surrogatepass")})
        assert answer.status_code in (200, 303, 400, 404, 422), (name, value)
