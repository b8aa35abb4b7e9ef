"""The support desk in a real browser: answers, what arrives meanwhile, keys, no script."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import User
from backend.sandbox.testing import served
from tests.browser.axe import violations
from tests.factories import make_lesson, make_purchase, make_ticket, make_user

pytestmark = pytest.mark.browser
DESK = "/dashboard/tickets/"


@pytest.fixture
def masha(db: Session) -> User:
    return make_user(db, first_name="Мария", last_name="Ковалёва")


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with served(app) as origin:
        yield origin


@pytest.fixture
def context(browser: Browser, url: str, admin: TestClient) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=url, locale="en-GB", viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "lyceum", "value": admin.cookies["lyceum"], "url": url}])
    context.set_default_timeout(8000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert [text for text in complaints if "status of 4" not in text] == []


def leave_now(db: Session) -> None:
    """Plays the sender: what is queued leaves at once and arrives."""
    db.execute(update(Dispatch).where(Dispatch.state == "pending").values(not_before=clock.now()))
    for row in DispatchCRUD(db).claim():
        DispatchCRUD(db).finish(row.id, row.attempts, 800)
    db.commit()


def test_an_answer_and_what_arrives_meanwhile_appear_without_a_reload(page: Page, db: Session, masha: User) -> None:
    ticket = make_ticket(db, masha)
    page.goto(f"{DESK}{ticket.id}")
    page.evaluate("window.stayed = true")
    page.locator("[name=text]").fill("Try 720p")
    page.locator("[name=text]").press("Control+Enter")
    answer = page.locator(".ly-msg.is-staff")
    expect(answer).to_contain_text("Try 720p")
    expect(answer).to_contain_text("queued")
    expect(page.locator("[name=text]")).to_have_value("")
    expect(page.locator("#queue .ly-tabs a[aria-current]")).to_have_text("Waiting")

    page.locator("[name=text]").fill("Half a thought")
    leave_now(db)
    expect(answer).to_contain_text("delivered")
    TicketCRUD(db).student_says(ticket.id, "It works, thank you")
    db.commit()
    expect(page.locator(".ly-msg").last).to_contain_text("It works, thank you", timeout=15000)
    expect(page.locator("#badge-tickets")).to_contain_text("1", timeout=15000)
    assert page.locator("[name=text]").input_value() == "Half a thought"
    assert page.evaluate("window.stayed") is True
    assert violations(page) == []


def test_an_answer_is_taken_back_into_the_field(page: Page, db: Session, masha: User) -> None:
    ticket = make_ticket(db, masha)
    page.goto(f"{DESK}{ticket.id}")
    page.locator("[name=text]").fill("Sent too soon")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[name=text]")).to_have_value("Sent too soon")
    expect(page.locator(".ly-msg")).to_have_count(1)
    expect(page.locator("#toasts")).to_contain_text("Reply not sent: it is back in the text field")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".ly-msg.is-staff")).to_have_count(1)
    expect(page.locator("[name=text]")).to_have_value("")


def test_a_note_is_written_beside_and_a_ticket_closed_and_undone(page: Page, db: Session, masha: User) -> None:
    ticket = make_ticket(db, masha)
    page.goto(f"{DESK}{ticket.id}")
    page.get_by_text("Note", exact=True).click()
    page.locator("[name=text]").fill("Ask Igor")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".ly-msg.is-note")).to_contain_text("Ask Igor")

    page.locator("[popovertarget=assign]").click()
    page.get_by_role("button", name="Assign to me").click()
    expect(page.locator(".ly-event").last).to_have_text("Picked up: Анна")
    page.locator("button[value=closed]").click()
    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    expect(page.locator("#queue")).to_contain_text("No one is waiting")
    page.locator("#toasts").get_by_role("button", name="Undo").last.click()
    expect(page.get_by_role("button", name="Reopen")).to_have_count(0)


def test_tickets_open_from_the_queue_by_click_and_by_key(page: Page, db: Session, masha: User) -> None:
    first = make_ticket(db, masha, subject="First question")
    second = make_ticket(db, make_user(db, first_name="Eva"), subject="Second question")
    make_purchase(db, masha, make_lesson(db, title="Свет из окна"))
    page.goto(DESK)
    page.evaluate("window.stayed = true")
    expect(page.locator("#panes")).to_contain_text("Choose a ticket")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#subject")).to_have_text("First question")
    expect(page).to_have_url(f"{page.url.split('/dashboard')[0]}{DESK}{first.id}")
    expect(page.locator("aside.is-aside")).to_contain_text("Свет из окна")
    page.locator(f"#ticket-{second.id} a").click()
    expect(page.locator("#subject")).to_have_text("Second question")
    expect(page.locator("#queue-rows a[aria-current]")).to_contain_text("Second question")
    assert page.title().startswith(f"Ticket {second.id}")
    assert page.evaluate("window.stayed") is True
    page.go_back()
    expect(page.locator("#subject")).to_have_text("First question")


def test_the_queue_searches_while_typing_and_keeps_itself_up_to_date(page: Page, db: Session, masha: User) -> None:
    make_ticket(db, masha, subject="Video")
    eva = make_user(db, first_name="Eva")
    make_ticket(db, eva, subject="Refund")
    page.goto(DESK)
    page.locator("#q").press_sequentially("refund", delay=20)
    expect(page.locator("#queue-rows li")).to_have_count(1)
    assert page.evaluate("document.activeElement.id") == "q"
    expect(page).to_have_url(re.compile(r"/dashboard/tickets/\?q=refund$"))
    page.locator("#q").fill("")
    expect(page.locator("#queue-rows li")).to_have_count(2)
    make_ticket(db, eva, subject="A new one")
    expect(page.locator("#queue-rows li")).to_have_count(3, timeout=15000)
    page.locator("#q").fill("zzz")
    expect(page.locator("#queue")).to_contain_text("No results")


def test_a_long_queue_loads_more_while_scrolling(page: Page, db: Session) -> None:
    for number in range(60):
        make_ticket(db, make_user(db, first_name=f"S{number}"))
    page.goto(DESK)
    for shown in (25, 50):
        expect(page.locator("#queue-rows > li[id^=ticket]")).to_have_count(shown)
        page.locator("#queue-more").scroll_into_view_if_needed()
    expect(page.locator("#queue-rows > li[id^=ticket]")).to_have_count(60)
    expect(page.locator("#queue-more")).to_have_count(0)


def test_on_a_phone_the_panes_are_pages(page: Page, db: Session, masha: User) -> None:
    make_ticket(db, masha, subject="First question")
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(DESK)
    page.get_by_text("First question").click()
    expect(page.locator("#subject")).to_be_visible()
    expect(page.locator("#queue")).to_be_hidden()
    assert violations(page) == []
    page.get_by_role("link", name="To the queue").click()
    expect(page.locator("#queue")).to_be_visible()
    assert violations(page) == []


def test_without_script_everything_works(
    browser: Browser, url: str, admin: TestClient, db: Session, masha: User
) -> None:
    ticket = make_ticket(db, masha, subject="First question")
    context = browser.new_context(base_url=url, java_script_enabled=False)
    context.add_cookies([{"name": "lyceum", "value": admin.cookies["lyceum"], "url": url}])
    page = context.new_page()
    page.goto(DESK)
    page.get_by_text("First question").click()
    page.locator("[name=text]").fill("Try 720p")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".ly-msg.is-staff")).to_contain_text("Try 720p")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[name=text]")).to_have_value("Try 720p")
    page.locator("button[value=closed]").click()
    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    db.expire_all()
    assert TicketCRUD(db).get_by_id(ticket.id).status == "closed"
    context.close()
