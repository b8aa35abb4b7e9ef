"""Every kind of security event is written by what it tells of, through the door that a person uses."""

import re

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.elsewhere import Provider
from backend.core.events import LABELS, Event
from backend.core.oauth import Elsewhere
from backend.core.permissions import MANAGER, SUPPORT
from backend.database.chain.sealing import seal
from backend.database.crud.auth import OneTimeTokenCRUD
from backend.database.crud.links import INVITE
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.staff import INVITE_LIFE
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import ApiToken, AuthIdentity, Credential
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import Role, User
from backend.demo.summary import KEY as DEMO
from backend.jobs import sealing
from tests.cli.conftest import Run
from tests.cli.stage import ACTIONS, Stage, does
from tests.codes import code, give_app, pending, wrong_code
from tests.conftest import PASSWORD, SignIn
from tests.crm.test_elsewhere import leave
from tests.crm.test_staff import hire, role_id
from tests.crm.test_view_as import keep, look
from tests.doors import ask_tokens, bearer, browser, program, token_of
from tests.doors import sign_in as try_password
from tests.factories import make_user, save
from tests.provider import CLIENT, SECRET, FakeProvider

E = Event
NEW = "tulip-kettle-orbit"
SETTINGS, STAFF = "/dashboard/settings", "/dashboard/settings/staff"


# -- coming in


def sign_in_from(stage: Stage, user_agent: str) -> None:
    visitor = browser(stage.app)
    visitor.headers["User-Agent"] = user_agent
    assert try_password(visitor).status_code == 303


@does(E.LOGIN_SUCCESS)
def password(stage: Stage) -> None:
    sign_in_from(stage, "tests")
    sign_in_from(stage, "tests")  # no new device any more


@does(E.LOGIN_SUCCESS)
def tokens(stage: Stage) -> None:
    ask_tokens(program(stage.app))
    given = ask_tokens(program(stage.app)).json()
    stage.kept |= {"access": given["access_token"], "refresh": given["refresh_token"]}


@does(E.LOGIN_NEW_DEVICE)
def another_browser(stage: Stage) -> None:
    sign_in_from(stage, "Another/1.0")


@does(E.TOKEN_REUSE)
def old_refresh_token(stage: Stage) -> None:
    client, first = program(stage.app), {"refresh_token": stage.kept["refresh"]}
    second = client.post("/auth/refresh", json=first).json()
    client.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert client.post("/auth/refresh", json=first).status_code == 401


@does(E.TOKEN_REFUSED)
def made_up_token(stage: Stage) -> None:
    assert program(stage.app).get("/api/auth/me", headers=bearer("lyc_1_made_up")).status_code == 401


@does(E.SESSION_ENDED)
def api_logout(stage: Stage) -> None:
    client = program(stage.app)
    given = ask_tokens(client).json()["access_token"]
    assert client.post("/api/auth/logout", headers=bearer(given)).status_code == 204


@does(E.SESSION_ENDED)
def logout(stage: Stage) -> None:
    client = browser(stage.app)
    try_password(client)
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/"))
    assert client.post("/logout").headers["location"] == "/login"


