"""The staff: from an invitation to the first day, in a browser."""

import re

import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.permissions import MANAGER
from backend.database.crud.users import UserCRUD
from tests.browser.axe import violations

pytestmark = pytest.mark.browser
HERE, ROLES = "/dashboard/settings/staff/", "/dashboard/settings/roles/"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_from_an_invitation_to_a_switched_off_account(context: BrowserContext, url: str, db: Session) -> None:
    page = context.new_page()
    page.goto(HERE)
    page.get_by_role("link", name="Invite").click()
    page.get_by_label("First name").fill("Вера")
    page.get_by_label("Role").select_option(label="Manager")
    page.get_by_role("button", name="Make the invitation").click()
    expect(page.get_by_role("alert")).to_contain_text("It works once")
    assert violations(page) == []
    address = page.get_by_label("Address").input_value()
    assert context.browser is not None
    guest = context.browser.new_context(locale="en-GB", viewport={"width": 375, "height": 812})
    door = guest.new_page()
    door.goto(url + "/invite/" + address.rpartition("/")[2])
    assert violations(door) == []
    door.get_by_label("Login").fill("vera")
    for label in ("Password", "Once more"):
        door.get_by_label(label).fill("tulip-kettle-orbit")
    door.get_by_role("button", name="Come in").click()
    expect(door.get_by_text("Your account is ready.")).to_be_visible()

    page.reload(wait_until="load") if page.url == HERE else page.goto(HERE)
    page.get_by_role("link", name="Вера").click()
    page.get_by_role("button", name="Switch off").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Switched off")
    door.goto(url + "/dashboard/")
    expect(door).to_have_url(re.compile("/login"))
    guest.close()


def test_seeing_the_school_as_someone_else(context: BrowserContext, db: Session) -> None:
    boris = UserCRUD(db).create_staff(login="boris", password_hash="x", role=MANAGER, first_name="Boris")
    db.commit()
    page = context.new_page()
    page.set_viewport_size({"width": 375, "height": 812})
    page.goto(f"{HERE}{boris.id}")
    page.get_by_label("Reason").fill("Boris cannot find the sales")
    page.get_by_role("button", name="View as this person").click()
    banner = page.get_by_role("complementary", name="Someone else's eyes")
    expect(banner).to_contain_text("you see the school as Boris")
    assert (violations(page), page.evaluate(TOO_WIDE)) == ([], 0)
    page.goto("/dashboard/settings/")
    expect(page.get_by_role("main")).to_contain_text("Return to your own account first")
    page.goto("/dashboard/users/new")
    page.get_by_label("Telegram ID").fill("700000001")
    page.get_by_label("First name").fill("Мария")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").or_(page.get_by_role("alert")).first).to_contain_text("nothing was changed")
    page.goto("/dashboard/")
    banner.get_by_role("button", name="Return").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Boris")
    expect(banner).to_have_count(0)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_pages_of_the_staff_fit_a_phone(context: BrowserContext, db: Session, language: str) -> None:
    person = UserCRUD(db).create_staff(
        login="boris", password_hash=security.hash_password("x" * 12), role=MANAGER, first_name="Константин-Бенедикт"
    )
    db.commit()
    page = context.new_page()
    page.set_viewport_size({"width": 375, "height": 812})
    page.goto(HERE)
    page.context.add_cookies([{"name": "lyceum_language", "value": language, "url": page.url}])
    mine = (HERE, f"{HERE}new", f"{HERE}{person.id}", f"{HERE}{person.id}/edit")
    for path in (*mine, ROLES, f"{ROLES}new", f"{ROLES}2", f"{ROLES}matrix"):
        page.goto(path)
        assert (path, page.evaluate(TOO_WIDE)) == (path, 0)
