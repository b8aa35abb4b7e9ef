"""Every number opens exactly its rows: the list behind a link counts what the link says."""

import re
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import SUPPORT
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.pages import english_admin, one, words
from tests.factories import make_lesson, make_promo, make_purchase, make_ticket, make_user
from tests.money.till import Till

DAY = timedelta(days=1)


@pytest.fixture
def till(bot: TestClient) -> Till:
    return Till(bot)


@pytest.fixture
def desk(sign_in: SignIn, db: Session) -> TestClient:
    browser = english_admin(sign_in, db)
    admin = db.get_one(User, 1)
    admin.timezone = "Asia/Kathmandu"  # days that begin at an odd time
    db.commit()
    return browser


@pytest.fixture
def maria(db: Session) -> User:
    """The buyer of most, in a school where something stands just outside every condition."""
    now = clock.now()
    maria, other = make_user(db), make_user(db, created_at=now - 40 * DAY)
    light, night = make_lesson(db, title="Light", price=200), make_lesson(db, title="Night", price=30)
    for days in (0, 1, 5, 29, 31, 45):
        make_purchase(db, make_user(db, created_at=now - days * DAY), light, created_at=now - days * DAY)
    make_purchase(db, maria, light, amount=70)
    make_purchase(db, maria, night, created_at=now - 22 * DAY)
    make_purchase(db, maria, make_lesson(db), is_test=True)
    make_purchase(db, maria, make_lesson(db), revoked_at=now)
    make_purchase(db, other, night, created_at=now - 20 * DAY)
    for waits in (1, 2, None):
        make_ticket(db, maria, waiting_since=now - waits * DAY if waits else None)
    for days, answered in ((2, 10), (3, 20), (40, 30)):
        opened = now - days * DAY
        make_ticket(
            db, other, created_at=opened, first_reply_at=opened + timedelta(minutes=answered), waiting_since=None
        )
    return maria


def number(text: str) -> int:
    return int(re.sub(r"[^\d]", "", text) or 0)


def rows(browser: TestClient, url: str) -> int:
    """What the opened list counts, and that this is what it shows."""
    page = browser.get(url)
    assert page.status_code == 200, url
    found = HTMLParser(page.text)
    count = found.css_first("#list-count")
    shown = len(found.css("#list-rows > tr")) if count else len(found.css("#queue-rows > li[id^=ticket-]"))
    assert count is None or number(words(count)) == shown
    return shown


def stars(browser: TestClient, url: str) -> int:
    """The revenue of the opened list."""
    return number(words(one(browser.get(url).text, "#sales-totals dd")))


def href(node: LexborNode) -> str:
    return str(node.attributes["href"])


@pytest.mark.parametrize("days", [7, 30, 90])
def test_the_main_figures(desk: TestClient, maria: User, days: int) -> None:
    page = HTMLParser(desk.get(f"/dashboard/?days={days}").text)

    cards = {words(card.css_first(".ly-kpi-name")): card for card in page.css("a.ly-kpi")}
    said = {name: number(words(card.css_first(".ly-kpi-value"))) for name, card in cards.items()}

    assert said["Sales"] == rows(desk, href(cards["Sales"])) > 0
    assert said["Revenue"] == stars(desk, href(cards["Revenue"])) > 0
    assert said["New students"] == rows(desk, href(cards["New students"])) > 0
    assert {7: 2, 30: 2, 90: 3}[days] == rows(desk, href(cards["First reply"]))
    assert said["First reply"] == {7: 15, 30: 15, 90: 20}[days]


def test_what_can_be_withdrawn_and_what_waits(desk: TestClient, maria: User) -> None:
    page = HTMLParser(desk.get("/dashboard/").text)

    total, free, held = page.css(".ly-sum a")
    assert total.text() == page.css_first(".ly-kpi-value").text()  # the card above says the same

    assert (number(words(free)), number(words(held))) == (200 + 200 + 200 + 30, 200 * 3 + 70 + 30)
    assert [stars(desk, href(free)), stars(desk, href(held))] == [number(words(free)), number(words(held))]


