"""Undo in a list: one toast after another, by the mouse and by keys, far down in the rows."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.lessons import Lesson
from tests.browser.test_keys import SHIFT, press
from tests.browser.test_table import page
from tests.factories import make_lesson

__all__ = ["page"]  # a fixture
pytestmark = pytest.mark.browser
LIST = "/dashboard/lessons/?sort=title&cols=price"
UNDO, REDO = "[data-undo=undo]", "[data-undo=redo]"


def prices(db: Session) -> list[int]:
    db.rollback()
    found = list(db.scalars(select(Lesson.price).order_by(Lesson.id)))
    db.rollback()
    return found


def change(page: Page, row: int, price: int) -> None:
    page.locator("#list-rows tr").nth(row).locator("[data-edit=price]").click()
    expect(page.locator("[data-editor] [name=value]")).to_be_focused()
    page.keyboard.type(str(price))
    page.keyboard.press("Enter")
    expect(page.locator("#list-rows tr").nth(row)).to_contain_text(f"{price} ★")


def test_each_toast_takes_its_own_change_back(page: Page, db: Session) -> None:
    [make_lesson(db, title=f"Lesson {at}", price=100) for at in (1, 2, 3)]
    page.goto(LIST)
    page.evaluate("window.stayed = true")
    for row, price in enumerate((11, 22, 33)):
        change(page, row, price)
    page.locator(UNDO).nth(1).get_by_role("button", name="Undo").click()
    expect(page.locator("#list-rows tr").nth(1)).to_contain_text("100 ★")
    expect(page.locator(UNDO)).to_have_count(2)
    expect(page.locator(REDO)).to_have_count(1)
    assert prices(db) == [11, 100, 33]
    assert page.evaluate("window.stayed") is True


def test_the_key_goes_on_to_older_changes_and_shift_does_them_again(page: Page, db: Session) -> None:
    [make_lesson(db, title=f"Lesson {at}", price=100) for at in (1, 2, 3)]
    page.goto(LIST)
    for row, price in enumerate((11, 22, 33)):
        change(page, row, price)
    press(page, "KeyZ", "я")
    press(page, "KeyZ", "я")
    expect(page.locator(UNDO)).to_have_count(1)
    expect(page.locator(REDO)).to_have_count(2)
    assert prices(db) == [11, 100, 100]
    press(page, "KeyZ", "я", SHIFT)
    expect(page.locator("[data-toast] p").last).to_have_text("Redone")
    assert sorted(prices(db)) in ([11, 22, 100], [11, 33, 100])  # whichever was taken back last


def test_undo_far_down_keeps_the_rows_and_the_place(page: Page, db: Session) -> None:
    [make_lesson(db, title=f"Lesson {at:03}", price=100) for at in range(120)]
    page.goto(LIST)
    rows = page.locator("#list-rows tr")
    expect(rows).to_have_count(50)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(rows).to_have_count(100)
    change(page, 90, 55)
    top = page.evaluate("scrollY")
    press(page, "KeyZ", "я")
    expect(rows.nth(90)).to_contain_text("100 ★")
    assert rows.count() >= 100
    assert abs(page.evaluate("scrollY") - top) < 50
    expect(rows.nth(90).locator("[data-edit=price], a").first).to_be_visible()


def test_what_needs_the_page_anew_keeps_the_other_toasts_and_the_place(page: Page, db: Session) -> None:
    [make_lesson(db, title=f"Lesson {at:03}", price=100) for at in range(60)]
    page.goto(LIST)
    change(page, 0, 11)
    row = page.locator("#list-rows tr").nth(40)
    row.scroll_into_view_if_needed()
    row.locator("[data-rowmenu]").click()
    page.locator("#row-menu").get_by_role("button", name="Delete").click()
    expect(page.locator("#list-rows")).not_to_contain_text("Lesson 040")
    top = page.evaluate("scrollY")
    press(page, "KeyZ", "я")
    expect(page.locator("#list-rows")).to_contain_text("Lesson 040")  # in its place, which only a new list knows
    expect(page.locator(UNDO)).to_have_count(1)
    assert abs(page.evaluate("scrollY") - top) < 100
    press(page, "KeyZ", "я")
    expect(page.locator("#list-rows tr").first).to_contain_text("100 ★")
    assert prices(db) == [100] * 60
