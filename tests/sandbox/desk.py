"""The whole application with its sandbox, a working bot and a signed-in browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode

from backend.database.crud.auth import ABSOLUTE, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.sandbox import Sandbox
from backend.sandbox.student import SandboxClient, Student
from backend.sandbox.testing import served
from main import create_app
from tests.conftest import make_settings
from tests.sandbox.clerk import Clerk


def one(page: HTMLParser, selector: str) -> LexborNode:
    """The first element that fits; a test that looks for it knows that it is there."""
    found = page.css_first(selector)
    assert found is not None, selector
    return found


@dataclass
class Desk:
    """A signed-in browser without script, a working bot and a look behind the page."""

    origin: str
    browser: httpx2.Client
    box: SandboxClient
    olga: Student
    clerk: Clerk
    secret: str

    def get(self, **query: Any) -> HTMLParser:
        found = self.browser.get("/sandbox/", params={"student": self.olga.id, **query})
        assert found.status_code == 200, found.text
        return HTMLParser(found.text)

    @property
    def token(self) -> str | None:
        return one(self.get(), 'input[name="csrf_token"]').attributes["value"]

    def post(self, verb: str, **fields: object) -> HTMLParser:
        """Sends a form as the browser would and follows to the page."""
        token = self.token
        form = {"csrf_token": token, "bot": self.olga.account.id, "student": self.olga.id, **fields}
        answer = self.browser.post(f"/sandbox/act/{verb}", data=form)
        assert answer.status_code == 303, answer.text
        return HTMLParser(self.browser.get(answer.headers["location"]).text)


def sign_in(app: FastAPI) -> str:
    with app.state.database.transaction() as session:
        admin = UserCRUD(session).find_by_login("admin")
        assert admin is not None
        _opened, secret = SessionCRUD(session).open(
            admin, kind="cookie", user_agent="tests", ip="127.0.0.1", lifetime=ABSOLUTE
        )
    return secret


@contextmanager
def open_desk(database_url: str, data: Path) -> Iterator[Desk]:
    app = create_app(make_settings(database_url, data, sandbox=True))
    secret, sandbox = sign_in(app), app.state.sandbox
    assert isinstance(sandbox, Sandbox)
    headers = {"Sec-Fetch-Site": "same-origin", "Accept-Language": "en"}
    with served(app) as origin, SandboxClient(origin) as box:
        browser = httpx2.Client(base_url=origin, headers=headers, cookies={"lyceum": secret})
        clerk = Clerk(box.api, sandbox.token)
        olga = box.known(box.students()[0]["id"])
        try:
            yield Desk(origin, browser, box, olga, clerk, secret)
        finally:
            clerk.close()
            browser.close()
