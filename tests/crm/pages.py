"""Reading pages in tests."""

import re

from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.users import User
from tests.conftest import SignIn

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


def english_admin(sign_in: SignIn, db: Session) -> TestClient:
    """The admin, reading English whatever the browser says."""
    db.scalars(select(User).where(User.login == "admin")).one().ui_language = "en"
    db.commit()
    return sign_in("admin")


def one(page: str, selector: str) -> LexborNode:
    found = HTMLParser(page).css_first(selector)
    assert found is not None, f"no {selector}"
    return found


def words(node: LexborNode) -> str:
    return " ".join(node.text().split())


def same(page: str) -> str:
    """A page without what is new in every answer: the tokens."""
    return re.sub(r'(name="csrf_token" value=|X-CSRF-Token)"[^"]*"', "", page)


def errors(page: str) -> dict[str, str]:
    """The messages at the fields of a form."""
    found = HTMLParser(page).css(".invalid-feedback")
    return {node.id.removesuffix("-error"): node.text().strip() for node in found if node.id}


def told(page: str) -> list[str]:
    """What the history of a record says of each change, the newest first."""
    return [words(found) for found in HTMLParser(page).css("#record-history .ly-diff > div")]
