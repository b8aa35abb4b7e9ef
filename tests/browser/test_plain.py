"""The dashboard without script: everything is a link or a form; and what must hold before a script runs."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import security
from backend.database.models.users import User
from tests.conftest import PASSWORD
from tests.factories import make_lesson, make_promo, make_purchase, make_user
from tests.figures import Figure

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, url: str, db: Session) -> Iterator[Page]:
    """A browser that runs no script, at the door of the school."""
    admin = db.scalars(select(User).where(User.login == "admin")).one()
    admin.password_hash, admin.ui_language = security.hash_password(PASSWORD), "en"
    db.commit()
    context = browser.new_context(
        base_url=url, locale="en-GB", java_script_enabled=False, viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(8000)
    yield context.new_page()
    context.close()


@pytest.fixture(autouse=True)
def journey(figure: Figure) -> None:
    figure("D2", "journeys through the dashboard without script that cannot be made", 0, "0", 1)


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Login or email").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def undo(page: Page) -> None:
    page.locator("[data-toast]").get_by_role("button", name="Undo").click()


def test_the_door_refuses_keeps_the_login_and_lets_in(page: Page) -> None:
    page.goto("/dashboard/promo-codes/?q=a")
    sign_in(page, "wrong wrong wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_label("Login or email").input_value() == "admin"
    sign_in(page)
    assert page.url.endswith("/dashboard/promo-codes/?q=a")  # where the person was going
    page.locator("[popovertarget=profile]").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_list_is_sorted_paged_filtered_and_searched(page: Page, db: Session) -> None:
    for number in range(60):
        make_user(db, first_name=f"Student {number:02}", last_name=None, username=f"s{number}")
    make_purchase(db, make_user(db, first_name="Zoe", last_name=None), make_lesson(db), amount=120)
    page.goto("/login?next=/dashboard/users/")
    sign_in(page)
    names = page.locator("#list-rows .ly-person a")
    page.locator("thead").get_by_role("link", name="Student").click()
    expect(names.first).to_have_text("Student 00")
    page.get_by_role("link", name="Next").click()
    expect(names.first).to_have_text("Student 50")
    page.locator("[popovertarget=filter-bought]").click()
    page.locator("#filter-bought a").first.click()
    expect(names).to_have_text(["Zoe"])
    page.get_by_role("link", name=re.compile("Remove filter")).click()
    expect(names).to_have_count(50)
    page.locator("#q").fill("student 07")
    page.locator("#q").press("Enter")
    expect(names).to_have_text(["Student 07"])


def test_a_student_is_made_changed_deleted_and_brought_back(page: Page) -> None:
    page.goto("/login?next=/dashboard/users/new")
    sign_in(page)
    page.get_by_label("Telegram ID").fill("55501")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#first_name-error")).to_be_visible()
    assert page.get_by_label("Telegram ID").input_value() == "55501"
    page.get_by_label("First name").fill("Nora")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("h1")).to_contain_text("Nora")

    page.get_by_role("link", name="Edit").first.click()
    page.get_by_label("Last name").fill("Kelly")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_contain_text("Nora Kelly")
    undo(page)
    expect(page.locator("h1")).not_to_contain_text("Kelly")
    page.locator("[popovertarget=student-more]").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("[data-toast]")).to_contain_text("deleted")
    undo(page)
    page.goto("/dashboard/users/?q=nora")
    expect(page.locator("#list-rows .ly-person a")).to_have_text(["Nora"])


def test_a_promo_code_is_made_switched_and_found_from_the_top(page: Page, db: Session) -> None:
    make_promo(db, code="AUTUMN20")
    page.goto("/login?next=/dashboard/promo-codes/new")
    sign_in(page)
    page.locator("#code").fill("WINTER 1")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#code-error")).to_be_visible()
    page.locator("#code").fill("WINTER1")
    page.get_by_label("Percent off").fill("15")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Turn off").click()
    expect(page.locator(".ly-head .badge")).to_contain_text("Off")
    undo(page)
    page.locator("#find").fill("autumn")
    page.locator("#find").press("Enter")
    assert page.url.endswith("/dashboard/search?q=autumn")
    page.get_by_role("link", name="AUTUMN20").click()
    expect(page.locator("h1")).to_have_text("AUTUMN20")


def test_the_settings_are_changed_and_a_token_made_and_revoked(page: Page) -> None:
    page.goto("/login?next=/dashboard/settings/")
    sign_in(page)
    page.get_by_label("Name of the school").fill("Evening light")
    page.locator("#school-form").get_by_role("button", name="Save").click()
    expect(page.locator(".ly-brand small")).to_have_text("Evening light")
    page.get_by_label("First name").fill("Anna")
    page.get_by_role("button", name="Save profile").click()
    expect(page.locator("[popovertarget=profile]")).to_contain_text("Anna")
    page.get_by_label("Used for").fill("billing")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#scopes-error")).to_be_visible()
    assert page.get_by_label("Used for").input_value() == "billing"
    page.locator("[name=scopes][value='users:read']").check()
    page.get_by_role("button", name="Create token").click()
    assert page.get_by_label("New token").input_value().startswith("lyc_")
    row = page.locator("#tokens li").filter(has_text="billing")
    row.get_by_role("button", name="Revoke billing").click()
    row.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Русский", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Настройки")


def test_the_chosen_theme_is_there_before_any_script(page: Page) -> None:
    page.goto("/login?next=/dashboard/")
    sign_in(page)
    page.locator("[popovertarget=theme]").click()
    page.locator("#theme").get_by_role("button", name="Dark").click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    assert page.locator('meta[name="color-scheme"]').get_attribute("content") == "dark"
    page.goto("/dashboard/nowhere")
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_a_copied_address_shows_the_same_rows(context: BrowserContext, admin: TestClient, db: Session) -> None:
    for number in range(5):
        student = make_user(db, first_name=f"Maria {number}", last_name=None, is_active=number != 3)
        if number % 2:
            make_purchase(db, student, make_lesson(db), amount=100 + number)
    page = context.new_page()
    page.goto("/dashboard/users/")
    names = page.locator("#list-rows .ly-person a")
    page.locator("#q").fill("maria")
    page.wait_for_url("**/?q=maria")
    page.locator("thead a").first.click()
    page.wait_for_url("**sort=name**")
    page.locator("[popovertarget=filter-is_active]").click()
    page.locator("#filter-is_active a").first.click()
    expect(names).to_have_text(["Maria 0", "Maria 1", "Maria 2", "Maria 4"])
    other = context.new_page()
    other.goto(page.url)
    expect(other.locator("#list-rows .ly-person a")).to_have_text(names.all_inner_texts())
    for _step in range(2):
        page.go_back()
    expect(names).to_have_text([f"Maria {number}" for number in (4, 3, 2, 1, 0)])
    expect(page.locator(".ly-side")).to_have_count(1)
    page.go_forward()
    expect(names.first).to_have_text("Maria 0")


def test_a_view_is_saved_opened_and_deleted(page: Page, db: Session) -> None:
    make_lesson(db, title="Light")
    make_lesson(db, title="Old", is_active=False)
    page.goto("/login?next=/dashboard/lessons/?is_active=true")
    sign_in(page)
    page.locator("[popovertarget=views]").click()
    page.get_by_label("Name").fill("On sale")
    page.get_by_label("In my menu").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".ly-pin")).to_have_text("On sale")

    page.goto("/dashboard/lessons/")
    expect(page.locator("#list-rows > tr")).to_have_count(2)
    page.locator(".ly-pin").click()
    expect(page.locator("#list-rows > tr")).to_have_count(1)
    page.locator("[popovertarget=views]").click()
    page.get_by_text("Edit “On sale”").click()
    page.get_by_role("button", name="Delete the view").click()
    expect(page.locator(".ly-pin")).to_have_count(0)
    undo(page)
    expect(page.locator(".ly-pin")).to_have_text("On sale")
