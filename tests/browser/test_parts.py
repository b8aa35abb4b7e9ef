"""The parts that every page shares in a real browser, under a strict CSP, on made-up data."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Route, expect

from backend.sandbox.testing import free_port
from tests.browser.holding import Held
from tests.core.gallery import make_gallery

pytestmark = pytest.mark.browser
THINGS = "/dashboard/things/"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(make_gallery(), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def context(browser: Browser, url: str) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(5000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must not complain: an error in the console (CSP too) fails the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    expected = ("status of 4", "status of 503", "net::ERR_FAILED", "htmx: htmx:error: Failed to fetch")
    assert [text for text in complaints if not any(part in text for part in expected)] == []


def test_typing_in_the_search_swaps_the_list_and_keeps_the_caret(page: Page) -> None:
    page.goto(THINGS)
    page.evaluate("window.stayed = true")
    page.locator("#q").press_sequentially("nobody", delay=20)
    expect(page.locator("#list .ly-state h2")).to_have_text("No results for “nobody”")
    assert page.evaluate("[document.activeElement.id, document.activeElement.value, window.stayed]") == [
        "q",
        "nobody",
        True,
    ]
    assert page.url.endswith("/dashboard/things/?q=nobody")
    assert page.locator("#list-count").text_content() == "0"


def test_back_after_filters_restores_the_whole_page(page: Page) -> None:
    page.goto(THINGS)
    for label in ("Learning", "Blocked"):
        page.locator("[popovertarget=filter-status]").click()
        page.locator("#filter-status").get_by_text(label, exact=True).click()
        expect(page.locator(".ly-chip.is-on b")).to_have_text(label)
        expect(page.locator("#filter-status")).to_be_hidden()
    page.locator("thead").get_by_text("Student").click()
    expect(page.locator("th[aria-sort]")).to_have_text("Student")
    assert page.url.endswith("?sort=name&status=bad") or page.url.endswith("?status=bad&sort=name")
    page.go_back()
    expect(page.locator("th[aria-sort]")).to_have_text("Spent")
    expect(page.locator(".ly-chip.is-on b")).to_have_text("Blocked")
    page.go_back()
    page.go_back()
    expect(page.locator(".ly-chip.is-on")).to_have_count(0)
    expect(page.locator(".ly-side")).to_have_count(1)
    expect(page.locator("#list-rows tr")).to_have_count(25)


def test_a_range_filter_is_applied_and_taken_off(page: Page) -> None:
    page.goto(THINGS)
    page.locator("[popovertarget=filter-spent]").click()
    page.locator("#spent_min").fill("300")
    page.locator("#filter-spent button").click()
    expect(page.locator(".ly-chip.is-on b")).to_have_text("≥ 300 ★")
    assert page.url.endswith("/dashboard/things/?spent_min=300")
    page.get_by_label("Remove filter: Spent").click()
    expect(page.locator(".ly-chip.is-on")).to_have_count(0)
    assert page.url.endswith(THINGS)


def test_scrolling_adds_every_row_once_and_says_how_many(page: Page) -> None:
    page.goto(THINGS)
    for rows in (50, 75, 100):
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        expect(page.locator("#list-rows tr")).to_have_count(rows)
    ids = page.evaluate("[...document.querySelectorAll('#list-rows tr')].map(row => row.id)")
    assert ids == [f"thing-{number}" for number in range(1, 101)]
    assert page.locator("[data-shown]").text_content() == "100"
    assert page.url.endswith(THINGS)


def test_a_refused_form_keeps_what_was_typed_and_takes_the_focus_to_the_errors(page: Page) -> None:
    page.goto("/dashboard/things/new")
    page.locator("#title").fill("A name that is too long")
    page.locator("#description").fill("Two\nlines")
    page.get_by_role("button", name="Save").click()
    summary = page.locator("[data-errors]")
    expect(summary).to_be_focused()
    assert page.locator("#title").input_value() == "A name that is too long"
    assert page.locator("#description").input_value() == "Two\nlines"
    assert page.locator("#title").get_attribute("aria-describedby") == "title-error"
    expect(page.locator("#price-error")).to_have_text("Stars are whole: write 199.")
    expect(page.locator("[data-toast]")).to_have_count(0)
    summary.get_by_role("link", name="Price").click()
    expect(page.locator("#price")).to_be_focused()


def test_a_saved_form_goes_on_with_a_toast_that_escapes_its_text(page: Page) -> None:
    page.goto("/dashboard/things/new")
    page.locator("#title").fill("good")
    page.get_by_role("button", name="Save").click()
    toast = page.locator("[data-toast]")
    expect(toast.locator("p")).to_have_text("Saved <b>it</b>")
    assert page.url.endswith("/dashboard/things/1")
    assert toast.locator("form").get_attribute("action") == "/dashboard/history/12/undo"
    toast.get_by_role("button", name="Close").click()
    expect(toast).to_have_count(0)
    page.reload()
    expect(toast).to_have_count(0)


def test_unsaved_changes_ask_before_leaving(page: Page) -> None:
    page.goto("/dashboard/things/new")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator("#title").press_sequentially("x")
    expect(page.locator("[data-unsaved]")).to_be_visible()
    page.locator(".ly-nav a").first.click(no_wait_after=True)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    assert page.url.endswith("/dashboard/things/new")


def test_an_upload_shows_its_progress_and_comes_back_with_errors(page: Page, tmp_path: Path) -> None:
    (tmp_path / "small.mp4").write_bytes(b"x" * 300_000)
    page.goto("/dashboard/things/new?upload=1")
    page.evaluate("window.stayed = true; window.seen = []")
    page.evaluate(
        "new MutationObserver(() => { const bar = document.querySelector('[data-upload-bar]');"
        " if (bar && !bar.hidden) window.seen.push(bar.textContent) })"
        ".observe(document.querySelector('[data-upload-bar]'),"
        " {attributes: true, childList: true, subtree: true})"
    )
    page.locator("#title").fill("Long title")
    page.locator("#video").set_input_files(tmp_path / "small.mp4")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-errors]")).to_be_focused()
    assert page.locator("#title").input_value() == "Long title"
    assert page.evaluate("window.stayed") is True
    assert page.evaluate("window.seen.some(text => text.startsWith('Uploading') || text.startsWith('Saving'))") is True


def test_a_file_over_the_limit_is_refused_before_it_travels(page: Page) -> None:
    page.goto("/dashboard/things/new?upload=1")
    page.evaluate("document.querySelector('#video').dataset.limit = 10")
    page.locator("#video").set_input_files({"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"x" * 11})
    assert (
        page.evaluate("document.querySelector('#video').validationMessage")
        == "This file is larger than allowed: 50\u00a0MB"
    )


def test_the_theme_changes_without_a_reload(page: Page) -> None:
    page.goto(THINGS)
    page.evaluate("window.stayed = true")
    page.locator("[popovertarget=theme]").click()
    with page.expect_request("**/dashboard/settings/theme") as sent:
        page.locator("#theme").get_by_text("Dark").click()
    assert "theme=dark" in (sent.value.post_data or "")
    assert page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    assert page.evaluate("window.stayed") is True


def test_a_key_reaches_the_search_and_can_be_typed_there(page: Page) -> None:
    page.goto(THINGS)
    page.locator("#main").focus()
    page.keyboard.press("Slash")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("/")
    assert page.locator("#q").input_value() == "/"


def test_a_dialog_opens_takes_the_focus_and_gives_it_back(page: Page) -> None:
    page.goto("/dashboard/things/1")
    opener = page.get_by_role("button", name="Refund", exact=True)
    opener.click()
    expect(page.locator("#refund")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#refund")).to_be_hidden()
    expect(opener).to_be_focused()


def test_lessons_change_places_by_dragging_and_by_buttons(page: Page) -> None:
    page.goto("/dashboard/order")
    order = "[...document.querySelectorAll('#order > li')].map(row => row.dataset.id)"
    before = page.evaluate(order)
    grip, last = page.locator(".ly-grip").first, page.locator("#order > li").nth(2)
    grip.hover()
    page.mouse.down()
    box = last.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] - 4, steps=5)
    page.mouse.up()
    expect(page.locator("[data-toast] p")).to_have_text(
        f"{page.locator('#order > li a').nth(2).text_content()} is number 3 now"
    )
    assert page.evaluate(order) == [before[1], before[2], before[0], before[3]]
    page.locator(f"#up-{before[0]}").click()
    expect(page.locator("[data-toast]")).to_have_count(2)
    assert page.evaluate(order) == [before[1], before[0], before[2], before[3]]
    assert page.evaluate("document.activeElement.id") == f"up-{before[0]}"


def test_a_chart_is_read_by_arrow_keys(page: Page) -> None:
    page.goto("/dashboard/things/1")
    page.locator(".ly-tip").wait_for(state="attached")  # its script comes after the page
    page.locator("[data-chart]").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".ly-tip")).to_contain_text("14 Oct")
    expect(page.locator(".ly-tip")).to_contain_text("this period: 1,120 ★")


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(page: Page, context: BrowserContext) -> None:
    page.goto("/dashboard/things/new")
    page.locator("#title").fill("Typed")
    page.route("**/dashboard/things/save", lambda route: route.abort())
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-toast] p")).to_contain_text("No connection to the server")
    assert page.locator("#title").input_value() == "Typed"
    page.unroute("**/dashboard/things/save")
    page.locator("[data-toast]").get_by_role("button", name="Try again").click()
    expect(page.locator("[data-errors]")).to_be_focused()


def _failing(body: str) -> Callable[[Route], None]:
    headers = {"X-Request-ID": "A-1", "Content-Type": "text/html"}
    return lambda route: route.fulfill(status=503, body=body, headers=headers)


def test_a_server_that_fails_says_so_and_is_asked_again(page: Page) -> None:
    """With words of its own or without; what the page asks by itself fails in silence."""
    own = (
        '<hx-partial hx-target="#toasts" hx-swap="beforeend"><div class="ly-toast is-bad" data-toast>'
        "<p>Too many people at once<small>Request <code>A-1</code></small></p></div></hx-partial>"
    )
    answers = {"x": ("", "the server could not answer.Request A-1"), "xy": (own, "Too many people at onceRequest A-1")}
    page.goto(THINGS)
    for typed, (body, words) in answers.items():
        page.route(
            "**/dashboard/things/?*",
            _failing(body),
        )
        page.locator("#q").fill(typed)
        toast = page.locator("[data-toast]")
        expect(toast.locator("p")).to_contain_text(words)
        assert page.locator("#list-rows tr").count() == 25  # what stood there still stands
        page.unroute("**/dashboard/things/?*")
        with page.expect_response(re.compile(rf"\?q={typed}$")) as again:
            toast.get_by_role("button", name="Try again").click()
        assert again.value.ok
        expect(toast).to_have_count(0)
    page.route("**/tickets/badge*", _failing(own))
    with page.expect_response("**/tickets/badge*"):
        page.reload()
    page.wait_for_timeout(200)
    assert page.locator("[data-toast]").all_inner_texts() == []


def test_waiting_shows_after_two_hundred_milliseconds(page: Page) -> None:
    page.goto(THINGS)
    held = Held(page, "**/dashboard/things/?*")
    page.locator("#q").fill("slow")
    rows = page.locator("#list-rows")
    expect(page.locator("#list:is(.htmx-request, :has(.htmx-request))")).to_be_visible()
    assert rows.evaluate("rows => getComputedStyle(rows).transitionDelay") == "0.2s"
    expect(rows).to_have_css("opacity", "0.55")
    held.take().continue_()
    expect(rows).to_have_css("opacity", "1")


def test_everything_works_without_script(browser: Browser, url: str) -> None:
    context = browser.new_context(base_url=url, java_script_enabled=False)
    context.set_default_timeout(5000)
    page = context.new_page()
    page.goto(THINGS)
    page.locator("#q").fill("nobody")
    page.locator("#q").press("Enter")
    expect(page.locator("#list .ly-state h2")).to_have_text("No results for “nobody”")
    page.get_by_role("link", name="Clear filters").click()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#list-rows tr").first).to_have_attribute("id", "thing-26")
    page.get_by_role("link", name="Previous").click()
    page.locator("[popovertarget=filter-status]").click()
    page.locator("#filter-status").get_by_text("Blocked").click()
    expect(page.locator(".ly-chip.is-on b")).to_have_text("Blocked")
    page.goto("/dashboard/things/new")
    page.locator("#title").fill("bad")
    page.get_by_role("button", name="Save").click()
    assert page.locator("#title").input_value() == "bad"
    expect(page.locator("#title-error")).to_be_visible()
    page.locator("#title").fill("good")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-toast] p")).to_have_text("Saved <b>it</b>")
    page.locator("[data-toast]").get_by_role("button", name="Undo").click()
    assert page.url.endswith("/dashboard/things/1")
    context.close()
