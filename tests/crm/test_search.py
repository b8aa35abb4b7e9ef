"""The palette: what it finds, for whom, and as a page."""

from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, one, words
from tests.factories import make_course, make_lesson, make_promo, make_ticket, make_user

URL = "/dashboard/search"
EN = {"Accept-Language": "en"}


def found(page: str) -> dict[str, list[tuple[str, str]]]:
    """The group's title -> what it shows and where that leads."""
    groups = HTMLParser(page).css("[role=group]")
    return {
        words(group.css_first("span")): [
            (words(one(link.html or "", ".ly-cut")), link.attributes["href"] or "") for link in group.css("a")
        ]
        for group in groups
    }


def test_it_finds_records_of_every_kind(sign_in: SignIn, db: Session) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ковалёва", username="masha")
    ticket = make_ticket(db, maria, subject="Март: где урок?")
    lesson = make_lesson(db, title="Марки и монеты", price=299)
    course = make_course(db, title="Мартовский свет", total_price=900, discount_price=700)
    promo = make_promo(db, code="МАРТ20")
    admin = english_admin(sign_in, db)

    groups = found(admin.get(URL, params={"q": "мар"}).text)

    assert groups["Students"] == [("Мария Ковалёва", f"/dashboard/users/{maria.id}")]
    assert groups["Tickets"] == [("Март: где урок?", f"/dashboard/tickets/{ticket.id}")]
    assert [url for _text, url in groups["Lessons and courses"]] == [
        f"/dashboard/lessons/{lesson.id}",
        f"/dashboard/courses/{course.id}",
    ]
    assert groups["Promo codes"] == [("МАРТ20", f"/dashboard/promo-codes/{promo.id}")]
    assert ("Search for “мар” in: Students", "/dashboard/users/?q=%D0%BC%D0%B0%D1%80") in groups["Actions"]


def test_what_fits_best_comes_first(sign_in: SignIn, db: Session) -> None:
    """A whole word, then a word that begins so, the newest first, then a fragment."""
    for name in ("Мар Левин", "Марк Левитин", "Мария Ковалёва", "Тамара Орлова"):
        first, last = name.split()
        make_user(db, first_name=first, last_name=last, username=None)
    students = found(english_admin(sign_in, db).get(URL, params={"q": "мар"}).text)["Students"]
    assert [text for text, _url in students] == ["Мар Левин", "Мария Ковалёва", "Марк Левитин", "Тамара Орлова"]


def test_pages_and_verbs_are_found_by_name(sign_in: SignIn, db: Session) -> None:
    admin = english_admin(sign_in, db)
    everything, lessons = found(admin.get(URL).text), found(admin.get(URL, params={"q": "LESS"}).text)
    assert ("Promo codes", "/dashboard/promo-codes/") in everything["Pages"]
    assert [text for text, _url in everything["Actions"]][:2] == ["New lesson", "New course"]
    assert lessons["Pages"] == [("Lessons", "/dashboard/lessons/")]
    assert lessons["Actions"][0] == ("New lesson", "/dashboard/lessons/new")


def test_rights_decide_what_is_found(staff: SignIn, db: Session) -> None:
    make_user(db, first_name="Мария")
    make_lesson(db, title="Марки")

    groups = found(staff(AUTHOR).get(URL, params={"q": "мар"}, headers=EN).text)

    assert sorted(groups) == ["Lessons and courses"]


def test_the_palette_gets_a_listbox_and_the_page_a_list_of_links(sign_in: SignIn, db: Session) -> None:
    make_lesson(db, title="<b>Light</b>")
    admin = english_admin(sign_in, db)
    part, page = (admin.get(URL, params={"q": "light"}, headers=headers).text for headers in (PARTIAL, {}))
    assert "<html" not in part
    assert words(one(part, "[role=option]")).startswith("<b>Light</b>")
    assert one(page, "#search").attributes["value"] == "light"
    assert HTMLParser(page).css(".ly-found [role=option]") == []
    assert one(part, "mark").text() == "Light"


def test_nothing_found_is_said(staff: SignIn) -> None:
    page = staff(AUTHOR).get(URL, params={"q": "zzz"}, headers=EN).text
    assert words(one(page, ".ly-found")) == "No results for “zzz”"


def test_a_text_that_cannot_be_is_refused(admin: TestClient) -> None:
    assert admin.get(URL, params={"q": "\0"}).status_code == 422
    assert admin.get(URL, params={"q": "x" * 101}).status_code == 422


def test_its_queries_do_not_grow(admin: TestClient, db: Session, queries: list[str]) -> None:
    counts = []
    for step in (1, 3):
        for number in range(step):
            make_user(db, first_name=f"Maria {step}{number}")
            make_lesson(db, title=f"Maria {step}{number}")
        queries.clear()
        admin.get(URL, params={"q": "maria"})
        counts.append(len(queries))
    # With enough exact finds nobody looks for typos.
    assert counts[0] >= counts[1] > 0
