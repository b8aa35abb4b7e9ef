"""What a link or half a sign-in leads to: in both themes, wide and narrow, whether the link works or not."""

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, BrowserContext, expect
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.routes import CRM
from tests.browser.test_pages import LOOKS, looked_at, seen
from tests.codes import give_app, pending
from tests.doors import make_link
from tests.factories import make_user
from tests.figures import Figure

pytestmark = [pytest.mark.browser, pytest.mark.figures]
LINKS = sorted(
    {route.path for router in CRM for route in router.routes if isinstance(route, APIRoute) and "{token}" in route.path}
)
WORKS, MADE_UP = "a-link-that-was-sent", "a-link-that-nobody-made"


@pytest.mark.parametrize("path", LINKS)
def test_every_link_leads_to_a_page_for_everybody(
    browser: Browser, url: str, db: Session, path: str, figure: Figure
) -> None:
    make_link(db, path.split("/")[1], WORKS, make_user(db).id)
    context = browser.new_context(base_url=url, locale="ru-RU", reduced_motion="reduce")
    page = context.new_page()
    for secret, status in ((WORKS, 200), (MADE_UP, 404)):
        assert [*looked_at(page, url + path.replace("{token}", secret), status, LOOKS)] == []
    context.close()
    figure("D1", "views of pages where axe finds anything, or that are too wide", 0, "0", 2 * len(LOOKS))


def test_the_second_step_is_for_everybody(
    context: BrowserContext, app: FastAPI, db: Session, settings: Settings, url: str, figure: Figure
) -> None:
    give_app(db, settings)
    context.add_cookies([{"name": "lyceum", "value": pending(app).cookies["lyceum"], "url": url}])
    page = context.new_page()
    assert [*looked_at(page, f"{url}/login/second", 200, LOOKS)] == []
    page.get_by_label("Code").first.fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").or_(page.locator(".invalid-feedback")).first).to_be_visible()
    assert [*seen(page, LOOKS)] == []
    figure("D1", "views of pages where axe finds anything, or that are too wide", 0, "0", 2 * len(LOOKS))
