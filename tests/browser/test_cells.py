"""Cells edited where they stand by people who are quick, turn away, meet each other or change nothing."""

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.database.models.lessons import Lesson
from tests.browser.holding import Held
from tests.browser.test_table import page
from tests.factories import make_lesson

__all__ = ["page"]  # a fixture
pytestmark = pytest.mark.browser
LIST = "/dashboard/lessons/?sort=title&cols=price"


@pytest.fixture
def lessons(db: Session) -> list[Lesson]:
    return [make_lesson(db, title=f"Lesson {at}", price=100) for at in (1, 2, 3)]


def stored(db: Session) -> list[tuple[str, int]]:
    db.rollback()
    found = [(title, price) for title, price in db.execute(select(Lesson.title, Lesson.price).order_by(Lesson.id))]
    db.rollback()
    return found


def cell(page: Page, row: int, name: str) -> Locator:
    return page.locator("#list-rows tr").nth(row).locator(f"[data-edit={name}]")


def field(page: Page) -> Locator:
    return page.locator("[data-editor] [name=value]")


def behind(db: Session, lesson: Lesson, **values: object) -> None:
    """What somebody else has written meanwhile."""
    db.execute(update(Lesson).where(Lesson.id == lesson.id).values(version=Lesson.version + 1, **values))
    db.commit()


@pytest.mark.usefixtures("lessons")
def test_what_is_typed_while_a_cell_opens_goes_into_its_field(page: Page, db: Session) -> None:
    page.goto(LIST)
    held = Held(page, "**/cell/**")
    cell(page, 0, "title").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("catx gj")
    page.keyboard.press("Backspace")
    editor = held.take()
    page.wait_for_timeout(100)
    assert held.routes == []  # no second opening, no shortcut
    editor.continue_()
    expect(field(page)).to_have_value("catx g")
    expect(field(page)).to_be_focused()
    page.keyboard.type("!")
    page.unroute("**/cell/**")
    page.keyboard.press("Enter")
    expect(cell(page, 0, "title")).to_be_focused()
    assert page.url.endswith(LIST)
    assert stored(db)[0][0] == "catx g!"


@pytest.mark.usefixtures("lessons")
@pytest.mark.parametrize("late", ["app.js", "cells.js", "htmx.min.js"])
def test_a_cell_that_is_opened_before_its_script_came_takes_what_is_typed(page: Page, db: Session, late: str) -> None:
    held = Held(page, f"**/{late}", times=1)
    page.goto(LIST, wait_until="commit")
    cell(page, 0, "title").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("catx gj")
    page.keyboard.press("Enter")
    held.take().continue_()
    expect(page.locator("#list-rows tr").first).to_contain_text("catx gj")
    expect(cell(page, 0, "title")).to_be_focused()
    page.keyboard.press("c")  # and now it is a shortcut again
    page.wait_for_url("**/dashboard/lessons/new")
    assert stored(db)[0][0] == "catx gj"


@pytest.mark.usefixtures("lessons")
def test_quick_hands_fill_a_column_without_waiting(page: Page, db: Session) -> None:
    page.goto(LIST)
    cell(page, 0, "title").focus()
    page.keyboard.press("Enter")
    for typed, then in (("one", "Tab"), ("11", "Tab"), ("two", "Tab"), ("22", "Tab"), ("cut", "Tab"), ("33", "Enter")):
        page.keyboard.type(typed)  # a few of the letters are shortcuts
        page.keyboard.press(then)
    expect(cell(page, 2, "price")).to_be_focused()
    assert stored(db) == [("one", 11), ("two", 22), ("cut", 33)]
    assert page.url.endswith(LIST)


@pytest.mark.usefixtures("lessons")
def test_an_editor_that_never_comes_leaves_the_cell_as_it_was(page: Page, db: Session) -> None:
    page.goto(LIST)
    held = Held(page, "**/cell/**")
    cell(page, 0, "title").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("cat")
    held.take().abort()
    expect(page.locator("[data-toast]")).to_be_visible()
    expect(cell(page, 0, "title")).to_be_focused()
    assert page.url.endswith(LIST)
    assert stored(db)[0] == ("Lesson 1", 100)

    page.keyboard.press("Enter")
    page.keyboard.type("cat")
    page.keyboard.press("Escape")
    held.take().continue_()
    page.wait_for_timeout(200)
    expect(field(page)).to_have_count(0)
    expect(cell(page, 0, "title")).to_be_visible()


