"""Every list with every column that it can show: the table scrolls in its own place, the page never sideways."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from backend.crm.table.declare import TABLES
from tests.browser.conftest import School
from tests.browser.test_pages import OVERFLOW

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
WIDTHS = 1280, 375, 320
USERS = "/dashboard/users/"
SETTLED = "new Promise(done => setTimeout(() => requestAnimationFrame(done), 50))"
# Letters of one word that stand on two lines, in the first rows of a list.
BROKEN = r"""
() => {
  const found = []
  for (const cell of document.querySelectorAll("#list-rows > tr:nth-child(-n+15) > td")) {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT)
    while (texts.nextNode()) {
      const node = texts.currentNode
      for (const { 0: word, index } of node.data.matchAll(/[^\s\u2013\u2014-]+/g)) {
        const range = document.createRange()
        range.setStart(node, index)
        range.setEnd(node, index + word.length)
        const lines = new Set([...range.getClientRects()].filter(box => box.width).map(box => Math.round(box.top)))
        if (lines.size > 1) found.push(word)
      }
    }
  }
  return found
}
"""


@pytest.fixture(scope="module")
def look(browser: Browser, school: School) -> Iterator[Page]:
    context = browser.new_context(locale="ru-RU", reduced_motion="reduce")
    page = context.new_page()
    page.goto(school.link)
    page.locator("main button[type=submit]").first.click()
    expect(page).to_have_url(re.compile("/dashboard/"))
    yield page
    context.close()


def wrong(look: Page, url: str) -> Iterator[str]:
    look.goto(url)
    for width in WIDTHS:
        look.set_viewport_size(ViewportSize(width=width, height=800))
        look.evaluate(SETTLED)
        if (wide := look.evaluate(OVERFLOW)) > 0:
            yield f"{wide} px too wide at {width}"
        if broken := look.evaluate(BROKEN):
            yield f"broken at {width}: {', '.join(broken[:5])}"


@pytest.mark.parametrize("chosen", ["usual", "all"])
def test_no_list_is_wider_than_its_window(look: Page, school: School, chosen: str) -> None:
    found = {}
    for table in TABLES.values():
        names = [column.name for column in table.columns[1:]] if chosen == "all" else []
        address = "&".join(f"cols={name}" for name in names)
        found[table.name] = [*wrong(look, f"{school.url}{table.prefix}/?{address}")]
    assert len(found) > 10
    assert {name: each for name, each in found.items() if each} == {}


def test_a_wide_list_scrolls_inside_its_place_under_its_heading(look: Page, school: School) -> None:
    columns = [column.name for column in TABLES["users"].columns[1:]]
    look.set_viewport_size(ViewportSize(width=1280, height=800))
    look.goto(school.url + USERS + "?" + "&".join(f"cols={name}" for name in columns))
    place = look.locator(".ly-wide[data-wide]")
    expect(place).to_be_visible()
    head, first = look.locator("thead th").first, look.locator("#list-rows > tr > td").first
    before, at = head.bounding_box(), first.bounding_box()
    assert before
    assert at

    place.evaluate("place => { place.scrollLeft = 300; place.scrollTop = 400 }")

    after, moved = head.bounding_box(), first.bounding_box()
    assert after == before
    assert moved
    assert moved["x"] == at["x"]
    assert moved["y"] == at["y"] - 400
    assert look.evaluate("scrollX") == 0
    # The next rows come when the end of the table is reached, not before.
    assert look.locator("#list-rows > tr").count() == 50
    place.evaluate("place => place.scrollTo(0, place.scrollHeight)")
    expect(look.locator("#list-rows > tr")).to_have_count(100)


def test_a_list_that_fits_goes_with_the_page(look: Page, school: School) -> None:
    look.set_viewport_size(ViewportSize(width=1280, height=800))
    look.goto(school.url + USERS)
    expect(look.locator(".ly-wide[data-fits]")).to_be_visible()
    look.mouse.move(700, 600)
    look.evaluate("scrollTo(0, 900)")
    head, top = look.locator("thead th").nth(1).bounding_box(), look.locator(".ly-top").bounding_box()
    assert head
    assert top
    assert head["y"] == top["y"] + top["height"]


def test_what_a_column_cuts_is_read_under_the_pointer(look: Page, school: School) -> None:
    look.set_viewport_size(ViewportSize(width=1280, height=800))
    look.goto(school.url + "/dashboard/lessons/")
    cut = look.locator("td.ly-aside").filter(has_text="Портрет").first
    cut.hover()
    expect(cut).to_have_attribute("title", re.compile("печати"))


def test_the_editor_of_a_cell_moves_nothing(look: Page, school: School) -> None:
    for width in (1280, 375):
        look.set_viewport_size(ViewportSize(width=width, height=800))
        look.goto(school.url + "/dashboard/lessons/")
        cells = look.locator("#list tr > *")
        places = "cells => cells.map(cell => Object.values(cell.getBoundingClientRect().toJSON()))"
        look.locator("#list-rows [data-edit=price]").nth(2).click()
        field = look.locator("[data-editor] [name=value]")
        expect(field).to_be_focused()
        before = cells.evaluate_all(places)
        field.fill("dear")
        look.get_by_role("button", name="Сохранить", exact=True).click()
        expect(look.locator("#cell-error")).to_be_visible()
        assert cells.evaluate_all(places) == before
        assert look.evaluate(OVERFLOW) <= 0
        look.locator("#list").get_by_role("button", name="Отмена", exact=True).click()
        expect(field).to_have_count(0)
        assert cells.evaluate_all(places) == before


def test_two_values_of_a_cell_are_chosen_from_by_keys(look: Page, school: School) -> None:
    look.set_viewport_size(ViewportSize(width=1280, height=800))
    look.goto(school.url + "/dashboard/lessons/?sort=title&cols=price")
    cell = "#list-rows tr:nth-child(3) [data-edit=price]"
    other = look.context.new_page()
    other.goto(look.url)
    for page, value in ((look, ""), (other, "271")):
        page.locator(cell).click()
        expect(page.locator("[data-editor] [name=value]")).to_be_focused()
        if value:
            page.keyboard.type(value)
            page.keyboard.press("Enter")
            expect(page.locator("[data-toast]")).to_be_visible()
    other.close()
    look.keyboard.type("333")
    look.keyboard.press("Enter")
    expect(look.locator("[data-editor]:has([name=keep]) [name=value]")).to_be_focused()
    for _step in range(2):
        look.keyboard.press("Tab")
    expect(look.locator("[name=keep]")).to_be_focused()
    look.keyboard.press("Enter")
    expect(look.locator(cell)).to_contain_text("271")


@pytest.mark.parametrize("name", ["users", "lessons", "sales", "payments", "promo_codes", "ticket_list", "courses"])
def test_filters_and_verbs_take_one_line(look: Page, school: School, name: str) -> None:
    look.set_viewport_size(ViewportSize(width=1280, height=800))
    look.goto(f"{school.url}{TABLES[name].prefix}/")
    filters = look.locator("#list > .ly-filters").bounding_box()
    assert filters
    assert filters["height"] < 64
    button = look.locator("[popovertarget=look]")
    button.click()
    panel, under = look.locator("#look").bounding_box(), button.bounding_box()
    assert panel
    assert under
    assert panel["y"] >= under["y"] + under["height"]
    assert panel["y"] + panel["height"] <= 800
    look.keyboard.press("Escape")
    if not TABLES[name].actions:
        return
    for width in (1280, 1024, 375, 320):
        look.set_viewport_size(ViewportSize(width=width, height=800))
        look.locator("[data-tick-all]").check()
        bar = look.locator(".ly-bulk")
        box = bar.bounding_box()
        assert box
        assert box["height"] < 60
        assert box["x"] + box["width"] <= width
        assert bar.evaluate("bar => bar.scrollWidth <= bar.clientWidth")
        look.locator("[popovertarget=bulk-more]").click()
        expect(look.locator("#bulk-more button").last).to_be_in_viewport(ratio=1)
        look.keyboard.press("Escape")
