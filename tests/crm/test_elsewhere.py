"""Coming in with an account elsewhere, against an identity provider over real HTTP: the good way, and the attacks."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.elsewhere import providers
from backend.core.permissions import MANAGER
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthIdentity, AuthSession, Credential
from backend.database.models.doors import SignInFlow
from backend.database.models.users import User
from tests.conftest import ORIGIN, SignIn, make_settings
from tests.figures import Figure
from tests.provider import CLIENT, SECRET, FakeProvider

HERE = "/dashboard/settings/accounts/"
AWAY = "/login/with/oidc"


@pytest.fixture(scope="module")
def running() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


@pytest.fixture
def provider(running: FakeProvider, app: FastAPI) -> FakeProvider:
    """Honest again, and configured."""
    for name, value in vars(FakeProvider()).items():
        setattr(running, name, value)
    given = {"oidc_name": "School ID", "oidc_issuer": running.url, "oidc_client_id": CLIENT}
    secret = make_settings("sqlite://", Path(), oidc_client_secret=SECRET, **given).oidc_client_secret
    for name, value in {**given, "oidc_client_secret": secret}.items():
        object.__setattr__(app.state.settings, name, value)
    return running


def browser(app: FastAPI) -> TestClient:
    made = TestClient(app, base_url="http://127.0.0.1:8000", headers=ORIGIN, follow_redirects=False)
    made.headers["X-CSRF-Token"] = re.findall(r'name="csrf_token" value="([^"]+)"', made.get("/login").text)[0]
    return made


@pytest.fixture
def visitor(app: FastAPI, provider: FakeProvider) -> TestClient:
    assert provider.url
    return browser(app)


@pytest.fixture
def anna(db: Session, provider: FakeProvider) -> User:
    """Linked to the person 42 of the provider."""
    user = db.scalars(select(User).where(User.login == "admin")).one()
    db.add(AuthIdentity(user_id=user.id, provider="oidc", issuer=provider.url, subject="42"))
    db.flush()
    return user


def leave(client: TestClient, path: str = AWAY, **data: str) -> str:
    """The address at the provider that the browser goes on to."""
    answer = client.post(path, data=data)
    assert answer.status_code == 200
    return answer.headers["refresh"].removeprefix("0; url=")


def sessions(db: Session) -> int:
    return len(db.scalars(select(AuthSession.id).where(AuthSession.revoked_at.is_(None))).all())


def test_a_linked_account_comes_in_with_everything_bound_to_the_browser(
    anna: User, visitor: TestClient, provider: FakeProvider, db: Session
) -> None:
    assert "Sign in with School ID" in visitor.get("/login").text
    url = leave(visitor, next="/dashboard/tickets/")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked["redirect_uri"] == "http://127.0.0.1:8000/login/from/oidc"
    assert asked.keys() >= {"state", "nonce", "code_challenge", "scope"}
    came = visitor.get(provider.visit(url))
    assert (came.status_code, came.headers["location"]) == (303, "/dashboard/tickets/")
    assert visitor.get("/dashboard/").status_code == 200
    assert db.scalars(select(AuthIdentity.used_at)).one() is not None
    assert {row.user_id for row in db.scalars(select(AuthSession))} == {anna.id}
    assert asked["nonce"] not in db.scalars(select(SignInFlow.sealed)).one()


Attack = Callable[[FakeProvider, TestClient, FastAPI], str]


def changed(**claims: object) -> Attack:
    """The ID token says something else."""

    def attack(provider: FakeProvider, visitor: TestClient, _app: FastAPI) -> str:
        gone = [name for name, value in claims.items() if value is None]
        given = {name: value for name, value in claims.items() if value is not None}
        provider.claims = lambda honest: {k: v for k, v in {**honest, **given}.items() if k not in gone}
        return provider.visit(leave(visitor))

    return attack


def signed(how: str) -> Attack:
    def attack(provider: FakeProvider, visitor: TestClient, _app: FastAPI) -> str:
        provider.sign = how
        return provider.visit(leave(visitor))

    return attack


def answered(**values: str | None) -> Attack:
    """The way back holds something else."""

    def attack(provider: FakeProvider, visitor: TestClient, _app: FastAPI) -> str:
        provider.answer = lambda honest: {k: v for k, v in {**honest, **values}.items() if v is not None}
        return provider.visit(leave(visitor))

    return attack


def foreign_state(provider: FakeProvider, _visitor: TestClient, app: FastAPI) -> str:
    """The attacker's own way back, put into the victim's browser (login CSRF)."""
    return provider.visit(leave(browser(app)))


def replayed_state(provider: FakeProvider, visitor: TestClient, _app: FastAPI) -> str:
    back = provider.visit(leave(visitor))
    assert visitor.get(back).status_code == 303
    visitor.cookies.delete("lyceum")
    return back


def swapped_code(provider: FakeProvider, visitor: TestClient, app: FastAPI) -> str:
    """A code that the attacker got for themselves, into the victim's trip: PKCE and the nonce tell."""
    stolen = parse_qs(urlsplit(provider.visit(leave(browser(app)))).query)["code"][0]
    provider.answer = lambda honest: {**honest, "code": stolen}
    return provider.visit(leave(visitor))


