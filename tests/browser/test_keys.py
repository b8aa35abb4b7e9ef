"""The palette, the sheet of keys and lists by keyboard alone, in the Russian layout too."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy.orm import Session

from backend.database.models.users import User
from tests.browser.axe import violations
from tests.browser.holding import Held
from tests.factories import make_course, make_lesson, make_purchase, make_ticket, make_user

pytestmark = pytest.mark.browser
CTRL, SHIFT = 2, 8


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def press(page: Page, code: str, letter: str, modifiers: int = 0) -> None:
    """A key by its place, with the letter that another layout has there."""
    keyboard = page.context.new_cdp_session(page)
    for kind in ("rawKeyDown", "keyUp"):
        keyboard.send("Input.dispatchKeyEvent", {"type": kind, "code": code, "key": letter, "modifiers": modifiers})
    keyboard.detach()


def test_the_palette_finds_and_opens_by_keys_alone(page: Page, db: Session) -> None:
    make_user(db, first_name="Марк", last_name="Левитин", username="levitin")
    masha = make_user(db, first_name="Мария", last_name="Ковалёва", username="masha")
    page.goto("/dashboard/lessons/")
    press(page, "KeyK", "л", CTRL)
    chosen = page.locator("#palette [aria-selected=true] .ly-cut").first
    expect(page.locator("#palette input")).to_be_focused()
    expect(chosen).to_have_text("Overview")

    page.keyboard.type("мар")
    expect(chosen).to_have_text("Мария Ковалёва")
    assert violations(page) == []
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_text("Марк Левитин")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/dashboard/users/{masha.id}")

    page.locator("#find").click()  # the field of the top bar opens the same palette, and it remembers
    expect(page.locator("#palette [role=group]").first).to_contain_text("Recent")
    expect(chosen).to_have_text("Lessons")  # not the page that it stands over
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_the_palette_fills_for_who_opens_it_before_the_page_is_ready(page: Page) -> None:
    held = Held(page, "**/htmx.min.js*")
    page.goto("/dashboard/lessons/", wait_until="commit")
    expect(page.locator("#find")).to_be_visible()
    press(page, "KeyK", "л", CTRL)
    expect(page.locator("#palette input")).to_be_focused()  # the keys listen before htmx has come
    held.take().continue_()
    expect(page.locator("#palette [aria-selected=true] .ly-cut").first).to_have_text("Overview")


def test_a_key_that_comes_before_its_script_is_not_lost(page: Page, db: Session) -> None:
    """Whoever knows the way presses the next key as soon as the page shows."""
    course = make_course(db, [])
    held = Held(page, "**/app.js*", times=1)
    page.goto(f"/dashboard/courses/{course.id}", wait_until="commit")
    expect(page.locator("h1")).to_be_visible()
    press(page, "KeyE", "у")
    held.take().continue_()
    page.wait_for_url(f"**/dashboard/courses/{course.id}/edit")
    press(page, "KeyJ", "о")  # heard once, and only while nothing is typed
    expect(page.locator("#course-form")).to_be_visible()


def test_the_palette_takes_a_verb_with_its_number(page: Page, db: Session) -> None:
    """In the Russian layout, and with the keys of the other one."""
    sale = make_purchase(db, make_user(db, first_name="Мария"), make_lesson(db, title="Свет"), amount=299)
    page.goto("/dashboard/")
    for typed in (f"возврат {sale.id}", f"djpdhfn {sale.id}"):
        press(page, "KeyK", "л", CTRL)
        page.keyboard.type(typed)
        chosen = page.locator("#palette [aria-selected=true] .ly-cut").first
        expect(chosen).to_contain_text(f"Refund: Purchase {sale.id}")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(page.locator("#palette")).to_be_hidden()
    press(page, "KeyK", "л", CTRL)
    expect(page.locator("#palette input")).to_be_focused()
    expect(chosen).to_contain_text("Refund")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/dashboard/sales/{sale.id}/refund")

    press(page, "KeyK", "л", CTRL)
    page.keyboard.type("новый урок")
    expect(page.locator("#palette [aria-selected=true]")).to_contain_text("New lesson")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/lessons/new")


def test_enter_opens_what_was_typed_and_not_what_was_found_before(page: Page, db: Session) -> None:
    """However quickly it comes after the last letter."""
    make_lesson(db, title="Ноты"), make_lesson(db, title="Гаммы")
    page.goto("/dashboard/")
    for typed, wanted in (("ноты", "Ноты"), ("гаммы", "Гаммы")):
        press(page, "KeyK", "л", CTRL)
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=wanted, level=1)).to_be_visible()


def test_a_list_is_walked_opened_and_left_by_keys(page: Page, db: Session) -> None:
    lessons = [make_lesson(db, title=f"Lesson {number}") for number in (1, 2, 3)]
    page.goto("/dashboard/lessons/")
    focused = page.locator("#list-rows a:focus")
    press(page, "KeyJ", "о")
    press(page, "KeyJ", "о")
    expect(focused).to_have_text("Lesson 2")
    page.keyboard.press("ArrowDown")
    expect(focused).to_have_text("Lesson 1")
    press(page, "KeyK", "л")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/dashboard/lessons/{lessons[1].id}")
    press(page, "KeyE", "у")
    page.wait_for_url("**/edit")
    page.locator("#title").focus()
    page.keyboard.type("gl")  # a field takes its letters
    assert page.locator("#title").input_value().count("gl") == 1
    page.goto("/dashboard/lessons/")
    press(page, "KeyC", "с")
    page.wait_for_url("**/dashboard/lessons/new")


def test_the_sheet_shows_every_key_and_switches_single_ones_off(page: Page, db: Session) -> None:
    make_ticket(db, make_user(db))
    page.goto("/dashboard/")
    press(page, "Digit7", "?", SHIFT)  # where the Russian layout has it
    sheet = page.locator("#keys")
    expect(sheet).to_be_visible()
    expect(sheet.locator("div").filter(has_text="Tickets").filter(has=page.locator("kbd")).last).to_contain_text("GT")
    assert violations(page) == []
    page.keyboard.press("Escape")
    press(page, "KeyG", "п")
    press(page, "KeyT", "е")
    page.wait_for_url("**/dashboard/tickets/")

    press(page, "Slash", ",", SHIFT)
    sheet.get_by_role("switch").press("Space")
    page.keyboard.press("Escape")
    press(page, "KeyG", "п")
    press(page, "KeyO", "щ")
    page.wait_for_timeout(300)
    assert page.url.endswith("/dashboard/tickets/")
    press(page, "KeyK", "л", CTRL)  # with Ctrl they go on
    expect(page.locator("#palette")).to_be_visible()


def test_single_keys_are_a_persons_choice_in_the_settings(page: Page, db: Session) -> None:
    db.get_one(User, 1).single_keys = False
    db.commit()
    page.goto("/dashboard/settings/")
    switch = page.get_by_role("group", name="Single-key shortcuts")
    expect(switch.get_by_role("button", name="Turned off")).to_have_attribute("aria-pressed", "true")
    press(page, "KeyG", "п")
    press(page, "KeyO", "щ")
    page.wait_for_timeout(300)
    assert page.url.endswith("/dashboard/settings/")
    assert violations(page) == []
    switch.get_by_role("button", name="Turned on").press("Enter")
    expect(switch.get_by_role("button", name="Turned on")).to_have_attribute("aria-pressed", "true")
    press(page, "KeyG", "п")
    press(page, "KeyO", "щ")
    page.wait_for_url("**/dashboard/")


def test_the_last_change_is_taken_back_by_a_key(page: Page, db: Session) -> None:
    lesson = make_lesson(db, title="Light")
    page.goto(f"/dashboard/lessons/{lesson.id}")
    page.get_by_role("button", name="Hide", exact=True).click()
    expect(page.locator("[data-toast][data-undo]")).to_be_visible()
    press(page, "KeyZ", "я")
    expect(page.locator(".ly-head .badge").first).to_have_text("On sale")


def test_any_verb_is_done_from_the_palette_by_keys_alone(page: Page, db: Session) -> None:
    lesson = make_lesson(db, title="Свет", price=200)
    page.goto("/dashboard/")
    press(page, "KeyK", "л", CTRL)
    page.keyboard.type("изменить цену свет")
    expect(page.locator("#palette [aria-selected=true] .ly-cut").first).to_have_text("Change the price: Свет")
    page.keyboard.press("Enter")
    expect(page.locator("#percent")).to_be_focused()
    assert violations(page) == []
    page.keyboard.type("50")
    page.keyboard.press("Enter")
    expect(page.locator("[data-toast]")).to_contain_text("Change the price: 1")
    press(page, "KeyK", "л", CTRL)
    page.keyboard.type("скрыть урок свет")
    expect(page.locator("#palette [aria-selected=true] .ly-cut").first).to_have_text("Hide: Свет")
    page.keyboard.press("Enter")
    page.wait_for_url("**/bulk?verb=hide&ids=*")
    page.keyboard.press("Enter")
    expect(page.locator("[data-toast]").last).to_contain_text("Hide: 1")
    db.rollback()
    db.refresh(lesson)
    assert (lesson.price, lesson.is_active) == (300, False)
