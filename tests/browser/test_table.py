"""A list worked by hand: rows chosen, verbs, cells edited in place, columns, relations; by keys, and without script."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.tags import TagCRUD
from backend.database.models.auth import AuthSession
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from tests.browser.axe import violations
from tests.browser.test_keys import press
from tests.conftest import PASSWORD
from tests.factories import make_course, make_lesson, make_user

pytestmark = pytest.mark.browser
LESSONS = "/dashboard/lessons/"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield page
    assert complaints == []


def prices(db: Session) -> list[int]:
    found = list(db.scalars(select(Lesson.price).order_by(Lesson.id)))
    db.commit()
    return found


def lessons(db: Session, number: int = 5) -> list[Lesson]:
    return [make_lesson(db, title=f"Lesson {at}", price=100) for at in range(1, number + 1)]


def test_a_range_is_chosen_changed_and_taken_back(page: Page, db: Session) -> None:
    lessons(db)
    page.goto(LESSONS + "?sort=title")
    ticks = page.locator("#list-rows .ly-tick")
    ticks.nth(1).click()
    ticks.nth(3).click(modifiers=["Shift"])
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 3")
    assert violations(page) == []

    page.locator(".ly-bulk").get_by_role("button", name="Change the price").click()
    page.locator("#ask").get_by_label("Percent").fill("-10")
    assert violations(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("[data-toast] p")).to_have_text("Change the price: 3")
    expect(page.locator("#ask")).to_be_hidden()
    expect(page.locator(".ly-bulk")).to_be_hidden()
    expect(page.locator("#list-rows tr").nth(1)).to_contain_text("90")
    assert prices(db) == [100, 90, 90, 90, 100]

    page.locator("[data-undo] button[type=submit]").click()
    expect(page.locator("#list-rows tr").nth(1)).to_contain_text("100")
    assert prices(db) == [100] * 5


def test_rows_that_fit_no_more_leave_and_the_counts_follow(page: Page, db: Session) -> None:
    lessons(db, 3)
    page.goto(LESSONS + "?sort=title&price_max=100")
    page.locator("#list-rows .ly-tick").first.click()
    page.locator(".ly-bulk").get_by_role("button", name="Change the price").click()
    page.locator("#ask").get_by_label("Percent").fill("50")
    page.keyboard.press("Enter")
    expect(page.locator("#list-count")).to_have_text("2")
    expect(page.locator(".ly-pager")).to_contain_text("Shown: 2 of 2")
    expect(page.locator("dialog[open]")).to_have_count(0)

    page.locator("[data-tick-all]").click()
    page.locator(".ly-bulk").get_by_role("button", name="More").click()
    page.locator(".ly-bulk").get_by_role("button", name="Delete").click()
    expect(page.locator("#list .ly-state h2")).to_have_text("Nothing fits these filters")
    expect(page.locator("#list-count")).to_have_text("0")
    assert prices(db) == [150]


def test_the_menu_of_a_row_knows_its_row(page: Page, db: Session) -> None:
    first, second = lessons(db, 2)
    page.goto(LESSONS + "?sort=title")
    page.locator(f"#lesson-{second.id} [data-rowmenu]").click()
    menu = page.locator("#row-menu")
    expect(menu.get_by_role("button", name="Hide")).to_be_visible()
    expect(menu.get_by_role("button", name="Put on sale")).to_be_hidden()
    assert str(menu.locator("a").get_attribute("href")).endswith(f"/{second.id}/edit")
    menu.get_by_role("button", name="Hide").click()
    expect(page.locator(f"#lesson-{second.id}")).to_contain_text("Hidden")
    expect(page.locator(f"#lesson-{first.id}")).to_contain_text("On sale")
    page.locator(f"#lesson-{first.id} [data-rowmenu]").click()
    menu.get_by_role("button", name="Delete").click()
    expect(page.locator(f"#lesson-{first.id}")).to_have_count(0)


def test_cells_are_edited_by_keys_alone(page: Page, db: Session) -> None:
    lessons(db, 3)
    page.goto(LESSONS + "?sort=title&cols=price")
    page.locator("#list-rows tr").first.locator("[data-edit=price]").focus()
    page.keyboard.press("Enter")
    field = page.locator("[data-editor] [name=value]")
    expect(field).to_be_focused()
    page.keyboard.type("150")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    assert prices(db) == [100, 100, 100]

    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    page.keyboard.type("dear")
    page.keyboard.press("Enter")
    expect(page.locator("#cell-error")).to_be_visible()
    expect(field).to_have_value("dear")
    expect(field).to_be_focused()
    assert violations(page) == []
    page.keyboard.press("Control+A")
    page.keyboard.type("150")
    page.keyboard.press("Tab")  # saves, and goes on to the next title, then to its price
    expect(page.locator("[data-editor=title] [name=value]")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("[data-editor=price] [name=value]")).to_be_focused()
    page.keyboard.type("250")
    page.keyboard.press("Enter")
    expect(page.locator("#list-rows tr").nth(1)).to_contain_text("250")
    expect(page.locator("#list-rows tr").nth(1).locator("[data-edit=price]")).to_be_focused()
    assert prices(db) == [150, 250, 100]


def test_rows_are_chosen_by_keys_in_any_layout(page: Page, db: Session) -> None:
    lessons(db, 3)
    page.goto(LESSONS + "?sort=title")
    press(page, "KeyJ", "о")
    press(page, "KeyX", "ч")
    press(page, "KeyJ", "о")
    press(page, "KeyX", "ч")
    expect(page.locator("[data-chosen]")).to_have_text("Selected: 2")
    press(page, "KeyE", "у")
    page.wait_for_url("**/edit")


def test_columns_are_chosen_and_stay_in_the_address(page: Page, db: Session) -> None:
    lessons(db, 1)
    page.goto(LESSONS)
    page.locator("[popovertarget=look]").click()
    page.locator("#look").get_by_label("Revenue").uncheck()
    page.locator("#look").get_by_label("Compact").check()
    page.locator("#look").get_by_role("button", name="Apply").click()
    expect(page.locator("thead")).not_to_contain_text("Revenue")
    expect(page.locator("table.is-dense")).to_be_visible()
    assert "density=dense" in page.url
    page.reload()
    expect(page.locator("thead")).not_to_contain_text("Revenue")
    page.go_back()
    expect(page.locator("thead")).to_contain_text("Revenue")


def test_what_is_seldom_asked_unfolds_and_is_ready_to_type(page: Page, db: Session, database: Database) -> None:
    person, _other, lesson = make_user(db, first_name="Vera"), make_user(db), make_lesson(db)
    db.commit()
    with database.transaction() as session:
        TagCRUD(session).put("users", [person.id], "VIP")
        TagCRUD(session).put("lessons", [lesson.id], "Light")  # of no student
    page.goto("/dashboard/users/")
    chip = page.get_by_role("button", name="Tag", exact=True)
    expect(page.get_by_role("button", name="Bought", exact=True)).to_be_visible()
    expect(chip).to_be_hidden()
    page.get_by_text("More filters").click()
    chip.click()
    expect(page.locator("#filter-tag-find")).to_be_focused()
    expect(page.locator("#filter-tag-found a")).to_have_text(["VIP"])
    page.locator("#filter-tag-found a").click()
    expect(page.locator("#list-rows tr")).to_have_count(1)
    expect(page.locator("#list .ly-filters > .ly-chip.is-on")).to_contain_text("Tag: VIP")


def test_a_relation_is_looked_for_in_its_chip(page: Page, db: Session) -> None:
    inside, _outside = lessons(db, 2)
    make_course(db, [inside], title="Portrait")
    make_course(db, title="Night")
    page.goto(LESSONS)
    page.get_by_role("button", name="Course", exact=True).click()
    page.locator("#filter-course_id-find").fill("portr")
    found = page.locator("#filter-course_id-found a")
    expect(found).to_have_count(1)
    found.click()
    expect(page.locator("#list-rows tr")).to_have_count(1)
    expect(page.locator(".ly-chip.is-on").last).to_contain_text("Course: Portrait")
    assert "course_id=" in page.url


def test_everything_works_without_script(browser: Browser, url: str, context: BrowserContext, db: Session) -> None:
    lessons(db, 3)
    plain = browser.new_context(base_url=url, locale="en-GB", java_script_enabled=False)
    plain.add_cookies(context.cookies())  # type: ignore[arg-type] # what one context gives, another takes
    page = plain.new_page()
    page.goto(LESSONS + "?sort=title")
    page.locator("#list-rows .ly-tick").nth(0).check()
    page.locator("#list-rows .ly-tick").nth(2).check()
    page.get_by_role("button", name="Change the price").click()
    page.get_by_label("Percent").fill("10")
    page.get_by_role("button", name="Change the price").click()
    page.wait_for_url(re.compile(r"/dashboard/lessons/\?sort=title$"))
    assert prices(db) == [110, 100, 110]
    page.goto(LESSONS + "pick/course_id")
    expect(page.get_by_role("button", name="Find")).to_be_visible()
    plain.close()


def test_a_file_after_an_old_proof_asks_for_one_first(page: Page, db: Session) -> None:
    """The question is a page to answer, not the file that was asked for."""
    lessons(db)
    page.goto(LESSONS)
    db.execute(update(AuthSession).values(confirmed_at=clock.now() - timedelta(hours=1)))
    db.commit()
    page.get_by_role("link", name="CSV").click()
    expect(page).to_have_url(re.compile(r"/dashboard/confirm/\?next="))
    page.get_by_label("Password").fill(PASSWORD)
    with page.expect_download() as found:
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("link", name="Download").click()
    assert found.value.suggested_filename.startswith("lessons")
