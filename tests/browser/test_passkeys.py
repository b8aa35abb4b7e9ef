"""A passkey and an app in a real browser: set up, as the second step, and instead of a password."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.auth import AuthSession, Credential
from tests.codes import code
from tests.conftest import PASSWORD

pytestmark = pytest.mark.browser
KEY = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@pytest.fixture
def local(browser: Browser, url: str) -> Iterator[BrowserContext]:
    """A browser at http://localhost: passkeys belong to names, not to numbers."""
    context = browser.new_context(base_url=url.replace("127.0.0.1", "localhost"), locale="ru-RU")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(local: BrowserContext) -> Iterator[Page]:
    """With an authenticator of its own; an error in the console fails the test."""
    page, problems = local.new_page(), list[str]()
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    devtools = local.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
    yield page
    assert problems == []


def forget(page: Page) -> None:
    """Away first: a page that refreshes itself without its cookie goes to the sign-in, across what comes next."""
    page.goto("about:blank")
    page.context.clear_cookies()


def sign_in(page: Page) -> None:
    page.goto("/login")
    page.fill("#username", "admin")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Войти", exact=True).click()


def set_up_app(page: Page) -> None:
    """By the key that is written beside the picture."""
    page.goto("/dashboard/settings/security/")
    page.get_by_role("link", name="Настроить").last.click()
    expect(page.locator(".ly-qr")).to_have_js_property("complete", True)
    assert page.locator(".ly-qr").evaluate("image => image.naturalWidth") > 30
    page.get_by_text("Не получается отсканировать?").click()
    secret = page.locator("#manual-key").inner_text().replace(" ", "").upper()
    page.fill("#code", code(secret=secret))
    page.get_by_role("button", name="Включить").click()
    expect(page.locator("#codes li")).to_have_count(10)
    page.get_by_role("link", name="Коды сохранены").click()


def set_up_passkey(page: Page) -> None:
    page.get_by_role("link", name="Добавить").click()
    page.get_by_role("button", name="Создать ключ доступа").click()
    expect(page.locator(".ly-factors")).to_contain_text("Chrome, Linux")


def test_an_app_and_a_passkey_from_set_up_to_sign_in(page: Page, db: Session) -> None:
    sign_in(page)
    expect(page).to_have_url(re.compile("/dashboard/$"))  # else the way there cuts off the next one
    set_up_app(page)
    set_up_passkey(page)

    forget(page)
    sign_in(page)
    page.get_by_role("link", name="Ключ доступа").click()
    page.get_by_role("button", name="Использовать ключ доступа").click()
    expect(page).to_have_url(re.compile("/dashboard/$"))

    forget(page)
    page.goto("/login")
    page.get_by_role("button", name="Войти с ключом доступа").click()
    expect(page).to_have_url(re.compile("/dashboard/$"))
    page.goto("/dashboard/confirm/?next=/dashboard/users/")
    page.get_by_role("button", name="Использовать ключ доступа").click()
    expect(page).to_have_url(re.compile("/dashboard/users/$"))

    db.rollback()
    methods = db.scalars(select(AuthSession.method).order_by(AuthSession.id)).all()
    assert methods == ["password", "password", "password+passkey", "passkey"]
    key = db.scalars(select(Credential).where(Credential.kind == "passkey")).one()
    assert key.sign_count >= 3
