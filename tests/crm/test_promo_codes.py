"""Promo codes in the CRM: the list, one code with its uses, the form, the switch, the undo."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.factories import make_lesson, make_promo, make_user
from tests.figures import Figure
from tests.money.till import OK, Till, rows

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
PATH = "/dashboard/promo-codes/"


def text(node: Any) -> str:
    return " ".join(node.text(separator=" ").split())


def cells(page: str, promo_id: int) -> list[str]:
    return [text(cell) for cell in HTMLParser(page).css(f"#promo-{promo_id} td")]


def codes(page: str) -> list[str]:
    return [text(link) for link in HTMLParser(page).css("tbody td:first-child a")]


def form(**changes: str) -> dict[str, str]:
    sent = {"code": "TEN", "discount_percent": "10", "discount_amount": "", "max_uses": ""}
    return sent | {"expires_at": "", "is_active": "true"} | changes


def errors(page: str) -> list[str]:
    return [text(node) for node in HTMLParser(page).css(".invalid-feedback")]


def test_the_list_says_what_a_code_does_and_whether_it_works(admin: TestClient, db: Session) -> None:
    past = clock.now() - timedelta(days=1)
    made = [
        make_promo(db, code="PERCENT", discount_percent=10, max_uses=5, current_uses=2),
        make_promo(db, code="BOTH", discount_percent=5, discount_amount=30),
        make_promo(db, code="OFF", is_active=False),
        make_promo(db, code="OLD", expires_at=past),
        make_promo(db, code="SPENT", max_uses=2, current_uses=2),
    ]
    page = admin.get(PATH).text
    assert codes(page) == [promo.code for promo in reversed(made)]
    assert [cells(page, promo.id)[1:4] for promo in made] == [
        ["−10%", "2 of 5", "Valid"],
        ["−5% and − 30 ★", "0", "Valid"],
        ["−10%", "0", "Off"],
        ["−10%", "0", "Expired"],
        ["−10%", "2 of 2", "Used up"],
    ]
    assert codes(admin.get(f"{PATH}?is_active=false").text) == ["OFF"]
    assert codes(admin.get(f"{PATH}?q=perc").text) == ["PERCENT"]
    assert codes(admin.get(f"{PATH}?sort=code", headers=HTMX).text) == sorted(promo.code for promo in made)
    exported = admin.get(f"{PATH}export.csv?sort=code").text.splitlines()
    assert exported[1].split(",")[1:6] == ["BOTH", "5", "30", "", "0"]


def test_an_empty_list_offers_a_beginning(admin: TestClient, staff: SignIn) -> None:
    page = admin.get(PATH).text
    assert "No promo codes yet" in page
    links = [link.attributes["href"] for link in HTMLParser(page).css(".ly-starters a")]
    assert links == [f"{PATH}new?like={kind}" for kind in ("sale", "gift", "ad")]
    gift = HTMLParser(admin.get(links[1]).text)
    values = [gift.css_first(f"#{name}").attributes["value"] for name in ("code", "discount_percent", "max_uses")]
    assert values == ["GIFT", "100", "50"]
    assert "No results" in admin.get(f"{PATH}?q=zzz").text


def test_a_code_is_created_on_the_clock_of_its_maker(admin: TestClient, db: Session) -> None:
    anna = db.get_one(User, 1)
    anna.timezone = "Europe/Moscow"
    db.commit()
    sent = form(code="осень", max_uses="100", expires_at="2027-01-01T03:00")
    answer = admin.post(PATH, data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}1")
    kept = rows(db, PromoCode.code, PromoCode.max_uses, PromoCode.is_active, PromoCode.expires_at)
    assert kept == [("осень", 100, True, datetime(2027, 1, 1, tzinfo=UTC))]
    edit = HTMLParser(admin.get(f"{PATH}1/edit").text)
    assert edit.css_first("#expires_at").attributes["value"] == "2027-01-01T03:00"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": ""}, ["Fill in this field."]),
        ({"code": "two words"}, ["A code is one word, without spaces."]),
        ({"code": "taken"}, ["This code already exists: TAKEN."]),
        ({"discount_percent": ""}, ["Enter a percentage, an amount, or both."]),
        ({"discount_percent": "ten"}, ["Enter a whole number."]),
        ({"expires_at": "tomorrow"}, ["Enter a date and time."]),
        ({"expires_at": "0001-01-01T00:00"}, ["Enter a date and time."]),
    ],
)
def test_a_wrong_form_keeps_what_was_typed(
    admin: TestClient, db: Session, changes: dict[str, str], words: list[str]
) -> None:
    make_promo(db, code="TAKEN")
    anna = db.get_one(User, 1)
    anna.timezone = "Europe/Moscow"
    db.commit()
    for headers, is_page in (({}, True), (HTMX, False)):
        answer = admin.post(PATH, data=form(**changes), headers=headers)
        assert (answer.status_code, "<html" in answer.text) == (422, is_page)
        assert errors(answer.text) == words
        typed = HTMLParser(answer.text).css_first("#code").attributes["value"]
        assert typed == form(**changes)["code"]
    assert rows(db, PromoCode.code) == [("TAKEN",)]


def test_a_code_is_changed(admin: TestClient, db: Session) -> None:
    promo = make_promo(db, code="TEN", max_uses=9, current_uses=4)
    path = f"{PATH}{promo.id}"
    version = HTMLParser(admin.get(f"{path}/edit").text).css_first("input[name=version]")
    assert version.attributes["value"] == "1"

    low = admin.post(path, data=form(max_uses="3", version="1"))
    assert (low.status_code, errors(low.text)) == (422, ["It has been used 4 times already."])
    wrong = admin.post(path, data=form(discount_percent="500", version="1"), headers=HTMX)
    assert (wrong.status_code, errors(wrong.text)) == (422, ["Must be at most 100."])

    saved = admin.post(path, data=form(code="TWENTY", discount_percent="20", version="1"))
    assert saved.headers["location"] == path
    kept = rows(db, PromoCode.code, PromoCode.discount_percent, PromoCode.max_uses)
    assert kept == [("TWENTY", 20, None)]


def test_two_editors_choose_what_to_keep(admin: TestClient, db: Session) -> None:
    promo = make_promo(db, code="TEN", discount_percent=10)
    path = f"{PATH}{promo.id}"
    admin.post(path, data=form(discount_percent="15", version="1"))
    clash = admin.post(path, data=form(discount_percent="20", version="1"))
    assert clash.status_code == 409
    radios = HTMLParser(clash.text).css("input[type=radio][name=discount_percent]")
    assert [radio.attributes["value"] for radio in radios] == ["20", "15"]
    chosen = HTMLParser(clash.text).css_first("#promo-form input[name=version]").attributes["value"]
    assert admin.post(path, data=form(discount_percent="20", version=chosen)).status_code == 303
    assert rows(db, PromoCode.discount_percent) == [(20,)]
    # An old form that would change nothing is no conflict.
    assert admin.post(path, data=form(discount_percent="20", version="1")).status_code == 303


@pytest.mark.parametrize("edits", [15, pytest.param(250, marks=pytest.mark.slow)])
def test_of_two_busy_editors_neither_overwrites_the_other(
    sign_in: SignIn, db: Session, figure: Figure, edits: int
) -> None:
    """Both save what they have read, again and again; whoever read an older version is asked."""
    promo = make_promo(db, code="TEN")
    path = f"{PATH}{promo.id}"

    def edit(editor: int) -> list[tuple[int, str]]:
        """Every version that this one's edits were made of, with what was saved."""
        browser, saved = sign_in("admin"), []
        for number in range(edits):
            version = HTMLParser(browser.get(f"{path}/edit").text).css_first("input[name=version]").attributes["value"]
            uses = str(1 + 2 * number + editor)
            answer = browser.post(path, data=form(max_uses=uses, version=version or ""))
            assert answer.status_code in (303, 409)
            if answer.status_code == 303:
                saved.append((int(version or ""), uses))
        return saved

    with ThreadPoolExecutor(2) as pool:
        both = [saved for one in pool.map(edit, range(2)) for saved in one]
    versions = sorted(version for version, _uses in both)
    assert versions == [*range(1, len(both) + 1)]
    assert rows(db, PromoCode.version, PromoCode.max_uses) == [(len(both) + 1, int(max(both)[1]))]
    assert len(both) >= edits
    figure("A6", "edits of two people that overwrite one unseen", len(both) - len({*versions}), "0", 2 * edits)


