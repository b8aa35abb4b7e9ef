"""What the bot keeps on the server: memory of a chat, the right to poll, who blocked it."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.users import User
from tests.conftest import Api
from tests.factories import make_user


def test_a_chat_is_remembered_as_it_was_put(bot: TestClient, db: Session) -> None:
    make_user(db, telegram_id=77)
    empty: dict[str, object] = {"telegram_id": 77, "state": None, "data": {}}
    assert bot.get("/api/bot/chats/77").json() == empty

    memory = {"state": "Ask:promo", "data": {"living": {"id": 812}, "text": "ё"}}
    assert bot.put("/api/bot/chats/77", json=memory).json() == {"telegram_id": 77, **memory}
    assert bot.get("/api/bot/chats/77").json() == {"telegram_id": 77, **memory}
    assert bot.put("/api/bot/chats/77", json={}).json() == empty
    assert bot.get("/api/bot/chats/-100").json()["telegram_id"] == -100


def test_memory_is_small_and_clean(bot: TestClient) -> None:
    def put(data: object) -> int:
        return bot.put("/api/bot/chats/77", json={"data": data}).status_code

    assert put({"text": "x" * 8180}) == 200
    assert put({"text": "x" * 8192}) == 422
    assert put({"text": "ы" * 5000}) == 422
    assert put({"text": "\0"}) == 422
    assert put([1]) == 422
    raw = '{"data": {"n": NaN}}'
    headers = {"Content-Type": "application/json"}
    assert bot.put("/api/bot/chats/77", content=raw, headers=headers).status_code == 422
    assert bot.get(f"/api/bot/chats/{2**63}").status_code == 422


def test_of_several_processes_one_polls(bot: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def hold(holder: str, seconds: int = 30) -> bool:
        held: bool = bot.post("/api/bot/lease", json={"holder": holder, "seconds": seconds}).json()["held"]
        return held

    start = clock.now()
    assert [hold("web-1"), hold("web-2"), hold("web-1")] == [True, False, True]
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=40))
    assert [hold("web-2"), hold("web-1")] == [True, False]
    assert hold("web-2", 0) is False
    assert hold("web-1") is True


def test_what_a_student_is_owed_leaves_when_they_unblock_the_bot(bot: TestClient, db: Session) -> None:
    student = make_user(db, telegram_id=555)
    dispatches = DispatchCRUD(db)
    for key in ("a", "b"):
        dispatches.enqueue(key, chat_id=555, user_id=student.id, method="sendMessage", params={"text": key})
    db.commit()
    (first,) = dispatches.claim()
    dispatches.fail(first.id, 1, "blocked: bot was blocked by the user")
    db.commit()

    assert bot.post("/api/bot/chats/555/blocked").status_code == 204
    db.expire_all()
    blocked = db.get_one(User, student.id)
    assert (blocked.blocked_bot_at is not None, blocked.version) == (True, 1)
    db.commit()

    assert bot.post("/api/bot/chats/555/unblocked").json() == {"resent": 1}
    assert bot.post("/api/bot/chats/555/unblocked").json() == {"resent": 0}
    assert bot.post("/api/bot/chats/556/unblocked").json() == {"resent": 0}
    db.expire_all()
    assert db.get_one(User, student.id).blocked_bot_at is None
    assert [row.dedupe_key for row in dispatches.claim()] == ["a"]


def test_the_bot_says_its_name(bot: TestClient, db: Session) -> None:
    assert bot.put("/api/bot/me", json={"id": 42, "username": "old_bot"}).status_code == 204
    assert bot.put("/api/bot/me", json={"id": 42, "username": "window_light_bot"}).status_code == 204
    known = SettingCRUD(db)
    assert known.find_bot() == {"id": 42, "username": "window_light_bot"}
    assert [known.find_bot(42), known.find_bot(43)] == [{"id": 42, "username": "window_light_bot"}, None]

    for wrong in ("", "a b", "../x", "я", "x" * 65):
        assert bot.put("/api/bot/me", json={"id": 42, "username": wrong}).status_code == 422


def test_only_the_bot_comes_here(api: Api) -> None:
    outsider = api("users:write", "tickets:write")
    assert outsider.get("/api/bot/chats/1").status_code == 403
    assert outsider.put("/api/bot/chats/1", json={}).status_code == 403
    assert outsider.post("/api/bot/lease", json={"holder": "x", "seconds": 1}).status_code == 403
