"""Sales in the CRM: lists with honest totals, one purchase with all that belongs to it, refunds."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.crud.payments import RefundCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.orders import Payment, Refund
from backend.database.models.promo_codes import PromoRedemption
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.conftest import SignIn
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_user
from tests.money.till import Till, books_are_right, rows

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
SALES = "/dashboard/sales/"
PAYMENTS = "/dashboard/sales/payments"


@pytest.fixture
def till(bot: TestClient) -> Till:
    return Till(bot)


def text(node: Any) -> str:
    return " ".join(node.text(separator=" ").split())


def cells(page: str, row: str) -> list[str]:
    return [text(cell) for cell in HTMLParser(page).css(f"#{row} td")]


def listed(page: str, kind: str = "purchase") -> list[int]:
    """The ids of the rows of a list."""
    found = HTMLParser(page).css(f'tbody tr[id^="{kind}-"]')
    return [int((row.id or "").rpartition("-")[2]) for row in found]


def figures(page: str) -> list[str]:
    return [text(node) for node in HTMLParser(page).css("#sales-totals dd")]


@pytest.fixture
def sold(db: Session, database: Database) -> dict[str, Any]:
    """One of each kind: paid, returned, a gift, free, a test."""
    maria = make_user(db, first_name="Мария", last_name="Ковалёва", username="masha")
    timur = make_user(db, first_name="Тимур", last_name="Сафин")
    light, night = make_lesson(db, title="Свет", price=249), make_lesson(db, title="Ночь")
    paid = make_purchase(db, maria, light, created_at=datetime(2026, 11, 1, 12, tzinfo=UTC))
    returned = make_purchase(db, timur, light, amount=99)
    test = make_purchase(db, maria, night, amount=1000, is_test=True)

    def more(session: Session) -> int:
        purchases = PurchaseCRUD(session)
        purchases.refund(returned.id, reason="Не тот урок")
        return purchases.grant(timur.id, lesson_id=night.id).id

    gift = database.run(more)
    return {"maria": maria, "timur": timur, "light": light, "night": night} | {
        "paid": paid.id,
        "returned": returned.id,
        "test": test.id,
        "gift": gift,
    }


def test_the_list_shows_who_bought_what(admin: TestClient, sold: dict[str, Any]) -> None:
    page = admin.get(SALES).text
    assert listed(page) == [sold["gift"], sold["test"], sold["returned"], sold["paid"]]
    row = cells(page, f"purchase-{sold['paid']}")
    assert row[1:4] == ["Свет lesson", "249 ★", "Paid"]
    assert row[0].startswith("МК Мария Ковалёва @masha")
    states = [cells(page, f"purchase-{sold[name]}")[3] for name in ("returned", "gift", "test")]
    assert states == ["Refunded", "Gift", "Paid Test"]


def test_the_totals_leave_tests_and_returns_out(admin: TestClient, sold: dict[str, Any]) -> None:
    assert figures(admin.get(SALES).text) == ["249 ★", "1", "99 ★", "1,000 ★ not real money"]
    night = admin.get(SALES, params={"lesson_id": sold["night"].id}).text
    assert figures(night) == ["0 ★", "0", "0 ★", "1,000 ★ not real money"]


def test_a_long_list_has_no_totals(admin: TestClient, sold: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.database.listing.PAGE_CAP", 2)
    page = admin.get(SALES).text
    assert figures(page) == []
    assert text(HTMLParser(page).css_first("#list-count")).endswith("+")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=paid", ["test", "paid"]),
        ("state=returned", ["returned"]),
        ("state=gift", ["gift"]),
        ("state=free", []),
        ("earned=true", ["paid"]),
        ("earned=false", ["gift", "test", "returned"]),
        ("is_test=true", ["test"]),
        ("is_test=false&state=paid", ["paid"]),
        ("q=ковалева", ["test", "paid"]),
        ("q=сафин", ["gift", "returned"]),
        ("until=2026-11-01", ["paid"]),
        ("since=2026-11-02", ["gift", "test", "returned"]),
        ("since=2026-11-01&until=2026-11-01", ["paid"]),
        ("since=2026-11-01T12:00:00Z&until=2026-11-01T12:00:01Z", ["paid"]),
        ("until=2026-11-01T12:00:00%2B00:00", []),
        ("sort=amount", ["gift", "returned", "paid", "test"]),
        ("sort=-amount&state=&since=&until=", ["test", "paid", "returned", "gift"]),
    ],
)
def test_filters_and_sorts(admin: TestClient, sold: dict[str, Any], query: str, found: list[str]) -> None:
    assert listed(admin.get(f"{SALES}?{query}").text) == [sold[name] for name in found]


def test_filters_by_student_lesson_and_course(admin: TestClient, sold: dict[str, Any], db: Session, till: Till) -> None:
    course = make_course(db, [sold["light"]], title="Портрет")
    within = till.buy(make_user(db), course)["id"]

    def found(**query: int) -> list[int]:
        return listed(admin.get(SALES, params=query).text)

    assert found(course_id=course.id) == [within]
    assert found(lesson_id=sold["light"].id) == [sold["returned"], sold["paid"]]
    assert found(user_id=sold["timur"].id) == [sold["gift"], sold["returned"]]
    chips = HTMLParser(admin.get(SALES, params={"user_id": sold["timur"].id}).text)
    assert "Student: Тимур Сафин" in [text(chip) for chip in chips.css(".ly-chip.is-on button")]


@pytest.mark.parametrize("query", ["since=yesterday", "since=0001-01-01", "until=2026-13-01"])
def test_a_date_that_is_none_is_refused_with_words(admin: TestClient, query: str) -> None:
    assert admin.get(f"{SALES}?{query}").status_code == 422


def test_a_day_is_the_readers_day(admin: TestClient, sold: dict[str, Any], db: Session) -> None:
    """Noon of 1 November in UTC is already 2 November on Kiritimati."""
    anna = db.get_one(User, 1)
    anna.timezone = "Pacific/Kiritimati"
    db.commit()
    assert listed(admin.get(f"{SALES}?until=2026-11-01").text) == []
    assert listed(admin.get(f"{SALES}?until=2026-11-02").text) == [sold["paid"]]


def test_a_partial_request_gets_the_table(admin: TestClient, sold: dict[str, Any]) -> None:
    fragment = admin.get(f"{SALES}?state=paid", headers=HTMX)
    assert "<html" not in fragment.text
    assert listed(fragment.text) == [sold["test"], sold["paid"]]
    assert fragment.headers["HX-Push-Url"] == f"{SALES}?state=paid"


def test_csv_holds_what_the_list_shows(admin: TestClient, sold: dict[str, Any]) -> None:
    answer = admin.get("/dashboard/sales/export.csv?state=paid")
    found = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [(row["title"], row["amount"], row["is_test"]) for row in found] == [
        ("Ночь", "1000", "1"),
        ("Свет", "249", "0"),
    ]


@pytest.mark.parametrize("sales", [1, 3])
def test_a_list_asks_a_fixed_number_of_queries(admin: TestClient, db: Session, queries: list[str], sales: int) -> None:
    lesson = make_lesson(db)
    for _ in range(sales):
        make_purchase(db, make_user(db), lesson)
    queries.clear()
    admin.get(SALES)
    # session; rows with their count, totals
    assert len([query for query in queries if query.startswith("SELECT")]) == 3
    queries.clear()
    admin.get(PAYMENTS)
    assert len([query for query in queries if query.startswith("SELECT")]) == 2


def test_an_empty_school_and_an_empty_search_differ(admin: TestClient) -> None:
    assert "No sales yet" in admin.get(SALES).text
    assert "Nothing fits these filters" in admin.get(f"{SALES}?state=paid").text
    assert "No payments yet" in admin.get(PAYMENTS).text


# -- one purchase


def test_a_purchase_shows_all_that_belongs_to_it(admin: TestClient, till: Till, db: Session) -> None:
    maria = make_user(db)
    make_promo(db, code="TEN", discount_percent=10)
    purchase = till.buy(maria, make_lesson(db, price=249), "TEN")

    page = HTMLParser(admin.get(f"{SALES}{purchase['id']}").text)

    assert text(page.css_first("h1")).startswith("Свет из окна")
    order = text(page.css_first("section[aria-labelledby=order]"))
    for words in ("Full price 249 ★", "Promo code TEN", "Discount 25 ★", "Amount due 224 ★"):
        assert words in order
    assert page.css_first("#charge-value").attributes["value"] == purchase["payment_id"]
    assert text(page.css_first("section[aria-labelledby=messages] li")).startswith("Receipt")
    timeline = text(page.css_first("#record-history"))
    assert "Created purchase, payment; changed order" in timeline
    assert "Status awaiting payment paid" in timeline


def test_pages_of_what_is_not_there(admin: TestClient) -> None:
    for path in (f"{SALES}99", f"{SALES}99/refund", f"{PAYMENTS}/99"):
        assert admin.get(path).status_code == 404
    assert admin.post(f"{PAYMENTS}/99/retry").status_code == 404


def test_a_refund_names_the_loss_and_happens_once(admin: TestClient, till: Till, db: Session) -> None:
    purchase = till.buy(make_user(db), make_lesson(db, price=249))
    path = f"{SALES}{purchase['id']}"
    dialog = HTMLParser(admin.get(path).text).css_first("dialog#refund")
    assert text(dialog.css_first("h2")) == "Refund 249 ★?"
    assert "Мария Ковалёва loses access to “Свет из окна” immediately and gets 249 ★ back." in text(dialog)
    plain = admin.get(f"{path}/refund").text
    assert HTMLParser(plain).css_first("form#refund-form") is not None

    for _ in range(2):
        answer = admin.post(f"{path}/refund", data={"reason": "Не тот урок"})
        assert (answer.status_code, answer.headers["location"]) == (303, path)

    page = HTMLParser(admin.get(path).text)
    assert page.css_first("dialog#refund") is None
    refund = text(page.css_first("section[aria-labelledby=refund-card]"))
    assert "requested from Telegram" in refund
    assert "Reason Не тот урок" in refund
    assert "Refunded by Анна" in refund
    assert "There is nothing to return here." in admin.get(f"{path}/refund").text
    assert rows(db, Refund.reason, Refund.actor_id) == [("Не тот урок", 1)]
    books_are_right(db)


def test_a_reason_that_is_too_long_comes_back_in_the_form(admin: TestClient, till: Till, db: Session) -> None:
    path = f"{SALES}{till.buy(make_user(db), make_lesson(db))['id']}/refund"
    long = "а" * 501
    for headers, is_page in (({}, True), (HTMX, False)):
        answer = admin.post(path, data={"reason": long}, headers=headers)
        assert (answer.status_code, "<html" in answer.text) == (422, is_page)
        form = HTMLParser(answer.text).css_first("form#refund-form")
        assert text(form.css_first("textarea")) == long
        assert "At most 500 characters." in text(form)
    assert rows(db, Refund.id) == []


def test_what_cannot_be_returned_says_so(admin: TestClient, sold: dict[str, Any], db: Session) -> None:
    answer = admin.post(f"{SALES}{sold['gift']}/refund", data={})
    assert answer.status_code == 409
    assert "there is nothing to refund" in answer.text
    assert admin.post(f"{SALES}{sold['paid']}/revoke").status_code == 409


def test_a_gift_is_taken_back(admin: TestClient, sold: dict[str, Any], db: Session) -> None:
    path = f"{SALES}{sold['gift']}"
    assert "Revoke access" in admin.get(path).text
    assert admin.post(f"{path}/revoke").headers["location"] == path
    page = admin.get(path).text
    assert "Revoke access" not in page
    assert "Revoked" in text(HTMLParser(page).css_first(".ly-head"))


def test_who_may_do_what(staff: SignIn, sold: dict[str, Any], client: TestClient, api: Any) -> None:
    paid, gift = f"{SALES}{sold['paid']}", f"{SALES}{sold['gift']}"
    support, manager, author = staff(SUPPORT), staff(MANAGER), staff(AUTHOR)
    assert client.get(SALES).headers["location"].startswith("/login")
    assert [who.get(paid).status_code for who in (support, manager, author)] == [200, 200, 403]
    assert author.post(f"{paid}/refund").status_code == 403
    assert support.post(f"{gift}/revoke").status_code == 403
    assert "Revoke access" not in support.get(gift).text
    assert support.post(f"{paid}/refund").status_code == 303
    assert manager.post(f"{gift}/revoke").status_code == 303


def test_the_history_needs_its_right(staff: SignIn, sold: dict[str, Any], db: Session) -> None:
    manager = staff(MANAGER)
    path = f"{SALES}{sold['paid']}"
    assert 'id="record-history"' in manager.get(path).text
    role = db.scalars(select(Role).where(Role.name == MANAGER)).one()
    role.permissions = [right for right in role.permissions if right != "history:read"]
    db.commit()
    assert 'id="record-history"' not in manager.get(path).text


# -- payments


def test_payments_show_what_became_of_the_money(admin: TestClient, till: Till, db: Session) -> None:
    maria, lesson = make_user(db, username="masha"), make_lesson(db, price=249)
    order = till.order(maria, lesson).json()
    till.pay(order, maria, "stx-A")
    till.pay(order, maria, "stx-B")
    till.pay({"payload": "nothing", "amount": 7}, make_user(db), "stx-C", telegram_id=5)
    till.pay({"payload": "nothing", "amount": 8}, maria, "stx-D", currency="USD")

    page = admin.get(PAYMENTS).text
    assert listed(page, "payment") == [4, 3, 2, 1]
    states = [cells(page, f"payment-{n}")[3] for n in (1, 2, 3)]
    assert states == [
        "Received",
        "Unmatched Refund pending",
        "Unmatched Refund pending",
    ]
    assert cells(page, "payment-3")[1:3] == ["unknown item", "7 ★"]
    assert cells(page, "payment-3")[0].startswith("UP unknown person 5")
    assert cells(page, "payment-4")[2] == "8 USD"

    def found(query: str) -> list[int]:
        return listed(admin.get(f"{PAYMENTS}?{query}").text, "payment")

    assert found("status=unmatched") == [4, 3, 2]
    assert found("refund=requested&sort=amount") == [3, 4, 2]
    assert found("refund=failed") == []
    assert found("q=ковалева") == [4, 2, 1]
    assert found("q=stx-C") == [3]
    assert found("q=5") == [3]
    assert found(f"q={2**70}") == []
    assert found("is_test=true") == []
    assert found(f"user_id={maria.id}") == [4, 2, 1]
    assert found("since=2026-11-02&until=2026-11-01") == []
    exported = admin.get("/dashboard/sales/payments/export.csv?status=settled").text
    lines = exported.splitlines()
    assert [line.split(",")[-1] for line in lines] == ["provider_charge_id", "stx-A"]


def test_a_payment_without_an_order_has_a_page(admin: TestClient, till: Till, db: Session) -> None:
    stranger = make_user(db)
    till.pay({"payload": "nothing", "amount": 7}, stranger, "stx-C", telegram_id=5)
    page = admin.get(f"{PAYMENTS}/1").text
    assert "no order matches it" in page
    assert "No one here has Telegram ID 5." in page
    assert "no order with this payload" in page


def test_a_payer_whose_data_were_erased_is_nobody(admin: TestClient, till: Till, db: Session) -> None:
    """No number is not the number that the staff have none of."""
    till.buy(make_user(db), make_lesson(db))
    db.execute(update(Payment).values(payer_telegram_id=None))
    make_user(db, telegram_id=None, login="vera")
    answer = admin.get("/dashboard/sales/payments/1")
    assert (answer.status_code, "Мария" in answer.text) == (200, True)


def test_a_purchase_names_the_other_payments_of_its_order(admin: TestClient, till: Till, db: Session) -> None:
    maria = make_user(db)
    order = till.order(maria, make_lesson(db)).json()
    till.pay(order, maria, "stx-A")
    till.pay(order, maria, "stx-B")
    links = HTMLParser(admin.get(f"{SALES}1").text).css("section[aria-labelledby=payment] li a")
    assert [link.attributes["href"] for link in links] == [f"{PAYMENTS}/2"]
    assert f'href="{SALES}1"' not in admin.get(f"{PAYMENTS}/2").text
    assert "Purchase" in admin.get(f"{PAYMENTS}/1").text


def test_a_refund_that_failed_is_tried_again(admin: TestClient, till: Till, db: Session, database: Database) -> None:
    purchase = till.buy(make_user(db), make_lesson(db))
    path = f"{SALES}{purchase['id']}"
    admin.post(f"{path}/refund")
    database.run(lambda session: RefundCRUD(session).refund_failed(1, "CHARGE_NOT_FOUND"))
    page = admin.get(path).text
    assert "Telegram has not refunded the Stars" in page
    assert "CHARGE_NOT_FOUND" in page

    answer = admin.post(f"{PAYMENTS}/1/retry", data={"next": path})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert rows(db, Refund.status) == [("requested",)]
    assert admin.post(f"{PAYMENTS}/1/retry", data={"next": path}).status_code == 409


def test_a_price_honoured_late_is_explained(admin: TestClient, till: Till, db: Session) -> None:
    purchase = till.buy(make_user(db), make_lesson(db), make_promo(db, max_uses=1).code)
    held = db.get_one(PromoRedemption, 1)
    held.state = "released"
    db.commit()
    assert "The price was promised, so it counted." in admin.get(f"{SALES}{purchase['id']}").text
