"""The table of who may do what, shown as it is enforced; and what no role opens: the things and tokens of others."""

from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, csrf, security
from backend.core.auth import create_access_token
from backend.core.devices import Device
from backend.core.permissions import AUTHOR, MANAGER, SYSTEM_ROLES, Permission
from backend.crm.matrix import opens
from backend.database.crud.auth import API_ABSOLUTE, SIGN_IN, ApiTokenCRUD, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.credentials import CredentialCRUD
from backend.database.crud.identities import FlowCRUD
from backend.database.crud.links import INVITE, RESET, VERIFY
from backend.database.crud.users import UserCRUD
from backend.database.models.auth import ApiToken, AuthIdentity, AuthSession, Credential
from backend.database.models.doors import Registration
from backend.database.models.jobs import Job
from backend.database.models.users import Role
from backend.database.session import Database
from tests.access import API, PAGES, PRIVATE, ROLES, everything
from tests.conftest import SignIn
from tests.contents import digest
from tests.crm.pages import english_admin, words
from tests.doors import bearer, browser, program
from tests.factories import make_import, make_view, save
from tests.figures import Figure
from tests.routes import routes_of

LETTERS = "AMWS"  # the roles of the staff, in the order of the page
# Whose thing it is decides as well: the page tells the rights alone.
OWNERS = {f"POST /dashboard/views/{{view_id}}{tail}" for tail in ("", "/query", "/delete")}


def test_the_page_shows_what_the_table_says(sign_in: SignIn, db: Session, app: FastAPI) -> None:
    page = HTMLParser(english_admin(sign_in, db).get("/dashboard/settings/roles/matrix").text)
    shown = {}
    for row in page.css(".ly-matrix tbody tr"):
        name, _needs, *who = (words(cell) for cell in row.css("th, td"))
        shown[name] = "".join(letter for letter, told in zip(LETTERS, who, strict=True) if told.endswith("yes"))
    said = {f"{rule.method} {rule.path.rstrip('/') or '/'}": rule.roles for rule in (*API, *PAGES)}
    wanted = {
        name: LETTERS if roles == "*" else "".join(x for x in LETTERS if x in roles) for name, roles in said.items()
    }
    assert shown.keys() == wanted.keys()
    assert {name: who for name, who in shown.items() if who != wanted[name] and name not in OWNERS} == {}
    rights = {letter: frozenset(SYSTEM_ROLES[ROLES[letter]]) for letter in LETTERS}
    for route in routes_of(app):
        for method in route.methods or ():
            who = "".join(letter for letter in LETTERS if opens(route.policy, rights[letter]))
            assert shown[f"{method} {route.path.rstrip('/') or '/'}"] == who


def test_a_role_with_one_right_opens_what_names_it(app: FastAPI, sign_in: SignIn, db: Session) -> None:
    """A role of the school's own, over every page."""
    ids, right = everything(db), Permission.LESSONS_READ
    save(db, Role(name="One", permissions=[right]))
    UserCRUD(db).create_staff(login="one", password_hash=None, role="One")
    db.commit()
    policies = {f"{method} {route.path}": route.policy for route in routes_of(app) for method in route.methods or ()}
    person, opened = sign_in("one"), set()
    named = [rule for rule in PAGES if rule.roles != "*" and not rule.path.endswith(("/logout", "/undo"))]
    for rule in named:
        answer = person.request(rule.method, rule.address(ids))
        if answer.status_code not in (401, 403) and not answer.headers.get("location", "").startswith("/login"):
            opened.add(rule.name)
    assert opened == {rule.name for rule in named if opens(policies[rule.name], frozenset({right}))}
    assert len(opened) > 3


# -- tokens of a kind on doors of another

FOREIGN = "doors open to a secret of another kind"


def secrets_of(app: FastAPI, database: Database) -> dict[str, str]:
    """One of every kind that the admin can have, all of them alive."""
    with database.transaction() as session:
        admin, sessions, links = UserCRUD(session).get_by_id(1), SessionCRUD(session), OneTimeTokenCRUD(session)
        _row, cookie = sessions.open(admin, kind="cookie", user_agent="", ip="", lifetime=timedelta(hours=1))
        api, secret = sessions.open(admin, kind="api", user_agent="", ip="", lifetime=API_ABSOLUTE)
        return {
            "cookie": cookie,
            "api session": secret,
            "refresh": sessions.issue_refresh(api),
            "jwt": create_access_token(app.state.settings, api),
            "token": ApiTokenCRUD(session).issue("tests", frozenset(Permission), user_id=1)[1],
            "link": links.issue(1, SIGN_IN, timedelta(minutes=15)),
            "invitation": links.issue(1, INVITE, timedelta(days=7)),
            "reset": links.issue(1, RESET, timedelta(minutes=15)),
            "confirmation": links.issue(1, VERIFY, timedelta(days=1)),
            "welcome": registered(session),
            "trip": FlowCRUD(session).begin("github", cookie, 1, {}),
            "recovery code": CredentialCRUD(session).renew_codes(1)[0],
            "trusted device": Device().with_person(session, 1).seal(app.state.settings),
            "token of forms": csrf.make_token(app.state.settings, cookie),
        }


