"""Small promises of the doors, each of which a change of a word would break."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session
from webauthn.helpers import bytes_to_base64url

from backend.core import clock, otp, security
from backend.core.context import Principal
from backend.core.devices import Device, device_of
from backend.core.events import Event
from backend.core.permissions import ADMIN, MANAGER, SYSTEM_ROLES
from backend.core.units import has_what_it_takes, proved_lately
from backend.database.crud.auth import ABSOLUTE, IDLE, SessionCRUD
from backend.database.crud.credentials import TRUST, CredentialCRUD, TrustedDeviceCRUD
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import Credential, OneTimeToken
from backend.database.models.users import User
from tests.codes import SECRET, code, give_app
from tests.conftest import SignIn, make_settings
from tests.crm.pages import english_admin
from tests.crm.test_confirm import CONFIRM, age
from tests.crm.test_elsewhere import HERE as ACCOUNTS
from tests.crm.test_elsewhere import browser as guest
from tests.crm.test_elsewhere import leave, provider, running
from tests.crm.test_forged_passkeys import Key
from tests.crm.test_new_passkeys import NEW, SECURITY, person, set_up
from tests.crm.test_staff import hire, invited
from tests.crm.test_view_as import look
from tests.doors import ask_tokens, bearer, browser, program
from tests.factories import make_user, save
from tests.provider import FakeProvider

__all__ = ["person", "provider", "running"]  # fixtures


def events(db: Session, kind: str) -> list[SecurityEvent]:
    db.rollback()
    return list(db.scalars(select(SecurityEvent).where(SecurityEvent.kind == kind).order_by(SecurityEvent.id)))


# -- second factors


@pytest.mark.parametrize(
    ("who", "enough"),
    [
        ({"kind": "session"}, False),
        ({"kind": "session", "has_factor": True}, True),
        ({"kind": "session", "impersonator_id": 7}, True),  # the looker's own factor was asked for
        ({"kind": "token"}, True),
        ({"kind": "session", "role": MANAGER, "permissions": frozenset(SYSTEM_ROLES[MANAGER])}, True),
    ],
)
def test_who_needs_a_second_factor_is_a_person_of_such_a_role_alone(
    tmp_path: Path, who: dict[str, object], enough: bool
) -> None:
    settings = make_settings("sqlite://", tmp_path, require_2fa_roles=ADMIN)
    admin = {"role": ADMIN, "permissions": frozenset(SYSTEM_ROLES[ADMIN]), "user_id": 1}
    assert has_what_it_takes(settings, Principal(**{**admin, **who})) is enough  # type: ignore[arg-type] # named above


def test_an_app_shows_the_school_beside_the_login() -> None:
    address = otp.address(SECRET, "anna@school.example", "Light: a school")
    assert address == (
        f"otpauth://totp/Light%20%20a%20school:anna%40school.example?secret={SECRET}&issuer=Light%20%20a%20school"
    )
    assert otp.address(SECRET, "anna", "").endswith("&issuer=Lyceum")


def shown(page: str) -> tuple[str, str]:
    """The draft of an app's form, and the secret that it shows."""
    parsed = HTMLParser(page)
    draft = parsed.css_first("[name=draft]").attributes["value"] or ""
    return draft, parsed.css_first("code").text().replace(" ", "").upper()


