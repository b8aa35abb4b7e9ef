"""The history's pages: what was done, by whom, what exactly, and undo with its conflicts."""

import re
from dataclasses import dataclass

from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.i18n import current_language
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.core.wording import happened
from backend.database.crud.history import HistoryCRUD
from backend.database.models.history import ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment
from backend.database.session import Database
from tests.conftest import SignIn
from tests.crm.test_staff import hire
from tests.factories import make_course, make_lesson, make_order, make_promo, make_purchase, make_ticket, make_user

URL = "/dashboard/history/"
EN = {"Accept-Language": "en"}


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def rows(browser: TestClient, query: str = "") -> list[str]:
    page = browser.get(f"{URL}{query}", headers=EN)
    assert page.status_code == 200, page.text
    return re.findall(r'class="ly-strong text-reset" href="[^"]+">([^<]+)</a>', page.text)


def latest(db: Session) -> int:
    return db.scalars(select(ChangeSet.id).order_by(ChangeSet.id.desc())).first() or 0


def test_the_list_names_what_was_done(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Scales")
    admin.post(f"/dashboard/lessons/{lesson.id}/toggle", data={"is_active": ""})
    make_promo(db)

    assert rows(admin)[:3] == ["Created promo code", "Changed lesson", "Created lesson"]
    assert rows(admin, "?door=web") == ["Changed lesson"]
    assert rows(admin, f"?kind=lessons&record={lesson.id}") == ["Changed lesson", "Created lesson"]
    assert rows(admin, "?kind=promo_codes") == ["Created promo code"]
    assert rows(admin, "?actor_id=1") == ["Changed lesson"]
    assert rows(admin, "?since=2000-01-01&until=2000-01-02") == []
    page = admin.get(URL, headers=EN).text
    assert "Scales" in page


def test_a_record_leads_to_all_its_changes(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Scales")
    admin.post(f"/dashboard/lessons/{lesson.id}/toggle", data={"is_active": ""})
    page = admin.get(f"/dashboard/lessons/{lesson.id}", headers=EN).text
    address = re.search(r'href="(/dashboard/history/[^"]+)">All changes</a>', page)
    assert address is not None
    assert address[1] == f"/dashboard/history/?kind=lessons&amp;record={lesson.id}"

    listed = admin.get(address[1].replace("&amp;", "&"), headers=EN).text
    assert re.findall(r'class="ly-strong text-reset" href="[^"]+">([^<]+)</a>', listed) == [
        "Changed lesson", "Created lesson",
    ]  # fmt: skip
    rights = ["dashboard:read", "lessons:read"]
    role = admin.post("/dashboard/settings/roles/", data={"name": "Guest", "rights": rights})
    assert rows(admin, f"?kind=roles&record={role.headers['location'].rpartition('/')[2]}") == ["Created role"]


def test_a_number_alone_finds_the_records_of_every_kind_that_one_may_see(
    admin: TestClient, staff: SignIn, db: Session
) -> None:
    lesson, promo = make_lesson(db, id=90), make_promo(db, id=90)
    assert (lesson.id, promo.id) == (90, 90)
    assert rows(admin, "?record=90") == ["Created promo code", "Created lesson"]
    assert rows(staff(SUPPORT), "?record=90") == ["Created lesson"]
    assert "90\u201390" not in admin.get(f"{URL}?record=90", headers=EN).text


@dataclass
class Made:
    op: str
    entity: str


def test_what_the_reason_says_again_is_said_once() -> None:
    token = current_language.set("ru")
    try:
        order, refund = [Made("create", "orders")] * 2, [Made("create", "refunds"), Made("update", "payments")]
        assert happened(order, "order") == "Создано: заказ"
        assert happened(refund, "refund") == "Создано: возврат; изменено: платёж"
        assert happened([Made("create", "purchases")], "grant") == "Создано: покупка, доступ открыт"
    finally:
        current_language.reset(token)


def named(browser: TestClient) -> list[str]:
    """The second line of each row: the records."""
    return re.findall(r'</a><span class="ly-sm ly-quiet">([^<]*)</span>', browser.get(URL, headers=EN).text)


def test_records_are_called_by_their_names_also_when_they_are_gone(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Scales")
    admin.post(f"/dashboard/lessons/{lesson.id}", data={"title": "Arpeggios", "price": "5"})
    assert named(admin)[:2] == ["Arpeggios", "Arpeggios"]
    admin.post(f"/dashboard/lessons/{lesson.id}/delete")
    assert named(admin)[:3] == ["Arpeggios"] * 3


def test_what_has_no_name_is_left_out_beside_what_has_one(admin: TestClient, db: Session) -> None:
    make_ticket(db, make_user(db), subject="Where is it?")
    assert (rows(admin)[0], named(admin)[0]) == ("Created ticket, thread, message", "Where is it?")
    make_purchase(db, make_user(db), make_lesson(db))
    assert named(admin)[0] == "payment #1, purchase #1"


def test_an_order_without_money_says_no_word_of_a_payment(db: Session, database: Database) -> None:
    order, paid = make_order(db, make_user(db), make_lesson(db)), make_purchase(db, make_user(db), make_lesson(db))

    def why() -> str:
        return HistoryCRUD(db).of_record("orders", order.id)[0].why

    assert why() == "An order belongs to the student. Unpaid, it expires by itself."

    def settle(session: Session) -> None:
        session.get_one(Order, order.id).status = "expired"
        session.scalars(select(Payment).where(Payment.provider_charge_id == paid.payment_id)).one().status = "refunded"

    database.run(settle)
    assert why() == "This involves a payment. Refund it on the purchase page."


def test_a_change_taken_back_and_done_again_is_not_undone(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    admin.post(f"/dashboard/lessons/{lesson.id}/toggle", data={"is_active": ""})
    states = []
    for _ in range(3):
        states.append("Undone" in admin.get(f"{URL}?kind=lessons", headers=EN).text)
        admin.post(f"{URL}{latest(db)}/undo")
        db.rollback()
    assert states == [False, True, True]  # the second is of the undo, which was undone in its turn


def test_pages_go_on_where_they_ended(admin: TestClient, db: Session) -> None:
    made = [make_lesson(db).id for _ in range(5)]
    first = admin.get(f"{URL}?kind=lessons&limit=3", headers=EN).text
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following is not None
    second = admin.get(following[1].replace("&amp;", "&"), headers=EN).text
    ids = re.findall(r'id="change-(\d+)"', first) + re.findall(r'id="change-(\d+)"', second)
    assert (len(ids), sorted(ids, key=int, reverse=True)) == (len(made), ids)


def test_the_number_of_queries_does_not_follow_the_rows(admin: TestClient, db: Session, queries: list[str]) -> None:
    make_lesson(db)
    admin.get(URL)
    queries.clear()
    admin.get(URL)
    few = len(queries)
    for _ in range(3):
        make_lesson(db)
    queries.clear()
    admin.get(URL)
    # The session; the page with its count and sizes; first changes, names of lessons and roles.
    assert len(queries) == few == 5


def test_a_page_shows_each_field_before_and_after(admin: TestClient, db: Session) -> None:
    words = " ".join(f"слово{n}" for n in range(60))
    lesson = make_lesson(db, title="Scales", price=10, text_content=words)
    data = {"title": "Scales", "price": "20", "text_content": words.replace("слово30", "новое"), "is_active": "true"}
    assert admin.post(f"/dashboard/lessons/{lesson.id}", data=data).status_code == 303

    page = admin.get(f"{URL}{latest(db)}", headers=EN).text

    assert re.findall(r"<(del|ins)>([^<]+)</\1>", page) == [
        *(("del", "10\xa0★"), ("ins", "20\xa0★")),
        *(("del", "слово30"), ("ins", "новое")),
    ]
    told = text_of(page)
    assert ("слово29" in told, "слово5 " in told) == (True, False)
    assert f"/dashboard/lessons/{lesson.id}" in page
    assert ("in the dashboard" in told, "Анна" in told) == (True, True)


def test_undo_and_redo_take_turns_on_the_page(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, price=10)
    admin.post(f"/dashboard/lessons/{lesson.id}/toggle", data={"is_active": ""})
    edit = latest(db)
    words = []
    for _ in range(2):
        url = f"{URL}{latest(db)}"
        words += re.findall(r"</svg>(Undo|Redo)", admin.get(url, headers=EN).text)
        assert admin.post(f"{url}/undo", data={"next": url}).headers["location"] == url
        db.expire_all()
        words.append(str(db.get_one(Lesson, lesson.id).is_active))
    assert words == ["Undo", "True", "Redo", "False"]
    page = admin.get(f"{URL}{edit}", headers=EN).text
    assert "Undone by this change" in page
    assert "</svg>Undo" not in page.split("<main")[1]


def test_the_toast_after_an_undo_offers_redo(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    admin.post(f"/dashboard/lessons/{lesson.id}/toggle", data={"is_active": ""})
    toast = re.search(r'action="([^"]+/undo)".*?>(\w+)</button>', admin.get("/dashboard/", headers=EN).text, re.DOTALL)
    assert toast is not None
    assert toast[2] == "Undo"

    admin.post(toast[1], data={"next": "/dashboard/lessons/"})
    again = re.search(r'action="([^"]+/undo)".*?>(\w+)</button>', admin.get("/dashboard/", headers=EN).text, re.DOTALL)

    assert again is not None
    assert (again[2], again[1]) == ("Redo", f"{URL}{latest(db)}/undo")


def test_a_clash_is_shown_field_by_field_with_a_choice(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="Scales", price=10)
    lesson.title, lesson.price = "Chords", 20
    db.commit()
    edit = latest(db)
    lesson.price = 99
    db.commit()

    refused = admin.post(f"{URL}{edit}/undo", data={"next": "/dashboard/lessons/"}, headers=EN)

    assert refused.status_code == 409
    told = text_of(refused.text)
    assert "Nothing has been undone yet." in told
    assert re.search(r"Chords\s+Price\s+Current value\s+99 ★\s+After undo\s+10 ★", told.replace("\xa0", " "))
    db.expire_all()
    assert (db.get_one(Lesson, lesson.id).title, latest(db)) == ("Chords", edit + 1)
    again = admin.get(f"{URL}{edit}/undo", headers=EN)  # the page reloaded
    assert (again.status_code, again.headers["location"]) == (303, f"{URL}{edit}")

    done = admin.post(f"{URL}{edit}/undo", data={"next": "/dashboard/lessons/", "rest": "true"})

    assert done.headers["location"] == "/dashboard/lessons/"
    db.expire_all()
    found = db.get_one(Lesson, lesson.id)
    assert (found.title, found.price) == ("Scales", 99)


def test_the_undo_of_a_new_record_leads_to_its_list(admin: TestClient, db: Session) -> None:
    data = {"title": "New", "price": "5", "is_active": "true"}
    page = admin.post("/dashboard/lessons/", data=data).headers["location"]

    answer = admin.post(f"{URL}{latest(db)}/undo", data={"next": page})

    assert answer.headers["location"] == "/dashboard/lessons/"
    assert db.scalars(select(Lesson.id)).all() == []


def test_money_says_why_it_has_no_undo(admin: TestClient, db: Session) -> None:
    make_purchase(db, make_user(db), make_lesson(db))
    page = admin.get(f"{URL}{latest(db)}", headers=EN).text
    assert "Refund it on the purchase page" in page
    assert "</svg>Undo" not in page.split("<main")[1]


def test_people_see_the_history_of_what_they_may_see(staff: SignIn, db: Session) -> None:
    student = make_user(db, first_name="Secret")
    of_student = latest(db)
    make_course(db, [make_lesson(db)])
    of_course = latest(db)

    author, support = staff(AUTHOR), staff(SUPPORT)

    assert set(rows(author)) == {"Created course, course lesson", "Created lesson"}
    assert author.get(f"{URL}{of_student}").status_code == 404
    assert author.get(f"{URL}{of_course}").status_code == 200
    assert "Secret" in support.get(f"{URL}{of_student}", headers=EN).text
    assert rows(author, f"?kind=users&record={student.id}") == []
    assert "do not have permission to change this" in support.get(f"{URL}{of_course}", headers=EN).text


def test_what_became_of_colleagues_is_for_those_who_run_the_staff(
    admin: TestClient, staff: SignIn, db: Session
) -> None:
    """Their logins and e-mails stand in the history of their accounts; of a set of both the rest is shown."""
    support = staff(SUPPORT)
    boris = hire(db, MANAGER, "boris")
    admin.post(f"/dashboard/settings/staff/{boris.id}", data={"first_name": "Boris", "login": "boris-two", "email": ""})
    of_boris = latest(db)
    student = make_user(db, first_name="Anna")
    db.refresh(boris)
    boris.first_name, student.first_name = "Bob", "Ann"  # one set about both
    db.commit()
    of_both = latest(db)

    assert "boris-two" in admin.get(f"{URL}{of_boris}", headers=EN).text
    assert support.get(f"{URL}{of_boris}").status_code == 404
    shown = support.get(f"{URL}{of_both}", headers=EN).text
    assert ("Ann" in shown, "Bob" in shown) == (True, False)
    assert "Bob" in admin.get(f"{URL}{of_both}", headers=EN).text
    listed = support.get(f"{URL}?limit=100", headers=EN).text
    assert (f"{URL}{of_boris}" in listed, f"{URL}{of_both}" in listed) == (False, True)
    assert rows(support, f"?kind=users&record={boris.id}&limit=100") == ["Changed person"]  # of both, with Ann alone
    assert rows(admin, f"?kind=users&record={boris.id}&limit=100") != ["Changed person"]
    file = support.get(f"{URL}export.csv", headers=EN).text
    assert ("boris" in file, "Bob" in file) == (False, False)


def test_addresses_of_the_staff_are_for_those_who_read_the_events(
    admin: TestClient, staff: SignIn, db: Session
) -> None:
    admin.post("/dashboard/lessons/", data={"title": "Light", "price": "5"})
    made = latest(db)
    assert "testclient" in admin.get(f"{URL}{made}", headers=EN).text
    author = staff(AUTHOR)
    page = author.get(f"{URL}{made}", headers=EN).text
    assert ("Light" in page, "testclient" in page) == (True, False)
    listed = f"{URL}?cols=ip,at"
    assert ("testclient" in admin.get(listed).text, "testclient" in author.get(listed).text) == (True, False)
    heads = [browser.get(f"{URL}export.csv").text.splitlines()[0] for browser in (admin, author)]
    assert ["request_id" in head for head in heads] == [True, False]


def test_a_person_is_looked_for_among_the_staff(admin: TestClient, staff: SignIn, db: Session) -> None:
    make_user(db, first_name="Student")
    staff(AUTHOR)
    found = admin.get(f"{URL}pick/actor_id?find=", headers={**EN, "HX-Request-Type": "partial"}).text
    assert ("Student" in found, "Анна" in found, AUTHOR in found) == (False, True, True)


def test_a_csv_of_what_is_listed(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="=Scales")
    found = admin.get(f"{URL}export.csv?kind=lessons", headers=EN).text.splitlines()
    assert found[0].removeprefix("\ufeff") == "id,at,who,door,what,records,undone,ip,request_id"
    assert (len(found), "'=Scales" in found[1], str(lesson.title) in found[1]) == (2, True, True)


def test_hostile_addresses_get_an_answer(admin: TestClient) -> None:
    for query in ("?kind=nothing", "?record=0", "?actor_id=x", "?since=never", "?door=window", "?limit=0"):
        assert admin.get(f"{URL}{query}").status_code == 422, query
    for query in ("?cursor=zzz", "?sort=door"):
        assert admin.get(f"{URL}{query}").status_code == 400, query
    for path in ("999999", "9223372036854775807"):
        assert admin.get(f"{URL}{path}").status_code == 404, path
    assert admin.get(f"{URL}9223372036854775808").status_code == 422
