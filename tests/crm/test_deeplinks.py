"""The link for students on the pages of what can be opened in the bot."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy.orm import Session

from backend.database.crud.settings import SettingCRUD
from main import create_app
from tests.conftest import ORIGIN, SignIn, make_settings
from tests.factories import make_course, make_lesson, make_promo

USED = {"id": 4200000001, "username": "window_light_bot"}


@pytest.fixture
def pages(db: Session) -> dict[str, str]:
    """The payload of the deep link by the page that shows it."""
    lesson, course, promo = make_lesson(db), make_course(db), make_promo(db, code="TEN")
    return {
        f"/dashboard/lessons/{lesson.id}": f"lesson_{lesson.id}",
        f"/dashboard/courses/{course.id}": f"course_{course.id}",
        f"/dashboard/promo-codes/{promo.id}": "promo_TEN",
    }


def shown(client: TestClient, page: str) -> str | None:
    return HTMLParser(client.get(page).text).css_first("#deep-link-value").attributes["value"]


def test_the_link_is_of_the_bots_name(admin: TestClient, db: Session, pages: dict[str, str]) -> None:
    SettingCRUD(db).put("bot", USED)

    for page, start in pages.items():
        assert shown(admin, page) == f"https://t.me/window_light_bot?start={start}"


@pytest.mark.parametrize(("token", "expected"), [("4200000001:abcdef", "telegram"), ("77:abcdef", "command")])
def test_the_name_of_a_bot_before_is_not_used(
    sign_in: SignIn, admin: TestClient, db: Session, pages: dict[str, str], token: str, expected: str
) -> None:
    SettingCRUD(db).put("bot", USED)
    state = admin.app.state  # type: ignore[attr-defined] # the FastAPI application
    changed = make_settings(state.settings.database_url, state.settings.data_dir, telegram_bot_token=token)
    state.settings = changed

    page, start = next(iter(pages.items()))
    link = {"telegram": f"https://t.me/window_light_bot?start={start}", "command": f"/start {start}"}
    assert shown(admin, page) == link[expected]


def test_in_the_sandbox_the_link_opens_its_chat(
    database_url: str, tmp_path: Path, admin: TestClient, db: Session, pages: dict[str, str]
) -> None:
    """Its bot is called as somebody's real one may be."""
    SettingCRUD(db).put("bot", USED)
    app = create_app(make_settings(database_url, tmp_path / "data", sandbox=True))
    local = TestClient(app, base_url="http://127.0.0.1:8000", headers=ORIGIN, client=("127.0.0.1", 5))
    local.cookies.set("lyceum", admin.cookies["lyceum"])

    for page, start in pages.items():
        link = shown(local, page)
        assert link == f"http://127.0.0.1:8000/sandbox/?start={start}"
        chat = HTMLParser(local.get(link).text)
        assert chat.css_first(".ly-sand-start input[name=payload]").attributes["value"] == start
        assert urlsplit(link).query == f"start={start}"
    app.state.database.dispose()
