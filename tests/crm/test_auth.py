"""The door for people: password, one-time link, sign-out; what a browser is given and what it is refused."""

from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.deps import get_current_user_from_cookie
from backend.core.errors import NotAuthenticatedError
from backend.core.permissions import STUDENT
from backend.database.crud.auth import SIGN_IN, OneTimeTokenCRUD, SessionCRUD
from backend.database.models.auth import AuthSession, OneTimeToken
from backend.database.models.users import User
from main import create_app
from tests.conftest import PASSWORD, SignIn, make_settings
from tests.doors import browser, sign_in, token_of

NEW = "seven wild geese over the lake"


def live_sessions(db: Session) -> int:
    db.rollback()
    return db.scalar(select(func.count()).where(AuthSession.revoked_at.is_(None))) or 0


def user(db: Session) -> User:
    return db.scalars(select(User).where(User.login == "admin")).one()


# -- the page


def test_the_front_door_leads_to_the_dashboard_and_from_there_to_the_sign_in(client: TestClient) -> None:
    assert client.get("/").headers["location"] == "/dashboard/"
    answer = client.get("/dashboard/settings/?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/dashboard/settings/%3Fx%3D1")


def test_a_swap_of_someone_signed_out_moves_the_whole_page_to_the_sign_in(client: TestClient) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8000/dashboard/lessons/?q=x"}
    answer = client.get("/dashboard/settings/", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login?next=/dashboard/lessons/%3Fq%3Dx"
    assert answer.text == ""


def test_signing_in_gives_a_new_session_cookie_and_goes_on(app: FastAPI, db: Session) -> None:
    client = browser(app)
    answer = sign_in(client, login="ADMIN ", next="/dashboard/settings/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/settings/")
    cookies = {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
    assert set(cookies) == {"lyceum", "lyceum_device"}
    assert cookies["lyceum"].partition(";")[2] == " HttpOnly; Path=/; SameSite=lax"
    assert "Max-Age=31536000" in cookies["lyceum_device"]
    assert client.get("/dashboard/settings/").status_code == 200
    stored = db.scalars(select(AuthSession)).one()
    assert stored.token_hash == security.digest(client.cookies["lyceum"])
    assert (stored.kind, stored.ip, stored.user_agent) == ("cookie", "198.51.100.1", "testclient")
    assert stored.expires_at - stored.created_at < timedelta(hours=12, seconds=1)


def test_nobody_stays_signed_in_unless_the_school_allows_it(app: FastAPI) -> None:
    client = browser(app)
    assert "remember" not in client.get("/login").text
    assert "Max-Age" not in sign_in(client, remember="true").headers["set-cookie"].partition(", ")[0]
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        assert client.get("/dashboard/settings/").status_code == 303


def test_staying_signed_in_lasts_as_long_as_the_school_says(app: FastAPI) -> None:
    object.__setattr__(app.state.settings, "remember_days", 30)
    client = browser(app)
    assert 'name="remember" value="true" checked' in client.get("/login").text
    answer = sign_in(client, remember="true")
    assert "Max-Age=2592000" in answer.headers["set-cookie"]
    with time_machine.travel(clock.now() + timedelta(days=29, hours=23)):
        assert client.get("/dashboard/settings/").status_code == 200
    with time_machine.travel(clock.now() + timedelta(days=30, minutes=1)):
        assert client.get("/dashboard/settings/").status_code == 303


def test_a_session_ends_after_an_hour_of_rest_and_after_half_a_day_of_work(app: FastAPI) -> None:
    start = clock.now()
    client = browser(app)
    sign_in(client)
    for minutes in range(59, 12 * 60, 59):
        with time_machine.travel(start + timedelta(minutes=minutes)):
            assert client.get("/dashboard/settings/").status_code == 200
    with time_machine.travel(start + timedelta(hours=12, seconds=2)):
        assert client.get("/dashboard/settings/").status_code == 303

    idle = browser(app)
    sign_in(idle)
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        assert idle.get("/dashboard/settings/").status_code == 303


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("admin", "wrong password here"),
        ("nobody", PASSWORD),
        ("nobody@example.org", "one more wrong one"),
        ("admin", PASSWORD + " "),
    ],
)
def test_a_wrong_password_and_an_unknown_login_read_the_same(app: FastAPI, username: str, password: str) -> None:
    client = browser(app)
    answer = sign_in(client, password, username)
    assert answer.status_code == 401
    assert "Wrong login or password. Check the keyboard layout and Caps Lock." in answer.text
    assert f'value="{username}"' in answer.text
    assert password not in answer.text.replace(username, "")
    assert "set-cookie" not in answer.headers