def test_the_secret_of_an_app_belongs_to_the_session_that_was_shown_it_and_to_its_hour(
    admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    hers, secret = shown(admin.get(f"{SECURITY}app").text)
    other = sign_in("admin")
    refused = other.post(f"{SECURITY}app", data={"draft": hers, "code": code(secret=secret)})
    assert (refused.status_code, shown(refused.text)[1] != secret) == (422, True)
    age_of_drafts = clock.now() + timedelta(minutes=14, seconds=59)
    with time_machine.travel(age_of_drafts, tick=False):
        late = admin.post(f"{SECURITY}app", data={"draft": hers, "code": "000000"})
    assert late.status_code == 422
    assert CredentialCRUD(db).of(1).app is None
    assert admin.post(f"{SECURITY}app", data={"draft": hers, "code": code(secret=secret)}).status_code == 200


def test_a_passkey_that_is_made_has_to_know_its_person_and_to_be_found_without_a_name(person: TestClient) -> None:
    key = Key()
    assert set_up(person, key).status_code == 200
    asked = json.loads(HTMLParser(person.get(NEW).text).css_first("[data-passkey]").attributes["data-options"] or "")
    wanted = asked["authenticatorSelection"]
    assert (wanted["residentKey"], wanted["userVerification"]) == ("required", "required")
    assert [each["id"] for each in asked["excludeCredentials"]] == [bytes_to_base64url(key.id)]


def test_passkeys_are_offered_where_they_work(person: TestClient, admin: TestClient) -> None:
    """At a name, over https or on this machine: not at an address of numbers."""
    assert f'href="{NEW}"' in person.get(SECURITY).text
    assert f'href="{NEW}"' not in admin.get(SECURITY).text


def test_a_refused_proof_says_when_to_try_again(admin: TestClient, db: Session) -> None:
    age(db)
    answers = [admin.post(CONFIRM, data={"password": f"a wrong password {n}"}) for n in range(6)]
    assert ["retry-after" in answer.headers for answer in answers] == [False] * 5 + [True]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 15 * 60


@pytest.mark.parametrize(
    ("purpose", "address"), [("sign_in", "enter"), ("invite", "invite"), ("reset", "reset"), ("verify", "confirm")]
)
def test_links_that_went_out_before_an_update_open_after_it(
    app: FastAPI, db: Session, purpose: str, address: str
) -> None:
    """They lie in the database by these words, and a link of one kind opens nothing of another."""
    boris = hire(db, MANAGER, "boris")
    row = {"token_hash": security.digest("secret"), "expires_at": clock.now() + timedelta(minutes=15)}
    save(db, OneTimeToken(user_id=boris.id, purpose=purpose, data={"email": "new@school.example"}, **row))
    places = ("enter", "invite", "reset", "confirm")
    opened = [place for place in places if browser(app).get(f"/{place}/secret").status_code == 200]
    assert opened == [address]


# -- accounts elsewhere


def test_no_redirect_of_a_token_address_is_followed(app: FastAPI, provider: FakeProvider) -> None:
    """With the code and the client's secret in the body it might lead anywhere."""
    visitor = guest(app)
    provider.moved, provider.moved_status = {"/token": f"{provider.url}/elsewhere"}, 307
    answer = visitor.get(provider.visit(leave(visitor)))
    assert (answer.status_code, "/elsewhere" in provider.asked) == (400, False)


def test_links_to_accounts_elsewhere_are_told_with_their_person_and_service(
    admin: TestClient, provider: FakeProvider, db: Session
) -> None:
    assert admin.get(provider.visit(leave(admin, f"{ACCOUNTS}oidc/link"))).status_code == 303
    [linked] = events(db, "authn_identity_linked")
    assert (linked.user_id, linked.data["provider"]) == (1, "oidc")


# -- what is told of whom


def test_events_name_whom_they_are_about(app: FastAPI, admin: TestClient, db: Session) -> None:
    guest_, _address = invited(admin, db)
    assert [event.user_id for event in events(db, "user_invited")] == [guest_.id]
    client = program(app)
    client.headers["User-Agent"] = "school-script/1.0"
    pair = ask_tokens(client).json()
    came = *events(db, "authn_login_new_device"), *events(db, "authn_login_success")
    [entered] = [event for event in came if event.user_agent == "school-script/1.0"]
    assert (entered.user_id, entered.user_agent) == (1, "school-script/1.0")
    client.post("/auth/logout", headers=bearer(pair["access_token"]))
    ended = events(db, "session_revoked")
    assert [bool(event.data.get("session_id")) for event in ended] == [True]


def test_a_theme_that_is_none_is_the_devices(app: FastAPI) -> None:
    visitor = browser(app)
    for theme, wanted in (("dark", 'data-bs-theme="dark"'), ("purple", "<html lang=")):
        visitor.cookies.set("lyceum_theme", theme)
        page = visitor.get("/login").text
        assert wanted in page
        assert "purple" not in page
    assert 'content="light dark"' in page


def test_moments_are_told_in_the_time_of_the_reader(admin: TestClient, db: Session) -> None:
    maria = make_user(db)
    maria.created_at = clock.now().replace(2026, 1, 15, 20, 30)
    db.get_one(User, 1).timezone = "Asia/Vladivostok"
    db.commit()
    admin.headers["Accept-Language"] = "en"
    page = admin.get(f"/dashboard/users/{maria.id}").text
    assert "16\xa0January 2026, 06:30" in page


@pytest.mark.parametrize("password", ["krasnoshchekova", "Krasnoshchekova1985"])
def test_a_last_name_is_no_password(app: FastAPI, password: str) -> None:
    object.__setattr__(app.state.settings, "registration", True)
    sent = {"email": "o@school.example", "first_name": "Olga", "last_name": "Krasnoshchekova"}
    answer = program(app).post("/api/auth/register", json=sent | {"password": password})
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, ["password"])


