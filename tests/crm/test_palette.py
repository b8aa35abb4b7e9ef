"""The palette's numbers, verbs with arguments and what was opened lately: for whom, in either language and layout."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.lately import KEPT
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin
from tests.crm.test_search import URL, found
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user

Hits = list[tuple[str, str]]


def at_once(client: TestClient, q: str) -> Hits:
    return found(client.get(URL, params={"q": q}).text).get("Best match", [])


@pytest.fixture
def admin_en(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


@pytest.mark.parametrize(
    "q", ["refund {}", "Refund #{}", "возврат {}", "вернуть № {}", "djpdhfn {}", "Кугтв {}", "refu {}"]
)
def test_a_refund_is_asked_for_by_number(admin_en: TestClient, db: Session, q: str) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ковалёва")
    sale = make_purchase(db, maria, make_lesson(db, title="Свет"), amount=299)

    hits = at_once(admin_en, q.format(sale.id))

    # "Кугтв" is no word in either layout.
    known = [(f"Refund: Purchase {sale.id}: Свет", f"/dashboard/sales/{sale.id}/refund")]
    assert hits == ([] if q.startswith("Кугтв") else known)


def test_what_cannot_be_returned_is_not_offered(admin_en: TestClient, db: Session) -> None:
    maria = make_user(db, first_name="Мария")
    gift = make_purchase(db, maria, make_lesson(db), amount=5, payment_id="grant:1")
    gone = make_purchase(db, maria, make_lesson(db), amount=5, revoked_at=clock.now())
    assert at_once(admin_en, f"refund {gift.id}") == []
    assert at_once(admin_en, f"refund {gone.id}") == []
    assert at_once(admin_en, "refund 99999999") == []
    assert at_once(admin_en, "refund 9999999999999999999") == []
    assert at_once(admin_en, "refund") == []


def test_a_number_finds_what_has_it(admin_en: TestClient, db: Session) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ковалёва")
    ticket = make_ticket(db, maria, subject="Где урок?")
    sale = make_purchase(db, maria, make_lesson(db, title="Свет"), amount=299)
    tickets = [("Где урок?", f"/dashboard/tickets/{ticket.id}")]
    sales = [(f"Purchase {sale.id}: Свет", f"/dashboard/sales/{sale.id}")]

    assert at_once(admin_en, f"#{ticket.id}")[:1] == tickets
    assert sales[0] in at_once(admin_en, f"{sale.id}")
    assert at_once(admin_en, f"ticket {ticket.id}") == tickets
    assert at_once(admin_en, f"тикет {ticket.id}") == tickets
    assert at_once(admin_en, f"покупка {sale.id}") == sales
    assert at_once(admin_en, "ticket где урок") == tickets
    assert at_once(admin_en, f"{ticket.id}²") == []


def test_a_verb_takes_a_person_by_name(admin_en: TestClient, db: Session) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ковалёва")
    make_user(db, first_name="Олег", last_name="Ким")
    for q in ("grant kovaleva", "give access мария", "выдать доступ ковалёва"):
        assert at_once(admin_en, q) == [("Grant access: Мария Ковалёва", f"/dashboard/users/{maria.id}/grant")]
    assert at_once(admin_en, "write мария ков") == [
        ("Send message: Мария Ковалёва", f"/dashboard/tickets/new?user_id={maria.id}")
    ]


def test_a_promo_code_is_opened_or_begun(admin_en: TestClient, db: Session) -> None:
    promo = make_promo(db, code="SALE20")
    assert at_once(admin_en, "promo sale20") == [("SALE20", f"/dashboard/promo-codes/{promo.id}")]
    groups = found(admin_en.get(URL, params={"q": "промокод sale30"}).text)
    assert groups["Actions"][0] == ("Create promo code “SALE30”", "/dashboard/promo-codes/new?code=SALE30")
    assert 'value="SALE30"' in admin_en.get("/dashboard/promo-codes/new?code=SALE30").text
    assert "Create promo code" not in admin_en.get(URL, params={"q": "promo sale20"}).text


@pytest.mark.parametrize("q", ["new lesson", "Новый урок", "создать урок", "lesson new", "ytd ktccjy", "новый ур"])
def test_verbs_are_found_in_either_language(admin_en: TestClient, q: str) -> None:
    groups = found(admin_en.get(URL, params={"q": q}).text)
    known = ("New lesson", "/dashboard/lessons/new")
    assert (known in groups["Actions"]) == (q != "ytd ktccjy")


def test_pages_are_found_in_either_language_and_layout(admin_en: TestClient) -> None:
    for q in ("purch", "покуп", "gjreg"):
        assert found(admin_en.get(URL, params={"q": q}).text)["Pages"] == [("Purchases", "/dashboard/sales/")]


def test_rights_decide_what_is_offered(staff: SignIn, db: Session) -> None:
    maria = make_user(db, first_name="Мария")
    ticket = make_ticket(db, maria)
    sale = make_purchase(db, maria, make_lesson(db), amount=5)
    english = {"Accept-Language": "en"}
    author, support = staff(AUTHOR), staff(SUPPORT)
    for q in (f"refund {sale.id}", f"ticket {ticket.id}", "grant мария", "promo zzz", f"{sale.id}"):
        groups = found(author.get(URL, params={"q": q}, headers=english).text)
        assert {"Best match", "Students"} & set(groups) == set()
        assert [url for _text, url in groups.get("Actions", [])] == []
    assert "Best match" not in found(support.get(URL, params={"q": "grant мария"}, headers=english).text)


def test_what_was_opened_lately_comes_first(admin_en: TestClient, db: Session) -> None:
    maria = make_user(db, first_name="Мария", last_name="Ковалёва", username=None)
    lesson = make_lesson(db, title="Свет")
    for path in (
        f"/dashboard/users/{maria.id}",
        "/dashboard/sales/",
        f"/dashboard/lessons/{lesson.id}",
        "/dashboard/sales/?q=1",
    ):
        assert admin_en.get(path).status_code == 200
    admin_en.get(f"/dashboard/lessons/{lesson.id}", headers=PARTIAL)  # a part of a page is no visit
    admin_en.get("/dashboard/lessons/99999")

    groups = found(admin_en.get(URL).text)

    assert next(iter(groups)) == "Recent"
    assert groups["Recent"] == [
        ("Purchases", "/dashboard/sales/"),
        ("Свет", f"/dashboard/lessons/{lesson.id}"),
        ("Мария Ковалёва", f"/dashboard/users/{maria.id}"),
    ]
    assert "Recent" not in found(admin_en.get(URL, params={"q": "све"}).text)
    over = admin_en.get(URL, headers=PARTIAL | {"HX-Current-URL": "http://testserver/dashboard/sales/?q=1"}).text
    assert [text for text, _url in found(over)["Recent"]] == ["Свет", "Мария Ковалёва"]
    assert admin_en.get(URL, headers={"HX-Current-URL": "http://[bad"}).status_code == 200


def test_the_lately_opened_is_the_first_of_what_fits(admin_en: TestClient, db: Session) -> None:
    people = [make_user(db, first_name="Мария", last_name=f"Первая {number}") for number in range(3)]
    admin_en.get(f"/dashboard/users/{people[0].id}")
    students = found(admin_en.get(URL, params={"q": "мария"}).text)["Students"]
    assert [url for _text, url in students] == [f"/dashboard/users/{people[at].id}" for at in (0, 2, 1)]


def test_what_is_gone_or_not_for_them_is_not_shown(staff: SignIn, db: Session) -> None:
    author, lessons = staff(AUTHOR), [make_lesson(db, title=f"Свет {number}") for number in range(KEPT + 2)]
    for lesson in lessons:
        author.get(f"/dashboard/lessons/{lesson.id}")
    owner = author.cookies["lyceum_lately"].split("~")[0]
    author.post(f"/dashboard/lessons/{lessons[-1].id}/delete")
    kept = found(author.get(URL).text)["Recent"]
    assert [text for text, _url in kept] == [f"Свет {number}" for number in range(KEPT, 1, -1)]

    for value in (
        f"{owner}~students.1~tickets.1~purchases.1",
        "1~lessons.1",
        "",
        "~",
        f'{owner}~lessons.x~page.crm-no~"',
        f"{owner}~lessons.{2**70}",
    ):
        next(cookie for cookie in author.cookies.jar if cookie.name == "lyceum_lately").value = value
        assert "Recent" not in found(author.get(URL).text)


def test_the_palette_asks_no_more_for_more_rows(admin_en: TestClient, db: Session, queries: list[str]) -> None:
    counts = []
    for step in (1, 3):
        for number in range(step):
            make_purchase(db, make_user(db, first_name=f"Мария {step}{number}"), make_lesson(db), amount=5)
        queries.clear()
        admin_en.get(URL, params={"q": "grant мария"})
        counts.append(len(queries))
    # With enough exact finds nobody looks for typos.
    assert counts[0] >= counts[1] > 0


def test_a_manager_finds_their_verbs(staff: SignIn, db: Session) -> None:
    english = {"Accept-Language": "en"}
    actions = found(staff(MANAGER).get(URL, headers=english).text)["Actions"]
    assert ("New student", "/dashboard/users/new") in actions
    assert ("New lesson", "/dashboard/lessons/new") not in actions


def test_every_verb_of_a_list_takes_a_record(admin_en: TestClient, db: Session) -> None:
    light, hidden = make_lesson(db, title="Свет"), make_lesson(db, title="Светотень", is_active=False)
    course = make_course(db, [light], title="Свет и тень")
    ticket = make_ticket(db, make_user(db), subject="Где урок?")

    def asks(list_: str, verb: str, row_id: int) -> str:
        return f"/dashboard/{list_}/bulk?verb={verb}&ids={row_id}"

    on_sale = [
        ("Hide: Свет", asks("lessons", "hide", light.id)),
        ("Hide: Свет и тень", asks("courses", "hide", course.id)),
    ]
    for q in ("hide свет", "скрыть свет", "crhsnm cdtn"):
        assert at_once(admin_en, q) == on_sale, q
    assert "Create promo code" not in admin_en.get(URL, params={"q": "delete svet"}).text
    assert at_once(admin_en, "hide lesson свет") == on_sale[:1]
    assert at_once(admin_en, "hide course свет") == on_sale[1:]
    assert at_once(admin_en, "put on sale светотень") == [
        ("Put on sale: Светотень", asks("lessons", "put_on_sale", hidden.id))
    ]
    assert at_once(admin_en, f"close {ticket.id}")[0] == ("Close: Где урок?", asks("tickets/list", "close", ticket.id))
    assert "Reopen: Где урок?" not in [label for label, _url in at_once(admin_en, f"reopen {ticket.id}")]
    for _label, url in at_once(admin_en, "delete свет"):
        assert admin_en.get(url).status_code == 200, url


def test_verbs_are_for_those_who_may(staff: SignIn, db: Session) -> None:
    make_lesson(db, title="Свет")
    make_promo(db, code="LIGHT")
    assert [label for label, _url in at_once(staff(AUTHOR), "удалить свет")] == ["Delete: Свет"]
    assert at_once(staff(AUTHOR), "удалить light") == []
    assert at_once(staff(SUPPORT), "удалить свет") == []


def test_a_verb_that_fits_much_offers_a_dozen(admin_en: TestClient, db: Session) -> None:
    for at in range(6):
        make_course(db, [make_lesson(db, title=f"Мария {at}")], title=f"Мария {at}")
        make_ticket(db, make_user(db, first_name="Мария"), subject="Мария")
    assert len(at_once(admin_en, "delete мария")) == 12
