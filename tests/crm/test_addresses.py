"""Hostile and stale addresses of every list: words in the reader's language, never an error of the server."""

import base64
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import ADMIN
from backend.database.models.users import User
from backend.routes import CRM
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user
from tests.test_routes import routes_of

LISTS = {
    str(route.name).split(":")[1]: route.path
    for route in routes_of(CRM)
    if route.name.endswith(":index") and route.path.endswith("/") and route.methods == {"GET"}
}
WAYS = tuple(itertools.product(("ru", "en"), (False, True)))  # language, as a fragment
NO_LISTS = {"dashboard", "settings", "accounts", "security", "roles"}
NAMES = sorted(LISTS.keys() - NO_LISTS)

VALUES = (
    "",
    "0",
    "-1",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "1" * 60,
    "1e9",
    "NaN",
    "Infinity",
    "0x10",
    "%D9%A3",
    "true",
    "maybe",
    "null",
    "None",
    "undefined",
    "[]",
    "{}",
    "a,b",
    "%00",
    "a%00b",
    "%ED%A0%80",
    "%FF%FE",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "x" * 101,
    "x" * 5000,
    "'",
    "%22",
    "%27;DROP TABLE users;--",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "{{7*7}}",
    "%25s%25(x)s",
    "2026-02-30",
    "2026-13-01",
    "0001-01-01",
    "9999-12-31",
    "9999-12-31T23:59:59-23:59",
    "2026-11-25T10:00:00",
    "10000-01-01",
    "-2026-01-01",
)
FIELDS = (
    "q",
    "sort",
    "limit",
    "cursor",
    "cols",
    "density",
    "view",
    "have",
    "is_active",
    "is_free",
    "status",
    "state",
    "price_min",
    "price_max",
    "amount_min",
    "since",
    "until",
    "joined_since",
    "user_id",
    "lesson_id",
    "course_id",
    "promo_id",
    "tab",
    "answered",
    "opened_since",
    "bought",
    "waiting",
    "telegram_id",
    "role",
    "tag",
)


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


SORTS = (
    "-created_at",
    "created_at",
    "-id",
    "id",
    "title",
    "name",
    "-amount",
    "nothing",
    "-",
    "--id",
    "id;",
    "id,name",
    "ID",
)
CURSORS = (
    cursor("-created_at", "2026-11-25T10:00:00+00:00", 5, 0),
    cursor("-created_at", "2026-11-25T10:00:00", 5, 0),
    cursor("-created_at", "9999-12-31T23:59:59-23:59", 5, 0),
    cursor("-created_at", 5, 5, 0),
    cursor("-id", 5, 5, 0),
    cursor("-id", 2**63, 5, 0),
    cursor("-id", 5, 2**63, 1),
    cursor("-id", True, 5, 0),
    cursor("-id", "5", 5, 0),
    cursor("-id", 1.5, 5, 0),
    cursor("title", "a\0b", 5, 0),
    cursor("title", "\ud800", 5, 0),
    cursor("name", "x" * 2000, 5, 1),
    cursor("-id", 5, 5),
    cursor("-id", 5, -5, 0),
    cursor("-id", 5, 5, 2),
    cursor(),
    base64.urlsafe_b64encode(b"[" * 2000).decode(),
    base64.urlsafe_b64encode(b'{"a": 1}').decode(),
    "x",
    "====",
    "%00",
)
WHOLE = (
    "&" * 500,
    "=" * 50,
    "?" * 20,
    "sort",
    "sort=&sort=",
    "sort=id&sort=nothing",
    "q=a&q=b&q=c",
    "limit=1&limit=100000",
    "cursor=x&cursor=y",
    "is_active=true&is_active=false",
    "unknown=1",
    "__proto__=1",
    "constructor=x",
    "q[]=1",
    "q%5B0%5D=1",
    "sort%00=id",
    "%ED%A0%80=1",
    "&".join(f"p{n}=1" for n in range(2000)),
    "cols=" + ",".join(f"c{n}" for n in range(300)),
    "&".join(["cols=name"] * 200),
    "cols=,,,&density=huge",
    "cols=id'--&cols=<b>",
    "view=999999999999&q=x",
    "view=all&view=1",
    "price_min=10&price_max=1",
    "since=2026-11-25&until=2020-01-01",
    "q=%25&sort=-id",
    "q=_%25_",
    "q=%5C",
    'q="*"',
    "q=a*%20OR%20b",
    "q=NEAR(a%20b)",
    "q=AND",
    "q=%D1%91%CC%81" * 9,
)


