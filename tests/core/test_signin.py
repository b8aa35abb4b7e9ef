"""Guessing passwords: how often one may, who is never locked out by it, and that it tells nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from backend.core import clock, recovery, security, signin
from backend.core.devices import Device, device_of
from backend.core.errors import UnavailableError
from backend.core.hosts import network
from backend.core.signin import Attempt, InvalidCredentialsError, verify
from backend.database.crud import locks
from backend.database.crud.locks import LockCRUD, account_key
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import RateBucket
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs.periodic import CHORES
from tests.conftest import PASSWORD, POSTGRES
from tests.doors import ask_tokens, browser, program, sign_in, token_of
from tests.figures import Figure

WRONG = "wrong password here"


def counts(db: Session) -> dict[str, int]:
    db.rollback()
    return {bucket.key: bucket.count for bucket in db.scalars(select(RateBucket).order_by(RateBucket.key))}


def test_the_sixth_try_at_an_account_waits_even_with_the_right_password(app: FastAPI) -> None:
    statuses = [ask_tokens(program(app, f"203.0.113.{n}"), WRONG).status_code for n in range(5)]
    assert statuses == [401] * 5
    answer = ask_tokens(program(app, "203.0.113.99"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1)):
        assert ask_tokens(program(app)).status_code == 200


def test_an_unknown_login_is_throttled_just_the_same(app: FastAPI, db: Session) -> None:
    statuses = [ask_tokens(program(app), WRONG, "nobody").status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert not any("nobody" in key for key in counts(db))


def test_login_and_email_are_one_account(app: FastAPI, db: Session) -> None:
    db.scalars(select(User)).one().email = "anna@example.org"
    db.commit()
    logins = ["admin", "ANNA@example.org", " Admin", "anna@Example.org", "admin", "admin"]
    statuses = [ask_tokens(program(app), WRONG, login).status_code for login in logins]
    assert statuses == [401] * 5 + [429]
    assert ask_tokens(program(app), PASSWORD, "anna@example.org").status_code == 429


def test_a_right_password_locks_the_counts_in_the_order_of_the_attempt(app: FastAPI, database: Database) -> None:
    """In another order two who sign in to one account at once wait for each other, and PostgreSQL refuses both."""
    touched: list[str] = []

    def note(_c: object, _cur: object, statement: str, values: Any, *_rest: object) -> None:
        if "rate_buckets" in statement and not statement.startswith("SELECT"):
            given = values.values() if isinstance(values, dict) else values
            touched.extend(value for value in given if str(value).startswith("login"))

    event.listen(database.engine, "before_cursor_execute", note)
    assert ask_tokens(program(app)).status_code == 200
    keys = ["login-ip:198.51.100.1", account_key(1), "login-all"]
    assert touched == keys * 2


def test_the_page_waits_too_and_says_so(app: FastAPI) -> None:
    client = browser(app)
    for _ in range(5):
        sign_in(client, WRONG)
    answer = sign_in(client)
    assert (answer.status_code, 890 <= int(answer.headers["Retry-After"]) <= 900) == (429, True)
    assert "Too many attempts. Wait 15 minutes and try again." in answer.text


def test_an_address_has_twenty_failures_an_hour_whomever_it_tries(app: FastAPI, db: Session) -> None:
    client = program(app, "203.0.113.7")
    statuses = [ask_tokens(client, WRONG, f"person{number}").status_code for number in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    answer = ask_tokens(client)
    assert (answer.status_code, 3500 <= int(answer.headers["Retry-After"]) <= 3600) == (429, True)
    assert answer.json()["error"]["message"] == "Too many requests. Wait a little and try again."
    assert ask_tokens(program(app, "203.0.113.8")).status_code == 200
    # Shut out for its address, it could not use up anyone's tries either.
    assert counts(db).get("login:1:") is None
    assert used_up(db) == [("address", None)]


def used_up(db: Session) -> list[tuple[str, int | None]]:
    """What the alerts about too many attempts tell: whom the lock keeps out, and whose account it was."""
    db.rollback()
    told = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "authn_login_fail_max"))
    return [(event.data["limit"], event.user_id) for event in told]


def test_an_office_behind_one_address_signs_in_all_morning(app: FastAPI, db: Session) -> None:
    client = program(app, "203.0.113.7")
    assert [ask_tokens(client).status_code for _ in range(30)] == [200] * 30
    assert counts(db) == {"login-all": 0, "login-ip:203.0.113.7": 0}


def test_a_right_password_forgets_the_accounts_failures_and_no_others(app: FastAPI, db: Session) -> None:
    client = program(app, "203.0.113.7")
    for _ in range(4):
        ask_tokens(client, WRONG)
    assert counts(db) == {"login-all": 4, "login-ip:203.0.113.7": 4, "login:1:": 4}
    assert ask_tokens(client).status_code == 200
    assert counts(db) == {"login-all": 4, "login-ip:203.0.113.7": 4}


def test_everyone_together_has_a_thousand(database: Database, db: Session) -> None:
    with pytest.raises(InvalidCredentialsError):
        verify(database, Attempt("nobody", WRONG, "203.0.113.1"))
    db.rollback()
    db.scalars(select(RateBucket).where(RateBucket.key == "login-all")).one().count = 999
    db.commit()
    with pytest.raises(InvalidCredentialsError):
        verify(database, Attempt("anybody", WRONG, "203.0.113.1"))
    with pytest.raises(signin.TooManyRequestsError) as refused:
        verify(database, Attempt("somebody", WRONG, "203.0.113.2"))
    assert 290 <= int(refused.value.headers["Retry-After"]) <= 300
    assert used_up(db) == [("everyone", None)]


def entry(db: Session, client: TestClient, agent: str = "testclient") -> str:
    """What a sign-in is told as."""
    client.headers["User-Agent"] = agent
    assert sign_in(client).status_code == 303
    db.rollback()
    return db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id.desc())).first() or ""


@pytest.mark.parametrize("days", [3, 80])
def test_a_new_device_is_told_after_a_weekend_and_a_summer(
    app: FastAPI, db: Session, database: Database, days: int
) -> None:
    assert entry(db, browser(app, "192.0.2.10")) == "authn_login_success"
    with time_machine.travel(clock.now() + timedelta(days=days)):
        database.run(next(chore for chore in CHORES if chore.name == "purge").work)
        assert entry(db, browser(app, "203.0.113.9"), "Another/1.0") == "authn_login_new_device"
        assert entry(db, browser(app, "192.0.2.10")) == "authn_login_success"


def test_a_device_is_a_program_at_a_place_or_a_browser_that_was_here(app: FastAPI, db: Session) -> None:
    """Browsers of one make all say the same of themselves, and an office shares an address."""
    own = browser(app, "192.0.2.10")
    assert entry(db, own) == "authn_login_success"  # the first of all
    assert entry(db, browser(app, "192.0.2.10")) == "authn_login_success"
    assert entry(db, browser(app, "203.0.113.9")) == "authn_login_new_device"
    assert entry(db, browser(app, "192.0.2.10"), "Another/1.0") == "authn_login_new_device"
    own.cookies.delete("lyceum")
    own.headers["X-CSRF-Token"] = token_of(own.get("/login"))
    assert entry(db, own, "Updated/2.0") == "authn_login_success"  # by its cookie
    assert ask_tokens(program(app, "203.0.113.77")).status_code == 200
    db.rollback()
    last = db.scalars(select(SecurityEvent).order_by(SecurityEvent.id.desc())).first()
    assert last is not None
    assert (last.kind, last.data) == ("authn_login_new_device", {"method": "api"})


def test_every_lock_can_be_lifted(db: Session, app: FastAPI, database: Database) -> None:
    """Whatever keeps somebody out: of the account, of their network, or of everyone."""
    ask = Request({"type": "http", "app": app, "method": "GET", "path": "/", "headers": [], "client": ("::1", 1)})
    person, device = UserCRUD(db).get_by_id(1), Device("d").with_person(db, 1)
    known = _request(app, device.seal(app.state.settings))
    own = [*signin._limits(db, Attempt("admin", "", "::1", device=device), person), *locks.factor_limits(1, "d")]
    own += [*locks.factor_limits(1), *recovery._limits(database, known, "admin")]
    shared = [*signin._limits(db, Attempt("admin", "", "::1"), person), *recovery._limits(database, ask, "admin")]
    more = ("elsewhere-ip:::/64", "register-ip:::/64", "register-all")
    ThrottleCRUD(db).take([*own, *shared, *(Limit(key, 5, 60) for key in more), Limit(locks.password_key(1), 5, 60)])
    assert len(counts(db)) > 12
    LockCRUD(db).lift(1)
    assert {key.partition(":")[0] for key in counts_now(db)} == {
        "login-ip", "login-all", "reset-ip", "elsewhere-ip", "register-ip", "register-all",
    }  # fmt: skip
    LockCRUD(db).lift_address(network("::1"))
    assert counts_now(db).keys() == {"login-all", "register-all"}
    LockCRUD(db).lift_common()
    assert counts_now(db) == {}


def test_fifty_guesses_at_once_are_five(app: FastAPI, db: Session) -> None:
    clients = [program(app, f"203.0.113.{number}") for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda client: ask_tokens(client, WRONG).status_code, clients))
    assert sorted(statuses) == [401] * 5 + [429] * 45
    assert counts(db)["login:1:"] == 5


def test_fifty_guesses_from_one_address_are_twenty(app: FastAPI, db: Session) -> None:
    def guess(number: int) -> int:
        return ask_tokens(program(app, "203.0.113.7"), WRONG, f"person{number}").status_code

    with ThreadPoolExecutor(25) as pool:
        statuses = list(pool.map(guess, range(50)))
    assert sorted(statuses) == [401] * 20 + [429] * 30
    assert counts(db)["login-ip:203.0.113.7"] == 20


def test_a_header_does_not_change_whose_tries_they_are(app: FastAPI) -> None:
    client = program(app, "203.0.113.7")
    statuses = []
    for number in range(22):
        client.headers["X-Forwarded-For"] = client.headers["X-Real-IP"] = f"10.0.0.{number}"
        statuses.append(ask_tokens(client, WRONG, f"person{number}").status_code)
    assert statuses == [401] * 20 + [429] * 2


def test_an_attack_does_not_lock_out_the_browser_that_the_person_uses(app: FastAPI) -> None:
    own = browser(app, "192.0.2.10")
    sign_in(own)
    own.cookies.delete("lyceum")
    for number in range(30):
        ask_tokens(program(app, f"203.0.113.{number}"), WRONG)
    assert sign_in(browser(app, "192.0.2.11")).status_code == 429
    assert sign_in(own).status_code == 303
    # Even the known browser may not guess for ever.
    own.cookies.delete("lyceum")
    assert [sign_in(own, WRONG).status_code for _ in range(12)] == [401] * 10 + [429] * 2


def test_a_known_browser_is_known_for_its_own_people_only(app: FastAPI, db: Session) -> None:
    UserCRUD(db).create_staff(login="boris", password_hash=security.hash_password(PASSWORD), role="Менеджер")
    db.commit()
    own = browser(app, "192.0.2.10")
    sign_in(own)
    own.cookies.delete("lyceum")
    statuses = [sign_in(own, WRONG, "boris").status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def test_the_cookie_of_a_device_cannot_be_made_up_or_passed_on(app: FastAPI, db: Session) -> None:
    client = browser(app)
    sign_in(client)
    name, people, sealed, mac = client.cookies["lyceum_device"].split(".")
    assert people.partition(":")[0] == "1"
    mark = people.partition(":")[2]
    before = f"{name}.1.{sealed}.{{}}"  # as cookies were, without a mark
    for forged in (
        f"{name}.{people}-2:{mark}.{sealed}.{mac}", f"{name}x.{people}.{sealed}.{mac}",
        f"{name}.{people}.{int(sealed) + 1}.{mac}", f"{name}.1:{'0' * 16}.{sealed}.{mac}",
        f"{name}.{people}.{sealed}.{'0' * 64}", "", ".", "..", "...", "a.b", f"{name}.{people}",
        f"{name}.{people}.{sealed}", before.format(security.sign(app.state.settings, "device", before[:-3])),
    ):  # fmt: skip
        sent = _request(app, forged)
        assert device_of(sent, app.state.settings) == Device()
    mine = _request(app, f"{name}.{people}.{sealed}.{mac}")
    assert device_of(mine, app.state.settings) == Device(name, ((1, mark),))
    for days, known in ((364, True), (366, False)):
        with time_machine.travel(clock.now() + timedelta(days=days)):
            assert device_of(mine, app.state.settings).knows(db, 1) is known


def _request(app: FastAPI, cookie: str) -> Request:
    headers = [(b"cookie", f"lyceum_device={cookie}".encode())]
    return Request({"type": "http", "app": app, "method": "GET", "path": "/", "headers": headers})


def test_a_device_remembers_its_last_five_people(db: Session) -> None:
    device = Device()
    for person in (1, 2, 3, 4, 5, 6, 2):
        device = device.with_person(db, person)
    assert [person for person, _mark in device.people] == [3, 4, 5, 6, 2]
    assert len({Device().with_person(db, 1).name for _ in range(10)}) == 10


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_limits_count_what_one_subscriber_has(ip: str, expected: str) -> None:
    assert network(ip) == expected


def test_a_password_that_changes_during_the_check_is_refused(database: Database, db: Session) -> None:
    verified = verify(database, Attempt("admin", PASSWORD))
    db.scalars(select(User)).one().password_hash = security.hash_password("another long password")
    db.commit()
    with pytest.raises(InvalidCredentialsError):
        database.run(lambda session: signin.welcome(session, verified))


def test_an_account_that_is_switched_off_during_the_check_is_refused(database: Database, db: Session) -> None:
    verified = verify(database, Attempt("admin", PASSWORD))
    db.scalars(select(User)).one().is_active = False
    db.commit()
    with pytest.raises(InvalidCredentialsError):
        database.run(lambda session: signin.welcome(session, verified))


def test_no_transaction_is_open_while_a_password_is_checked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_connections = []
    real = security.check_password

    def watched(password: str, stored: str | None) -> tuple[bool, str | None]:
        open_connections.extend(engine.pool.checkedout() for engine in database.engines)  # type: ignore[attr-defined] # QueuePool
        return real(password, stored)

    monkeypatch.setattr(security, "check_password", watched)
    verify(database, Attempt("admin", PASSWORD))
    assert open_connections == [0] * len(database.engines)


# -- the counter itself


def test_a_limit_counts_refuses_and_starts_again(db: Session) -> None:
    throttle, limit = ThrottleCRUD(db), Limit("k", 2, 60)
    start = clock.now()
    assert [throttle.take([limit]) for _ in range(2)] == [0, 0]
    assert 59 <= throttle.take([limit]) <= 60
    with time_machine.travel(start + timedelta(seconds=61)):
        assert throttle.take([limit]) == 0
        db.flush()
    assert db.scalars(select(RateBucket.count)).one() == 1


def test_a_refusal_counts_nothing_behind_it(db: Session) -> None:
    throttle = ThrottleCRUD(db)
    first, second = Limit("a", 1, 60), Limit("b", 5, 60)
    assert throttle.take([first, second]) == 0
    assert throttle.take([first, second]) > 0
    db.expire_all()
    assert counts_now(db) == {"a": 1, "b": 1}


def counts_now(db: Session) -> dict[str, int]:
    return {bucket.key: bucket.count for bucket in db.scalars(select(RateBucket).order_by(RateBucket.key))}


def test_forgetting_by_beginning_takes_signs_literally(db: Session) -> None:
    throttle = ThrottleCRUD(db)
    throttle.take([Limit(key, 5, 60) for key in ("login:1:", "login:12:", "login-device:1:x", "a%", "ab")])
    assert throttle.reset_beginning("login:1:", "login-device:1:") == 2
    assert throttle.reset_beginning("a%") == 1
    assert set(counts_now(db)) == {"ab", "login:12:"}


def test_what_has_expired_is_swept_away(db: Session) -> None:
    throttle = ThrottleCRUD(db)
    throttle.take([Limit("old", 5, 60), Limit("young", 5, 600)])
    with time_machine.travel(clock.now() + timedelta(seconds=61)):
        throttle.purge()
    assert set(counts_now(db)) == {"young"}


@pytest.mark.slow
def test_guesses_from_a_thousand_addresses_are_five(
    database: Database, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Ten thousand guesses, many at once; what has to wait costs no look at the password."""
    monkeypatch.setattr(signin, "EVERYONE", 100_000)  # the account's own limit is asked about

    def guess(number: int) -> str:
        try:
            verify(database, Attempt("admin", f"guess {number}", f"203.0.{number % 1000 // 250}.{number % 250}"))
        except signin.TooManyRequestsError:
            return "waits"
        except InvalidCredentialsError:
            return "wrong"
        except UnavailableError:  # fifty writers at once are more than one file takes
            return "busy"
        return "in"

    with ThreadPoolExecutor(24 if POSTGRES else 50) as pool:  # no more than there are connections
        outcomes = list(pool.map(guess, range(10_000)))
    assert (outcomes.count("wrong"), outcomes.count("in"), outcomes.count("waits") > 9_000) == (5, 0, True)
    with database.read() as session:
        known = Device().with_person(session, 1)
    assert verify(database, Attempt("admin", PASSWORD, "192.0.2.10", device=known)).user_id == 1
    figure("B5", "guesses at a password that are looked at", outcomes.count("wrong"), "<= 5", len(outcomes))


def test_whoever_signs_in_is_who_did_it(app: FastAPI, db: Session) -> None:
    sign_in(browser(app))
    event = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "authn_login_success")).one()
    assert (event.user_id, event.actor_id, event.door, event.data) == (1, 1, "web", {"method": "password"})
