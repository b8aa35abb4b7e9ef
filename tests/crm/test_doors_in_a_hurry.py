"""Doors at the wrong moment: twice at once, too often, with nothing in hand, or when the other side has gone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import Connection, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import MANAGER
from backend.crm.elsewhere import TRIPS
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, OneTimeToken
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.conftest import SignIn, make_settings
from tests.crm.pages import english_admin, errors
from tests.crm.test_confirm import CONFIRM, age
from tests.crm.test_elsewhere import AWAY, leave, provider, running
from tests.crm.test_elsewhere import browser as guest
from tests.crm.test_forged_passkeys import Key, key, opened, question, visitor
from tests.crm.test_roles import BASIC
from tests.crm.test_roles import HERE as ROLES
from tests.crm.test_staff import HERE as STAFF
from tests.crm.test_staff import hire, invited, role_id
from tests.crm.test_view_as import look
from tests.database.rivals import overtaken
from tests.doors import browser, sign_in
from tests.factories import save
from tests.provider import FakeProvider

__all__ = ["key", "provider", "running"]  # fixtures
NEW = "a long new password"


def test_of_those_who_take_one_invitation_at_once_one_comes_in(app: FastAPI, admin: TestClient, db: Session) -> None:
    """The link is looked at, then a password is hashed: in between another may take it."""
    person, address = invited(admin, db)
    guests = [browser(app) for _ in range(4)]

    def take(number: int) -> int:
        sent = {"login": f"vera{number}", "password": NEW, "repeat": NEW}
        return guests[number].post(address, data=sent).status_code

    with ThreadPoolExecutor(len(guests)) as pool:
        statuses = sorted(pool.map(take, range(len(guests))))
    assert statuses == [303, 404, 404, 404]
    db.expire_all()
    assert (db.get_one(User, person.id).login or "").startswith("vera")


def test_an_invitation_taken_while_the_password_was_hashed_is_none(
    app: FastAPI, database: Database, admin: TestClient, db: Session
) -> None:
    person, address = invited(admin, db)

    def rival(connection: Connection) -> None:
        connection.execute(update(OneTimeToken).values(used_at=clock.now()))

    with overtaken(database.engine, "UPDATE one_time_tokens", rival):
        answer = browser(app).post(address, data={"login": "vera", "password": NEW, "repeat": NEW})
    assert (answer.status_code, "This invitation no longer works" in answer.text) == (404, True)
    db.expire_all()
    assert (db.get_one(User, person.id).login, db.get_one(User, person.id).password_hash) == (person.login, None)


def test_two_who_choose_one_login_at_once_do_not_share_it(app: FastAPI, admin: TestClient, db: Session) -> None:
    addresses = [invited(admin, db)[1] for _ in range(4)]

    told = "This login is taken.", "This login is already in use."  # before the write, or by it

    def take(address: str) -> tuple[int, bool]:
        answer = browser(app).post(address, data={"login": "vera", "password": NEW, "repeat": NEW})
        return answer.status_code, any(words in answer.text for words in told)

    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(take, addresses))
    assert found[0] == (303, False)
    assert {status for status, _told in found[1:]} <= {409, 422}
    assert [said for _status, said in found[1:]] == [True] * 3
    assert len(db.scalars(select(User).where(User.login == "vera")).all()) == 1


def test_an_invitation_says_whether_its_letter_is_on_the_way(app: FastAPI, admin: TestClient, db: Session) -> None:
    sent = {"first_name": "Вера", "email": "vera@school.example", "role_id": str(role_id(db, MANAGER))}
    assert "Send this link to the person." in admin.post(STAFF, data=sent).text
    mail = {"smtp_url": "smtps://school:pass@mail.example", "mail_from": "school@school.example"}
    object.__setattr__(app.state.settings, "smtp_url", make_settings("sqlite://", Path(), **mail).smtp_url)
    told = admin.post(STAFF, data=sent | {"email": "olga@school.example"}).text
    assert "An email is on its way to olga@school.example." in told
    assert "/invite/" in told  # should it get lost


def test_of_ways_back_at_once_one_comes_to_ones_own_account(app: FastAPI, sign_in: SignIn, db: Session) -> None:
    """The others find that the view is over: they are nobody then, and sign in."""
    boris, admin = hire(db, MANAGER, "boris"), english_admin(sign_in, db)
    look(admin, boris)
    headers = {name: admin.headers[name] for name in ("X-CSRF-Token", "Origin", "Sec-Fetch-Site")}

    def back(_number: int) -> str:
        client = TestClient(app, base_url=str(admin.base_url), headers=headers, follow_redirects=False)
        client.cookies.set("lyceum", admin.cookies["lyceum"])
        return client.post("/dashboard/return").headers["location"]

    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(back, range(8)))
    assert sorted(place.partition("?")[0] for place in places) == [f"{STAFF}{boris.id}", *["/login"] * 7]


def test_the_way_back_leads_to_the_door_once_another_tab_has_gone_it(
    database: Database, sign_in: SignIn, db: Session
) -> None:
    boris, admin = hire(db, MANAGER, "boris"), english_admin(sign_in, db)
    look(admin, boris)

    def rival(connection: Connection) -> None:
        connection.execute(
            update(AuthSession).where(AuthSession.impersonator_id.is_not(None)).values(revoked_at=clock.now())
        )

    with overtaken(database.engine, "UPDATE sessions SET revoked_at", rival) as tried:
        answer = admin.post("/dashboard/return")
    assert (answer.status_code, answer.headers["location"], bool(tried)) == (303, "/login", True)


def test_the_way_back_from_nobodys_eyes_is_the_overview(admin: TestClient) -> None:
    answer = admin.post("/dashboard/return")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")


def test_what_does_not_fit_a_role_that_stands_stays_in_its_form(admin: TestClient, db: Session) -> None:
    admin.post(ROLES, data={"name": "Куратор", "rights": BASIC})
    role = db.scalars(select(Role).where(Role.name == "Куратор")).one()
    refused = admin.post(f"{ROLES}{role.id}", data={"name": "", "rights": [*BASIC, "users:read"]})
    assert (refused.status_code, list(errors(refused.text))) == (422, ["name"])
    assert len(HTMLParser(refused.text).css("[name=rights][checked]")) == 3
    db.expire_all()
    assert (role.name, sorted(role.permissions)) == ("Куратор", sorted(BASIC))


def test_whoever_may_not_read_the_history_sees_none_of_roles_and_staff(
    admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    save(db, Role(name="Кадры", permissions=[*BASIC, "staff:write", "roles:write", "users:read"]))
    hire(db, "Кадры", "head")
    boris, head = hire(db, MANAGER, "boris"), sign_in("head")
    for page in (f"{STAFF}{boris.id}", f"{ROLES}{boris.role_id}"):
        assert ('id="history"' in admin.get(page).text, 'id="history"' in head.get(page).text) == (True, False)


# -- passkeys


def test_a_passkey_that_is_none_proves_nothing_and_is_counted(admin: TestClient, db: Session, key: Key) -> None:
    age(db)
    before = admin.cookies["lyceum"]
    sent = {"ticket": "x", "answer": key.answer("x")}
    assert [admin.post(f"{CONFIRM}passkey", data=sent).status_code for _ in range(6)] == [422] * 5 + [429]
    assert admin.get("/dashboard/users/export.csv").status_code == 303  # is asked still
    assert admin.cookies["lyceum"] == before
    told = select(SecurityEvent.kind).where(SecurityEvent.kind.like("authn_factor_fail%")).order_by(SecurityEvent.id)
    assert db.scalars(told).all() == ["authn_factor_fail"] * 4 + ["authn_factor_fail_max"]


def test_the_second_step_counts_passkeys_that_are_none(app: FastAPI, db: Session, key: Key) -> None:
    client = visitor(app)
    sign_in(client)
    path = "/login/second/passkey"
    assert client.post(path, data={}).status_code == 422
    wrong = {"ticket": "x", "answer": key.answer("x")}
    assert [client.post(path, data=wrong).status_code for _ in range(6)] == [422] * 5 + [429]
    challenge, ticket = question(client, "/login/second?by=passkey")
    right = {"ticket": ticket, "answer": key.answer(challenge)}
    assert client.post(path, data=right).status_code == 429
    assert opened(db) == 0


def test_the_passkey_of_a_closed_account_opens_nothing(app: FastAPI, db: Session, key: Key) -> None:
    client = visitor(app)
    db.get_one(User, 1).is_active = False
    db.commit()
    challenge, ticket = question(client)
    answer = client.post("/login/passkey", data={"ticket": ticket, "answer": key.answer(challenge)})
    assert (answer.status_code, opened(db)) == (401, 0)


# -- other services


def test_who_goes_elsewhere_too_often_waits(app: FastAPI, provider: FakeProvider) -> None:
    client = guest(app)
    assert all(leave(client).startswith(provider.url) for _ in range(TRIPS))
    answer = client.post(AWAY)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
