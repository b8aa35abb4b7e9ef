"""The outcome itself: a lesson made in the browser is found, discounted, paid and opened in the chat; help comes."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import School

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def sign_in(page: Page, school: School) -> None:
    page.goto(school.link)
    page.get_by_role("button", name=re.compile("Sign in as")).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def make_lesson(page: Page, school: School) -> None:
    page.goto(f"{school.url}/dashboard/lessons/new")
    page.get_by_label("Title").fill("Golden hour")
    page.locator("[name=description]").fill("The last light of the day, and how to keep it.")
    page.locator("[name=price]").fill("150")
    page.locator("[name=text_content]").fill("Stand with your back to the sun. Then turn around.")
    page.locator(".ly-savebar button[type=submit]").click()
    expect(page).to_have_url(re.compile(r"/lessons/\d+$"))
    expect(page.get_by_role("heading", name="Golden hour", level=1)).to_be_visible()


def make_promo(page: Page, school: School) -> None:
    page.goto(f"{school.url}/dashboard/promo-codes/new")
    page.locator("[name=code]").fill("DUSK20")
    page.locator("[name=discount_percent]").fill("20")
    page.locator(".ly-savebar button[type=submit]").click()
    expect(page).to_have_url(re.compile(r"/promo-codes/\d+$"))
    expect(page.get_by_role("heading", name="DUSK20", level=1)).to_be_visible()


class Chat:
    """The student's side: the sandbox's chat page."""

    def __init__(self, page: Page, school: School) -> None:
        self.page = page
        page.goto(f"{school.url}/sandbox/")
        page.get_by_role("link", name=re.compile("Emma")).first.click()

    def press(self, text: str) -> None:
        keys = self.page.locator(".ly-keys")
        exact = keys.get_by_text(text, exact=True)
        exact.or_(keys.get_by_text(text)).first.wait_for()
        (exact if exact.count() else keys.get_by_text(text)).last.click()

    def find(self, text: str) -> None:
        """Turns the catalogue's pages until the button is there, and presses it."""
        wanted = self.page.locator(".ly-keys").get_by_text(text)
        for number in range(2, 9):
            turned = self.page.locator(".ly-keys").get_by_text(re.compile(rf"^{number} / \d+$"))
            if wanted.count():
                break
            self.press("›")
            expect(turned.or_(wanted).first).to_be_visible()
        self.press(text)

    def say(self, text: str) -> None:
        self.page.locator("#say").fill(text)
        self.page.get_by_role("button", name="Send", exact=True).click()

    def expect(self, text: str) -> None:
        expect(self.page.locator(".ly-wall").get_by_text(text).filter(visible=True).last).to_be_visible()


def buy(chat: Chat) -> None:
    chat.page.get_by_role("button", name="Start the bot").click()
    chat.press("Lessons")
    chat.find("Golden hour")
    chat.expect("The last light of the day")
    chat.press("promo code")
    chat.say("dusk20")
    chat.expect("120")
    chat.press("Buy for 120")
    chat.expect("terms")
    chat.press("I accept")
    chat.page.locator("[data-pay]").last.click()
    chat.page.get_by_role("button", name=re.compile(r"^Pay")).last.click()
    chat.expect("You paid 120 Stars")
    chat.press("Open")
    chat.expect("Stand with your back to the sun.")


def ask(chat: Chat) -> None:
    """Each step waits for the bot's answer to the one before, as a person does."""
    chat.say("/support")
    chat.expect("A person will answer right here in the chat.")
    chat.press("Ask a question")
    chat.expect("What is it about?")
    chat.say("The video is dark")
    chat.expect("Now describe it in one message")
    chat.say("I see nothing after the first minute.")
    chat.expect("✓ Sent. The reply will arrive in this chat.")


def test_the_first_lesson_is_sold_and_seen(page: Page, school: School) -> None:
    sign_in(page, school)
    make_lesson(page, school)
    make_promo(page, school)
    chat = Chat(page, school)
    buy(chat)
    ask(chat)

    page.goto(f"{school.url}/dashboard/sales/")
    sale = page.get_by_role("row").filter(has_text="Golden hour").first
    expect(sale).to_contain_text("Emma")
    expect(sale).to_contain_text("120")
    expect(sale).to_contain_text("Test")

    page.goto(f"{school.url}/dashboard/users/?q=emma_sbx")
    page.get_by_role("link", name=re.compile("Emma")).first.click()
    expect(page.get_by_role("link", name="Golden hour")).to_be_visible()
    page.get_by_role("link", name="The video is dark").click()
    page.locator("textarea").last.fill("A lighter version is on its way to you.")
    page.get_by_role("button", name="Send").last.click()
    expect(page.get_by_text("A lighter version is on its way to you.").first).to_be_visible()

    chat = Chat(page, school)
    chat.expect("A lighter version is on its way to you.")
