"""Another site in the same browser: its forms and scripts change nothing here and read nothing (security.md B3)."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Page
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.users import User
from backend.sandbox.testing import served
from tests.conftest import SignIn
from tests.figures import Figure

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def other_site(school: str) -> FastAPI:
    """A page of someone else that sends the school's forms with whatever the browser adds."""
    site = FastAPI(openapi_url=None, telemetry={"tracing": False, "metrics": False, "logs": False})
    target = f"{school}/dashboard/settings/theme"

    @site.get("/form")
    def form() -> HTMLResponse:
        field = '<input name="theme" value="dark"><input name="csrf_token" value="x.y">'
        return HTMLResponse(f'<form method="post" action="{target}">{field}<button>Win a prize</button></form>')

    @site.get("/fetch")
    def fetch() -> HTMLResponse:
        sent = ["{}", "{mode: 'no-cors'}", "{mode: 'cors', headers: {'X-CSRF-Token': 'x.y'}}", "{redirect: 'manual'}"]
        calls = ", ".join(
            f"fetch('{target}', {{method: 'POST', credentials: 'include', body: new URLSearchParams({{theme: 'dark'}}),"
            f" ...{more}}}).then(r => r.type + r.status, () => 'refused')"
            for more in sent
        )
        read = f"fetch('{school}/dashboard/', {{credentials: 'include'}}).then(r => r.text(), () => 'refused')"
        return HTMLResponse(f"<script>Promise.all([{calls}, {read}]).then(r => window.got = r)</script>")

    return site


@pytest.fixture
def inside(page: Page, url: str, sign_in: SignIn) -> Iterator[Page]:
    """The browser of the signed-in admin."""
    page.context.add_cookies([{"name": "lyceum", "value": sign_in("admin").cookies["lyceum"], "url": url}])
    return page


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])  # another site, and another port of the same one
def test_another_sites_form_and_script_change_nothing(
    inside: Page, url: str, db: Session, name: str, figure: Figure
) -> None:
    with served(other_site(url)) as origin:
        there = origin.replace("127.0.0.1", name)
        inside.goto(f"{there}/form")
        inside.get_by_role("button").click()
        inside.wait_for_url("**/dashboard/settings/theme")
        assert "came from another site" in inside.inner_text("body")
        inside.goto(f"{there}/fetch")
        inside.wait_for_function("window.got")
        got = inside.evaluate("window.got")
    # Only no-cors comes back at all, and says nothing; the page is not read.
    assert [word for word in got if word not in ("refused", "opaque0", "opaqueredirect0")] == []
    db.expire_all()
    assert db.scalars(select(User.theme).where(User.login == "admin")).one() == "auto"
    inside.goto(f"{url}/dashboard/settings/")
    assert inside.locator("html[data-theme=dark]").count() == 0
    figure("B3", "requests of another site in Chromium that change anything", 0, "0", 1 + len(got))