def swapped_code_at_a_careless_provider(provider: FakeProvider, visitor: TestClient, app: FastAPI) -> str:
    provider.check_verifier = False
    return swapped_code(provider, visitor, app)


def too_late(provider: FakeProvider, visitor: TestClient, app: FastAPI) -> str:
    back = provider.visit(leave(visitor))
    with app.state.database.transaction() as session:
        session.execute(update(SignInFlow).values(expires_at=clock.now()))
    return back


def other_provider(provider: FakeProvider, visitor: TestClient, app: FastAPI) -> str:
    object.__setattr__(app.state.settings, "github_client_id", "x")
    del app.state.elsewhere
    return provider.visit(leave(visitor)).replace("/from/oidc", "/from/github")


LONG_AGO = int(time.time()) - 3600
ATTACKS: dict[str, Attack] = {
    "no state": answered(state=None),
    "state of nobody": answered(state="x" * 43),
    "foreign state": foreign_state,
    "replayed state": replayed_state,
    "late": too_late,
    "swapped code": swapped_code,
    "swapped code, no PKCE there": swapped_code_at_a_careless_provider,
    "mix-up: iss of another": answered(iss="https://evil.example"),
    "mix-up: iss left out": answered(iss=None),
    "state at another provider": other_provider,
    "wrong aud": changed(aud="another-client"),
    "wrong iss": changed(iss="https://evil.example"),
    "no iss": changed(iss=None),
    "wrong nonce": changed(nonce="another"),
    "no nonce": changed(nonce=None),
    "no sub": changed(sub=None),
    "expired": changed(exp=LONG_AGO, iat=LONG_AGO - 300),
    "no exp": changed(exp=None),
    "another's access token": changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "authorised for another": changed(azp="another-client"),
    "alg none": signed("none"),
    "HS256 with the public key": signed("HS256 public key"),
    "HS256 with the client's secret": signed("HS256 secret"),
    "another's key": signed("stranger"),
    "no code": answered(code=None),
}


@pytest.mark.usefixtures("anna")
def test_every_attack_is_refused(provider: FakeProvider, app: FastAPI, db: Session, figure: Figure) -> None:
    """One app for all of them; an honest trip afterwards still works."""
    let_in, victim = {}, browser(app)
    for name, attack in ATTACKS.items():
        for honest, value in vars(FakeProvider()).items():
            setattr(provider, honest, value)
        before = sessions(db)
        answer = victim.get(attack(provider, victim, app))
        made = sessions(db) - before - (name == "replayed state")
        if (answer.status_code, made, "lyceum" in answer.headers.get("set-cookie", "")) != (400, 0, False):
            let_in[name] = (answer.status_code, made)
    assert let_in == {}
    provider.answer = lambda honest: honest
    assert victim.get(provider.visit(leave(victim))).status_code == 303
    figure("B10", "attacks on signing in elsewhere that let in", len(let_in), "0", len(ATTACKS))


def test_an_email_never_links_anyone(visitor: TestClient, provider: FakeProvider, db: Session) -> None:
    """Not an unverified one, and not a verified one either."""
    user = db.scalars(select(User).where(User.login == "admin")).one()
    user.email = "anna@elsewhere.example"
    db.flush()
    for verified in (False, True):
        provider.person = {"sub": "666", "email": "anna@elsewhere.example", "email_verified": verified}
        answer = visitor.get(provider.visit(leave(visitor)))
        assert answer.status_code == 403
        assert "No linked account" in answer.text
    assert (sessions(db), db.scalars(select(AuthIdentity)).all()) == (0, [])


def test_a_closed_account_stays_closed(anna: User, visitor: TestClient, provider: FakeProvider, db: Session) -> None:
    anna.is_active = False
    db.flush()
    assert visitor.get(provider.visit(leave(visitor))).status_code == 403


