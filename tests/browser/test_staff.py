"""The staff: from an invitation to the first day, in a browser."""

import re

import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.permissions import MANAGER
from backend.database.crud.users import UserCRUD
from tests.browser.axe import violations
from tests.factories import make_user

pytestmark = pytest.mark.browser
HERE, ROLES = "/dashboard/settings/staff/", "/dashboard/settings/roles/"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_from_an_invitation_to_a_switched_off_account(context: BrowserContext, url: str, db: Session) -> None:
    page = context.new_page()
    page.goto(HERE)
    page.get_by_role("link", name="Invite").click()
    page.get_by_label("First name").fill("Вера")
    page.get_by_label("Role").select_option(label="Manager")
    page.get_by_role("button", name="Create invitation").click()
    expect(page.get_by_role("alert")).to_contain_text("It works once")
    assert violations(page) == []
    address = page.get_by_label("Address").input_value()
    assert context.browser is not None
    guest = context.browser.new_context(locale="en-GB", viewport={"width": 375, "height": 812})
    door = guest.new_page()
    door.goto(url + "/invite/" + address.rpartition("/")[2])
    assert violations(door) == []
    door.get_by_label("Login").fill("vera")
    for label in ("Password", "Confirm password"):
        door.get_by_role("textbox", name=label, exact=True).fill("tulip-kettle-orbit")
    door.get_by_role("button", name="Accept and sign in").click()
    expect(door.get_by_text("Your account is ready.")).to_be_visible()

    page.reload(wait_until="load") if page.url == HERE else page.goto(HERE)
    page.get_by_role("link", name="Вера").click()
    page.get_by_role("button", name="Turn off").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Turn off").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Off")
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
    banner = page.get_by_role("complementary", name="Viewing as someone else")
    expect(banner).to_contain_text("you are viewing as Boris")
    assert (violations(page), page.evaluate(TOO_WIDE)) == ([], 0)
    page.goto("/dashboard/settings/")
    expect(page.get_by_role("main")).to_contain_text("Return to your own account first")
    page.goto("/dashboard/users/new")
    page.get_by_label("Telegram ID").fill("700000001")
    page.get_by_label("First name").fill("Мария")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").or_(page.get_by_role("alert")).first).to_contain_text("nothing was changed")
    page.goto("/dashboard/")
    banner.get_by_role("button", name="Stop viewing").click()
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


def test_what_the_staff_wrote_is_told_before_a_student_is_taken_in(context: BrowserContext, db: Session) -> None:
    vera = make_user(db, username="friend", email="vera@pupils.example", email_verified_at=clock.now())
    page = context.new_page()
    page.set_viewport_size({"width": 375, "height": 812})
    page.goto(f"/dashboard/users/{vera.id}/edit")
    page.get_by_label("Telegram name").fill("newteacher")
    page.locator("#email").fill("evil@thief.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Changes saved")).to_be_visible()
    page.goto(f"{HERE}new?who=@newteacher")
    expect(page.get_by_text("The staff wrote this, not the student:")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of the two
        assert (violations(page), page.evaluate(TOO_WIDE)) == ([], 0)
    card = page.get_by_role("region", name=vera.name)
    expect(card).to_contain_text("The email will be removed")
    card.get_by_label("Role").select_option(label="Manager")
    card.get_by_role("button", name="Add to staff").click()
    expect(page.get_by_role("alert")).to_contain_text("It works once")


def test_an_invitation_follows_a_corrected_address(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{HERE}new")
    page.get_by_label("First name").fill("Ольга")
    page.get_by_role("textbox", name="Email", exact=True).fill("typo@stranger.example")
    page.locator("#invite-form").get_by_label("Role").select_option(label="Manager")
    page.get_by_role("button", name="Create invitation").click()
    first = page.get_by_label("Address").input_value()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Email").fill("right@school.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("It works once")
    assert page.get_by_label("Address").input_value() != first


def test_an_email_that_waits_is_called_off(context: BrowserContext) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 375, "height": 812})
    page.goto("/dashboard/settings/")
    page.get_by_label("Email").fill("evil@thief.example")
    page.get_by_role("button", name="Save profile").click()
    waits = page.locator("#awaited-email")
    expect(waits).to_contain_text("evil@thief.example")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of the two
        assert (violations(page), page.evaluate(TOO_WIDE)) == ([], 0)
    waits.get_by_role("button", name="Cancel this change").click()
    expect(page.get_by_text("Email change cancelled")).to_be_visible()
    expect(waits).to_have_count(0)
