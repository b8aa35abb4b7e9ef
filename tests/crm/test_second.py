"""The second step: what opens it, what a session may do before it, and that nothing works twice."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import time_machine
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.config import Settings
from backend.core.errors import NotAuthenticatedError, NotFoundError
from backend.core.otp import plain
from backend.core.permissions import ADMIN, AUTHOR, SUPPORT, SYSTEM_ROLES, Permission
from backend.core.signin import complete
from backend.database.crud import locks
from backend.database.crud.auth import PENDING, SIGN_IN, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.credentials import CredentialCRUD
from backend.database.crud.locks import LockCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, Credential
from backend.database.models.users import User
from backend.database.session import Database
from main import create_app
from tests.access import API, PAGES, everything
from tests.codes import SECRET, code, give_app, pending, wrong_code
from tests.conftest import ORIGIN, PASSWORD, make_settings
from tests.doors import BASE, bearer, browser, program, sign_in, token_of
from tests.figures import Figure

HOME = "/dashboard/settings/"
SECOND = "/login/second"


@pytest.fixture
def recovery(db: Session, settings: Settings) -> list[str]:
    return give_app(db, settings)


def kinds(db: Session) -> list[str]:
    db.rollback()
    return list(db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)))


def test_a_right_password_and_a_right_code_open_a_new_session(app: FastAPI, db: Session, recovery: list[str]) -> None:
    object.__setattr__(app.state.settings, "remember_days", 30)
    client = browser(app)
    answer = sign_in(client, next=HOME, remember="true")
    assert answer.headers["location"] == "/login/second?next=%2Fdashboard%2Fsettings%2F&remember=true"
    assert set(client.cookies) >= {"lyceum"}
    assert "lyceum_device" not in client.cookies
    first = client.cookies["lyceum"]
    page = client.get(answer.headers["location"])
    assert "Code from the app" in page.text
    shown = code()
    assert client.get(HOME).status_code == 303

    entered = client.post(SECOND, data={"code": f" {shown[:3]} {shown[3:]}", **_hidden(page.text)})
    assert (entered.status_code, entered.headers["location"]) == (303, HOME)
    assert "Max-Age=2592000" in entered.headers["set-cookie"]
    assert client.cookies["lyceum"] != first
    assert client.get(HOME).status_code == 200
    db.rollback()
    states = [
        (row.level, row.method, row.revoked_at is None)
        for row in db.scalars(select(AuthSession).order_by(AuthSession.id))
    ]
    assert states == [("pending", "password", False), ("full", "password+totp", True)]
    assert kinds(db) == ["authn_factor_asked", "authn_login_success"]
    planted = browser(app, "203.0.113.9")
    planted.cookies.set("lyceum", first)
    assert planted.get(HOME).status_code == 303
    assert planted.post(SECOND, data={"code": code(later=1)}).headers["location"].startswith("/login?")


def _hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.partition("</form>")[0]))


def test_before_the_second_step_nothing_else_opens(
    app: FastAPI, db: Session, recovery: list[str], figure: Figure
) -> None:
    """Every page with the pending cookie, and every API route with its secret as a bearer."""
    ids, client = everything(db), pending(app)
    for rule in (each for each in PAGES if each.roles != "*"):
        answer = client.request(rule.method, rule.address(ids))
        assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login"), rule.name
    machine = program(app)
    machine.headers["Authorization"] = f"Bearer {client.cookies['lyceum']}"
    for rule in (each for each in API if each.roles != "*"):
        assert machine.request(rule.method, rule.address(ids)).status_code == 401, rule.name
    assert client.get("/login").status_code == 200
    assert "lyceum_device" not in client.cookies
    figure("B7", "doors open before the second step", 0, "0", sum(rule.roles != "*" for rule in (*API, *PAGES)))


def test_the_step_cannot_be_skipped_repeated_or_taken_late(app: FastAPI, db: Session, recovery: list[str]) -> None:
    stranger = browser(app)
    for answer in (stranger.get(SECOND), stranger.post(SECOND, data={"code": code()})):
        assert answer.headers["location"] == "/login?next=%2Fdashboard%2F"
    assert stranger.post(f"{SECOND}/passkey", data={"answer": "{}", "ticket": "x"}).status_code == 303
    late, two = pending(app), pending(app, "198.51.100.2")
    with time_machine.travel(clock.now() + timedelta(minutes=10, seconds=1)):
        assert late.post(SECOND, data={"code": code()}).headers["location"].startswith("/login?")
    other = TestClient(
        app, base_url=str(two.base_url), headers=two.headers, cookies=two.cookies, follow_redirects=False
    )
    assert two.post(SECOND, data={"code": code()}).headers["location"] == "/dashboard/"
    assert other.post(SECOND, data={"code": code(later=1)}).headers["location"].startswith("/login?")


def test_every_way_in_meets_the_second_step(app: FastAPI, db: Session, recovery: list[str]) -> None:
    client = browser(app)
    address = f"/enter/{OneTimeTokenCRUD(db).issue(1, SIGN_IN, timedelta(minutes=5))}"
    db.commit()
    answer = client.post(address)
    assert answer.headers["location"].startswith("/login/second?")
    assert client.get(HOME).status_code == 303
    assert client.post(SECOND, data={"code": recovery[0]}).headers["location"] == "/dashboard/"
    assert client.get(HOME).status_code == 200
    db.rollback()
    assert db.scalars(select(AuthSession.method).order_by(AuthSession.id)).all() == ["link", "link+recovery"]


@pytest.mark.parametrize("which", ["app", "recovery"])
def test_of_fifty_uses_of_one_code_one_succeeds(
    app: FastAPI,
    database: Database,
    db: Session,
    recovery: list[str],
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    figure: Figure,
) -> None:
    monkeypatch.setattr(locks, "FACTOR", ((1000, 300),))
    sent = code() if which == "app" else recovery[3].upper().replace("-", " ")
    with database.transaction() as session:
        person = session.get_one(User, 1)
        opened = [
            SessionCRUD(session).open(
                person, kind="cookie", user_agent="", ip="", lifetime=PENDING, level="pending", method="password"
            )[1]
            for _ in range(50)
        ]
    clients = [browser(app, f"203.0.113.{number}") for number in range(5)]

    def enter(number: int) -> str:
        shared = clients[number % 5]
        cookies = {"lyceum": opened[number], "lyceum_visitor": shared.cookies["lyceum_visitor"]}
        own = TestClient(app, base_url=BASE, headers=shared.headers, cookies=cookies)
        answer = own.post(SECOND, data={"code": sent}, follow_redirects=False)
        return str(answer.headers.get("location", answer.status_code))

    with ThreadPoolExecutor(25) as pool:
        outcomes = sorted(pool.map(enter, range(50)))
    assert outcomes == ["/dashboard/"] + ["401"] * 49
    db.rollback()
    assert len(db.scalars(select(AuthSession).where(AuthSession.level == "full")).all()) == 1
    won = outcomes.count("/dashboard/")
    figure("B7", f"uses of one code at once that succeed ({which})", won, "1", len(outcomes))


def test_a_code_fits_one_step_before_and_after_and_never_twice(
    app: FastAPI, recovery: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "FACTOR", ((1000, 300),))
    start = clock.now().replace(second=1, microsecond=0) + timedelta(minutes=1)

    def tried(later: int, seconds: int = 0) -> int:
        with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
            return pending(app).post(SECOND, data={"code": code(start, later=later)}).status_code

    assert [tried(-2), tried(2)] == [401, 401]
    assert [tried(-1), tried(-1), tried(0), tried(-1)] == [303, 401, 303, 401]
    assert [tried(1, 10), tried(0, 20), tried(1, 40)] == [303, 401, 401]


def test_tries_are_counted_before_they_are_looked_at(app: FastAPI, db: Session, recovery: list[str]) -> None:
    start = clock.now()
    statuses = []
    for minute in range(0, 26, 5):
        with time_machine.travel(start + timedelta(minutes=minute, seconds=minute)):
            client = pending(app, f"203.0.113.{minute}")
            statuses.append([client.post(SECOND, data={"code": wrong_code()}).status_code for _ in range(6)])
    assert statuses == [[401] * 5 + [429]] * 4 + [[429] * 6] * 2  # five in 5 minutes, twenty in an hour
    with time_machine.travel(start + timedelta(minutes=31)):
        waits = pending(app).post(SECOND, data={"code": code()})
        assert (waits.status_code, "Too many incorrect codes" in waits.text) == (429, True)
        assert 1000 < int(waits.headers["Retry-After"]) <= 1800
        assert LockCRUD(db).locked([1]) == {1}
        LockCRUD(db).lift(1)
        db.commit()
        assert pending(app).post(SECOND, data={"code": code()}).status_code == 303
    # The last try before the lock is an event of its own, which administrators are told of.
    assert (kinds(db).count("authn_factor_fail"), kinds(db).count("authn_factor_fail_max")) == (16, 4)


def test_a_day_has_fifty_tries_however_patient_the_guesser_is(
    app: FastAPI, database: Database, recovery: list[str]
) -> None:
    """Five at a time and six minutes apart: only the hours and then the day stop them."""
    start, day, client = clock.now(), 24 * 60, browser(app)

    def tried(minute: int, times: int, sent: str = "") -> list[httpx2.Response]:
        with time_machine.travel(start + timedelta(minutes=minute), tick=False):
            _row, secret = database.run(lambda session: SessionCRUD(session).open(
                session.get_one(User, 1), kind="cookie", user_agent="", ip="", lifetime=PENDING, level="pending",
                method="password",
            ))  # fmt: skip
            client.cookies.set("lyceum", secret, domain="127.0.0.1")
            return [client.post(SECOND, data={"code": sent or wrong_code()}) for _ in range(times)]

    minutes = [61 * hour + 6 * part for hour in range(3) for part in range(4)]
    parts = [[answer.status_code for answer in tried(minute, 5)] for minute in minutes]
    assert parts == [[401] * 5] * 10 + [[429] * 5] * 2  # 20, 20, 10
    for minute in (4 * 60, 12 * 60, day - 1):
        [refused] = tried(minute, 1, code(start + timedelta(minutes=minute)))
        assert (refused.status_code, int(refused.headers["Retry-After"])) == (429, (day - minute) * 60), minute
    assert [answer.status_code for answer in tried(day, 1, code(start + timedelta(days=1)))] == [303]


def test_a_known_device_is_not_locked_out_by_others(app: FastAPI, recovery: list[str]) -> None:
    own = pending(app, "192.0.2.10")
    assert own.post(SECOND, data={"code": recovery[0]}).status_code == 303
    own.cookies.delete("lyceum")
    thief = pending(app, "203.0.113.9")
    assert [thief.post(SECOND, data={"code": wrong_code()}).status_code for _ in range(6)][-1] == 429
    sign_in(own)
    assert own.post(SECOND, data={"code": code()}).status_code == 303


def test_a_device_that_is_trusted_is_not_asked_until_something_changes(
    app: FastAPI, db: Session, recovery: list[str], settings: Settings
) -> None:
    own = pending(app)
    own.post(SECOND, data={"code": code(), "trust": "true"})
    own.cookies.delete("lyceum")
    own.headers["X-CSRF-Token"] = token_of(own.get("/login"))
    assert sign_in(own).headers["location"] == "/dashboard/"
    page = own.get("/dashboard/settings/security/").text
    assert "Trusted devices" in page
    assert pending(app, "203.0.113.9")  # another device of the same person is asked
    with time_machine.travel(clock.now() + timedelta(days=30, minutes=1)):
        own.headers["X-CSRF-Token"] = token_of(own.get("/login"))
        assert sign_in(own).headers["location"].startswith("/login/second?")
    own.headers["X-CSRF-Token"] = token_of(own.get("/login"))
    assert sign_in(own).headers["location"] == "/dashboard/"
    own.headers["X-CSRF-Token"] = token_of(own.get("/dashboard/settings/security/"))
    assert own.post("/dashboard/settings/security/trusted/forget").status_code == 303
    own.cookies.delete("lyceum")
    own.headers["X-CSRF-Token"] = token_of(own.get("/login"))
    assert sign_in(own).headers["location"].startswith("/login/second?")


def test_the_api_asks_for_the_code_too(app: FastAPI, db: Session, recovery: list[str]) -> None:
    client = program(app)

    def ask(**more: str) -> tuple[int, str]:
        answer = client.post("/api/auth/login", json={"username": "admin", "password": PASSWORD, **more})
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    shown = code()
    assert ask() == (401, "second_factor_required")
    assert ask(otp=wrong_code()) == (401, "invalid_otp")
    assert ask(otp=shown) == (200, "")
    assert ask(otp=shown) == (401, "invalid_otp")
    assert ask(otp=recovery[1]) == (200, "")
    assert ask(otp=recovery[1]) == (401, "invalid_otp")
    assert [ask(otp=wrong_code()) for _ in range(3)][1:] == [(401, "invalid_otp"), (429, "too_many_requests")]
    found = kinds(db)
    assert found.count("authn_login_success") == 2
    assert found.count("authn_recovery_code_used") == 1


def test_a_stolen_database_holds_no_code(db: Session, recovery: list[str]) -> None:
    stored = [str(value) for row in db.scalars(select(Credential)) for value in vars(row).values()]
    assert not any(SECRET in value for value in stored)
    assert not any(plain(secret) in plain(value) for value in stored for secret in recovery)
    assert len({*recovery}) == 10
    assert all(len(plain(each)) == 16 for each in recovery)


def test_codes_are_read_as_people_type_them(app: FastAPI, recovery: list[str]) -> None:
    misread = recovery[0].replace("o", "0").replace("l", "1").replace("b", "8").upper()
    assert pending(app).post(SECOND, data={"code": f" {misread} "}).status_code == 303
    assert pending(app).post(SECOND, data={"code": ""}).status_code == 422


def test_where_a_role_needs_a_second_step_nothing_opens_without(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, admin: TestClient
) -> None:
    settings = make_settings(database_url, tmp_path_factory.mktemp("data"), require_2fa_roles=" Админ, Менеджер")
    strict = create_app(settings)
    cookie = {"lyceum": admin.cookies["lyceum"]}
    person = TestClient(
        strict, base_url="http://127.0.0.1:8000", headers=ORIGIN, cookies=cookie, follow_redirects=False
    )
    set_up = "/dashboard/settings/security/"
    assert person.get("/dashboard/users/").headers["location"] == set_up
    swap = person.get("/dashboard/tickets/badge", headers={"HX-Request": "true"})
    assert swap.headers["HX-Redirect"] == set_up
    page = person.get(set_up)
    assert "Your role requires two-factor authentication." in page.text
    assert person.get(f"{set_up}app").status_code == 200
    tokens = program(strict).post("/auth/login", json={"username": "admin", "password": PASSWORD}).json()
    refused = program(strict).get("/api/users/", headers=bearer(tokens["access_token"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "second_factor_missing")
    with strict.state.database.transaction() as session:
        CredentialCRUD(session).set_app(1, security.seal(settings, SECRET), 0)
    assert person.get("/dashboard/users/").status_code == 200
    strict.state.database.dispose()


@pytest.mark.parametrize(
    "sent", [{}, {"ticket": "x", "answer": "{}"}, {"ticket": "x", "answer": "nonsense"}, {"ticket": "", "answer": "[1"}]
)
def test_a_passkey_that_is_none_brings_back_the_sign_in_page(app: FastAPI, sent: dict[str, str]) -> None:
    answer = browser(app).post("/login/passkey", data=sent | {"next": "/dashboard/users/"})
    assert answer.status_code in (401, 422)
    assert 'role="alert"' in answer.text
    assert 'name="next" value="/dashboard/users/"' in answer.text
    assert "lyceum" not in answer.cookies


@pytest.mark.parametrize(
    ("given", "https", "plain"),
    [
        (None, True, False),
        ("", True, False),
        ("Nobody", False, False),
        ("Админ, Куратор", True, True),
        ("Support, admin", True, True),
        ("Куратор", False, False),
    ],
)
def test_who_needs_a_second_step_is_decided_by_the_settings(
    given: str | None, https: bool, plain: bool, tmp_path: Path
) -> None:
    chosen = {} if given is None else {"require_2fa_roles": given}
    for url, needed in (("https://school.example", https), ("http://127.0.0.1:8000", plain)):
        settings = make_settings("sqlite://", tmp_path, base_url=url, **chosen)
        mighty = SYSTEM_ROLES[AUTHOR] | {Permission.ROLES_WRITE}  # a role of the school's own
        for role, rights in (("Админ", SYSTEM_ROLES[ADMIN]), ("Owner2", SYSTEM_ROLES[ADMIN]), ("Chief", mighty)):
            assert settings.needs_factor(role, rights) is needed
            assert settings.advises_factor(rights) is (given in (None, "") and url.startswith("http:"))
        assert settings.needs_factor("Автор", SYSTEM_ROLES[AUTHOR]) is False
        assert settings.needs_factor("Поддержка", SYSTEM_ROLES[SUPPORT]) is ("Support" in (given or ""))
        assert settings.needs_factor("куратор", SYSTEM_ROLES[AUTHOR]) is ("Куратор" in (given or ""))
        assert settings.advises_factor(SYSTEM_ROLES[AUTHOR]) is False


def test_a_session_that_ended_meanwhile_is_neither_completed_nor_renewed(
    app: FastAPI, database: Database, recovery: list[str]
) -> None:
    client = pending(app)
    secret = client.cookies["lyceum"]
    with database.read() as session:
        found = SessionCRUD(session).find_pending(secret)
    assert found is not None
    assert database.run(lambda session: SessionCRUD(session).revoke(found.id)) is True
    request = Request({"type": "http", "headers": [], "client": ("198.51.100.1", 1), "app": app})
    with pytest.raises(NotAuthenticatedError):
        database.run(lambda session: complete(session, found, request, factor="totp"))
    with pytest.raises(NotFoundError):
        database.run(lambda session: SessionCRUD(session).renew(found.id, proved=True))
