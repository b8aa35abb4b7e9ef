"""A file through the browser: chosen, understood, looked at, written, undone; with script and without."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from tests.browser.axe import violations
from tests.factories import make_promo

pytestmark = pytest.mark.browser
TABLE = "Промокод;Скидка;Чужое\nNEW1;20;x\nSALE;30;\nтри слова тут;5;\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "коды.csv"
    path.write_bytes(TABLE.encode("cp1251"))
    return path


@pytest.fixture
def plain(browser: Browser, url: str, admin: TestClient) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=url, locale="en-GB", java_script_enabled=False)
    context.add_cookies([{"name": "lyceum", "value": admin.cookies["lyceum"], "url": url}])
    context.set_default_timeout(8000)
    yield context
    context.close()


Look = Callable[[], None]


def looking(page: Page) -> Look:
    """Nothing is too wide, and axe finds nothing, on a wide screen and on a phone."""

    def look() -> None:
        for size in ({"width": 1440, "height": 1000}, {"width": 375, "height": 812}):
            page.set_viewport_size(size)  # type: ignore[arg-type] # ViewportSize
            assert list(violations(page)) == []
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

    return look


def upload(page: Page, file: Path, look: Look) -> None:
    page.goto("/dashboard/promo-codes/")
    page.get_by_role("link", name="Import").click()
    look()
    page.locator("#file").set_input_files({"name": "x.pdf", "mimeType": "text/csv", "buffer": b"%PDF" + bytes(99)})
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#file-error")).to_have_text("This is neither a CSV nor an XLSX file.")
    look()
    page.locator("#file").set_input_files(file)
    page.get_by_role("button", name="Upload").click()


def choose(page: Page, look: Look) -> None:
    expect(page.get_by_label("Промокод")).to_have_value("code")
    expect(page.get_by_label("Скидка")).to_have_value("discount_percent")
    page.get_by_label("Чужое").select_option("code")
    page.get_by_role("button", name="Check the rows").click()
    expect(page.locator("#columns-error")).to_have_text("Two columns are set as “Code”. Keep one.")
    look()
    page.get_by_label("Чужое").select_option("-")
    page.get_by_role("button", name="Check the rows").click()


def walk(page: Page, db: Session, file: Path, look: Look) -> None:
    upload(page, file, look)
    choose(page, look)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Preview changes")
    for tab, told in (("New", "NEW1"), ("Changed", "10 → 30"), ("Errors", "A code is one word, without spaces.")):
        page.locator(".ly-tabs").get_by_role("link", name=re.compile(rf"^{tab}\b")).click()
        expect(page.locator("tbody")).to_contain_text(told)
        look()
    page.get_by_role("button", name="Import 2 rows").click()
    expect(page.locator("[data-toast]")).to_contain_text("Imported: 2")
    assert codes(db) == {"SALE": 30, "NEW1": 20}
    look()
    page.locator("[data-toast]").get_by_role("button", name="Undo").click()
    expect(page.locator("[data-toast]")).to_contain_text("Undone")
    assert codes(db) == {"SALE": 10}


def codes(db: Session) -> dict[str, int]:
    return dict(db.execute(select(PromoCode.code, PromoCode.discount_percent)).all())


def test_a_file_of_promo_codes(context: BrowserContext, db: Session, file: Path) -> None:
    make_promo(db, code="SALE", discount_percent=10)
    page = context.new_page()
    walk(page, db, file, looking(page))


def test_the_same_without_script(plain: BrowserContext, db: Session, file: Path) -> None:
    make_promo(db, code="SALE", discount_percent=10)
    walk(plain.new_page(), db, file, lambda: None)


def test_a_long_file_goes_on_by_itself(context: BrowserContext, db: Session) -> None:
    page = context.new_page()
    lines = "".join(f"{n},Student {n}\n" for n in range(1, 301))
    page.goto("/dashboard/users/import")
    table = {"name": "s.csv", "mimeType": "text/csv", "buffer": f"telegram_id,first_name\n{lines}".encode()}
    page.locator("#file").set_input_files(table)  # type: ignore[arg-type] # FilePayload
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name="Check the rows").click()
    page.get_by_role("button", name="Import 300 rows").click()
    expect(page.locator("#job")).to_contain_text("0 of 300")
    assert db.scalar(select(func.count()).select_from(User)) == 1
