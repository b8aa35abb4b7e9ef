"""People and tokens from the terminal."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.cli import accounts
from backend.core import security
from backend.core.permissions import BOT_SCOPES
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import ApiToken, RateBucket
from backend.database.models.history import ChangeSet
from backend.database.models.users import User
from tests.cli.conftest import Run
from tests.doors import ask_tokens, bearer, browser, program, token_of

pytestmark = pytest.mark.usefixtures("migrated")
LINK = re.compile(r"http://127\.0\.0\.1:\d{4,5}(/enter/[\w-]{43})\n")


def person(db: Session, login: str) -> User:
    db.rollback()
    return db.scalars(select(User).where(User.login == login)).one()


def test_a_link_lets_its_person_in_once(run: Run, app: FastAPI) -> None:
    done = run("sign-in-link", "ADMIN")
    assert (done.exit_code, done.stderr) == (0, "It works once, for 15 minutes.\n")
    found = LINK.fullmatch(done.stdout)
    assert found is not None
    client = browser(app)
    answer = client.post(found[1], data={"csrf_token": token_of(client.get(found[1]))})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")


def test_a_link_for_nobody_says_who_there_is(run: Run, db: Session) -> None:
    done = run("sign-in-link", "nobody")
    assert (done.exit_code, done.stderr) == (1, "There is no nobody. Administrators: admin.\n")
    person(db, "admin").is_active = False
    db.commit()
    assert run("sign-in-link", "admin").stderr == "The account of admin is switched off.\n"
    assert run("sign-in-link", "x").stderr == "There is no x. Administrators: none, see create-admin.\n"


def test_an_administrator_without_a_terminal_gets_a_link(run: Run, db: Session) -> None:
    for command, login in (("create-admin", "boris"), ("createadmin", "vera")):
        done = run(command, login, "--name", "Борис")
        assert (done.exit_code, bool(LINK.fullmatch(done.stdout))) == (0, True)
        made = person(db, login)
        assert (made.first_name, made.password_hash, made.is_active) == ("Борис", None, True)
    assert db.scalars(select(ChangeSet.door).order_by(ChangeSet.id.desc())).first() == "cli"


def test_at_a_terminal_a_password_is_asked_for_until_it_will_do(
    run: Run, db: Session, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["short", "boris-boris1", "tulip-kettle-orbit", "tulip-kettle-orbit"])
    monkeypatch.setattr(accounts, "at_terminal", lambda: True)
    monkeypatch.setattr(accounts.typer, "prompt", lambda *_a, **_n: next(answers))
    done = run("create-admin", "boris")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "At least 12 characters.",
        "This is too similar to your name, login or school.",
        "boris is an administrator now.",
    ]
    assert ask_tokens(program(app), "tulip-kettle-orbit", "boris").status_code == 200


def test_two_different_passwords_make_nobody(run: Run, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["tulip-kettle-orbit", "tulip-kettle-orbiT"])
    monkeypatch.setattr(accounts, "at_terminal", lambda: True)
    monkeypatch.setattr(accounts.typer, "prompt", lambda *_a, **_n: next(answers))
    done = run("create-admin", "boris")
    assert (done.exit_code, "The two passwords differ" in done.stderr) == (1, True)
    assert db.scalars(select(User.login)).all() == ["admin"]


@pytest.mark.parametrize("login", ["a", "a b", "a@b.example", "x" * 65, "tab\tbed"])
def test_what_is_no_login_is_refused(run: Run, login: str) -> None:
    done = run("create-admin", login)
    assert done.exit_code == 1
    assert done.stderr == "2 to 64 characters without spaces and “@”.\n"


def test_a_taken_login_is_refused(run: Run) -> None:
    done = run("create-admin", "Admin")
    assert (done.exit_code, done.stderr.partition(":")[0]) == (1, "There is a Admin already")


def test_a_token_is_printed_once_and_does_what_it_says(run: Run, db: Session, app: FastAPI) -> None:
    done = run("create-token", "website", "--scope", "users:write", "--scope", "purchases:write")
    assert done.exit_code == 0
    assert re.fullmatch(r"lyc_[\w-]{43}\n", done.stdout)
    me = program(app).get("/api/auth/me", headers=bearer(done.stdout.strip())).json()
    assert (me["name"], me["permissions"]) == ("website", ["purchases:write", "users:write"])
    [token] = db.scalars(select(ApiToken)).all()
    assert (token.user_id, token.token_hash) == (None, security.digest(done.stdout.strip()))


def test_the_scope_bot_is_the_whole_bundle(run: Run, db: Session) -> None:
    assert run("create-token", "bot", "--scope", "bot").exit_code == 0
    assert set(db.scalars(select(ApiToken.scopes)).one()) == {str(scope) for scope in BOT_SCOPES}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("x", "--scope", "users:delete"), "There is no right users:delete. Known: dashboard:read, "),
        ((" ", "--scope", "bot"), "The name must have 1 to 100 characters."),
        (("x" * 101, "--scope", "bot"), "The name must have 1 to 100 characters."),
    ],
)
def test_a_token_for_nothing_is_refused(run: Run, db: Session, arguments: tuple[str, ...], told: str) -> None:
    done = run("create-token", *arguments)
    assert (done.exit_code, done.stdout, done.stderr.startswith(told)) == (1, "", True)
    assert db.scalars(select(ApiToken)).all() == []


def test_a_token_needs_a_scope(run: Run) -> None:
    done = run("create-token", "website")
    assert (done.exit_code, "--scope" in done.stderr) == (2, True)


def test_unlocking_lets_a_person_try_again(run: Run, app: FastAPI, db: Session) -> None:
    for _ in range(6):
        ask_tokens(program(app), "wrong password")
    assert ask_tokens(program(app)).status_code == 429
    done = run("unlock", "admin")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "admin may try to sign in again.")
    event = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "authn_login_lock_lifted")).one()
    assert (event.user_id, event.door) == (1, "cli")
    assert ask_tokens(program(app)).status_code == 200
    assert "login:1:" not in db.scalars(select(RateBucket.key)).all()


def test_unlocking_lets_an_address_or_everyone_try_again(run: Run, app: FastAPI, db: Session) -> None:
    office = program(app, "2001:db8:1:2::7")
    assert [ask_tokens(office, login=f"person{number}").status_code for number in range(21)][-1] == 429
    assert run("unlock", "--address", "2001:db8:1:2::99").exit_code == 0
    assert ask_tokens(office).status_code == 200
    ThrottleCRUD(db).take([Limit("login-all", 1, 300)])
    db.execute(update(RateBucket).where(RateBucket.key == "login-all").values(count=1000))
    db.commit()
    assert ask_tokens(office).status_code == 429
    assert run("unlock", "--everyone").exit_code == 0
    assert ask_tokens(office).status_code == 200
    done = run("unlock")
    assert (done.exit_code, "--address 203.0.113.7" in done.stderr) == (1, True)
    lifted = select(SecurityEvent.data).where(SecurityEvent.kind == "authn_login_lock_lifted")
    assert list(db.scalars(lifted.order_by(SecurityEvent.id))) == [{"address": "2001:db8:1:2::/64"}, {"everyone": True}]


def test_commands_that_need_rows_need_the_schema(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/empty.db")
    for arguments in (
        ("sign-in-link", "admin"),
        ("create-token", "x", "--scope", "bot"),
        ("unlock", "admin"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1
        assert done.stderr.startswith("The database is behind the program (at nothing, needs ")
    assert run("create-admin", "boris").exit_code == 0
