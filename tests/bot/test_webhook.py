"""Telegram's calls to us: the secret, odd bodies, repeated updates, and a school that is away."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.bot import webhook
from backend.bot.http import Patience
from backend.core.config import Settings
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.sandbox.testing import served
from tests.bot.conftest import RunningBot, School
from tests.bot.test_payments import invoiced
from tests.bot.test_story import tap
from tests.factories import make_lesson

Fresh = Callable[[], Session]


@pytest.fixture
def hooked(school: School, app: FastAPI) -> Iterator[School]:
    """A school on a public address, whose bot is called by Telegram."""
    if webhook.route not in app.router.routes:
        app.router.routes.append(webhook.route)
    with served(app) as origin:
        school.settings = school.settings.model_copy(update={"base_url": origin})
        app.state.settings = school.settings
        bot = school.start_bot(by_webhook=True)
        app.state.bot = Across(bot)
        school.box.wait_until(lambda: school.calls("setMyCommands"))
        yield school
        for each in school.bots:
            each.stop()
        app.state.bot = None


class Across:
    """The bot runs in its own event loop here; in the product it shares the web process's."""

    def __init__(self, running: RunningBot) -> None:
        assert running.service is not None
        self.bot = running.service.bot
        self._running = running

    async def handle(self, update: Any, patience: Patience) -> None:
        assert self._running.service is not None
        work = self._running.service.handle(update, patience)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running._loop))


def test_a_lesson_is_sold_by_webhook(hooked: School, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="Window light", price=199, text_content="Turn.")
    student = hooked.student("Olga")
    assert student.ask("/start").text.startswith("Olga, welcome")
    assert tap(student, "Lessons").rows[0] == ["Window light · 199\xa0★"]
    invoiced(student)

    assert student.pay().status == "paid"
    student.wait("The lesson “", timeout=20.0)

    assert fresh().scalars(select(Purchase.amount)).all() == [199]


def test_a_payment_comes_again_while_the_school_is_away(
    hooked: School, db: Session, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PAYMENT", Patience(0.3))
    make_lesson(db, title="Window light", price=199, text_content="Turn.")
    student = hooked.student("Olga")
    invoiced(student)
    hooked.line.down = "/api/purchases/create"
    student.pay()
    hooked.box.wait_until(
        lambda: [
            line
            for line in hooked.box.journal(bot=hooked.account)
            if line["name"] == "webhook" and "503" in line["note"]
        ]
    )

    hooked.line.down = ""

    student.wait("The lesson “", timeout=20.0)
    assert len(fresh().scalars(select(Purchase)).all()) == 1


def posted(school: School, body: bytes, secret: str | None) -> int:
    headers = {} if secret is None else {webhook.HEADER: secret}
    url = f"{school.settings.url}{webhook.PATH}"
    return httpx2.post(url, content=body, headers=headers, trust_env=False).status_code


def test_only_telegram_may_call(hooked: School, fresh: Fresh) -> None:
    right = webhook.secret(hooked.settings)
    start = (
        b'{"update_id": 1, "message": {"message_id": 1, "date": 1, "text": "/start",'
        b' "chat": {"id": 7, "type": "private"},'
        b' "from": {"id": 7, "is_bot": false, "first_name": "M"}}}'
    )

    altered = [f"{right[:at]}{'1' if right[at] == '0' else '0'}{right[at + 1 :]}" for at in range(len(right))]
    wrong = (None, "", "wrong", right[:-1], right + "0", right.upper(), "ключ".encode().hex(), *altered)
    assert {posted(hooked, start, secret) for secret in wrong} == {403}
    assert fresh().scalars(select(User).where(User.telegram_id == 7)).all() == []
    assert posted(hooked, b"not json", right) == 400
    assert posted(hooked, b'{"update_id": "x"}', right) == 400
    assert posted(hooked, b"x" * 1_000_001, right) == 413
    assert posted(hooked, b'{"update_id": 2}', right) == 200
    assert posted(hooked, b"[" * 100_000, right) == 400
    # A kind of update that we cannot read: Telegram need not repeat it.
    odd = b'{"update_id": 3, "business_connection": {}}'
    assert posted(hooked, odd, right) == 200
    for number, kind in enumerate((b"edited_message", b"channel_post"), 4):
        other = start.replace(b'"update_id": 1', b'"update_id": %d' % number).replace(b'"message":', b'"%s":' % kind)
        assert posted(hooked, other, right) == 200
    assert fresh().scalars(select(User).where(User.telegram_id == 7)).all() == []
    assert posted(hooked, start, right) == 200
    assert len(fresh().scalars(select(User).where(User.telegram_id == 7)).all()) == 1


def test_a_secret_is_lawful_and_follows_the_settings(bot_settings: Settings) -> None:
    derived = webhook.secret(bot_settings)
    assert derived == webhook.secret(bot_settings)
    assert len(derived) == 64
    assert all(char in "0123456789abcdef" for char in derived)

    given = bot_settings.model_validate(bot_settings.model_dump() | {"telegram_webhook_secret": "my-secret-my-secret"})
    assert webhook.secret(given) == "my-secret-my-secret"


def test_without_a_bot_nobody_may_call(app: FastAPI, school: School) -> None:
    if webhook.route not in app.router.routes:
        app.router.routes.append(webhook.route)
    with served(app) as origin:
        school.settings = school.settings.model_copy(update={"base_url": origin})
        app.state.settings = school.settings
        assert posted(school, b"{}", webhook.secret(school.settings)) == 403
