"""Rows chosen by the mouse and by keys, also those that are not on screen yet, and what is done with them."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.models.lessons import Lesson
from tests.browser.axe import violations
from tests.browser.test_keys import SHIFT, press
from tests.browser.test_table import page
from tests.factories import make_lesson

__all__ = ["page"]  # a fixture
pytestmark = pytest.mark.browser
LIST = "/dashboard/lessons/?sort=title"


def on_sale(db: Session) -> int:
    db.rollback()
    found = db.scalar(select(func.count()).where(Lesson.is_active)) or 0
    db.rollback()
    return found


def many(page: Page, db: Session, number: int) -> None:
    for at in range(number):
        make_lesson(db, title=f"Lesson {at:03}", price=100)
    page.goto(LIST)
    expect(page.locator("#list-rows tr")).to_have_count(50)


def all_that_match(page: Page) -> None:
    page.locator("[data-tick-all]").check()
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 50")
    page.locator("[data-all] input").check()


def load_more(page: Page, rows: int) -> None:
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#list-rows tr")).to_have_count(rows)


def test_all_that_match_stay_chosen_while_more_rows_come(page: Page, db: Session) -> None:
    many(page, db, 120)
    all_that_match(page)
    for rows in (100, 120):
        load_more(page, rows)
        expect(page.locator("[data-all]")).to_have_text("all that match (120)")
        expect(page.locator("[data-all] input")).to_be_checked()
        expect(page.locator("#list-rows .ly-tick:checked")).to_have_count(rows)
        expect(page.locator("[data-tick-all]")).to_be_checked()
    page.locator(".ly-bulk").get_by_role("button", name="Hide").click()
    expect(page.locator("[data-toast] p")).to_have_text("Hide: 120")
    assert on_sale(db) == 0


def test_a_verb_meets_all_that_match_also_those_that_never_came(page: Page, db: Session) -> None:
    many(page, db, 120)
    all_that_match(page)
    page.locator(".ly-bulk").get_by_role("button", name="Hide").click()
    expect(page.locator("[data-toast] p")).to_have_text("Hide: 120")
    assert on_sale(db) == 0


def test_a_row_that_is_unticked_ends_all_that_match(page: Page, db: Session) -> None:
    many(page, db, 120)
    all_that_match(page)
    page.locator("#list-rows .ly-tick").nth(3).uncheck()
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 49")
    expect(page.locator("[data-all]")).to_be_hidden()
    load_more(page, 100)
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 49")
    page.locator(".ly-bulk").get_by_role("button", name="Hide").click()
    expect(page.locator("[data-toast] p")).to_have_text("Hide: 49")
    assert on_sale(db) == 120 - 49


def test_the_choice_outlives_what_is_done_to_one_row_alone(page: Page, db: Session) -> None:
    for at in (1, 2, 3):
        make_lesson(db, title=f"Lesson {at}", price=100)
    page.goto(f"{LIST}&cols=price")
    rows = page.locator("#list-rows tr")
    for at in (0, 1):
        rows.nth(at).locator(".ly-tick").check()

    rows.nth(0).locator("[data-edit=price]").click()
    page.locator("[data-editor] [name=value]").fill("150")
    page.keyboard.press("Enter")
    expect(rows.nth(0).locator("[data-edit=price]")).to_contain_text("150")
    expect(rows.nth(0).locator(".ly-tick")).to_be_checked()
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 2")

    rows.nth(1).locator("[data-rowmenu]").click()
    page.locator("#row-menu").get_by_role("button", name="Hide").click()
    expect(rows.nth(1)).to_contain_text("Hidden")
    expect(page.locator("#list-rows .ly-tick:checked")).to_have_count(2)

    page.locator(".ly-bulk").get_by_role("button", name="Hide").click()
    expect(page.locator("[data-toast] p").last).to_contain_text("Hide")
    expect(page.locator("#list-rows .ly-tick:checked")).to_have_count(0)
    assert on_sale(db) == 1


def test_other_filters_are_another_all(page: Page, db: Session) -> None:
    many(page, db, 120)
    all_that_match(page)
    page.locator("#q").fill("Lesson 00")
    expect(page.locator("#list-rows tr")).to_have_count(10)
    expect(page.locator("[data-all] input")).not_to_be_checked()


def test_rows_are_chosen_and_changed_by_keys_alone(page: Page, db: Session) -> None:
    many(page, db, 60)
    chosen, focused = page.locator("[data-chosen]"), page.locator("#list-rows a:focus")
    for code, letter in (("KeyJ", "о"), ("KeyX", "ч"), ("KeyJ", "о"), ("KeyJ", "о"), ("KeyJ", "о")):
        press(page, code, letter)
    press(page, "KeyX", "Ч", SHIFT)
    expect(chosen).to_have_text("Selected: 4")
    press(page, "KeyB", "и")
    expect(page.locator(".ly-bulk").get_by_role("button", name="Put on sale")).to_be_focused()
    page.keyboard.press("Escape")
    expect(focused).to_have_text("Lesson 003")
    press(page, "KeyK", "л")
    press(page, "KeyX", "ч")  # no longer this one
    expect(chosen).to_have_text("Selected: 3")
    press(page, "KeyB", "и")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[data-toast] p")).to_have_text("Hide: 3")
    assert on_sale(db) == 57


def test_a_key_chooses_all_on_screen(page: Page, db: Session) -> None:
    many(page, db, 60)
    press(page, "KeyA", "ф")
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 50")
    press(page, "KeyA", "ф")
    expect(page.locator(".ly-bulk")).to_be_hidden()
    press(page, "KeyB", "и")  # there is nothing to do
    assert page.evaluate("document.activeElement === document.body")


def test_enter_on_a_box_does_nothing_to_its_row(page: Page, db: Session) -> None:
    make_lesson(db, title="Hidden", is_active=False)
    page.goto(LIST)
    page.locator("#list-rows .ly-tick").check()
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 1")
    assert on_sale(db) == 0


@pytest.mark.parametrize("key", ["Enter", "ArrowDown"])
def test_the_search_leads_to_its_rows(page: Page, db: Session, key: str) -> None:
    many(page, db, 60)
    focused = page.locator("#list-rows a:focus")
    press(page, "Slash", ".")
    page.keyboard.press(key)  # nothing asked: the first of all
    expect(focused).to_have_text("Lesson 000")
    press(page, "Slash", ".")
    page.keyboard.type("Lesson 04")
    page.keyboard.press(key)  # before the rows are there
    expect(focused).to_have_text("Lesson 040")
    page.wait_for_timeout(400)
    expect(focused).to_have_text("Lesson 040")
    press(page, "KeyJ", "о")
    expect(focused).to_have_text("Lesson 041")


def test_esc_leaves_the_search_with_what_was_typed(page: Page, db: Session) -> None:
    many(page, db, 60)
    focused = page.locator("#list-rows a:focus")
    press(page, "Slash", ".")
    page.keyboard.press("Escape")
    press(page, "KeyJ", "о")
    press(page, "KeyJ", "о")
    expect(focused).to_have_text("Lesson 001")
    press(page, "Slash", ".")
    page.keyboard.press("Escape")
    expect(focused).to_have_text("Lesson 001")  # where the person came from
    press(page, "Slash", ".")
    page.keyboard.type("Lesson 04")
    expect(page.locator("#list-rows tr")).to_have_count(10)
    page.keyboard.press("Escape")
    expect(page.locator("#q")).to_have_value("Lesson 04")
    press(page, "KeyJ", "о")
    expect(focused).to_have_text("Lesson 040")


def test_a_key_that_is_held_walks_on_and_does_nothing_twice(page: Page, db: Session) -> None:
    many(page, db, 60)
    keyboard = page.context.new_cdp_session(page)

    def hold(code: str, letter: str, times: int) -> None:
        for at in range(times):
            event = {"type": "rawKeyDown", "code": code, "key": letter, "autoRepeat": at > 0}
            keyboard.send("Input.dispatchKeyEvent", event)
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", "code": code, "key": letter})

    focused = page.locator("#list-rows a:focus")
    hold("KeyJ", "о", 6)
    expect(focused).to_have_text("Lesson 005")
    hold("KeyK", "л", 3)
    expect(focused).to_have_text("Lesson 002")
    hold("KeyX", "ч", 4)
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 1")


def test_the_sheet_names_the_keys_of_a_list(page: Page, db: Session) -> None:
    page.goto(LIST)
    press(page, "Slash", "?", SHIFT)
    sheet = page.locator("#keys")
    for label, caps in {
        "Select rows from the last selected": "ShiftX",
        "Select all rows on screen": "A",
        "Actions for selected rows": "B",
        "From the actions or the search back to the list": "Esc",
        "From the search to the first row": "Enter",
        "Redo what was undone": "ShiftZ",
    }.items():
        row = sheet.locator("dl > div").filter(has=page.get_by_text(label, exact=True))
        expect(row.locator("dd")).to_have_text(caps)
    assert violations(page) == []
