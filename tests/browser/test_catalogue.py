"""Lessons and courses in a real browser: preview, upload, two editors, rows, order."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from tests.browser.axe import violations
from tests.factories import make_course, make_lesson, make_purchase, make_user

pytestmark = pytest.mark.browser
LESSONS, COURSES = "/dashboard/lessons/", "/dashboard/courses/"
SAVE = ".ly-savebar button[type=submit]"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert [text for text in complaints if "status of 4" not in text] == []


def order(page: Page) -> list[str]:
    return page.locator("#course-order li[data-id] a").all_inner_texts()


def test_the_preview_follows_the_typing(page: Page) -> None:
    page.goto(LESSONS + "new")
    page.locator("#title").fill("Golden hour")
    page.locator("#price").fill("199")
    page.locator("#text_content").fill("sun")
    page.locator("#text_content").select_text()
    page.get_by_role("button", name="Bold").click()
    expect(page.locator("#text_content")).to_have_value("**sun**")
    expect(page.locator("#preview .ly-prose strong")).to_have_text("sun")
    expect(page.locator("#preview .is-pay")).to_have_text("Pay ★ 199")
    page.get_by_label("Free lesson").check()
    expect(page.locator("#preview .is-pay")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "is_free"


def test_a_refused_form_keeps_the_video_and_everything_typed(page: Page, db: Session, tmp_path: Path) -> None:
    video = tmp_path / "Golden hour.mp4"
    video.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(3_000_000))
    page.goto(LESSONS + "new")
    page.locator("#title").fill("Golden hour")
    page.locator("#price").fill("12,5")
    page.locator("#video").set_input_files(video)
    page.locator(SAVE).click()
    expect(page.locator("#price-error")).to_have_text("Enter a whole number.")
    expect(page.get_by_text("is uploaded already")).to_be_visible()
    assert violations(page) == []
    page.locator("#price").fill("120")
    page.locator(SAVE).click()
    expect(page).to_have_url(re.compile(r"/lessons/\d+$"))
    expect(page.locator("video")).to_have_attribute("src", re.compile(r"/dashboard/media/\d+"))
    saved = db.scalars(select(Lesson)).one()
    media = db.scalars(select(Media)).one()
    assert (saved.title, saved.price, saved.media_id) == ("Golden hour", 120, media.id)
    assert media.size == 3_000_024


def test_two_editors_choose(page: Page, context: BrowserContext, db: Session) -> None:
    lesson = make_lesson(db, title="Scales", price=100)
    page.goto(f"{LESSONS}{lesson.id}/edit")
    other = context.new_page()
    other.goto(f"{LESSONS}{lesson.id}/edit")
    other.locator("#title").fill("Theirs")
    other.locator("#price").fill("300")
    other.locator(SAVE).click()
    expect(other).to_have_url(re.compile(r"/lessons/\d+$"))
    page.locator("#title").fill("Mine")
    page.locator(SAVE).click()
    expect(page.get_by_label("Mine")).to_be_checked()
    # Only they touched the price.
    expect(page.get_by_label("300")).to_be_checked()
    assert violations(page) == []
    page.get_by_role("button", name="Save what is chosen").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mine")
    db.refresh(lesson)
    assert (lesson.title, lesson.price) == ("Mine", 300)


def test_a_row_is_hidden_undone_and_refuses_to_go_when_sold(page: Page, db: Session) -> None:
    lesson = make_lesson(db, title="Scales")
    make_purchase(db, make_user(db), lesson)
    page.goto(LESSONS)
    row = page.locator(f"#lesson-{lesson.id}")
    row.get_by_role("link", name="Actions: Scales").click()
    page.get_by_role("button", name="Hide").click()
    expect(row.locator(".badge").first).to_have_text("Hidden")
    row.get_by_role("link", name="Actions: Scales").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("It was sold and cannot be deleted.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(f"#lesson-{lesson.id} .badge").first).to_have_text("On sale")


def test_lessons_change_places_by_dragging_and_by_keys(page: Page, db: Session) -> None:
    lessons = [make_lesson(db, title=title) for title in ("A", "B", "C")]
    course = make_course(db, lessons)
    page.goto(f"{COURSES}{course.id}")
    grip = page.locator(".ly-grip").nth(2).bounding_box()
    first = page.locator("#course-order li").nth(0).bounding_box()
    assert grip is not None
    assert first is not None
    page.mouse.move(grip["x"] + 5, grip["y"] + 5)
    page.mouse.down()
    page.mouse.move(grip["x"] + 5, first["y"] + 2, steps=8)
    page.mouse.up()
    expect(page.get_by_text("“C” is now lesson 1")).to_be_visible()
    assert order(page) == ["C", "A", "B"]
    page.get_by_role("button", name="Down: C").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("“C” is now lesson 2")).to_be_visible()
    assert order(page) == ["A", "C", "B"]
    focused = page.evaluate("document.activeElement.textContent.trim()")
    assert focused == "Down: C"
    page.reload()
    assert order(page) == ["A", "C", "B"]


def test_everything_works_without_script(browser: Browser, url: str, admin: TestClient, db: Session) -> None:
    context = browser.new_context(base_url=url, locale="en-GB", java_script_enabled=False)
    context.add_cookies([{"name": "lyceum", "value": admin.cookies["lyceum"], "url": url}])
    page = context.new_page()
    for title in ("A", "B"):
        page.goto(LESSONS + "new")
        page.locator("#title").fill(title)
        page.locator("#price").fill("10")
        page.locator(SAVE).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.goto(COURSES + "new")
    page.locator("#title").fill("Course")
    page.locator("#total_price").fill("15")
    page.locator(SAVE).click()
    for title in ("A", "B"):
        page.get_by_label("Lesson", exact=True).select_option(label=title)
        page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Up: B").click()
    assert order(page) == ["B", "A"]
    page.get_by_role("button", name="Undo").first.click()
    assert order(page) == ["A", "B"]
    context.close()
