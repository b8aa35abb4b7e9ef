"""The chat page in Chromium: live, by keyboard, in both themes, on a phone."""

import time
from collections.abc import Iterator

import pytest
from aiogram.methods import SendMessage, SendPhoto
from aiogram.types import BufferedInputFile
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.axe import violations
from tests.browser.chromium import chromium
from tests.sandbox.clerk import MENU
from tests.sandbox.desk import Desk
from tests.sandbox.test_files import png

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser, desk: Desk) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=desk.origin, viewport={"width": 1440, "height": 900}, locale="en-US")
    context.set_default_timeout(8000)
    context.add_cookies([{"name": "lyceum", "value": desk.secret, "url": desk.origin}])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must not complain: an error in the console (CSP too) fails the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def open_chat(page: Page, desk: Desk) -> None:
    page.goto(f"/sandbox/?student={desk.olga.id}")
    page.evaluate("window.stayed = true")


def test_a_lesson_is_bought_without_a_reload(page: Page, desk: Desk) -> None:
    open_chat(page, desk)
    page.get_by_role("button", name="Start the bot", exact=True).click()
    page.get_by_role("button", name="Buy", exact=True).click()
    page.locator("[data-pay]").click()
    page.get_by_role("button", name="Pay 199").click()
    expect(page.locator("#chat")).to_contain_text("You paid 199 Stars for “Light”")
    expect(page.locator("#chat")).to_contain_text("Open now")
    expect(page.locator("#chat .is-pay")).to_have_text("Paid")
    expect(page.locator("#log code").first).to_have_text("sendMessage")
    assert page.evaluate("window.stayed") is True


def test_answers_of_buttons_appear(page: Page, desk: Desk) -> None:
    desk.olga.start()
    open_chat(page, desk)
    page.get_by_role("button", name="Toast").click()
    expect(page.locator("#said")).to_have_text("Saved")
    page.get_by_role("button", name="Alert").click()
    expect(page.locator("#alert-text")).to_have_text("Look <here>")
    page.keyboard.press("Enter")
    expect(page.locator("dialog#alert")).to_be_hidden()
    page.get_by_role("button", name="Edit").click()
    expect(page.locator("#chat")).to_contain_text("Edited")