def test_a_switch_says_which_state_is_wanted(admin: TestClient, db: Session) -> None:
    promo = make_promo(db, code="TEN")
    path = f"{PATH}{promo.id}/toggle"
    assert admin.post(path, data={"is_active": ""}).headers["location"] == f"{PATH}{promo.id}"
    assert "The code TEN is turned off" in admin.get(PATH).text
    assert cells(admin.get(PATH).text, promo.id)[3] == "Off"
    assert rows(db, PromoCode.is_active) == [(False,)]
    admin.post(path, data={"is_active": "true"})
    assert rows(db, PromoCode.is_active) == [(True,)]


def test_a_code_is_deleted_and_brought_back(admin: TestClient, db: Session) -> None:
    promo = make_promo(db, code="TEN", discount_percent=30)
    answer = admin.post(f"{PATH}{promo.id}/delete")
    assert (answer.status_code, answer.headers["location"]) == (303, PATH)
    assert rows(db, PromoCode.id) == []
    toast = HTMLParser(admin.get(PATH).text).css_first("[data-toast] form")
    assert admin.post(str(toast.attributes["action"]), data={"next": PATH}).status_code == 303
    assert rows(db, PromoCode.id, PromoCode.discount_percent) == [(promo.id, 30)]


def test_a_used_code_shows_who_used_it_and_stays(admin: TestClient, bot: TestClient, db: Session) -> None:
    till, promo = Till(bot), make_promo(db, code="TEN", discount_percent=10, max_uses=5)
    lesson = make_lesson(db, title="Свет", price=249)
    till.buy(make_user(db, first_name="Мария", last_name="Ковалёва"), lesson, "TEN")
    paying = make_user(db, first_name="Тимур", last_name="Сафин")
    assert till.ask(till.order(paying, lesson, "TEN").json(), paying) == OK

    path = f"{PATH}{promo.id}"
    page = HTMLParser(admin.get(path).text)
    assert [text(node) for node in page.css(".ly-stats dd")] == [
        "−10%",
        "2 of 5",
        "224 ★ 1 sale",
        "25 ★",
    ]
    uses = [[text(cell) for cell in row.css("td")][1:4] for row in page.css('tr[id^="redemption-"]')]
    assert uses == [["Свет", "25 ★", "Paying"], ["Свет", "25 ★", "Used"]]
    assert page.css_first("#deep-link-value").attributes["value"] == "/start promo_TEN"

    kept = admin.post(f"{path}/delete")
    assert kept.status_code == 409
    assert "2 orders use this code" in kept.text