@pytest.mark.usefixtures("lessons")
@pytest.mark.parametrize("place", ["h1", "[data-edit=price] >> nth=0", "#list-rows .ly-tick >> nth=0", "#q"])
def test_a_cell_that_is_left_is_saved(page: Page, db: Session, place: str) -> None:
    page.goto(LIST)
    cell(page, 0, "title").click()
    expect(field(page)).to_be_focused()
    page.keyboard.type("Shade")
    page.locator(place).click()
    expect(page.locator("[data-toast] p")).to_have_text("Saved")
    expect(page.locator("[data-editor=title]")).to_have_count(0)
    assert stored(db)[0] == ("Shade", 100)
    if "price" in place:
        expect(page.locator("[data-editor=price] [name=value]")).to_be_focused()
        page.keyboard.type("7")
        page.keyboard.press("Enter")
        expect(cell(page, 0, "price")).to_contain_text("7 ★")
    if place == "#q":
        expect(page.locator("#q")).to_be_focused()


@pytest.mark.usefixtures("lessons")
def test_a_link_saves_the_cell_on_its_way(page: Page, db: Session) -> None:
    page.goto(LIST)
    cell(page, 0, "title").click()
    expect(field(page)).to_be_focused()
    page.keyboard.type("Shade")
    page.get_by_role("link", name="Lesson 3", exact=True).click()
    page.wait_for_url("**/dashboard/lessons/3")
    page.wait_for_timeout(200)
    assert stored(db)[0] == ("Shade", 100)


@pytest.mark.usefixtures("lessons")
def test_what_has_not_changed_closes_without_a_word(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(LIST)
    for leaving in ("Enter", "Escape"):
        cell(page, 0, "title").focus()
        page.keyboard.press("Enter")
        expect(field(page)).to_be_focused()
        page.keyboard.press(leaving)
        expect(field(page)).to_have_count(0)
        expect(cell(page, 0, "title")).to_be_focused()
    page.keyboard.press("Enter")
    expect(field(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("[data-editor=price] [name=value]")).to_be_focused()
    page.locator("h1").click()
    expect(field(page)).to_have_count(0)
    expect(page.locator("[data-toast]")).to_have_count(0)
    assert sent == []


@pytest.mark.usefixtures("lessons")
def test_a_refused_value_waits_and_asks_no_second_time_by_itself(page: Page, db: Session) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(LIST)
    cell(page, 0, "price").click()
    expect(field(page)).to_be_focused()
    page.keyboard.type("dear")
    page.locator("h1").click()
    expect(page.locator("#cell-error")).to_be_visible()
    expect(field(page)).to_have_value("dear")
    page.locator("h1").click()
    page.wait_for_timeout(300)
    assert len(sent) == 1
    field(page).fill("50")
    page.locator("h1").click()
    expect(field(page)).to_have_count(0)
    assert stored(db)[0] == ("Lesson 1", 50)


def test_esc_in_a_conflict_shows_what_stands_in_the_database(page: Page, db: Session, lessons: list[Lesson]) -> None:
    page.goto(LIST)
    cell(page, 0, "title").click()
    expect(field(page)).to_be_focused()
    behind(db, lessons[0], title="Theirs")
    page.keyboard.type("Mine")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Keep: Theirs")).to_be_visible()
    page.locator("h1").click()  # a choice that nobody makes for the person
    page.wait_for_timeout(200)
    expect(page.get_by_role("button", name="Keep: Theirs")).to_be_visible()
    field(page).press("Escape")
    expect(field(page)).to_have_count(0)
    expect(page.locator("#list-rows tr").first).to_contain_text("Theirs")
    expect(cell(page, 0, "title")).to_be_focused()
    assert stored(db)[0] == ("Theirs", 100)


@pytest.mark.parametrize("opened", [True, False])
def test_a_row_that_is_gone_takes_its_editor_along(
    page: Page, db: Session, lessons: list[Lesson], opened: bool
) -> None:
    page.goto(LIST)
    cell(page, 0, "title").focus()
    if opened:
        page.keyboard.press("Enter")
        expect(field(page)).to_be_focused()
        page.keyboard.type("Mine")
    db.execute(delete(Lesson).where(Lesson.id == lessons[0].id))
    db.commit()
    page.keyboard.press("Enter")
    expect(page.locator("[data-toast] p")).to_have_text("Someone has deleted this in the meantime.")
    expect(page.locator("#list-rows tr")).to_have_count(2)
    expect(field(page)).to_have_count(0)
    expect(cell(page, 0, "title")).to_be_focused()  # of the row that stands in its place now