def test_sales_by_day(desk: TestClient, maria: User) -> None:
    days = HTMLParser(desk.get("/dashboard/").text).css("#revenue-days tbody tr")

    assert len(days) == 6
    for day in days:
        _date, count, revenue = day.css("td")
        url = href(revenue.css_first("a"))
        assert (rows(desk, url), stars(desk, url)) == (number(words(count)), number(words(revenue)))


def test_best_lessons(desk: TestClient, maria: User) -> None:
    best = HTMLParser(desk.get("/dashboard/").text).css(".ly-rank li")

    assert [words(lesson.css_first("a.ly-cut")) for lesson in best] == ["Light", "Night"]
    for lesson in best:
        revenue, sales = lesson.css("span a")[0], lesson.css("span")[-1]
        assert stars(desk, href(revenue)) == number(words(revenue)) > 0
        assert rows(desk, href(revenue)) == number(words(sales))


def test_who_waits(desk: TestClient, maria: User) -> None:
    card = one(desk.get("/dashboard/").text, "section[aria-labelledby=waiting]")

    assert number(words(card.css_first(".badge.is-count"))) == 2
    assert rows(desk, href(card.css_first(".card-header a"))) == 2


def test_the_figures_of_a_student_and_of_a_lesson(desk: TestClient, maria: User) -> None:
    spent, purchases = HTMLParser(desk.get(f"/dashboard/users/{maria.id}").text).css(".ly-stats a")
    assert (number(words(spent)), stars(desk, href(spent))) == (100, 100)
    assert (number(words(purchases)), rows(desk, href(purchases))) == (3, 3)

    sales, revenue = HTMLParser(desk.get("/dashboard/lessons/1").text).css(".ly-stats a")
    assert (number(words(sales)), rows(desk, href(sales))) == (7, 7)
    assert (number(words(revenue)), stars(desk, href(revenue))) == (1270, 1270)


def test_the_figures_of_a_promo_code(desk: TestClient, till: Till, db: Session) -> None:
    promo, lesson = make_promo(db, code="HALF", discount_percent=50), make_lesson(db, price=100)
    make_promo(db, code="GIFT", discount_percent=100)
    for code in ("HALF", "HALF", None):
        till.buy(make_user(db), lesson, code)
    till.order(make_user(db), lesson, "GIFT")
    till.order(make_user(db), lesson, "HALF")

    paid = one(desk.get(f"/dashboard/promo-codes/{promo.id}").text, ".ly-stats a")
    page = desk.get(href(paid)).text

    assert (number(words(paid)), stars(desk, href(paid)), rows(desk, href(paid))) == (100, 100, 2)
    assert "HALF" in words(one(page, ".ly-filters"))


def test_filters_that_a_number_set_are_seen_and_taken_off(desk: TestClient, maria: User) -> None:
    page = HTMLParser(desk.get("/dashboard/").text)
    url = {words(card.css_first(".ly-kpi-name")): href(card) for card in page.css("a.ly-kpi")}

    desk_page = desk.get(url["First reply"]).text
    chips = [words(chip) for chip in HTMLParser(desk_page).css(".ly-filters .ly-chip b")]
    assert (chips[0], chips[1][:12], chips[2][:13]) == ("Answered", "Opened since", "Opened before")
    assert "–" in words(one(desk.get(url["New students"]).text, ".ly-filters"))


def test_whoever_may_not_see_sales_gets_no_links_to_them(staff: SignIn, desk: TestClient, db: Session) -> None:
    student = make_user(db)
    assert "/dashboard/sales" in desk.get(f"/dashboard/users/{student.id}").text
    support = staff(SUPPORT)
    assert rows(support, f"/dashboard/sales/?user_id={student.id}&state=open") == 0
