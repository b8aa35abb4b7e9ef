"""One route, two shapes: what htmx gets is a part of the page that everyone else gets."""

import re

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from tests.crm.pages import PARTIAL, same
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user

LISTS = ("users", "lessons", "courses", "promo-codes", "sales", "sales/payments", "tickets", "tickets/list")


@pytest.fixture
def school(db: Session) -> None:
    for _ in range(3):
        lesson, student = make_lesson(db), make_user(db)
        make_course(db, [lesson])
        make_promo(db)
        make_purchase(db, student, lesson)
        make_ticket(db, student)


def bare(page: str) -> str:
    """Without what only a fragment carries beside its part: swaps of other regions, the tab's title, white space."""
    page = re.sub(r"<hx-partial.*?</hx-partial>|<title>.*?</title>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", same(page)).strip()


@pytest.mark.usefixtures("school")
@pytest.mark.parametrize("query", ["", "?q=zzz", "?sort=-id"])
@pytest.mark.parametrize("name", LISTS)
def test_a_lists_fragment_is_a_part_of_its_page(admin: TestClient, name: str, query: str) -> None:
    url = f"/dashboard/{name}/{query}"

    part, page = admin.get(url, headers=PARTIAL), admin.get(url)

    assert (part.status_code, page.status_code) == (200, 200)
    assert "<html" not in part.text
    assert bare(part.text) in bare(page.text)
    assert "HX-Request-Type" in part.headers["Vary"]
    assert "HX-Request-Type" in page.headers["Vary"]