def registered(session: Session) -> str:
    """The secret of a student who has still to open the letter."""
    secret = security.new_token()
    who = {"email": "new@school.example", "first_name": "Ольга", "language": "ru", "password_hash": "x"}
    row = {"token_hash": security.digest(secret), "expires_at": clock.now() + timedelta(days=1)}
    session.add(Registration(**who, **row))
    return secret


def test_no_secret_opens_the_api_but_its_own_two(app: FastAPI, database: Database, db: Session, figure: Figure) -> None:
    ids, kinds = everything(db), secrets_of(app, database)
    before, client = digest(db), program(app)
    client.cookies.set("lyceum", kinds["cookie"])  # a browser's session says nothing here
    for kind in sorted(kinds.keys() - {"jwt", "token"}):
        client.headers.update(bearer(kinds[kind]))
        for rule in PRIVATE:
            if rule in API:
                assert client.request(rule.method, rule.address(ids)).status_code == 401, (kind, rule.name)
    assert digest(db) == before
    for kind in ("jwt", "token"):
        assert client.get("/api/users/", headers=bearer(kinds[kind])).status_code == 200
    figure("B4", FOREIGN, 0, "0", len(kinds.keys() - {"jwt", "token"}) * sum(rule in API for rule in PRIVATE))


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_no_secret_opens_the_pages_but_a_cookie(
    app: FastAPI, database: Database, db: Session, step: int, figure: Figure
) -> None:
    """As a bearer, and in the place of the cookie. Daily each page meets two kinds, four neighbours meet all."""
    ids, kinds = everything(db), secrets_of(app, database)
    pages = [rule for rule in PRIVATE if rule not in API]
    before = digest(db)
    for at, kind in enumerate(sorted(kinds.keys() - {"cookie"})):
        client = browser(app)
        client.headers.update(bearer(kinds[kind]))
        client.cookies.set("lyceum", kinds[kind])
        for rule in pages[at % step :: step]:
            answer = client.request(rule.method, rule.address(ids))
            assert (answer.status_code, answer.headers.get("location", "")[:6]) == (303, "/login"), (kind, rule.name)
    assert digest(db) == before
    figure("B4", FOREIGN, 0, "0", len(kinds.keys() - {"cookie"}) * len(pages))


# -- other people's things


OWNED = ("import_id", "job_id", "view_id", "session_id", "credential_id", "identity_id")
IMPORTED = {"users": "users", "lessons": "lessons", "courses": "courses", "promo-codes": "promo_codes"}


def test_what_is_someone_elses_stays_so(
    app: FastAPI, admin: TestClient, staff: SignIn, db: Session, figure: Figure
) -> None:
    """The same right, but the thing of the admin: not there for others, and as it was. All routes of such things."""
    manager, author = staff(MANAGER), staff(AUTHOR)
    tables = {path: make_import(db, kind, [["x"]], ["title"]).id for path, kind in IMPORTED.items()}
    view = make_view(db, owner_id=1)
    job = Job(records="users", verb="close_access", state="done", ended_at=clock.now(), owner_id=1)
    factor = Credential(user_id=1, kind="passkey", public_id="x", confirmed_at=clock.now())
    account = AuthIdentity(user_id=1, provider="x", issuer="https://x.example", subject="1")
    save(db, job, factor, account)
    theirs = db.scalars(select(AuthSession).where(AuthSession.user_id == 1).order_by(AuthSession.id.desc())).first()
    assert theirs is not None
    ids = dict(zip(OWNED[1:], map(str, (job.id, view.id, theirs.id, factor.id, account.id)), strict=True))
    before = digest(db)
    rules = [rule for rule in PAGES if any(f"{{{name}}}" in rule.path for name in OWNED)]
    for rule in rules:
        person = author if "W" in rule.roles and "M" not in rule.roles else manager
        address = rule.address(ids | {"import_id": str(tables.get(rule.path.split("/")[2]))})
        assert person.request(rule.method, address).status_code == 404, rule.name
    assert digest(db) == before
    assert admin.get("/dashboard/settings/").status_code == 200
    assert {name for name in OWNED if not any(f"{{{name}}}" in rule.path for rule in rules)} == set()
    figure("B1", "things of others that are opened or changed", 0, "0", len(rules))


def test_a_token_of_another_is_nobodys_but_the_schools(admin: TestClient, staff: SignIn, db: Session) -> None:
    admin.post("/dashboard/settings/tokens", data={"name": "x", "scopes": "lessons:read"})
    token = db.scalars(select(ApiToken)).one()
    assert staff(MANAGER).post(f"/dashboard/settings/tokens/{token.id}/revoke").status_code == 403
    db.expire_all()
    assert token.revoked_at is None