def test_a_second_factor_is_still_asked_for(
    anna: User, visitor: TestClient, provider: FakeProvider, db: Session
) -> None:
    db.add(Credential(user_id=anna.id, kind="totp", secret="sealed", confirmed_at=clock.now()))
    db.flush()
    assert visitor.get(provider.visit(leave(visitor))).status_code == 303
    assert visitor.get("/dashboard/").status_code == 303
    assert db.scalars(select(AuthSession.level)).all() == ["pending"]


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
@pytest.mark.usefixtures("anna")
def test_nobody_is_sent_elsewhere_afterwards(visitor: TestClient, provider: FakeProvider, path: str) -> None:
    came = visitor.get(provider.visit(leave(visitor, next=path)))
    assert (came.status_code, came.headers["location"]) == (303, "/dashboard/")


def test_an_account_is_linked_and_unlinked_by_its_owner(
    admin: TestClient, sign_in: SignIn, provider: FakeProvider, db: Session
) -> None:
    assert "School ID" in admin.get(HERE).text
    back = provider.visit(leave(admin, f"{HERE}oidc/link"))
    UserCRUD(db).create_staff(login="boris", password_hash=None, role=MANAGER)
    boris = sign_in("boris")
    assert boris.get(back).status_code == 400  # another session's trip
    linked = admin.get(back)
    assert (linked.status_code, linked.headers["location"]) == (303, HERE)
    identity = db.scalars(select(AuthIdentity)).one()
    assert (identity.issuer, identity.subject, identity.name) == (provider.url, "42", "anna@elsewhere.example")

    boris.get(provider.visit(leave(boris, f"{HERE}oidc/link")))
    assert "linked to another person" in boris.get(HERE).text
    assert boris.post(f"{HERE}{identity.id}/unlink").status_code == 404
    anna = db.get_one(User, identity.user_id)
    kept, anna.password_hash = anna.password_hash, None
    db.flush()
    assert admin.post(f"{HERE}{identity.id}/unlink").status_code == 409
    anna.password_hash = kept
    db.flush()
    assert admin.post(f"{HERE}{identity.id}/unlink").status_code == 303
    assert db.scalars(select(AuthIdentity)).all() == []
    noted = select(SecurityEvent.kind).where(SecurityEvent.kind.like("authn_identity%")).order_by(SecurityEvent.id)
    assert list(db.scalars(noted)) == [
        "authn_identity_refused", "authn_identity_linked", "authn_identity_unlinked",
    ]  # fmt: skip


def test_an_account_that_is_linked_once_more_stays_one_link(
    admin: TestClient, provider: FakeProvider, db: Session
) -> None:
    for name in ("anna@elsewhere.example", "anna@renamed.example"):
        provider.person = {"sub": "42", "email": name}
        assert admin.get(provider.visit(leave(admin, f"{HERE}oidc/link"))).headers["location"] == HERE
        assert "You can now sign in with School ID" in admin.get(HERE).text
    assert db.scalars(select(AuthIdentity.name)).all() == ["anna@elsewhere.example"]
    linked = select(SecurityEvent.id).where(SecurityEvent.kind == "authn_identity_linked")
    assert len(db.scalars(linked).all()) == 1


def test_a_provider_that_is_down_or_points_elsewhere_is_told(
    visitor: TestClient, app: FastAPI, provider: FakeProvider
) -> None:
    for about in (
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "https://evil.example/authorize"},
        {"authorization_endpoint": ""},
    ):
        provider.about = about
        app.state.__dict__.get("_state", {}).pop("elsewhere", None)
        answer = visitor.post(AWAY)
        assert (answer.status_code, "refresh" in answer.headers) == (502, False)
    provider.about = {"token_endpoint": "http://127.0.0.2:1/token"}
    app.state.__dict__.get("_state", {}).pop("elsewhere", None)
    answer = visitor.get(provider.visit(leave(visitor)))
    assert answer.status_code == 502
    assert "School ID is not responding" in answer.text
    assert visitor.post("/login/with/google").status_code == 404
    assert visitor.get("/login/from/google").status_code == 404


def test_github_and_google_are_known_by_their_own_addresses(tmp_path: Path) -> None:
    keys = {f"{name}_client_{part}": "x" * 20 for name in ("google", "github") for part in ("id", "secret")}
    found = providers(make_settings("sqlite://", tmp_path, **keys))
    assert list(found) == ["google", "github"]
    assert found["github"].allows("https://api.github.com/user")
    for url in (
        "http://github.com/x",
        "https://github.com.evil.example",
        "https://evil.example",
        "https://x@evil.example/",
    ):
        assert not found["github"].allows(url)
    assert found["google"].allows("https://www.googleapis.com/oauth2/v3/certs")