def queries() -> Iterator[str]:
    yield from WHOLE
    for sort in SORTS:
        yield f"sort={sort}"
        for position in CURSORS[:7]:
            yield f"sort={sort}&cursor={position}"
    yield from (f"cursor={position}" for position in CURSORS)
    for at, field in enumerate(FIELDS):
        # Each field meets a third of the values, each value ten fields.
        yield from (f"{field}={value}" for value in VALUES[at % 3 :: 3])


QUERIES = list(dict.fromkeys(queries()))


@pytest.fixture
def school(db: Session) -> None:
    for _ in range(2):
        lesson, student = make_lesson(db), make_user(db)
        make_course(db, [lesson])
        make_promo(db)
        make_purchase(db, student, lesson)
        make_ticket(db, student)


Readers = dict[str, TestClient]


@pytest.fixture
def readers(staff: SignIn, db: Session) -> Readers:
    """Two who run the school, each in a language of their own, whatever their browser says."""
    found = {}
    for language in ("ru", "en"):
        found[language] = staff(ADMIN)
        db.scalars(select(User).order_by(User.id.desc())).first().ui_language = language  # type: ignore[union-attr] # hired just now
        db.commit()
    return found


def told(page: str, language: str) -> list[str]:
    """The words of a refusal that are not in the reader's language; without names of parameters and numbers."""
    words = [
        " ".join(node.text().split()) for node in HTMLParser(page).css("h1, main p:not(.mt-3), main li, .ly-toast p")
    ]
    assert words, page[:500]
    bare = [re.sub(r"^\w+ ", "", sentence) for sentence in words]
    return [sentence for sentence in bare if bool(re.search("[а-яё]", sentence)) != (language == "ru")]


def test_every_list_is_tried() -> None:
    assert {"users", "lessons", "courses", "promo_codes", "sales", "payments", "tickets", "outbox"} <= set(NAMES)
    assert len(QUERIES) > 500


def try_all(readers: Readers, name: str, asked: Iterable[tuple[str, str, bool]]) -> None:
    for query, language, partial in asked:
        answer = readers[language].get(f"{LISTS[name]}?{query}", headers=PARTIAL if partial else {})
        where = name, query[:80], language, partial
        assert answer.status_code in (200, 204, 303, 400, 422), (where, answer.status_code)
        if answer.status_code >= 400:
            assert told(answer.text, language) == [], where


@pytest.mark.usefixtures("school")
@pytest.mark.parametrize("name", NAMES)
def test_no_address_of_a_list_breaks_it(readers: Readers, name: str) -> None:
    """Every eighth one, in the four ways by turns; the lists take turns."""
    ways = itertools.cycle(WAYS)
    try_all(readers, name, ((query, *next(ways)) for query in QUERIES[NAMES.index(name) % 8 :: 8]))


@pytest.mark.usefixtures("school")
@pytest.mark.parametrize("name", NAMES)
def test_a_refused_address_offers_the_same_without_its_fault(readers: Readers, name: str) -> None:
    for wrong in ("limit=many", "sort=nothing", f"cursor={CURSORS[0][:-4]}", "sort=-id&cursor=x"):
        answer = readers["en"].get(f"{LISTS[name]}?q=a&{wrong}")
        assert answer.status_code in (400, 422)
        offered = HTMLParser(answer.text).css_first("main a.btn-primary").attributes["href"] or ""
        assert offered.startswith(f"{LISTS[name]}?q=a")
        assert readers["en"].get(offered).status_code == 200


@pytest.mark.usefixtures("school")
def test_a_refused_address_says_which_part_is_wrong(readers: Readers) -> None:
    """In the reader's language, although it is read before anyone knows who asks."""
    url = "/dashboard/users/?q=a&joined_since=%D9%A3&waiting=maybe&is_active=true"

    page = HTMLParser(readers["ru"].get(url, headers={"Accept-Language": "en"}).text)
    assert sorted(item.text() for item in page.css("main li")) == [
        "Пришёл: Введите дату.",
        "Тикет: Ответьте «да» или «нет».",
    ]
    assert page.css_first("main a.btn-primary").attributes["href"] == "/dashboard/users/?q=a&is_active=true"
    toast = HTMLParser(readers["en"].get(url, headers=PARTIAL).text).css_first(".ly-toast p")
    assert toast.text() == "Ticket: Must be yes or no. Joined: Enter a date."
