"""Attempts counted in Redis: the same numbers as in the database, and locks that outlive it."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from backend.core import throttles
from backend.core.config import Settings
from backend.core.errors import UnavailableError
from backend.database import tries
from backend.database.crud.locks import LockCRUD, account_key
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.auth import RateBucket
from backend.database.session import Database
from backend.database.tries import Tries, school_of, tries_of
from main import create_app
from tests.conftest import make_settings
from tests.core.test_signin import WRONG
from tests.doors import ask_tokens, program
from tests.redisserver import RedisServer

Processes = Callable[..., list[FastAPI]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Counts exactly however slow the machine is, and forgets what it knows of other tests' servers."""
    monkeypatch.setattr(tries, "PATIENCE_SECONDS", 20.0)
    tries._tries.cache_clear()
    yield
    tries._tries.cache_clear()


@pytest.fixture
def processes(app: FastAPI, settings: Settings, redis_server: RedisServer) -> Iterator[Processes]:
    """Apps on the database of the test, which share nothing but that and Redis."""
    made: list[FastAPI] = []

    def make(
        count: int = 1, redis_url: str = redis_server.url, *, reuse: bool = False, **more: object
    ) -> list[FastAPI]:
        if reuse and made:
            return made
        chosen = make_settings(settings.database_url, settings.data_dir, redis_url=redis_url, **more)
        new = [create_app(chosen) for _ in range(count)]
        made.extend(new)
        return new

    yield make
    for each in made:
        each.state.database.dispose()


def rows(db: Session) -> dict[str, int]:
    db.rollback()
    return dict(db.execute(select(RateBucket.key, RateBucket.count)).all())  # type: ignore[arg-type] # rows are pairs


def in_redis(server: RedisServer) -> dict[str, int]:
    redis = Tries(server.url, "")._redis
    return {key.decode().partition(":tries:")[2]: int(redis.get(key) or 0) for key in redis.scan_iter("*:tries:*")}


def guesses(apps: list[FastAPI], times: int) -> list[int]:
    return [ask_tokens(program(apps[n % len(apps)], f"203.0.113.{n}"), WRONG).status_code for n in range(times)]


def test_the_database_hears_of_a_lock_and_of_nothing_else(
    processes: Processes, db: Session, redis_server: RedisServer
) -> None:
    apps, written = processes(2), list[str]()
    for each in apps:
        listen = event.listens_for(each.state.database.engine, "before_cursor_execute")
        listen(lambda _c, _cur, statement, *_rest: written.append(statement) if "rate_buckets" in statement else None)
    assert guesses(apps, 4) == [401] * 4
    assert rows(db) == {}
    assert not [statement for statement in written if not statement.startswith("SELECT")]
    assert in_redis(redis_server) == {"login:1:": 4, "login-all": 4} | {f"login-ip:203.0.113.{n}": 1 for n in range(4)}
    assert guesses(apps, 20) == [401] + [429] * 19
    # With it what else the fifth of them counted for.
    assert rows(db) == {"login:1:": 5, "login-all": 5, "login-ip:203.0.113.0": 2}
    assert len([statement for statement in written if not statement.startswith("SELECT")]) == 3
    assert LockCRUD(db).locked([1]) == {1}


def test_fifty_guesses_at_once_over_two_processes_are_five(processes: Processes, db: Session) -> None:
    apps = processes(2)
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda n: guesses([apps[n % 2]], 1)[0], range(50)))
    assert sorted(statuses) == [401] * 5 + [429] * 45
    assert rows(db)["login:1:"] == 5


def test_the_wait_is_told_as_the_database_tells_it(processes: Processes) -> None:
    [app] = processes()
    guesses([app], 5)
    answer = ask_tokens(program(app, "203.0.113.99"))
    assert (answer.status_code, 890 <= int(answer.headers["Retry-After"]) <= 900) == (429, True)


def test_a_lock_outlives_redis(processes: Processes, redis_server: RedisServer) -> None:
    apps = processes(2)
    guesses(apps, 5)
    redis_server.stop()
    redis_server.start()
    assert in_redis(redis_server) == {}
    assert ask_tokens(program(apps[1])).status_code == 429


