"""A list that was scrolled, left and come back to."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from sqlalchemy.orm import Session

from backend.core import clock
from tests.factories import make_user

pytestmark = pytest.mark.browser
STUDENTS = "/dashboard/users/"
ROWS = "#list-rows > tr"


def scrolled(context: BrowserContext, db: Session, rows: int = 150) -> Page:
    """A page of the students, all of whom were scrolled past."""
    for number in range(rows):
        make_user(db, first_name=f"Student {number:03}", created_at=clock.now() - timedelta(minutes=number))
    page = context.new_page()
    page.goto(STUDENTS)
    while page.locator(ROWS).count() < rows:
        before = page.locator(ROWS).count()
        page.locator("#list-more").scroll_into_view_if_needed()
        expect(page.locator(ROWS)).not_to_have_count(before)
    return page


def link(page: Page) -> Locator:
    return page.locator(ROWS).get_by_role("link", name=re.compile("^Student 137"))


def top(page: Page) -> float:
    return link(page).evaluate("link => link.getBoundingClientRect().top")


@pytest.mark.parametrize("back", [True, False], ids=["back", "reload"])
def test_whoever_comes_back_finds_the_rows_and_the_place(context: BrowserContext, db: Session, *, back: bool) -> None:
    page = scrolled(context, db)
    link(page).scroll_into_view_if_needed()
    there = top(page)
    if back:
        link(page).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Student 137")
        page.go_back()
    else:
        page.reload()
    expect(page.locator(ROWS)).to_have_count(150)
    expect(link(page)).to_be_in_viewport()
    assert abs(top(page) - there) < 3


def test_whoever_opens_the_list_anew_begins_at_its_top(context: BrowserContext, db: Session) -> None:
    page = scrolled(context, db, 60)
    page.goto("/dashboard/")
    page.goto(STUDENTS)
    expect(page.locator(ROWS)).to_have_count(50)
    assert page.evaluate("scrollY") == 0


def test_back_after_a_search_leads_to_the_filters_before_it(context: BrowserContext, db: Session) -> None:
    make_user(db, first_name="Anna")
    page = context.new_page()
    page.goto(STUDENTS)
    page.goto(f"{STUDENTS}?bought=no")
    page.locator("[data-search]").first.press_sequentially("ann", delay=250)
    expect(page).to_have_url(re.compile(r"\?q=ann&bought=no$"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"/users/\?bought=no$"))
