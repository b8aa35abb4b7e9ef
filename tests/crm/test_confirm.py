"""A fresh proof for what is dear: who is asked, what counts as one, and that what was typed survives."""

import re
from datetime import timedelta

import httpx2
import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.auth import create_access_token
from backend.core.config import Settings
from backend.core.units import PROOF
from backend.database.crud.auth import API_ABSOLUTE, SessionCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import ApiToken, AuthSession, OneTimeToken
from backend.database.models.users import User
from tests.access import API, PAGES, everything
from tests.codes import code, give_app, wrong_code
from tests.conftest import PASSWORD, Api, SignIn
from tests.doors import bearer, browser, program, sign_in, token_of
from tests.factories import make_lesson, make_purchase, make_user

CONFIRM = "/dashboard/confirm/"
LISTS = "users", "lessons", "courses", "promo-codes", "tickets/list"  # whose chosen rows become a file
TOKENS = "/dashboard/settings/tokens"


def age(db: Session, minutes: float = 16) -> None:
    """All proofs of everyone are so old."""
    for session in db.scalars(select(AuthSession)):
        session.confirmed_at = clock.now() - timedelta(minutes=minutes)
    db.commit()


@pytest.fixture
def old(admin: TestClient, db: Session) -> TestClient:
    """The admin, signed in for a while."""
    age(db)
    return admin


def asks(answer: httpx2.Response) -> bool:
    return answer.headers.get("location", "").startswith(CONFIRM) or 'id="confirm"' in answer.text


def test_every_dear_page_asks_and_no_other(db: Session, old: TestClient) -> None:
    ids = everything(db)
    pages = [rule for rule in PAGES if "A" in rule.roles and not rule.path.startswith(CONFIRM)]
    asked = {rule.name for rule in pages if asks(old.request(rule.method, rule.address(ids)))}
    assert asked == {rule.name for rule in pages if rule.asks}
    age(db, PROOF.total_seconds() / 60 - 1)
    assert old.get("/dashboard/users/export.csv").status_code == 200


def test_of_what_asks_for_some_of_it_each_part_does(old: TestClient, db: Session) -> None:
    """Their harmless halves are in the test above: none of them asks there."""
    db.get_one(User, 1).password_hash = None
    chosen = {"verb": "export", "ids": [str(make_user(db).id)]}
    new = {"password": "a long new password", "repeat": "a long new password"}
    dear: dict[str, dict[str, object]] = {
        "POST /dashboard/settings/profile": {"first_name": "Анна", "email": "eve@evil.example", "timezone": "UTC"},
        "POST /dashboard/settings/password": new,
        **{f"POST /dashboard/{name}/bulk": chosen for name in LISTS},
    }
    assert dear.keys() == {rule.name for rule in PAGES if rule.proof.startswith("?")}
    assert [name for name, sent in dear.items() if not asks(old.post(name.removeprefix("POST "), data=sent))] == []
    age(db, 1)
    assert [name for name, sent in dear.items() if asks(old.post(name.removeprefix("POST "), data=sent))] == []


def test_the_api_asks_people_and_not_tokens(app: FastAPI, db: Session, api: Api) -> None:
    lesson, student = make_lesson(db), make_user(db)
    sold = make_purchase(db, student, lesson)
    person = db.get_one(User, 1)
    opened, _secret = SessionCRUD(db).open(person, kind="api", user_agent="", ip="", lifetime=API_ABSOLUTE)
    client = program(app)
    client.headers.update(bearer(create_access_token(app.state.settings, opened)))
    age(db)
    assert [rule.name for rule in API if rule.proof] == ["POST /api/purchases/{purchase_id}/refund"]
    refused = client.post(f"/api/purchases/{sold.id}/refund")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "confirmation_required")
    assert client.get("/api/purchases/").status_code == 200
    scoped = api("purchases:refund")
    assert (
        scoped.post(f"/api/purchases/{sold.id}/refund").json().get("error", {}).get("code") != "confirmation_required"
    )


