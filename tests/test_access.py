"""The table of tests/access.py, tried: every route as every role, with every right of a token, and as nobody."""

import uuid

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core.auth import create_access_token
from backend.core.permissions import Permission
from backend.core.units import Policy
from backend.database.crud.auth import API_ABSOLUTE, ApiTokenCRUD, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.session import Database
from tests.access import API, PAGES, PRIVATE, ROLES, Rule, everything
from tests.conftest import SignIn
from tests.contents import digest
from tests.doors import bearer, program
from tests.figures import Figure
from tests.routes import OUTSIDE, outside, routes_of

JSON = {"Content-Type": "application/json"}


def test_every_route_stands_in_the_table_once(whole: FastAPI) -> None:
    """With and without a last slash it is one route, so both spellings ask for the same."""
    policies: dict[str, set[Policy]] = {}
    for route in routes_of(whole):
        for method in route.methods:
            policies.setdefault(f"{method} {route.path.rstrip('/')}", set()).add(route.policy)
    wanted = [rule.name.rstrip("/") for rule in (*API, *PAGES)]
    assert sorted(policies) == sorted(wanted)
    assert [name for name, found in policies.items() if len(found) != 1] == []


def test_nothing_answers_without_a_policy_but_what_is_named(whole: FastAPI) -> None:
    """Whatever it is: a route of another kind, a mounted application, one that settings alone bring."""
    assert sorted(outside(whole)) == sorted(OUTSIDE)


def test_who_is_asked_for_a_fresh_proof_stands_in_the_table(app: FastAPI) -> None:
    """Roles and rights, refunds, files of any list, tokens, factors: none can be left out unseen."""
    asked = {f"{method} {r.path.rstrip('/')}" for r in routes_of(app) if r.policy.recent for method in r.methods}
    assert sorted(asked) == sorted(rule.name.rstrip("/") for rule in (*API, *PAGES) if rule.asks)
    strong = {f"{method} {r.path.rstrip('/')}" for r in routes_of(app) if r.policy.strong for method in r.methods}
    assert sorted(strong) == sorted(rule.name.rstrip("/") for rule in (*API, *PAGES) if rule.proof == "!!")


# What only ends access is done at once: nobody should have to prove who they are to shut a door.
SHUTS = {
    "POST /dashboard/settings/tokens/{token_id}/revoke",
    "POST /dashboard/settings/staff/{user_id}/sign-out",
}
DELICATE = {Permission.PURCHASES_REFUND, Permission.STAFF_WRITE, Permission.ROLES_WRITE, Permission.TOKENS_WRITE}


def test_money_back_staff_roles_and_tokens_ask_for_a_fresh_proof(app: FastAPI) -> None:
    """Whatever writes by such a right, also a route that is made tomorrow."""
    writing = [r for r in routes_of(app) if any(DELICATE & group for group in r.policy.groups)]
    left_out = {f"{method} {r.path}" for r in writing if not r.policy.recent for method in r.methods - {"GET", "HEAD"}}
    assert left_out == SHUTS


def admitted(status: int, location: str) -> bool:
    return status not in (401, 403) and not location.startswith("/login")


def ask(client: TestClient, rule: Rule, ids: dict[str, str]) -> bool:
    answer = client.request(rule.method, rule.address(ids), headers=JSON if rule in API else {})
    assert answer.status_code < 500, rule.name
    return admitted(answer.status_code, answer.headers.get("location", ""))


def last(rules: list[Rule]) -> list[Rule]:
    """The sign-out at the end: it ends the session that asks."""
    return sorted(rules, key=lambda rule: rule.path.endswith("/logout"))


@pytest.mark.parametrize("letter", ROLES)
def test_a_role_opens_its_pages_and_no_others(db: Session, staff: SignIn, letter: str, figure: Figure) -> None:
    ids, person = everything(db), staff(ROLES[letter])
    private = [rule for rule in PAGES if rule.roles != "*"]
    opened = {rule.name for rule in private if ask(person, rule, ids)}
    # An undo asks for the right to each record as well, and this one is of a person of the staff.
    opened |= {rule.name for rule in private if rule.path.endswith("/undo") and letter != "L"}
    assert opened == {rule.name for rule in private if letter in rule.roles}
    figure("B1", "doors open to the wrong role", 0, "0", len(private))


def access_token(app: FastAPI, database: Database, role: str) -> str:
    with database.transaction() as session:
        login = f"person-{uuid.uuid4().hex[:8]}"
        person = UserCRUD(session).create_staff(login=login, password_hash=None, role=role)
        opened, _secret = SessionCRUD(session).open(person, kind="api", user_agent="", ip="", lifetime=API_ABSOLUTE)
        return create_access_token(app.state.settings, opened)


@pytest.mark.parametrize("letter", ROLES)
def test_a_role_opens_its_part_of_the_api_and_no_other(
    app: FastAPI, database: Database, db: Session, letter: str, figure: Figure
) -> None:
    ids = everything(db)
    tokens = [access_token(app, database, ROLES[letter]) for _ in range(2)]  # one for each of the two sign-outs
    opened = set()
    client = program(app)
    for rule in last([rule for rule in API if rule.roles != "*"]):
        client.headers.update(bearer(tokens[0]))
        if ask(client, rule, ids):
            opened.add(rule.name)
            if rule.path.endswith("/logout"):
                tokens.pop(0)
    assert opened == {rule.name for rule in API if letter in rule.roles}
    figure("B1", "doors open to the wrong role", 0, "0", sum(rule.roles != "*" for rule in API))


@pytest.mark.parametrize("scope", [*Permission])
def test_a_right_of_a_token_opens_what_it_names(
    app: FastAPI, database: Database, db: Session, scope: str, figure: Figure
) -> None:
    ids = everything(db)
    with database.transaction() as session:
        _token, text = ApiTokenCRUD(session).issue("tests", frozenset({scope}))
    client = program(app)
    client.headers.update(bearer(text))
    named = [rule for rule in API if rule.scopes and "signed-in" not in rule.scopes]
    assert {rule.name for rule in named if ask(client, rule, ids)} == {
        rule.name for rule in named if scope in rule.scopes
    }
    figure("B1", "doors open to a token without the right", 0, "0", len(named))


def test_what_is_for_people_is_not_for_programs_whatever_they_hold(
    app: FastAPI, database: Database, db: Session
) -> None:
    ids = everything(db)
    with database.transaction() as session:
        _token, text = ApiTokenCRUD(session).issue("tests", frozenset(Permission))
    client = program(app)
    client.headers.update(bearer(text))
    assert not any(ask(client, rule, ids) for rule in PAGES if rule.roles != "*" and not rule.writes)


def test_nobody_opens_nothing_and_changes_nothing(
    app: FastAPI, db: Session, client: TestClient, figure: Figure
) -> None:
    ids = everything(db)
    before = digest(db)
    for rule in PRIVATE:
        answer = client.request(rule.method, rule.address(ids))
        if rule in API:
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated"), rule.name
        else:
            assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login"), rule.name
    assert digest(db) == before
    figure("B1", "doors open to nobody at all", 0, "0", len(PRIVATE))