def test_an_account_that_is_off_or_has_no_password_cannot_sign_in(app: FastAPI, db: Session) -> None:
    user(db).is_active = False
    db.commit()
    assert sign_in(browser(app)).status_code == 401
    user(db).is_active, user(db).password_hash = True, None
    db.commit()
    assert sign_in(browser(app)).status_code == 401


def test_an_empty_form_says_what_is_missing(app: FastAPI) -> None:
    answer = sign_in(browser(app), "", "", next="/dashboard/x")
    assert answer.status_code == 422
    assert "Fill in this field." in answer.text
    assert 'name="next" value="/dashboard/x"' in answer.text


def test_whoever_is_signed_in_skips_the_page(app: FastAPI) -> None:
    client = browser(app)
    sign_in(client)
    assert client.get("/login?next=/dashboard/x").headers["location"] == "/dashboard/x"


# -- sessions


def test_a_planted_session_cookie_is_not_taken_over(app: FastAPI) -> None:
    client = browser(app)
    client.cookies.set("lyceum", "planted-by-someone-else")
    client.headers["X-CSRF-Token"] = token_of(client.get("/login"))
    assert sign_in(client).status_code == 303
    assert client.cookies.get("lyceum", domain="127.0.0.1") != "planted-by-someone-else"


def test_signing_in_again_ends_the_session_of_the_same_browser(app: FastAPI, db: Session) -> None:
    client = browser(app)
    sign_in(client)
    first = client.cookies["lyceum"]
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/settings/"))
    sign_in(client)
    assert client.cookies["lyceum"] != first
    assert live_sessions(db) == 1


def test_signing_out_kills_the_session_at_once(app: FastAPI, db: Session) -> None:
    client = browser(app)
    sign_in(client)
    kept = client.cookies["lyceum"]
    token = token_of(client.get("/dashboard/settings/"))
    answer = client.post("/logout", data={"csrf_token": token}, headers={"X-CSRF-Token": token})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert answer.headers["Clear-Site-Data"] == '"cookies", "storage"'
    assert 'lyceum=""' in answer.headers["set-cookie"]
    assert live_sessions(db) == 0
    thief = browser(app, "203.0.113.9")
    thief.cookies.set("lyceum", kept)
    assert thief.get("/dashboard/settings/").status_code == 303


def test_a_student_is_told_where_their_lessons_are_and_can_sign_out(staff: SignIn) -> None:
    student = staff(STUDENT)
    page = student.get("/dashboard/", headers={"Accept-Language": "en"})
    assert (page.status_code, "Your lessons are in Telegram" in page.text) == (403, True)
    assert 'href="/dashboard/"' not in page.text.partition("<main")[2].partition("</main>")[0]
    answer = student.post("/logout", data={"csrf_token": token_of(page)})
    assert answer.headers["location"] == "/login"
    assert student.get("/dashboard/").status_code == 303


def test_signing_out_twice_is_no_error(app: FastAPI) -> None:
    assert browser(app).post("/logout").headers["location"] == "/login"


def test_after_a_session_ended_the_sign_in_form_works_at_the_first_try(app: FastAPI) -> None:
    client = browser(app)
    sign_in(client)
    with time_machine.travel(clock.now() + timedelta(hours=13)):
        assert client.get("/dashboard/settings/").status_code == 303
        client.headers["X-CSRF-Token"] = token_of(client.get("/login"))
        assert sign_in(client).status_code == 303


def test_use_is_noted_at_most_once_a_minute(app: FastAPI, db: Session) -> None:
    client = browser(app)
    sign_in(client)
    first = db.scalars(select(AuthSession.last_seen_at)).one()
    client.get("/dashboard/settings/")
    db.rollback()
    assert db.scalars(select(AuthSession.last_seen_at)).one() == first
    with time_machine.travel(clock.now() + timedelta(seconds=61)):
        client.get("/dashboard/settings/")
    db.rollback()
    assert db.scalars(select(AuthSession.last_seen_at)).one() > first


