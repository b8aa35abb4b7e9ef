"""A forgotten password, end to end in a school without a mail server: asked for, read in the outbox, replaced."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import School

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOTS = os.environ.get("SHOTS", "")  # a folder for pictures of what is looked at
PASSWORD = "seven wild geese over the lake"


@pytest.fixture
def pages(browser: Browser) -> Iterator[tuple[Page, Page]]:
    """The administrator at the desk, and someone at the door with a phone."""
    desk = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    phone = browser.new_context(
        locale="ru-RU", viewport={"width": 375, "height": 812}, reduced_motion="reduce", color_scheme="dark"
    )
    yield desk.new_page(), phone.new_page()
    desk.close()
    phone.close()


def look(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
    assert violations(page) == []
    assert page.evaluate(TOO_WIDE) <= 0


def newest_link(desk: Page, school: School, name: str) -> str:
    """The link of the newest letter, shown on purpose."""
    desk.goto(f"{school.url}/dashboard/outbox/?channel=email&sort=-created_at")
    look(desk, f"{name}-outbox")
    desk.locator("tbody a[href*='/letters/']").first.click()
    look(desk, f"{name}-letter")
    desk.get_by_role("button", name="Show the link").click()
    look(desk, f"{name}-link")
    return desk.get_by_role("textbox", name="The link in it").input_value()


def give_an_email(desk: Page, school: School) -> None:
    desk.goto(school.link)
    desk.get_by_role("button", name=re.compile("Sign in as")).click()
    expect(desk).to_have_url(re.compile("/dashboard/"))
    desk.goto(f"{school.url}/dashboard/settings/")
    desk.get_by_label("Email").fill("admin@school.example")
    desk.get_by_role("button", name="Save profile").click()
    expect(desk.get_by_text("To confirm admin@school.example").first).to_be_visible()
    desk.goto(newest_link(desk, school, "verify"))
    look(desk, "confirm")
    desk.get_by_role("button", name="Confirm email").click()
    expect(desk).to_have_url(re.compile("/dashboard/settings/"))


def set_password(phone: Page, password: str, repeat: str) -> None:
    phone.get_by_label("Новый пароль").fill(password)
    phone.get_by_label("Пароль ещё раз").fill(repeat)
    phone.get_by_role("button", name="Сохранить и войти").click()


def test_a_forgotten_password_is_replaced(school: School, pages: tuple[Page, Page]) -> None:
    desk, phone = pages
    give_an_email(desk, school)
    desk.goto(f"{school.url}/dashboard/settings/accounts/")
    look(desk, "accounts")

    phone.goto(f"{school.url}/login")
    look(phone, "login")
    phone.get_by_role("link", name="Забыли?").click()
    look(phone, "forgot")
    phone.get_by_label("Логин или почта").fill("admin@school.example")
    phone.get_by_role("button", name="Прислать ссылку").click()
    expect(phone.get_by_role("heading", name="Проверьте почту")).to_be_visible()
    look(phone, "sent")

    link = newest_link(desk, school, "reset")
    phone.goto(link)
    look(phone, "reset")
    set_password(phone, PASSWORD, PASSWORD + "!")
    look(phone, "reset-wrong")
    set_password(phone, PASSWORD, PASSWORD)
    expect(phone).to_have_url(re.compile("/dashboard/"))
    phone.goto(link)
    look(phone, "used")
    desk.goto(f"{school.url}/dashboard/")
    expect(desk).to_have_url(re.compile("/login"))