def test_without_redis_the_database_goes_on_and_redis_begins_where_it_ended(
    processes: Processes, db: Session, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "PAUSE_SECONDS", 0.0)
    apps = processes(2)
    redis_server.stop()
    assert guesses(apps, 3) == [401] * 3
    assert rows(db)["login:1:"] == 3
    redis_server.start()
    assert guesses(apps, 3) == [401] * 2 + [429]
    assert in_redis(redis_server)["login:1:"] == 5


def test_a_redis_that_hangs_is_waited_for_once(
    processes: Processes, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "PATIENCE_SECONDS", 2.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        apps = processes(1, f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        started = time.monotonic()
        assert guesses(apps, 5) == [401] * 5
        assert time.monotonic() - started < 8  # five waits would be ten seconds
    assert rows(db)["login:1:"] == 5


def test_a_lock_that_is_lifted_is_lifted_in_redis_too(
    processes: Processes, db: Session, redis_server: RedisServer
) -> None:
    apps = processes(2)
    guesses(apps, 5)
    apps[0].state.database.run(lambda session: LockCRUD(session).lift(1))
    assert account_key(1) not in in_redis(redis_server) | rows(db)
    assert ask_tokens(program(apps[1], "203.0.113.0")).status_code == 200
    apps[0].state.database.run(lambda session: LockCRUD(session).lift_address("203.0.113.0"))
    apps[0].state.database.run(lambda session: LockCRUD(session).lift_common())
    assert in_redis(redis_server) == {f"login-ip:203.0.113.{n}": 1 for n in range(1, 5)}


def test_a_prefix_of_a_lifted_lock_means_itself_and_no_pattern(processes: Processes, redis_server: RedisServer) -> None:
    [app] = processes()
    database: Database = app.state.database
    for key in ("reset:*", "reset:1:a", "reset:[1]:b"):
        throttles.count(database, [Limit(key, 5, 60)])
    database.run(lambda session: ThrottleCRUD(session).reset_beginning("reset:[1]", "reset:*", "reset:?"))
    assert in_redis(redis_server) == {"reset:1:a": 1}


def test_a_right_password_takes_back_what_it_counted(
    processes: Processes, db: Session, redis_server: RedisServer
) -> None:
    [app] = processes()
    client = program(app, "203.0.113.7")
    for _ in range(4):
        ask_tokens(client, WRONG)
    assert ask_tokens(client).status_code == 200
    assert in_redis(redis_server) == {"login-all": 4, "login-ip:203.0.113.7": 4}
    assert guesses([app], 6) == [401] * 5 + [429]
    assert rows(db)["login:1:"] == 5


def test_what_is_rolled_back_takes_nothing_back(processes: Processes, redis_server: RedisServer) -> None:
    [app] = processes()
    database: Database = app.state.database
    throttles.count(database, [Limit("k", 5, 60)])

    def fails(session: Session) -> None:
        ThrottleCRUD(session).reset(["k"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(fails)
    assert in_redis(redis_server) == {"k": 1}
    with database.transaction() as session:
        with session.begin_nested():
            ThrottleCRUD(session).reset(["k"])
        assert in_redis(redis_server) == {"k": 1}  # not before all of it has been committed
    assert in_redis(redis_server) == {}


def test_a_window_begins_with_its_first_attempt_and_ends(processes: Processes, redis_server: RedisServer) -> None:
    [app] = processes()
    database, limit = app.state.database, Limit("k", 2, 2)
    known = Tries(redis_server.url, school_of(database.settings))
    redis, key = known._redis, known.prefix + "k"
    assert throttles.count(database, [limit]) == 0
    first = redis.pttl(key)
    assert throttles.count(database, [limit]) == 0
    assert redis.pttl(key) <= first <= 2000
    deadline = time.monotonic() + 10
    while throttles.count(database, [limit]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (redis.get(key), redis.pttl(key) > 1000) == (b"1", True)


def test_a_redis_that_forgets_does_not_begin_the_day_anew(processes: Processes, redis_server: RedisServer) -> None:
    """Of a second factor: five tries in five minutes, twenty an hour, fifty a day."""
    [app] = processes()
    short, long = Limit("factor:1::300", 5, 1), Limit("factor:1::86400", 12, 86400)
    looked_at = 0
    deadline = time.monotonic() + 60
    while looked_at < 12 and time.monotonic() < deadline:
        looked_at += throttles.count(app.state.database, [short, long]) == 0
        if looked_at in (5, 10):
            redis_server.stop()
            redis_server.start()
    assert looked_at == 12
    time.sleep(1.1)
    assert throttles.count(app.state.database, [short, long]) > 80_000


def test_two_schools_share_a_redis_and_no_count(processes: Processes, redis_server: RedisServer) -> None:
    [one] = processes()
    [two] = processes(secret_key="another-key-another-key-another-key-0987654321")
    assert guesses([two], 6) == [401] * 5 + [429]
    two.state.database.run(lambda session: ThrottleCRUD(session).reset_beginning("login"))  # they share a database here
    assert guesses([one], 1) == [401]
    assert tries_of(one.state.settings) is not tries_of(two.state.settings)


def test_a_lock_is_not_lifted_while_redis_would_bring_it_back(
    processes: Processes, db: Session, redis_server: RedisServer
) -> None:
    [app] = processes()
    database: Database = app.state.database
    guesses([app], 5)
    redis_server.stop()
    lifts: list[Callable[[LockCRUD], object]] = [
        lambda locks: locks.lift(1),
        lambda locks: locks.lift_address("203.0.113.0"),
        lambda locks: locks.lift_common(),
    ]
    for lift in lifts:
        with pytest.raises(UnavailableError, match="Redis does not answer"):
            database.run(lambda session, lift=lift: lift(LockCRUD(session)))
    assert rows(db)["login:1:"] == 5
    redis_server.start()
    database.run(lambda session: LockCRUD(session).lift(1))
    assert ask_tokens(program(app)).status_code == 200


def test_nobody_waits_for_redis_inside_a_transaction(
    processes: Processes, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    [app] = processes()
    database: Database = app.state.database
    free: list[bool] = []
    real = Tries.forget

    def watched(self: Tries, keys: list[str]) -> None:
        free.append(database._writer.acquire(blocking=False))
        if free[-1]:
            database._writer.release()
        real(self, keys)

    monkeypatch.setattr(Tries, "forget", watched)
    throttles.count(database, [Limit("k", 5, 60)])
    database.run(lambda session: ThrottleCRUD(session).reset(["k"]))
    assert (free, in_redis(redis_server)) == ([True], {})


SIDES = "here", "there"
NAMES = {"a": 1, "b": 2, "c": 4}
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "take", "give_back", "reset"]), st.sets(st.sampled_from("abc"))),
    max_size=25,
)


@given(steps=STEPS)
@hypothesis.settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_counts_as_the_database_does(
    processes: Processes, database: Database, steps: list[tuple[str, set[str]]]
) -> None:
    """Whatever is taken, given back and forgotten, the same attempts are refused."""
    other: Database = processes(reuse=True)[0].state.database
    for each in (database, other):
        each.run(lambda session: ThrottleCRUD(session).reset_beginning("here:", "there:"))
    for kind, names in steps:
        here, there = ([Limit(f"{side}:{name}", NAMES[name], 600) for name in sorted(names)] for side in SIDES)
        if kind == "take":
            assert (throttles.count(database, here) > 0) == (throttles.count(other, there) > 0)
        elif kind == "give_back":
            database.run(lambda session, some=here: ThrottleCRUD(session).give_back(some))
            other.run(lambda session, some=there: ThrottleCRUD(session).give_back(some))
        else:
            database.run(lambda session, some=here: ThrottleCRUD(session).reset([limit.key for limit in some]))
            other.run(lambda session, some=there: ThrottleCRUD(session).reset([limit.key for limit in some]))