def test_a_password_is_a_proof_and_gives_a_new_secret(old: TestClient, db: Session) -> None:
    first = old.cookies["lyceum"]
    refused = old.post(CONFIRM, data={"password": "not this one at all", "next": "/dashboard/users/"})
    assert (refused.status_code, "Incorrect password." in refused.text) == (422, True)
    answer = old.post(CONFIRM, data={"password": PASSWORD, "next": "/dashboard/users/"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/users/")
    assert old.cookies["lyceum"] != first
    assert old.get("/dashboard/users/export.csv").status_code == 200
    planted = TestClient(old.app, base_url=str(old.base_url), cookies={"lyceum": first}, follow_redirects=False)
    assert planted.get("/dashboard/users/").status_code == 303
    # Forms of other tabs go on: they are bound to the session, not to its secret.
    assert old.post("/dashboard/settings/keys", data={"single_keys": "true"}).status_code == 303
    told = db.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)).all()
    assert told[:2] == ["authn_login_fail", "authn_reauthenticated"]


def test_a_code_is_a_proof_once(old: TestClient, db: Session, settings: Settings) -> None:
    codes, shown = give_app(db, settings), code()
    assert old.post(CONFIRM, data={"code": wrong_code()}).status_code == 422
    assert old.post(CONFIRM, data={"code": shown}).status_code == 303
    age(db)
    assert old.post(CONFIRM, data={"code": shown}).status_code == 422
    assert old.post(CONFIRM, data={"code": codes[0], "next": "//evil.example"}).headers["location"] == "/dashboard/"


def test_guessing_ends_after_five(old: TestClient, db: Session, settings: Settings) -> None:
    statuses = [old.post(CONFIRM, data={"password": f"a wrong password {n}"}).status_code for n in range(6)]
    assert statuses == [422] * 5 + [429]
    assert old.post(CONFIRM, data={"password": PASSWORD}).status_code == 429
    give_app(db, settings)
    assert [old.post(CONFIRM, data={"code": wrong_code()}).status_code for _ in range(6)] == [422] * 5 + [429]
    assert old.post(CONFIRM, data={"password": "x" * 2000}).status_code == 422


def test_a_page_comes_back_and_a_file_is_offered(old: TestClient) -> None:
    answer = old.get("/dashboard/settings/security/app?x=1")
    assert answer.headers["location"] == f"{CONFIRM}?next=%2Fdashboard%2Fsettings%2Fsecurity%2Fapp%3Fx%3D1"
    page = old.get(answer.headers["location"])
    assert 'value="/dashboard/settings/security/app?x=1"' in page.text
    swap = old.get(
        "/dashboard/settings/security/app",
        headers={"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8000/dashboard/settings/security/"},
    )
    assert (swap.status_code, swap.headers["HX-Redirect"]) == (
        403,
        f"{CONFIRM}?next=%2Fdashboard%2Fsettings%2Fsecurity%2F",
    )
    done = old.post(CONFIRM, data={"password": PASSWORD, "next": "/dashboard/users/export.csv?q=x"})
    assert 'href="/dashboard/users/export.csv?q=x"' in done.text
    assert 'href="/dashboard/users/"' in done.text


@pytest.mark.parametrize("htmx", [False, True])
def test_a_form_that_comes_too_late_is_kept_and_sent_after_the_proof(old: TestClient, db: Session, htmx: bool) -> None:
    sent = {"name": "web <site>", "scopes": ["lessons:read", "courses:read"], "csrf_token": old.headers["X-CSRF-Token"]}
    here = "http://127.0.0.1:8000/dashboard/settings/"
    headers = {"HX-Request": "true", "HX-Current-URL": here} if htmx else {"Referer": here}
    if not htmx:
        del old.headers["X-CSRF-Token"]
    refused = old.post(TOKENS, data=sent, headers=headers)
    assert refused.status_code == 403
    assert refused.headers.get("HX-Retarget") == ("#main" if htmx else None)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', refused.text.partition("</form>")[0]))
    assert fields["next"] == "/dashboard/settings/"
    carried = fields["carried"].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    assert old.cookies
    token = {"csrf_token": sent["csrf_token"]}
    proved = old.post(CONFIRM, data={**token, "password": PASSWORD, "next": fields["next"], "carried": carried})
    assert (proved.status_code, f'action="{TOKENS}"' in proved.text) == (200, True)
    assert 'value="web &lt;site&gt;"' in proved.text
    again = {**sent, "csrf_token": token_of(proved)}
    assert old.post(TOKENS, data=again).status_code == 201
    assert db.scalars(select(ApiToken.scopes)).one() == ["courses:read", "lessons:read"]