def test_a_code_that_telegram_cannot_link_to_has_no_link(admin: TestClient, db: Session) -> None:
    page = admin.get(f"{PATH}{make_promo(db, code='ОСЕНЬ').id}").text
    assert HTMLParser(page).css_first("#deep-link-value") is None


def test_who_may_do_what(staff: SignIn, client: TestClient, db: Session) -> None:
    promo = make_promo(db)
    path = f"{PATH}{promo.id}"
    assert client.get(PATH).headers["location"].startswith("/login")
    assert [staff(role).get(path).status_code for role in (MANAGER, SUPPORT, AUTHOR)] == [
        200,
        403,
        403,
    ]
    assert staff(SUPPORT).post(f"{path}/delete").status_code == 403
    assert staff(MANAGER).post(f"{path}/toggle", data={"is_active": ""}).status_code == 303


def test_pages_of_what_is_not_there(admin: TestClient) -> None:
    assert [admin.get(f"{PATH}{page}").status_code for page in ("99", "99/edit")] == [404, 404]
    assert admin.post(f"{PATH}99", data=form()).status_code == 404


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"percent_min": 20}, {"TWENTY", "THIRTY"}),
        ({"percent_max": 20}, {"TEN", "TWENTY"}),
        ({"used_min": 2}, {"TWENTY", "THIRTY"}),
        ({"used_max": 2}, {"TEN", "TWENTY"}),
        ({"expires": "yes"}, {"THIRTY"}),
        ({"expires": "no"}, {"TEN", "TWENTY"}),
    ],
)
def test_codes_are_found_by_what_they_take_and_how_often_they_were_used(
    admin: TestClient, db: Session, asked: dict[str, str | int], found: set[str]
) -> None:
    for code, percent, uses in (("TEN", 10, 1), ("TWENTY", 20, 2), ("THIRTY", 30, 3)):
        ends = clock.now() + timedelta(days=1) if code == "THIRTY" else None
        make_promo(db, code=code, discount_percent=percent, current_uses=uses, expires_at=ends)
    assert set(codes(admin.get(PATH, params=asked).text)) == found