def test_a_message_is_written_by_keyboard(page: Page, desk: Desk) -> None:
    desk.olga.start()
    open_chat(page, desk)
    page.locator("#say").focus()
    page.keyboard.type("line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("<b>two")
    page.keyboard.press("Enter")
    expect(page.locator("#chat .is-out").last).to_contain_text("<b>two")
    expect(page.locator("#chat")).to_contain_text("You said line one")
    expect(page.locator("#say")).to_be_focused()
    expect(page.locator("#say")).to_have_value("")
    page.get_by_role("button", name="Menu", exact=True).last.click()
    expect(page.locator("#chat .is-out").last).to_contain_text("Menu")


def test_what_happens_elsewhere_appears_at_once(page: Page, desk: Desk) -> None:
    open_chat(page, desk)
    expect(page.locator("#listening")).to_have_text("bot connected")
    page.evaluate(
        "window.shown = new Promise(done => new MutationObserver(() => {"
        " if (document.querySelector('#chat .is-out')) done(performance.now()) })"
        ".observe(document.getElementById('chat'), {childList: true})); null"
    )
    desk.olga.start()
    started = page.evaluate("performance.now()")
    assert page.evaluate("window.shown") - started < 1000
    expect(page.locator("#contacts li").first).to_contain_text("Hello you")


def test_typing_survives_a_change(page: Page, desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    open_chat(page, desk)
    page.locator("#say").fill("half a sen")
    desk.olga.send("from elsewhere")
    expect(page.locator("#chat")).to_contain_text("You said from elsewhere")
    expect(page.locator("#say")).to_have_value("half a sen")


END = "(() => { const s = document.getElementById('scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight })()"


def filled(desk: Desk) -> None:
    """A chat longer than the screen."""
    desk.box.rules(desk.olga.account, rate=False)
    for number in range(25):
        desk.clerk.bot(SendMessage(chat_id=desk.olga.id, text=f"line {number}"))


def picture(desk: Desk, page: Page) -> None:
    """A photo that comes a while after its message, and the bot's screen below it."""

    def late(route: Route) -> None:
        time.sleep(0.6)
        route.continue_()

    page.route("**/sandbox/media/**", late)
    photo = BufferedInputFile(png(360, 640), "light.png")
    desk.clerk.bot(SendPhoto(chat_id=desk.olga.id, photo=photo))
    desk.clerk.bot(SendMessage(chat_id=desk.olga.id, text="What next?", reply_markup=MENU))
    expect(page.locator("#chat img")).not_to_have_js_property("naturalWidth", 0)
    page.wait_for_timeout(300)


def test_a_chat_at_its_end_stays_there_while_a_photo_loads(page: Page, desk: Desk) -> None:
    desk.olga.start()
    filled(desk)
    open_chat(page, desk)
    expect(page.locator("#chat")).to_contain_text("line 24")
    picture(desk, page)
    assert page.evaluate("document.querySelector('#chat img').height") > 200
    assert page.evaluate(END) < 2
    expect(page.get_by_role("button", name="Toast").last).to_be_in_viewport()


def test_whoever_reads_above_is_left_there(page: Page, desk: Desk) -> None:
    desk.olga.start()
    filled(desk)
    open_chat(page, desk)
    expect(page.locator("#chat")).to_contain_text("line 24")
    page.locator("#scroll").hover()
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(300)
    assert page.evaluate(END) > 300
    before = page.evaluate("document.getElementById('scroll').scrollTop")
    picture(desk, page)
    assert page.evaluate("document.getElementById('scroll').scrollTop") == before


def test_the_first_load_fetches_the_page_once(page: Page, desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/sandbox/")[2]))
    open_chat(page, desk)
    page.wait_for_timeout(1200)
    assert [url for url in asked if url.startswith("?")] == [f"?student={desk.olga.id}"]
    assert len([url for url in asked if url.startswith("events?")]) == 1


def test_the_time_of_an_invoice_stays_in_its_bubble(page: Page, desk: Desk) -> None:
    desk.olga.start()
    desk.olga.press("Buy", desk.olga.wait("Hello"))
    desk.olga.wait(lambda m: m.invoice)
    open_chat(page, desk)
    bubble = page.locator("#chat .ly-bubble", has=page.locator("[data-pay]"))
    words = bubble.locator("p").nth(1)
    words.evaluate("p => p.firstChild.data = 'full '.repeat(80).slice(0, 37 * 7)")
    inner, stamp = bubble.locator("> div").bounding_box(), bubble.locator(".ly-at").bounding_box()
    assert inner is not None
    assert stamp is not None
    assert stamp["y"] + stamp["height"] <= inner["y"] + inner["height"]


def test_a_deep_link_of_a_button_opens_here(page: Page, desk: Desk) -> None:
    desk.olga.start()
    open_chat(page, desk)
    page.get_by_role("link", name="Deep").click()
    page.get_by_role("button", name="Start with “deep”").click()
    expect(page.locator("#chat")).to_contain_text("<script>deep")


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1440, "light")])
def test_the_page_is_accessible(browser: Browser, desk: Desk, width: int, scheme: str) -> None:
    desk.olga.start()
    message = desk.olga.wait("Hello")
    desk.olga.press("Buy", message)
    invoice = desk.olga.wait(lambda m: m.invoice)
    desk.olga.pay(invoice)
    desk.olga.ask("hi", "You said")
    context = browser.new_context(
        base_url=desk.origin,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.add_cookies([{"name": "lyceum", "value": desk.secret, "url": desk.origin}])
    page = context.new_page()
    for query in ("", f"?student={desk.olga.id}", f"?student={desk.olga.id}&view=log"):
        page.goto(f"/sandbox/{query}")
        assert violations(page) == []
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0
    context.close()


def test_a_phone_shows_one_pane(context: BrowserContext, page: Page, desk: Desk) -> None:
    desk.olga.start()
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto("/sandbox/")
    expect(page.locator("#chat")).to_be_hidden()
    page.get_by_role("link", name="Ольга Тестова").click()
    expect(page.locator("#chat")).to_be_visible()
    expect(page.locator("#contacts")).to_be_hidden()
    page.get_by_role("link", name="To the list").click()
    expect(page.locator("#contacts")).to_be_visible()


def test_a_button_that_is_pressed_while_the_page_changes_is_heard(page: Page, desk: Desk) -> None:
    """The keyboard that comes with the bot's answer would replace the form right under the finger."""
    desk.olga.start()
    desk.olga.wait("Hello")
    open_chat(page, desk)
    expect(page.locator("#listening")).to_have_text("bot connected")
    page.locator("#say").fill("pressed")
    page.get_by_role("button", name="Send", exact=True).hover()
    page.mouse.down()
    desk.olga.ask("from elsewhere", "You said from elsewhere")
    page.wait_for_timeout(500)  # long enough for the page to have fetched itself
    page.mouse.up()
    expect(page.locator("#chat")).to_contain_text("You said pressed")
    expect(page.get_by_role("button", name="Menu", exact=True).last).to_be_visible()
