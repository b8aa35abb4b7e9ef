"""How many requests a client of the API may make, alone and over several processes."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from backend.core import clock, ratelimit
from backend.core.config import Settings
from backend.core.permissions import expand_scopes
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.crud.throttle import Limit, ThrottleCRUD
from main import create_app
from tests.conftest import make_settings
from tests.doors import BASE, ask_tokens, bearer, program
from tests.redisserver import RedisServer

Limited = Callable[..., FastAPI]


@pytest.fixture
def limited(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limited]:
    """Apps with API_RATE_LIMIT=3 or as asked, which count exactly however slow the machine is."""
    monkeypatch.setattr(ratelimit, "PATIENCE_SECONDS", 20.0)
    made: list[FastAPI] = []

    def make(limit: int = 3, **more: object) -> FastAPI:
        chosen = make_settings(settings.database_url, settings.data_dir, api_rate_limit=limit, **more)
        made.append(create_app(chosen))
        return made[-1]

    yield make
    for app in made:
        engine = app.state.database.engine
        deadline = time.monotonic() + 10
        while engine.pool.checkedout() and time.monotonic() < deadline:
            time.sleep(0.02)  # a count that nobody waits for any more still ends
        app.state.database.dispose()


def token(app: FastAPI, *scopes: str) -> dict[str, str]:
    with app.state.database.transaction() as session:
        return bearer(ApiTokenCRUD(session).issue("t", expand_scopes(list(scopes)))[1])


def asks(
    client: TestClient, times: int, headers: dict[str, str] | None = None, path: str = "/api/auth/me"
) -> list[int]:
    return [client.get(path, headers=headers).status_code for _ in range(times)]


def test_over_the_limit_is_told_when_to_come_back(limited: Limited) -> None:
    app = limited()
    client = program(app)
    assert asks(client, 3) == [401] * 3
    answer = client.get("/api/auth/me")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert asks(client, 5, path="/login") == [200] * 5
    assert asks(program(app, "198.51.100.2"), 1) == [401]


def test_a_known_token_has_a_limit_of_its_own(limited: Limited) -> None:
    app = limited()
    mine, other = token(app, "lessons:read"), token(app, "lessons:read")
    first, second = program(app), program(app, "198.51.100.2")
    assert asks(first, 1, mine) == [200]  # not known yet: counted for the address
    assert asks(first, 4, mine) == [200, 200, 200, 429]
    assert asks(second, 1, mine) == [429]
    assert asks(second, 1, other) == [200]


def test_a_new_access_token_buys_nothing(limited: Limited) -> None:
    client = program(limited(6))
    given = ask_tokens(client).json()  # one for the address, as each token's first use
    assert asks(client, 7, bearer(given["access_token"])) == [200] * 7
    fresh = client.post("/auth/refresh", json={"refresh_token": given["refresh_token"]}).json()["access_token"]
    assert asks(client, 2, bearer(fresh)) == [200, 429]


def test_inventing_tokens_buys_nothing(limited: Limited) -> None:
    client = program(limited())
    statuses = [client.get("/api/auth/me", headers=bearer(f"lyc_{n}")).status_code for n in range(6)]
    assert statuses == [401] * 3 + [429] * 3


def test_the_bot_is_bounded_by_telegram_until_its_token_dies(limited: Limited) -> None:
    app = limited()
    client, bot = program(app), token(app, "bot")
    assert asks(client, 12, bot) == [200] * 12
    with app.state.database.transaction() as session:
        ApiTokenCRUD(session).revoke(1)
    assert asks(client, 6, bot) == [401] * 3 + [429] * 3


def test_an_ipv6_subscriber_is_one_caller(limited: Limited) -> None:
    app = limited()
    statuses = [asks(program(app, f"2001:db8::{n:x}"), 1)[0] for n in range(1, 6)]
    assert statuses == [401] * 3 + [429] * 2


def test_zero_is_no_limit(limited: Limited) -> None:
    assert asks(program(limited(0)), 50) == [401] * 50


def test_only_so_many_tokens_are_remembered(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "KNOWN_CALLERS", 2)
    app = limited(1000)
    for _ in range(4):
        asks(program(app), 1, token(app, "lessons:read"))
    [limiter] = [layer.kwargs["limiter"] for layer in app.user_middleware if "limiter" in layer.kwargs]
    assert len(limiter._known) == 2


def test_several_processes_share_one_count_in_the_database(limited: Limited) -> None:
    one, two = program(limited()), program(limited())
    statuses = [status for _ in range(3) for client in (one, two) for status in asks(client, 1)]
    assert statuses == [401] * 3 + [429] * 3
    assert 1 <= int(two.get("/api/auth/me").headers["Retry-After"]) <= 61
    assert asks(program(limited(), "198.51.100.2"), 1) == [401]


def test_a_process_takes_a_twentieth_at_a_time_and_all_together_never_more_than_the_limit(limited: Limited) -> None:
    apps, taken = [limited(45) for _ in range(3)], list[str]()
    for app in apps:
        listen = event.listens_for(app.state.database.engine, "before_cursor_execute")
        listen(lambda _c, _cur, statement, *_rest: taken.append(statement[:24]))
    clients = [program(app) for app in apps]
    answers = [clients[number % 7 % 3].get("/api/auth/me").status_code for number in range(70)]
    assert (answers.count(401), answers.count(429)) == (45, 25)
    # Two at a time, the last one alone; then each process asks once whether there is more.
    assert taken.count("INSERT INTO rate_buckets") == 23 + 3


def test_a_minute_later_the_client_is_let_in_again(limited: Limited) -> None:
    client = program(limited())
    assert asks(client, 4) == [401] * 3 + [429]
    with time_machine.travel(clock.now() + timedelta(seconds=61)):
        assert asks(client, 4) == [401] * 3 + [429]


def test_a_database_that_is_busy_counts_nothing_and_refuses_nobody(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = limited(1)
    monkeypatch.setattr(ratelimit, "PATIENCE_SECONDS", 0.25)
    with app.state.database.transaction() as session:
        ThrottleCRUD(session).take([Limit("api:ip:127.0.0.1", 1, 60)])  # nobody else may write there until the end
        assert asks(program(app, "127.0.0.1"), 2) == [401] * 2


def test_a_redis_that_is_away_breaks_nothing_and_the_database_counts(limited: Limited) -> None:
    with TestClient(limited(redis_url="redis://127.0.0.1:1/0"), base_url=BASE) as client:
        assert asks(client, 5) == [401] * 3 + [429] * 2


def test_a_redis_that_hangs_is_waited_for_once(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "PATIENCE_SECONDS", 2.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        with TestClient(limited(redis_url=url), base_url=BASE) as client:
            started = time.monotonic()
            assert asks(client, 5) == [401] * 3 + [429] * 2
            assert time.monotonic() - started < 6  # five waits would be ten


def test_several_processes_share_one_count_in_redis(limited: Limited, redis_server: RedisServer) -> None:
    first, second = (limited(redis_url=redis_server.url) for _ in range(2))
    with TestClient(first, base_url=BASE) as one, TestClient(second, base_url=BASE) as two:
        statuses = [status for _ in range(3) for client in (one, two) for status in asks(client, 1)]
        assert statuses == [401] * 3 + [429] * 3
        assert 1 <= int(two.get("/api/auth/me").headers["Retry-After"]) <= 121
        assert one.get("/health/ready", headers=token(first, "operations:read")).status_code == 429
