"""A job's page in a real browser: it moves by itself, pauses, goes on, is undone, and works without script."""

import re
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.crud.jobs import JobCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from backend.jobs import work
from tests.browser.axe import violations
from tests.factories import make_lesson

pytestmark = pytest.mark.browser
JOBS = "/dashboard/jobs/"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def hide(database: Database, ids: list[int]) -> int:
    with database.transaction() as session:
        admin = UserCRUD(session).find_by_login("admin")
        assert admin is not None
        return JobCRUD(session).start("lessons", "hide", {}, ids, admin.id).id


def batch(database: Database, job_id: int, rows: int = 2) -> bool:
    work.claim(database, "one")
    return work.step(database, job_id, "one", rows, time.monotonic() - 0.5)


def hidden(db: Session) -> int:
    return db.scalar(select(func.count()).where(~Lesson.is_active)) or 0


def test_a_job_moves_pauses_goes_on_and_is_undone(page: Page, db: Session, database: Database) -> None:
    job_id = hide(database, [make_lesson(db).id for _n in range(6)])
    page.goto(JOBS)
    page.get_by_role("link", name="Hide").click()
    progress = page.locator("#job")
    expect(progress).to_contain_text("0 of 6")
    assert violations(page) == []

    batch(database, job_id)
    expect(progress).to_contain_text("2 of 6")
    expect(progress).to_contain_text("a second")
    page.get_by_role("button", name="Pause").focus()
    batch(database, job_id)
    expect(progress).to_contain_text("4 of 6")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Pause"
    page.keyboard.press("Enter")
    expect(progress).to_contain_text("Paused")
    assert batch(database, job_id) is False

    page.get_by_role("button", name="Continue").click()
    expect(progress).to_contain_text("Queued")
    while batch(database, job_id):
        pass
    expect(progress).to_contain_text("Done")
    assert hidden(db) == 6

    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile(rf"{JOBS}{job_id + 1}$"))
    while batch(database, job_id + 1):
        pass
    expect(progress).to_contain_text("6 of 6")
    assert hidden(db) == 0
    assert violations(page) == []


def test_without_script_the_page_reloads_itself(
    browser: Browser, url: str, admin: TestClient, db: Session, database: Database
) -> None:
    job_id = hide(database, [make_lesson(db).id for _n in range(2)])
    context = browser.new_context(base_url=url, locale="en-GB", java_script_enabled=False)
    context.add_cookies([{"name": "lyceum", "value": admin.cookies["lyceum"], "url": url}])
    page = context.new_page()
    page.goto(f"{JOBS}{job_id}")
    expect(page.locator("#job")).to_contain_text("0 of 2")
    batch(database, job_id, 10)
    expect(page.locator("#job")).to_contain_text("2 of 2")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#job")).to_contain_text("0 of 2")
    context.close()
