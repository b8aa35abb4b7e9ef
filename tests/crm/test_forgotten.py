"""Letters with links: a forgotten password, another e-mail, a student who signs up. And the page where they wait."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.core.permissions import MANAGER, SUPPORT
from backend.database.crud.credentials import TrustedDeviceCRUD
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.registrations import RegistrationCRUD
from backend.database.crud.throttle import ThrottleCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, Credential, OneTimeToken
from backend.database.models.dispatches import Dispatch
from backend.database.models.doors import Registration
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import ORIGIN, PASSWORD, SignIn
from tests.crm.pages import errors
from tests.doors import BASE, program
from tests.factories import make_user
from tests.figures import Figure

NEW = "seven wild geese over the lake"
EMAIL = "admin@school.example"


@pytest.fixture
def anna(db: Session) -> User:
    user = db.scalars(select(User).where(User.login == "admin")).one()
    user.email = EMAIL
    db.flush()
    return user


@pytest.fixture
def visitor(app: FastAPI) -> TestClient:
    return browser(app)


def browser(app: FastAPI, ip: str = "testclient") -> TestClient:
    made = TestClient(app, base_url="http://127.0.0.1:8000", headers=ORIGIN, follow_redirects=False, client=(ip, 50000))
    page = made.get("/forgot").text
    made.headers["X-CSRF-Token"] = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
    return made


def letters(db: Session, kind: str) -> list[Dispatch]:
    statement = select(Dispatch).where(Dispatch.method == kind).order_by(Dispatch.id)
    return list(db.scalars(statement, execution_options={"populate_existing": True}))


def link(db: Session, kind: str) -> str:
    """The path of the link in the last letter."""
    written = LetterCRUD(db).letter(letters(db, kind)[-1])
    assert written is not None
    found = re.search(r"http://127\.0\.0\.1:8000(/\S+)\n", written.text)
    assert found is not None
    return found[1]


def new_password(client: TestClient, path: str, password: str = NEW, repeat: str = "") -> int:
    return client.post(path, data={"password": password, "repeat": repeat or password}).status_code


def kinds(db: Session, user_id: int) -> list[str]:
    told = select(SecurityEvent.kind).where(SecurityEvent.user_id == user_id)
    return list(db.scalars(told.order_by(SecurityEvent.id)))


def test_a_forgotten_password_is_replaced_once_and_ends_every_session(
    app: FastAPI, anna: User, visitor: TestClient, admin: TestClient, db: Session
) -> None:
    asked = visitor.post("/forgot", data={"username": EMAIL.upper()})
    assert (asked.status_code, asked.headers["location"]) == (303, "/forgot/sent")
    assert "waiting in the outbox" in visitor.get("/forgot/sent").text
    older = link(db, "reset")
    visitor.post("/forgot", data={"username": "admin"})
    path = link(db, "reset")
    assert [row.state for row in letters(db, "reset")] == ["cancelled", "pending"]
    assert (visitor.get(older).status_code, visitor.get(path).status_code, visitor.get(path).status_code) == (
        404,
        200,
        200,
    )

    assert new_password(visitor, older) == 404
    assert new_password(visitor, path, "password1234") == 422
    assert new_password(visitor, path, NEW, NEW + "!") == 422
    assert admin.get("/dashboard/").status_code == 200
    assert new_password(visitor, path) == 303
    assert admin.get("/dashboard/").headers["location"].startswith("/login")
    assert visitor.get("/dashboard/").status_code == 200
    assert (new_password(browser(app), path), visitor.get(path).status_code) == (404, 404)
    alive = select(func.count()).where(AuthSession.revoked_at.is_(None), AuthSession.user_id == anna.id)
    assert db.scalar(alive) == 1
    assert kinds(db, anna.id)[1:4] == ["authn_password_reset_asked"] * 2 + ["authn_password_change"]


def test_a_link_is_no_second_factor(anna: User, visitor: TestClient, db: Session) -> None:
    visitor.post("/login", data={"username": "admin", "password": PASSWORD})
    device = device_name(visitor)
    visitor.cookies.delete("lyceum")
    db.add(Credential(user_id=anna.id, kind="totp", secret="sealed", confirmed_at=clock.now()))
    TrustedDeviceCRUD(db).trust(anna.id, device, "this one")
    db.flush()
    visitor.post("/forgot", data={"username": EMAIL})
    assert new_password(visitor, link(db, "reset")) == 303
    assert visitor.get("/dashboard/").headers["location"].startswith("/login")
    last = db.scalars(select(AuthSession).order_by(AuthSession.id.desc())).first()
    assert last is not None
    assert (last.level, last.method) == ("pending", "reset")
    assert TrustedDeviceCRUD(db).trusts(anna.id, device) is False


def device_name(client: TestClient) -> str:
    return client.cookies["lyceum_device"].partition(".")[0]


def test_a_link_lives_a_quarter_of_an_hour_and_not_for_a_closed_account(
    anna: User, visitor: TestClient, db: Session
) -> None:
    visitor.post("/forgot", data={"username": EMAIL})
    path = link(db, "reset")
    anna.is_active = False
    db.flush()
    assert (visitor.get(path).status_code, new_password(visitor, path)) == (404, 404)
    anna.is_active = True
    db.flush()
    expires = db.scalars(select(OneTimeToken.expires_at)).one()
    assert timedelta(minutes=14) < expires - clock.now() <= timedelta(minutes=15)
    db.execute(update(OneTimeToken).values(expires_at=clock.now()))
    assert (visitor.get(path).status_code, new_password(visitor, path)) == (404, 404)


def test_nobody_learns_who_has_an_account(anna: User, app: FastAPI, db: Session) -> None:
    make_user(db, email="off@school.example", is_active=False)
    make_user(db, login="mute")
    answers = set()
    for number, typed in enumerate((EMAIL, "nobody@school.example", "off@school.example", "mute", "admin")):
        client = browser(app, f"10.0.0.{number}")
        by_api = client.post("/api/auth/forgot-password", json={"email": typed})
        page = client.post("/forgot", data={"username": typed})
        answers.add((by_api.status_code, by_api.content, page.status_code, page.headers["location"], page.content))
    assert answers == {(202, b'{"status":"sent"}', 303, "/forgot/sent", b"")}
    assert {row.user_id for row in letters(db, "reset")} == {anna.id}
    assert set(db.scalars(select(OneTimeToken.user_id))) == {anna.id}


def test_asking_too_often_waits_until_tomorrow_but_not_on_a_known_device(anna: User, app: FastAPI, db: Session) -> None:
    clients = [browser(app, f"10.0.1.{number}") for number in range(6)]
    sent = [client.post("/forgot", data={"username": EMAIL}) for client in clients]
    assert [answer.status_code for answer in sent] == [303] * 5 + [429]
    assert 86_000 < int(sent[-1].headers["retry-after"]) <= 86_400
    assert "Try again tomorrow" in sent[-1].text
    unknown = [clients[0].post("/forgot", data={"username": "nobody"}).status_code for _ in range(6)]
    assert unknown == [303] * 5 + [429]

    known = clients[-1]
    known.post("/login", data={"username": "admin", "password": PASSWORD})
    known.cookies.delete("lyceum")
    again = browser(app, "10.0.1.9")
    again.cookies.set("lyceum_device", known.cookies["lyceum_device"])
    assert again.post("/forgot", data={"username": EMAIL}).status_code == 303
    assert db.scalar(select(func.count()).where(Dispatch.method == "reset")) == 6

    many = browser(app, "10.0.2.1")
    flood = [many.post("/forgot", data={"username": f"x{number}"}).status_code for number in range(21)]
    assert flood == [303] * 20 + [429]


def test_another_email_waits_for_the_link_in_its_letter(anna: User, admin: TestClient, db: Session) -> None:
    profile = {"first_name": "Анна", "email": "new@school.example", "timezone": "UTC"}
    saved = admin.post("/dashboard/settings/profile", data=profile)
    assert saved.status_code == 303
    db.refresh(anna)
    assert (anna.email, anna.email_verified_at) == (EMAIL, None)
    assert "To confirm new@school.example" in admin.get("/dashboard/settings/").text
    assert [(row.address, row.method) for row in (*letters(db, "verify"), *letters(db, "email_changed"))] == [
        ("new@school.example", "verify"), (EMAIL, "email_changed"),
    ]  # fmt: skip

    path = link(db, "verify")
    assert "new@school.example" in admin.get(path).text
    done = admin.post(path)
    assert (done.status_code, done.headers["location"]) == (303, "/dashboard/settings/")
    db.refresh(anna)
    assert anna.email == "new@school.example"
    assert anna.email_verified_at is not None
    assert (admin.post(path).status_code, admin.get(path).status_code) == (404, 404)
    assert "authn_email_change" in kinds(db, anna.id)


def test_an_email_that_someone_else_confirmed_first_stays_theirs(anna: User, admin: TestClient, db: Session) -> None:
    admin.post("/dashboard/settings/profile", data={"first_name": "Анна", "email": "x@y.example", "timezone": "UTC"})
    make_user(db, email="x@y.example")
    assert admin.post(link(db, "verify")).status_code == 404
    db.refresh(anna)
    assert anna.email == EMAIL


def test_the_outbox_shows_letters_and_their_links_on_purpose_alone(
    anna: User, visitor: TestClient, admin: TestClient, staff: SignIn, db: Session
) -> None:
    visitor.post("/forgot", data={"username": EMAIL})
    (row,) = letters(db, "reset")
    secret = link(db, "reset").rpartition("/")[2]
    listed = admin.get("/dashboard/outbox/", params={"channel": "email"}).text
    assert "Reset your password for Lyceum" in listed
    assert "Needs you" in listed
    page = f"/dashboard/outbox/letters/{row.id}"
    shown = admin.get(page).text
    assert ("Hello, Анна!" in shown, secret in shown, "••••" in shown) == (True, False, True)
    assert sorted(kinds(db, anna.id)) == ["authn_email_change", "authn_password_reset_asked"]

    revealed = admin.post(page)
    assert (revealed.status_code, f"/reset/{secret}" in revealed.text) == (200, True)
    event = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sensitive_read_letter")).one()
    assert (event.user_id, event.data) == (anna.id, {"letter": row.id, "about": "reset"})
    assert secret not in json.dumps(row.params)
    for role in (MANAGER, SUPPORT):
        assert staff(role).post(page).status_code == 403

    assert admin.post(f"/dashboard/outbox/{row.id}/cancel").status_code == 303
    assert "The link is erased" in admin.get(page).text
    db.execute(update(Dispatch).values(state="failed", error="expired", expires_at=clock.now()))
    assert admin.post(f"/dashboard/outbox/{row.id}/resend").status_code == 409
    message = DispatchCRUD(db).enqueue("x", chat_id=1, method="sendMessage", params={"text": "x"})
    assert admin.get(f"/dashboard/outbox/letters/{message.id}").status_code == 404


def test_the_page_of_registration_keeps_the_same_rules(
    app: FastAPI, visitor: TestClient, db: Session, anna: User
) -> None:
    """A plain form. Whoever has an account already gets the same answer; the letter tells them."""
    off = [visitor.get("/register"), visitor.post("/register", data=SENT), visitor.get("/register/sent")]
    assert [answer.status_code for answer in off] == [404] * 3
    assert "/register" not in visitor.get("/login").text
    object.__setattr__(app.state.settings, "registration", True)
    assert 'href="/register"' in visitor.get("/login").text
    page = visitor.get("/register")
    assert (page.status_code, "hx-post" in page.text) == (200, False)
    weak = visitor.post("/register", data={**SENT, "password": "password1234"})
    assert (weak.status_code, list(errors(weak.text))) == (422, ["password"])
    assert ('value="Olga@pupils.example"' in weak.text, "password1234" in weak.text) == (True, False)
    assert list(errors(visitor.post("/register", data={"email": "x"}).text)) == ["first_name", "email", "password"]
    answers = [visitor.post("/register", data={**SENT, "email": email}) for email in (EMAIL, SENT["email"])]
    assert {(answer.status_code, answer.headers["location"], answer.content) for answer in answers} == {
        (303, "/register/sent", b""),
    }
    assert "We have emailed you a link" in visitor.get("/register/sent").text
    assert [row.address for row in (*letters(db, "registered"), *letters(db, "register"))] == [EMAIL, SENT["email"]]
    assert "Welcome, Ольга" in visitor.post(link(db, "register"), data={"password": NEW}).text
    statuses = [visitor.post("/register", data=SENT).status_code for _ in range(5)]
    assert statuses == [303] * 4 + [429]


SENT = {"email": "Olga@pupils.example", "password": NEW, "first_name": "Ольга"}


def test_the_letter_to_an_address_that_anyone_may_type_says_nothing_that_they_typed(
    app: FastAPI, visitor: TestClient, db: Session
) -> None:
    object.__setattr__(app.state.settings, "registration", True)
    sent = {**SENT, "first_name": "you have won, https://evil.example", "last_name": "call +1 555 0100"}
    assert visitor.post("/register", data=sent).status_code == 303
    (row,) = letters(db, "register")
    written = LetterCRUD(db).letter(row)
    assert written is not None
    said = written.subject + written.text + written.html
    assert [words in said for words in ("evil.example", "you have won", "555", "Hello!")] == [False, False, False, True]
    assert row.params["values"] == {"school": "Lyceum"}


def test_students_sign_up_where_the_school_wants_it(app: FastAPI, visitor: TestClient, db: Session, anna: User) -> None:
    refused = visitor.post("/api/auth/register", json=SENT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "registration_off")
    object.__setattr__(app.state.settings, "registration", True)
    taken = visitor.post("/api/auth/register", json={**SENT, "email": anna.email})
    new = visitor.post("/api/auth/register", json=SENT)
    assert (taken.status_code, taken.content) == (new.status_code, new.content) == (202, b'{"status":"sent"}')
    weak = visitor.post("/api/auth/register", json={**SENT, "password": "password1234"})
    assert (weak.status_code, list(weak.json()["error"]["fields"])) == (422, ["password"])
    assert db.scalars(select(User.email).where(User.email.like("%pupils%"))).all() == []
    written = [*letters(db, "registered"), *letters(db, "register")]
    # Neither letter names a person: the look at a foreign key would tell by its time who has an account.
    assert [(row.address, row.user_id) for row in written] == [(EMAIL, None), (SENT["email"], None)]

    path = link(db, "register")
    assert "Olga@pupils.example" in visitor.get(path).text
    assert list(errors(visitor.post(path).text)) == ["password"]
    assert "Welcome, Ольга" in visitor.post(path, data={"password": NEW}).text
    student = db.scalars(select(User).where(User.email_key == "olga@pupils.example")).one()
    assert (student.email_verified_at is not None, student.source) == (True, "registration")
    again = visitor.get(path), visitor.post(path, data={"password": NEW}), visitor.post(path)
    assert [answer.status_code for answer in again] == [404, 404, 404]
    assert db.scalars(select(Registration)).all() == []
    entered = visitor.post("/auth/login", json={"username": "olga@pupils.example", "password": NEW})
    assert entered.status_code == 200
    codes = [visitor.post("/api/auth/register", json=SENT).status_code for _ in range(5)]
    assert codes == [202] * 4 + [429]


def test_nobody_gets_an_account_at_an_address_that_is_anothers(
    app: FastAPI, visitor: TestClient, db: Session, anna: User
) -> None:
    """Somebody signs up with the address of a stranger, who reads the letter and follows its link."""
    object.__setattr__(app.state.settings, "registration", True)
    assert visitor.post("/api/auth/register", json=SENT).status_code == 202
    stranger, path = browser(app, "203.0.113.50"), link(db, "register")
    assert "by entering the password you chose" in stranger.get(path).text
    tried = [stranger.post(path, data={"password": "whatever comes to mind"}) for _ in range(5)]
    assert [answer.status_code for answer in tried] == [422] * 5
    assert "If you did not sign up here yourself, close this page." in errors(tried[0].text)["password"]
    late = stranger.post(path, data={"password": NEW})
    assert (late.status_code, 890 <= int(late.headers["Retry-After"]) <= 900) == (429, True)
    assert db.scalars(select(User).where(User.email_key == "olga@pupils.example")).all() == []
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1)):
        assert "Welcome, Ольга" in visitor.post(path, data={"password": NEW}).text


def test_a_link_that_was_used_meanwhile_makes_no_second_account(
    app: FastAPI, visitor: TestClient, db: Session, anna: User, database: Database
) -> None:
    """Two tabs at once: both have found the link, one was faster."""
    object.__setattr__(app.state.settings, "registration", True)
    visitor.post("/api/auth/register", json=SENT)
    secret = link(db, "register").rpartition("/")[2]
    database.run(lambda session: RegistrationCRUD(session).finish(secret))
    with pytest.raises(NotFoundError):
        database.run(lambda session: RegistrationCRUD(session).finish(secret))


@pytest.mark.parametrize(("key", "most"), [("register-ip:198.51.100.7", 30), ("register-all", 1000)])
def test_only_so_many_sign_up_from_one_place_and_in_all(app: FastAPI, db: Session, key: str, most: int) -> None:
    object.__setattr__(app.state.settings, "registration", True)
    ThrottleCRUD(db).keep(key, most - 1, 24 * 3600)
    db.commit()
    client = program(app, "198.51.100.7")
    answers = [client.post("/api/auth/register", json={**SENT, "email": f"a{n}@pupils.example"}) for n in range(2)]
    assert [answer.status_code for answer in answers] == [202, 429]
    assert 24 * 3600 - 10 <= int(answers[1].headers["Retry-After"]) <= 24 * 3600


@pytest.mark.parametrize("kind", ["reset", "verify"])
def test_of_fifty_uses_of_one_link_one_succeeds(
    anna: User, app: FastAPI, admin: TestClient, db: Session, kind: str, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.setattr(security, "hash_password", lambda password: f"hash of {password}")  # argon2 is not the question
    tabs = [browser(app, f"203.0.113.{number}") for number in range(5)]
    if kind == "reset":
        tabs[0].post("/forgot", data={"username": EMAIL})
    else:
        form = {"first_name": "Анна", "email": "new@school.example", "timezone": "UTC"}
        assert admin.post("/dashboard/settings/profile", data=form).status_code == 303
    path = link(db, kind)

    def use(number: int) -> bool:
        own = TestClient(app, base_url=BASE, headers=tabs[number % 5].headers, cookies=dict(tabs[number % 5].cookies))
        sent = {"password": f"{NEW} {number}", "repeat": f"{NEW} {number}"} if kind == "reset" else {}
        return own.post(path, data=sent, follow_redirects=False).status_code == 303

    with ThreadPoolExecutor(25) as pool:
        won = [number for number, done in enumerate(pool.map(use, range(50))) if done]
    assert len(won) == 1
    db.expire_all()
    if kind == "reset":
        assert anna.password_hash == f"hash of {NEW} {won[0]}"
    assert db.scalar(select(func.count()).where(OneTimeToken.purpose == kind, OneTimeToken.used_at.is_(None))) == 0
    figure("B7", f"uses of one link at once that succeed ({kind})", len(won), "1", 50)