def test_on_plain_http_an_administrator_is_reminded_of_the_second_factor(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    reminder = 'aria-label="Two-factor authentication"'
    assert reminder in admin.get("/dashboard/").text
    assert reminder not in admin.get("/dashboard/settings/security/").text
    hire(db, MANAGER, "manager")
    assert reminder not in sign_in("manager").get("/dashboard/").text
    give_app(db, app.state.settings)
    assert reminder not in admin.get("/dashboard/").text


def test_a_factor_that_comes_or_goes_ends_the_trust_in_every_device(person: TestClient, db: Session) -> None:
    """New recovery codes do not: they open nothing by themselves."""
    TrustedDeviceCRUD(db).trust(1, "d", "this one")
    db.commit()
    assert set_up(person, Key()).status_code == 200
    db.rollback()
    assert not TrustedDeviceCRUD(db).trusts(1, "d")
    TrustedDeviceCRUD(db).trust(1, "d", "this one")
    db.commit()
    assert person.post(f"{SECURITY}codes").status_code == 200
    db.rollback()
    assert TrustedDeviceCRUD(db).trusts(1, "d")
    factor = db.scalars(select(Credential.id).where(Credential.kind == "passkey")).one()
    assert person.post(f"{SECURITY}factors/{factor}/remove").status_code == 303
    db.rollback()
    assert not TrustedDeviceCRUD(db).trusts(1, "d")


# -- who asks, and until when


def test_a_form_of_another_site_and_a_closed_page_are_told_too(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    for _ in range(2):
        forged = admin.post("/dashboard/settings/language", headers={"X-CSRF-Token": "x"}, data={"language": "ru"})
        assert forged.status_code == 403
    assert [(event.user_id, event.data["why"]) for event in events(db, Event.REFUSED)] == [(1, "csrf")] * 2
    viewer = look(english_admin(sign_in, db), hire(db, MANAGER, "boris"))
    assert viewer.get("/dashboard/confirm/").status_code == 403
    assert viewer.post("/dashboard/users/1/toggle").status_code == 403
    assert [event.data["why"] for event in events(db, Event.REFUSED)][2:] == ["viewing", "read_only"]


def test_what_is_no_bearer_is_no_token_that_was_made_up(app: FastAPI, db: Session) -> None:
    client = program(app)
    for sent in ("Basic YW5uYTpzZWNyZXQ=", "Bearer", "Bearer ", ""):
        assert client.get("/api/auth/me", headers={"Authorization": sent}).status_code == 401
    assert events(db, Event.TOKEN_REFUSED) == []
    assert client.get("/api/auth/me", headers={"Authorization": "bearer x"}).status_code == 401
    assert [event.data for event in events(db, Event.TOKEN_REFUSED)] == [{"sent": "other"}]


def test_a_browser_is_known_for_each_of_its_people(app: FastAPI, db: Session) -> None:
    device = Device("d").with_person(db, 1).with_person(db, 23)
    sealed = device.seal(app.state.settings)
    headers = [(b"cookie", f"lyceum_device={sealed}".encode())]
    sent = Request({"type": "http", "app": app, "method": "GET", "path": "/", "headers": headers})
    assert device_of(sent, app.state.settings) == device
    assert [device.knows(db, person) for person in (1, 2, 23)] == [True, False, True]


def test_a_device_is_trusted_up_to_the_last_moment_and_not_in_it(db: Session) -> None:
    with time_machine.travel(clock.now(), tick=False) as now:
        TrustedDeviceCRUD(db).trust(1, "d", "this one")
        now.move_to(clock.now() + TRUST - timedelta(microseconds=1))
        assert TrustedDeviceCRUD(db).trusts(1, "d")
        now.move_to(clock.now() + timedelta(microseconds=1))
        assert not TrustedDeviceCRUD(db).trusts(1, "d")
        assert TrustedDeviceCRUD(db).of(1) == []


def test_an_attempt_counts_up_to_the_end_of_its_window_and_not_in_it(db: Session) -> None:
    limit = Limit("k", 1, 60)
    with time_machine.travel(clock.now(), tick=False) as now:
        ThrottleCRUD(db).take([limit])
        now.move_to(clock.now() + timedelta(seconds=60) - timedelta(microseconds=1))
        assert ThrottleCRUD(db).used_up([limit]) == ["k"]
        now.move_to(clock.now() + timedelta(microseconds=1))
        assert ThrottleCRUD(db).used_up([limit]) == []


def test_a_session_rests_an_hour_and_not_a_moment_longer(db: Session) -> None:
    with time_machine.travel(clock.now(), tick=False) as now:
        SessionCRUD(db).open(UserCRUD(db).get_by_id(1), kind="cookie", user_agent="", ip="", lifetime=ABSOLUTE)
        now.move_to(clock.now() + IDLE)
        assert len(SessionCRUD(db).of_user(1)) == 1
        now.move_to(clock.now() + timedelta(microseconds=1))
        assert SessionCRUD(db).of_user(1) == []


def test_a_password_is_a_proof_of_everything_but_what_needs_the_second_factor() -> None:
    me = Principal(kind="session", user_id=1, has_factor=True, confirmed_at=clock.now(), strong_at=None)
    assert (proved_lately(me), proved_lately(me, strong=True)) == (True, False)
    assert proved_lately(replace(me, has_factor=False), strong=True)
    assert not proved_lately(replace(me, confirmed_at=None, strong_at=clock.now()))


def test_clocks_may_differ_by_half_a_minute(app: FastAPI) -> None:
    settings, whole = app.state.settings, clock.now().replace(microsecond=0)
    with time_machine.travel(whole, tick=False) as now:
        text = security.encode_jwt(settings, {"sub": "1", "sid": 1}, timedelta(minutes=15))
        for seconds, valid in ((29, True), (30, False), (-930, True), (-931, False)):
            now.move_to(whole + timedelta(minutes=15, seconds=seconds))
            assert (security.decode_jwt(settings, text) is not None) is valid, seconds