@does(E.SESSION_ENDED)
def other_devices(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/sessions/revoke")


@does(E.LOGIN_FAIL)
def wrong_password(stage: Stage) -> None:
    assert try_password(browser(stage.app), "not this one").status_code == 401


@does(E.LOGIN_FAIL_MAX)
def too_many(stage: Stage) -> None:
    client = browser(stage.app)
    assert [try_password(client, "not this one").status_code for _ in range(5)][-1] == 429


@does(E.LOCK_LIFTED)
def unlock_on_the_page(stage: Stage) -> None:
    stage.post(f"{STAFF}/{stage.boris.id}/unlock")


@does(E.LOCK_LIFTED)
def unlock(stage: Stage) -> None:
    stage.command("unlock", "admin")


@does(E.LINK_CREATED)
def sign_in_link(stage: Stage) -> None:
    stage.command("sign-in-link", "admin")


@does(E.LINK_CREATED)
def sign_in_link_on_the_page(stage: Stage) -> None:
    stage.post(f"{STAFF}/{stage.boris.id}/link", 201)


@does(E.CONFIRMED)
def proof(stage: Stage) -> None:
    stage.post("/dashboard/confirm/", password=PASSWORD, next="/dashboard/")


# -- second factors and accounts elsewhere


@does(E.FACTOR_ADDED)
def app_added(stage: Stage) -> None:
    page = stage.admin.get(f"{SETTINGS}/security/app").text
    draft = re.findall(r'name="draft" value="([^"]+)"', page)[0]
    key = re.findall(r"<code[^>]*>([a-z2-7 ]+)</code>", page)[0].replace(" ", "").upper()
    stage.post(f"{SETTINGS}/security/app", 200, draft=draft, code=code(secret=key))


@does(E.TRUST_ENDED)
def trusted_forgotten(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/security/trusted/forget")


@does(E.FACTOR_REMOVED)
def app_removed(stage: Stage) -> None:
    factor = stage.db.scalars(select(Credential.id).where(Credential.kind == "totp")).one()
    stage.post(f"{SETTINGS}/security/factors/{factor}/remove")


@does(E.FACTOR_FAIL)
def wrong_code_sent(stage: Stage) -> None:
    stage.kept["recovery"] = give_app(stage.db, stage.settings)[0]
    assert pending(stage.app).post("/login/second", data={"code": wrong_code()}).status_code == 401


@does(E.TRUST_BEGUN)
def device_trusted(stage: Stage) -> None:
    sent = {"code": code(), "trust": "true"}
    assert pending(stage.app).post("/login/second", data=sent).status_code == 303


@does(E.FACTOR_ASKED)
def factor_asked(stage: Stage) -> None:
    pending(stage.app)


@does(E.FACTOR_ASKED)
def factor_asked_by_the_api(stage: Stage) -> None:
    assert ask_tokens(program(stage.app)).json()["error"]["code"] == "second_factor_required"


@does(E.FACTOR_FAIL_MAX)
def codes_used_up(stage: Stage) -> None:
    attempts = [pending(stage.app).post("/login/second", data={"code": wrong_code()}).status_code for _ in range(6)]
    assert attempts[-1] == 429
    stage.command("unlock", "admin")


@does(E.RECOVERY_USED)
def recovery_code(stage: Stage) -> None:
    assert pending(stage.app).post("/login/second", data={"code": stage.kept["recovery"]}).status_code == 303
    stage.db.execute(text("DELETE FROM credentials"))


@does(E.IDENTITY_LINKED)
def linked(stage: Stage) -> None:
    with FakeProvider() as there:
        stage.app.state.elsewhere = {"oidc": Elsewhere(Provider("oidc", "School ID", there.url, CLIENT, SECRET))}
        back = there.visit(leave(stage.admin, f"{SETTINGS}/accounts/oidc/link"))
        assert stage.admin.get(back).status_code == 303


@does(E.IDENTITY_REFUSED)
def nobodys_identity(stage: Stage) -> None:
    with FakeProvider() as there:
        there.person["sub"] = "nobody here"
        stage.app.state.elsewhere = {"oidc": Elsewhere(Provider("oidc", "School ID", there.url, CLIENT, SECRET))}
        stranger = browser(stage.app)
        assert stranger.get(there.visit(leave(stranger, "/login/with/oidc"))).status_code == 403


@does(E.IDENTITY_UNLINKED)
def unlinked(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/accounts/{stage.db.scalars(select(AuthIdentity.id)).one()}/unlink")


# -- passwords, e-mails, tokens


@does(E.PASSWORD_CHANGE)
def password_changed(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/password", current=PASSWORD, password=NEW, repeat=NEW)


@does(E.EMAIL_CHANGED)
def email_confirmed(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/profile", first_name="Анна", email="anna@school.example", timezone="UTC")
    stage.post(stage.letter("verify"))


@does(E.EMAIL_CHANGED)
def email_of_staff(stage: Stage) -> None:
    stage.post(f"{STAFF}/{stage.boris.id}", first_name="Boris", login="boris", email="boris@school.example")


@does(E.EMAIL_CHANGED)
def email_of_a_student(stage: Stage) -> None:
    student = make_user(stage.db)
    stage.post(f"/dashboard/users/{student.id}", first_name="Мария", email="maria@pupils.example", is_active="true")


@does(E.PASSWORD_RESET_ASKED)
def forgotten(stage: Stage) -> None:
    assert browser(stage.app).post("/forgot", data={"username": "anna@school.example"}).status_code == 303


@does(E.LETTER_READ)
def letter_read(stage: Stage) -> None:
    letter = stage.db.scalars(select(Dispatch.id).where(Dispatch.method == "reset")).one()
    stage.post(f"/dashboard/outbox/letters/{letter}", 200)


@does(E.TOKEN_CREATED)
def token_made(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/tokens", 201, name="site", scopes="lessons:read")


@does(E.TOKEN_REVOKED)
def token_revoked(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/tokens/{stage.db.scalars(select(ApiToken.id)).one()}/revoke")


@does(E.TOKEN_CREATED)
def create_token(stage: Stage) -> None:
    stage.command("create-token", "site", "--scope", "lessons:read")


# -- people and their rights


@does(E.USER_INVITED)
def invited(stage: Stage) -> None:
    stage.post(f"{STAFF}/", 201, first_name="Вера", role_id=role_id(stage.db, SUPPORT))


@does(E.USER_CREATED)
def accepted(stage: Stage) -> None:
    vera = stage.db.scalars(select(User).where(User.first_name == "Вера")).one()
    secret = OneTimeTokenCRUD(stage.db).issue(vera.id, INVITE, INVITE_LIFE)
    sent = {"login": "vera", "password": NEW, "repeat": NEW}
    assert browser(stage.app).post(f"/invite/{secret}", data=sent).status_code == 303


@does(E.USER_CREATED)
def create_admin(stage: Stage) -> None:
    stage.command("create-admin", "olga")


@does(E.REGISTERED)
def signed_up(stage: Stage) -> None:
    object.__setattr__(stage.app.state.settings, "registration", True)
    sent = {"email": "olya@pupils.example", "password": "seven wild geese", "first_name": "Оля"}
    assert program(stage.app).post("/api/auth/register", json=sent).status_code == 202
    sent = {"password": "seven wild geese"}
    assert browser(stage.app).post(stage.letter("register"), data=sent).status_code == 200


@does(E.USER_DISABLED)
def switched_off(stage: Stage) -> None:
    stage.post(f"{STAFF}/{stage.boris.id}/switch")


@does(E.USER_ENABLED)
def switched_on(stage: Stage) -> None:
    stage.post(f"{STAFF}/{stage.boris.id}/switch", is_active="true")


@does(E.ROLE_CHANGED)
def role_given(stage: Stage) -> None:
    stage.post(f"{STAFF}/{stage.boris.id}/role", role_id=role_id(stage.db, SUPPORT))


@does(E.RIGHTS_CHANGED)
def role_of_ones_own(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/roles/", name="Цех", rights=["dashboard:read", "profile:write"])


@does(E.REFUSED)
def refused(stage: Stage) -> None:
    assert stage.sign_in("boris").get(f"{SETTINGS}/audit/").status_code == 403


@does(E.IMPERSONATED)
def looked(stage: Stage) -> None:
    look(stage.admin, stage.boris)


@does(E.IMPERSONATION_ENDED)
def returned(stage: Stage) -> None:
    keep(stage.admin, stage.admin.post("/dashboard/return"))
    stage.admin.headers["X-CSRF-Token"] = token_of(stage.admin.get("/dashboard/"))


# -- data and the history


@does(E.EXPORTED)
def taken_along(stage: Stage) -> None:
    assert stage.admin.get("/dashboard/users/export.csv").status_code == 200


@does(E.ALERTS_CHANGED)
def alerts_chosen(stage: Stage) -> None:
    stage.post(f"{SETTINGS}/alerts", alerts=["new_admin"], alert_way="both")


@does(E.ERASED)
def erased(stage: Stage) -> None:
    student = make_user(stage.db, first_name="Анна", last_name="Ким")
    stage.post(f"/dashboard/users/{student.id}/personal/erase", name="Анна Ким")


@does(E.KEYS_ROTATED)
def keys(stage: Stage) -> None:
    stage.command("rotate-keys")


@does(E.DEMO_REMOVED)
def demo(stage: Stage) -> None:
    tables = ("users", "lessons", "courses", "promo_codes", "media", "change_sets", "purchases")
    SettingCRUD(stage.db).put(DEMO, {"ids": {name: [] for name in tables}, "media_dir": "."})
    stage.command("demo", "--remove")


@does(E.AUDIT_STARTED)
def restarted(stage: Stage) -> None:
    stage.command("audit", "restart", "to see")


@does(E.AUDIT_BROKEN)
def broken(stage: Stage) -> None:
    seal(stage.app.state.database, stage.settings)
    save(stage.db, Role(name="Another", permissions=[]))
    stage.db.execute(text("UPDATE audit_blocks SET hash = ''"))
    try_password(browser(stage.app), NEW)
    sealing.once(stage.app.state.database, stage.settings)


@pytest.mark.usefixtures("migrated")
def test_every_kind_is_written_by_what_it_tells_of(
    app: FastAPI, db: Session, settings: Settings, run: Run, sign_in: SignIn
) -> None:
    assert {kind for kind, _name, _action in ACTIONS} == set(LABELS) == set(Event)
    stage = Stage(app, db, settings, run, sign_in, sign_in("admin"), hire(db, MANAGER, "boris"))
    silent = []
    for kind, name, action in ACTIONS:
        before = db.scalar(select(func.max(SecurityEvent.id))) or 0
        action(stage)
        fresh = select(SecurityEvent.id).where(SecurityEvent.id > before, SecurityEvent.kind == kind.value)
        if not db.scalars(fresh).first():
            silent.append((kind.value, name))
    assert silent == []