def test_over_https_cookies_are_bound_to_this_host(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(database_url, tmp_path_factory.mktemp("data"), base_url="https://school.example")
    app = create_app(settings)
    headers = {"Origin": "https://school.example", "Sec-Fetch-Site": "same-origin"}
    client = TestClient(app, base_url="https://school.example", headers=headers, follow_redirects=False)
    page = client.get("/login")
    assert page.headers["set-cookie"].endswith("; HttpOnly; Path=/; SameSite=lax; Secure")
    assert page.headers["set-cookie"].startswith("__Host-lyceum_visitor=")
    answer = client.post("/login", data={"username": "admin", "password": PASSWORD, "csrf_token": token_of(page)})
    names = [line.partition("=")[0] for line in answer.headers.get_list("set-cookie")]
    assert names == ["__Host-lyceum", "__Host-lyceum_device"]
    assert all("Secure" in line and "Domain" not in line for line in answer.headers.get_list("set-cookie"))
    assert client.get("/dashboard/settings/security/").status_code == 200
    assert page.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    app.state.database.dispose()


# -- one-time links


def link(db: Session, lifetime: timedelta = timedelta(minutes=15), purpose: str = SIGN_IN) -> str:
    secret = OneTimeTokenCRUD(db).issue(user(db).id, purpose, lifetime)
    db.commit()
    return f"/enter/{secret}"


def test_a_link_signs_in_once_and_looking_at_it_does_not_use_it_up(app: FastAPI, db: Session) -> None:
    address = link(db)
    for preview in range(3):
        assert browser(app, f"203.0.113.{preview}").get(address).status_code == 200
    client = browser(app)
    page = client.get(address)
    assert "Sign in as admin" in page.text
    answer = client.post(address, data={"csrf_token": token_of(page)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
    assert client.get("/dashboard/settings/").status_code == 200
    assert db.scalars(select(OneTimeToken)).one().token_hash == security.digest(address.removeprefix("/enter/"))

    second = browser(app)
    assert second.get(address).status_code == 404
    refused = second.post(address)
    assert (refused.status_code, "This link no longer works" in refused.text) == (404, True)
    assert "lyceum=" not in str(refused.headers.get("set-cookie"))


def test_a_link_dies_after_a_quarter_of_an_hour_with_the_account_and_for_another_purpose(
    app: FastAPI, db: Session
) -> None:
    client, address = browser(app), link(db)
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1)):
        assert (client.get(address).status_code, client.post(address).status_code) == (404, 404)
    assert client.post(link(db, purpose="reset")).status_code == 404
    address = link(db)
    user(db).is_active = False
    db.commit()
    assert (client.get(address).status_code, client.post(address).status_code) == (404, 404)


def test_a_link_asks_whoever_has_no_password_to_set_one(app: FastAPI, db: Session) -> None:
    user(db).password_hash = None
    db.commit()
    client = browser(app)
    client.post(link(db))
    page = client.get("/dashboard/settings/")
    assert "Set a password in Settings so you can sign in without a link." in page.text


def test_a_link_needs_the_form_of_this_browser(app: FastAPI, db: Session) -> None:
    address = link(db)
    client = browser(app)
    del client.headers["X-CSRF-Token"]
    assert client.post(address).status_code == 403
    assert client.get(address).status_code == 200


def test_two_tabs_race_for_one_link_and_one_wins(app: FastAPI, db: Session) -> None:
    from concurrent.futures import ThreadPoolExecutor

    address = link(db)
    tabs = [browser(app, f"203.0.113.{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda tab: tab.post(address).status_code, tabs))
    assert statuses == [303] + [404] * 7
    assert live_sessions(db) == 1


# -- other doors that look at the cookie


def test_whoever_looks_at_a_page_outside_the_routers_is_known_by_the_cookie(app: FastAPI) -> None:
    client = browser(app)
    sign_in(client)
    headers = [(b"host", b"127.0.0.1:8000"), (b"cookie", f"lyceum={client.cookies['lyceum']}".encode())]
    scope = {"type": "http", "app": app, "method": "GET", "path": "/x", "query_string": b"", "headers": headers}
    assert get_current_user_from_cookie(Request(scope)).login == "admin"
    with pytest.raises(NotAuthenticatedError):
        get_current_user_from_cookie(Request({**scope, "headers": headers[:1]}))


def test_ended_sessions_and_spent_links_are_swept_away(db: Session) -> None:
    link(db, timedelta(minutes=-5))
    link(db)
    sessions = SessionCRUD(db)
    for hours in (-2, 2):
        sessions.open(user(db), kind="cookie", user_agent="", ip="", lifetime=timedelta(hours=hours))
    sessions.purge(clock.now() - timedelta(hours=1))
    OneTimeTokenCRUD(db).purge(clock.now())
    db.commit()
    assert [db.scalar(select(func.count(model.id))) for model in (AuthSession, OneTimeToken)] == [1, 1]
