"""Parts that are drawn once: each reader gets their own token, rights, language and places."""

import re

from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import csrf, kept
from backend.core.auth import session_key
from backend.core.config import Settings
from backend.core.permissions import AUTHOR, SUPPORT
from backend.core.templating import env
from backend.database.models.auth import AuthSession
from tests.conftest import SignIn
from tests.factories import make_user

TOKENS = re.compile(r'csrf_token" value="([^"]+)"')


def test_each_reader_gets_their_own_token_in_every_form(
    admin: TestClient, staff: SignIn, db: Session, settings: Settings
) -> None:
    make_user(db)
    for reader in (admin, staff(SUPPORT), admin):
        page = reader.get("/dashboard/users/").text
        assert kept.TOKEN not in page
        (token,) = set(TOKENS.findall(page))
        keys = [session_key(row.id) for row in db.query(AuthSession)]
        (own,) = [key for key in keys if _fits(settings, key, token)]
        assert _fits(settings, own, reader.headers["X-CSRF-Token"])
        assert f'hx-headers:inherited=\'{{"X-CSRF-Token": "{token}"}}\'' in page
        fragment = reader.get("/dashboard/users/", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
        assert kept.TOKEN not in fragment


def _fits(settings: Settings, key: str, token: str) -> bool:
    try:
        csrf.check(settings, {"sec-fetch-site": "same-origin"}, key, token)
    except Exception:  # noqa: BLE001 - whatever refuses it
        return False
    return True


def test_rights_places_and_languages_are_not_mixed_up(admin: TestClient, staff: SignIn, db: Session) -> None:
    author = staff(AUTHOR)
    for _ in range(2):
        seen, other = admin.get("/dashboard/lessons/").text, author.get("/dashboard/lessons/").text
        assert ('href="/dashboard/outbox/"' in seen, 'href="/dashboard/outbox/"' in other) == (True, False)
        assert re.findall(r'<a href="(/dashboard/[a-z_]*/)"[^>]*aria-current="page"', seen) == ["/dashboard/lessons/"]
        students = admin.get("/dashboard/users/?q=maria").text
        assert 'aria-current="page"' in students
        assert 'value="/dashboard/users/?q=maria"' in students  # where a change of language leads back to
        russian = admin.get("/dashboard/lessons/", headers={"Accept-Language": "ru"}).text
        assert ("Уроки" in russian, "Уроки" in seen) == (True, False)


def test_a_key_that_differs_draws_anew_and_the_store_is_bounded() -> None:
    around = kept.around.set(None)
    draw = env.from_string("{% kept size %}<b>{{ text * size }}</b>{% endkept %}").render
    try:
        assert [draw(text="a", size=2), draw(text="b", size=2), draw(text="b", size=3)] == [
            "<b>aa</b>", "<b>aa</b>", "<b>bbb</b>",
        ]  # fmt: skip
        assert draw(text="<i>", size=1) == "<b>&lt;i&gt;</b>"
        draw(text="x", size=kept.MOST)  # the store is emptied before it grows too large
        assert draw(text="c", size=2) == "<b>cc</b>"
        assert draw(text="d", size=2) == "<b>cc</b>"
        named = env.from_string("{% kept 1, (name, 2) %}{{ text }}{% endkept %}").render
        assert named(text="e", name="n" * kept.MOST) == "e"  # what a key says counts as well
        assert draw(text="f", size=2) == "<b>ff</b>"
        unkept = env.from_string("{% kept none %}<b>{{ text }}</b>{% endkept %}").render
        assert [unkept(text="<"), unkept(text="g")] == ["<b>&lt;</b>", "<b>g</b>"]
    finally:
        kept.around.reset(around)