FORGED = [
    "{", "[]", '{"action": 1}', '{"action": "https://evil.example/", "fields": []}',
    '{"action": "//evil.example", "fields": []}', '{"action": "/logout", "fields": []}',
    '{"action": "/dashboard/", "fields": [1]}',
]  # fmt: skip


@pytest.mark.parametrize("carried", FORGED)
def test_only_our_own_forms_are_carried(old: TestClient, carried: str) -> None:
    answer = old.post(CONFIRM, data={"password": PASSWORD, "next": "/dashboard/", "carried": carried})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")


def test_secrets_and_files_are_not_carried(old: TestClient) -> None:
    late = old.post("/dashboard/settings/security/app", data={"code": "123456", "draft": "x"})
    assert late.headers["location"].startswith(CONFIRM)
    assert old.post(TOKENS, data={"name": "x" * 70_000}).headers["location"].startswith(CONFIRM)
    assert old.post(TOKENS, files={"name": ("x.txt", b"x")}).headers["location"].startswith(CONFIRM)


@pytest.mark.parametrize("was", ["anna@school.example", None])
def test_ones_own_email_changes_only_after_a_proof(old: TestClient, db: Session, was: str | None) -> None:
    """Also taken away; a name alone needs none."""
    user, profile = db.get_one(User, 1), "/dashboard/settings/profile"
    user.email = was
    db.flush()
    sent = {"first_name": "Анна", "last_name": "Ли", "email": was or "", "timezone": "UTC"}
    assert old.post(profile, data=sent).headers["location"] == "/dashboard/settings/"
    other = {**sent, "last_name": "Ко", "email": "" if was else "eve@evil.example"}
    assert 'id="confirm"' in old.post(profile, data=other).text
    db.refresh(user)
    assert (user.email, user.last_name, db.scalars(select(OneTimeToken)).all()) == (was, "Ли", [])
    age(db, 1)
    assert old.post(profile, data=other).status_code == 303
    db.refresh(user)
    assert (user.email, user.last_name, len(db.scalars(select(OneTimeToken)).all())) == (None, "Ко", 0 if was else 1)


def test_whoever_has_no_password_sets_one_only_just_after_coming_in(staff: SignIn, db: Session) -> None:
    person = staff("Поддержка")
    new = {"password": "a long new password", "repeat": "a long new password"}
    age(db)
    assert person.post("/dashboard/settings/password", data=new).headers["location"].startswith(CONFIRM)
    age(db, 1)
    assert person.post("/dashboard/settings/password", data=new).status_code == 303
    assert browser(person.app).get("/login").status_code == 200


@pytest.mark.parametrize(("remember", "lasts"), [("true", ["Max-Age=2592000"]), ("", [])])
def test_a_fresh_proof_keeps_those_signed_in_who_stay_so_and_nobody_else(
    app: FastAPI, db: Session, remember: str, lasts: list[str]
) -> None:
    object.__setattr__(app.state.settings, "remember_days", 30)
    client = browser(app)
    with time_machine.travel(clock.now(), tick=False):  # a session as long as an ordinary one may be, and no longer
        assert sign_in(client, remember=remember).status_code == 303
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/settings/"))
    age(db)
    answer = client.post(CONFIRM, data={"password": PASSWORD, "next": "/dashboard/"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
    [cookie] = [each for each in answer.headers.get_list("set-cookie") if each.startswith("lyceum=")]
    assert [part for part in cookie.split("; ") if part.startswith("Max-Age")] == lasts
