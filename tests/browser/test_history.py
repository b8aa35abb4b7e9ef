"""The history in a browser: undo and redo by one key, the list, a diff, and a conflict that a person settles."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy.orm import Session

from backend.database.models.lessons import Lesson
from tests.factories import make_lesson, make_promo

pytestmark = pytest.mark.browser


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def plain(browser: Browser, context: BrowserContext, url: str) -> Iterator[Page]:
    """The same person without scripts."""
    other = browser.new_context(base_url=url, locale="en-GB", java_script_enabled=False)
    other.add_cookies(context.cookies())  # type: ignore[arg-type] # what one context gives another takes
    yield other.new_page()
    other.close()


def active(db: Session, lesson: Lesson) -> bool:
    db.expire_all()
    return db.get_one(Lesson, lesson.id).is_active


def test_one_key_takes_a_change_back_and_forth(page: Page, db: Session) -> None:
    lesson = make_lesson(db, title="Scales")
    page.goto(f"/dashboard/lessons/{lesson.id}")
    page.get_by_role("button", name="Hide").click()
    toast = page.locator("[data-toast]")
    expect(toast.get_by_role("button", name="Undo")).to_be_visible()
    assert active(db, lesson) is False
    page.keyboard.press("KeyZ")
    expect(toast.get_by_role("button", name="Redo")).to_be_visible()
    assert active(db, lesson) is True
    page.keyboard.press("KeyZ")  # there is no older change, and it never does one again
    page.keyboard.press("Shift+KeyZ")
    expect(toast.get_by_role("button", name="Undo")).to_be_visible()
    assert active(db, lesson) is False


def test_the_list_leads_to_a_diff_and_its_undo(page: Page, db: Session) -> None:
    lesson = make_lesson(db, title="Scales", price=10)
    lesson.title, lesson.price = "Chords", 20
    db.commit()
    make_promo(db)
    page.goto("/dashboard/")
    page.locator("#side").get_by_role("link", name="History").click()
    page.get_by_role("button", name="Record type").click()
    page.get_by_role("link", name="Lesson", exact=True).click()
    expect(page.locator("#list-rows > tr")).to_have_count(2)
    page.locator("#list-rows").get_by_role("link", name="Changed lesson").click()
    assert [page.locator("main del").all_inner_texts(), page.locator("main ins").all_inner_texts()] == [
        ["Scales", "10\xa0★"],
        ["Chords", "20\xa0★"],
    ]
    page.locator("main").get_by_role("button", name="Undo").click()
    expect(page.locator("main .badge")).to_have_text("Undone")
    page.get_by_role("link", name="Undone by this change").click()
    with page.expect_navigation():
        page.locator("main").get_by_role("button", name="Redo").click()
    db.expire_all()
    assert db.get_one(Lesson, lesson.id).title == "Chords"


def test_a_conflict_is_settled_without_scripts(plain: Page, db: Session) -> None:
    lesson = make_lesson(db, title="Scales", price=10)
    lesson.title, lesson.price = "Chords", 20
    db.commit()
    lesson.price = 99
    db.commit()
    plain.goto("/dashboard/history/?kind=lessons")
    plain.locator("#list-rows").get_by_role("link", name="Changed lesson").nth(1).click()
    plain.locator("main").get_by_role("button", name="Undo").click()
    expect(plain.get_by_role("alert")).to_contain_text("Nothing has been undone yet.")
    assert plain.locator("main dd").all_inner_texts() == ["99\xa0★", "10\xa0★"]
    plain.get_by_role("button", name="Undo the rest").click()
    expect(plain.locator("[data-toast]")).to_contain_text("Undone, except for later changes: 1")
    expect(plain.locator("[data-toast]").get_by_role("button", name="Redo")).to_be_visible()
    db.expire_all()
    found = db.get_one(Lesson, lesson.id)
    assert (found.title, found.price) == ("Scales", 99)
