"""One's own account: what a person may change about it, and what nobody may change for them."""

from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.database.crud.users import UserCRUD
from backend.database.models.auth import AuthSession, RateBucket
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import Change
from backend.database.models.users import User
from tests.conftest import PASSWORD, SignIn
from tests.doors import ask_tokens, bearer, browser, program, sign_in, token_of

HERE = "/dashboard/settings/"
SWAP = {"HX-Request": "true", "HX-Request-Type": "partial"}
NEW = "tulip-kettle-orbit"


def person(db: Session, login: str = "admin") -> User:
    db.rollback()
    return db.scalars(select(User).where(User.login == login)).one()


def profile(**changes: str) -> dict[str, str]:
    return {"first_name": "Анна", "last_name": "", "email": "", "timezone": "UTC", "version": "1", **changes}


# -- the page


def test_the_page_shows_what_the_person_may_do(admin: TestClient, staff: SignIn) -> None:
    page = admin.get(HERE).text
    for words in ("Profile", "Password", "API tokens", "Name of the school", "Set up two-factor", "Bot"):
        assert words in page
    support = staff("Поддержка").get(HERE).text
    assert "1 device is signed in" in support
    for words in ("API tokens", "Name of the school", "BotFather"):
        assert words not in support


def test_a_student_has_no_settings(staff: SignIn, client: TestClient) -> None:
    assert staff("Ученик").get(HERE).status_code == 403
    assert client.get(HERE).status_code == 303


def test_the_page_asks_the_database_the_same_whatever_the_rows(
    admin: TestClient, sign_in: SignIn, queries: list[str]
) -> None:
    admin.post(f"{HERE}tokens", data={"name": "first", "scopes": "lessons:read"})
    queries.clear()
    admin.get(HERE)
    few = len(queries)
    for _ in range(3):
        sign_in("admin")
    for number in range(3):
        admin.post(f"{HERE}tokens", data={"name": f"token {number}", "scopes": "lessons:read"})
    queries.clear()
    admin.get(HERE)
    assert len(queries) == few == 11


# -- profile


def test_a_profile_is_saved_and_its_change_recorded(admin: TestClient, db: Session) -> None:
    sent = profile(first_name=" Анна-Мария ", last_name="Смирнова", email="Anna@Example.org", timezone="Europe/Moscow")
    answer = admin.post(f"{HERE}profile", data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, HERE)
    assert "Profile saved" in admin.get(HERE).text
    found = person(db)
    assert (found.name, found.email, found.email_key) == ("Анна-Мария Смирнова", None, None)
    assert found.timezone == "Europe/Moscow"
    change = db.scalars(select(Change).where(Change.entity == "users").order_by(Change.id.desc())).first()
    assert change is not None
    assert change.before == {"first_name": "Анна", "last_name": None, "timezone": "UTC"}
    assert "To confirm Anna@example.org" in admin.get(HERE).text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"first_name": " "}, "Fill in this field."),
        ({"first_name": "x" * 129}, "At most 128 characters."),
        ({"email": "no address"}, "This is not an email address."),
        ({"timezone": "Mars/Olympus"}, "There is no such time zone. Write it like Europe/Moscow."),
        ({"login": "root"}, "There is no such field."),
        ({"role_id": "1"}, "There is no such field."),
        ({"version": "0"}, "Your profile was changed in the meantime. Save again to keep your version."),
    ],
)
def test_what_does_not_fit_stays_in_the_form(
    admin: TestClient, db: Session, changes: dict[str, str], told: str
) -> None:
    answer = admin.post(f"{HERE}profile", data=profile(last_name="Typed", **changes))
    assert answer.status_code == 422
    assert told in answer.text
    assert 'value="Typed"' in answer.text
    assert person(db).last_name is None
    part = admin.post(f"{HERE}profile", data=profile(last_name="Typed", **changes), headers=SWAP)
    assert (part.status_code, "<html" in part.text, told in part.text) == (422, False, True)


def test_someone_elses_email_is_refused(admin: TestClient, db: Session) -> None:
    other = UserCRUD(db).create_staff(login="boris", password_hash=None, role="Менеджер")
    other.email = "boris@example.org"
    db.commit()
    answer = admin.post(f"{HERE}profile", data=profile(email="BORIS@example.org"))
    assert (answer.status_code, "This email is already in use." in answer.text) == (422, True)
    assert admin.post(f"{HERE}profile", data=profile(email="anna@example.org")).status_code == 303
    again = profile(email="anna@example.org", version="1", last_name="С")
    assert admin.post(f"{HERE}profile", data=again).status_code == 303


def test_letters_that_confirm_an_email_are_ten_a_day_for_each_person(
    admin: TestClient, staff: SignIn, db: Session
) -> None:
    """They go to whatever address is typed."""
    sent = [profile(email=f"anna{number}@example.org", version="") for number in range(11)]
    answers = [admin.post(f"{HERE}profile", data=each) for each in sent[:10]]
    assert [answer.status_code for answer in answers] == [303] * 10
    late = admin.post(f"{HERE}profile", data={**sent[10], "first_name": "Анна-Мария", "last_name": "Typed"})
    assert (late.status_code, "Too many changes of email. Try again tomorrow." in late.text) == (429, True)
    assert 86_000 < int(late.headers["retry-after"]) <= 86_400
    typed = 'value="Анна-Мария"', 'value="Typed"', 'value="anna10@example.org"'
    assert [words in late.text for words in typed] == [True, True, True]
    part = admin.post(f"{HERE}profile", data=sent[10], headers=SWAP)
    assert (part.status_code, "<html" in part.text, "Too many changes of email" in part.text) == (429, False, True)
    assert (person(db).first_name, letters_to_confirm(db)) == ("Анна", 10)
    # All else of the profile is saved, others have tries of their own, and a day later it goes on.
    assert admin.post(f"{HERE}profile", data=profile(last_name="Typed", version="")).status_code == 303
    other = staff("Поддержка")
    assert other.post(f"{HERE}profile", data=profile(email="other@example.org", version="")).status_code == 303
    db.rollback()
    db.execute(update(RateBucket).where(RateBucket.key == "confirm:1:").values(expires_at=clock.now()))
    db.commit()
    assert admin.post(f"{HERE}profile", data=sent[10]).status_code == 303
    assert letters_to_confirm(db) == 12


def letters_to_confirm(db: Session) -> int:
    db.rollback()
    return len(db.scalars(select(Dispatch.id).where(Dispatch.method == "verify")).all())


def test_nobody_without_a_login_gives_up_the_email_they_sign_in_with(admin: TestClient, db: Session) -> None:
    """With a number of Telegram's the row would still be a person, whom no password brings in any more."""
    me = person(db)
    me.login, me.email, me.telegram_id = None, "anna@example.org", 700700
    db.commit()
    answer = admin.post(f"{HERE}profile", data=profile(last_name="С", version=""))
    assert (answer.status_code, "Without a login, you need an email to sign in." in answer.text) == (422, True)
    db.rollback()
    kept = db.get_one(User, 1)
    assert (kept.email, kept.last_name) == ("anna@example.org", None)


# -- language and theme


def test_the_language_is_the_persons_and_the_browsers(own: TestClient, db: Session) -> None:
    answer = own.post(f"{HERE}language", data={"language": "ru", "next": "/dashboard/settings/?x=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/settings/?x=1")
    assert answer.headers["set-cookie"].startswith("lyceum_language=ru; HttpOnly; Max-Age=31536000; Path=/")
    assert person(db).ui_language == "ru"
    assert '<html lang="ru"' in own.get(HERE).text
    own.cookies.delete("lyceum_language")
    assert '<html lang="ru"' in own.get(HERE).text


def test_the_theme_is_the_persons_and_the_browsers(own: TestClient, db: Session) -> None:
    answer = own.post(f"{HERE}theme", data={"theme": "dark", "next": HERE})
    assert answer.headers["set-cookie"].startswith("lyceum_theme=dark; HttpOnly; Max-Age=31536000; Path=/")
    assert person(db).theme == "dark"
    assert 'data-bs-theme="dark"' in own.get(HERE).text
    own.cookies.delete("lyceum_theme")
    assert 'data-bs-theme="dark"' in own.get(HERE).text


def test_the_settings_page_stays_where_it_is(own: TestClient) -> None:
    assert own.get(HERE).text.count(f'name="next" value="{HERE}"') >= 2


def test_both_work_before_signing_in(app: FastAPI) -> None:
    client = browser(app)
    assert client.post(f"{HERE}language", data={"language": "ru", "next": "/login"}).headers["location"] == "/login"
    assert client.post(f"{HERE}theme", data={"theme": "dark", "next": "/login"}).status_code == 303
    page = client.get("/login").text
    assert '<html lang="ru" data-bs-theme="dark">' in page


@pytest.mark.parametrize(
    ("path", "sent"), [("language", {"language": "xx"}), ("theme", {"theme": "pink"}), ("theme", {}), ("language", {})]
)
def test_an_unknown_choice_changes_nothing(own: TestClient, db: Session, path: str, sent: dict[str, str]) -> None:
    answer = own.post(f"{HERE}{path}", data={**sent, "next": "//evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "set-cookie" not in answer.headers
    assert (person(db).ui_language, person(db).theme) == (None, "auto")


def test_single_keys_are_switched_off_and_on_for_one_person(own: TestClient, db: Session) -> None:
    def said(page: str) -> tuple[str, bool, bool]:
        chosen = HTMLParser(page).css_first("[name=single_keys][aria-pressed=true]")
        return chosen.text().strip(), "data-keys-on" in page and "checked data-keys-on" in page, 'title="G S"' in page

    assert said(own.get(HERE).text) == ("Turned on", True, True)
    answer = own.post(f"{HERE}keys", data={"single_keys": "", "next": HERE})
    assert (answer.status_code, answer.headers["location"]) == (303, HERE)
    assert (person(db).single_keys, said(own.get(HERE).text)) == (False, ("Turned off", False, False))
    own.post(f"{HERE}keys", data={"single_keys": "true"})
    assert said(own.get(HERE).text) == ("Turned on", True, True)


# -- password


def change(current: str = PASSWORD, password: str = NEW, repeat: str = NEW) -> dict[str, str]:
    return {"current": current, "password": password, "repeat": repeat}


def test_a_new_password_signs_all_other_devices_out(app: FastAPI, own: TestClient, db: Session) -> None:
    elsewhere = browser(app, "203.0.113.9")
    sign_in(elsewhere)
    pair = ask_tokens(program(app)).json()
    answer = own.post(f"{HERE}password", data=change())

    assert (answer.status_code, answer.headers["location"]) == (303, HERE)
    assert "Password saved. All other devices are signed out." in own.get(HERE).text
    assert elsewhere.get(HERE).status_code == 303
    assert program(app).get("/api/auth/me", headers=bearer(pair["access_token"])).status_code == 401
    assert program(app).post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).status_code == 401
    assert ask_tokens(program(app), PASSWORD).status_code == 401
    assert ask_tokens(program(app), NEW).status_code == 200
    assert (person(db).password_hash or "").startswith("$argon2id$")
    shown = str([row.after for row in db.scalars(select(Change))])
    assert "argon2" not in shown


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (change(current="wrong"), "Current password is incorrect."),
        (change(current=""), "Current password is incorrect."),
        (change(password="short", repeat="short"), "At least 12 characters."),
        (change(password="password1234", repeat="password1234"), "This password is too common"),
        (change(password="admin-admin1", repeat="admin-admin1"), "This is too similar to your name"),
        (change(repeat="tulip-kettle-orbiT"), "The passwords do not match."),
        (change(password=""), "Fill in this field."),
        (change(password="a" * 1025), "At most 1024 characters."),
    ],
)
def test_a_password_that_will_not_do_is_told_why(own: TestClient, db: Session, sent: dict[str, str], told: str) -> None:
    before = person(db).password_hash
    answer = own.post(f"{HERE}password", data=sent)
    assert (answer.status_code, told in answer.text) == (422, True)
    assert NEW not in answer.text
    assert person(db).password_hash == before
    part = own.post(f"{HERE}password", data=sent, headers=SWAP)
    assert (part.status_code, "<html" in part.text, told in part.text) == (422, False, True)


def test_spaces_at_the_ends_belong_to_a_password(app: FastAPI, own: TestClient) -> None:
    assert own.post(f"{HERE}password", data=change(password=f" {NEW} ", repeat=f" {NEW} ")).status_code == 303
    assert ask_tokens(program(app), NEW).status_code == 401
    assert ask_tokens(program(app), f" {NEW} ").status_code == 200


def test_the_present_password_cannot_be_guessed_from_a_session(own: TestClient) -> None:
    for _ in range(5):
        own.post(f"{HERE}password", data=change(current="wrong"))
    late = own.post(f"{HERE}password", data=change())
    assert ("Too many attempts" in late.text, late.status_code) == (True, 429)
    assert 0 < int(late.headers["Retry-After"]) <= 15 * 60
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1)):
        assert own.post(f"{HERE}password", data=change()).status_code == 303


def test_guesses_from_elsewhere_do_not_lock_the_browser_that_is_the_persons_own(app: FastAPI) -> None:
    """Of a stolen session: neither the change of a password nor a proof of who one is."""
    mine, stolen = browser(app, "192.0.2.10"), browser(app, "203.0.113.9")
    sign_in(mine)
    stolen.cookies.set("lyceum", mine.cookies["lyceum"])
    stolen.headers["X-CSRF-Token"] = mine.headers["X-CSRF-Token"] = token_of(mine.get(HERE))
    told = [stolen.post(f"{HERE}password", data=change(current="wrong")).text for _ in range(6)]
    assert ["Too many attempts" in text for text in told] == [False] * 5 + [True]
    confirm = "/dashboard/confirm/"
    assert stolen.post(confirm, data={"password": PASSWORD}).status_code == 429
    assert mine.post(confirm, data={"password": "wrong"}).status_code == 422
    assert mine.post(f"{HERE}password", data=change()).status_code == 303


def test_whoever_came_by_a_link_sets_a_first_password(app: FastAPI, own: TestClient, db: Session) -> None:
    person(db).password_hash = None
    db.commit()
    assert "You signed in with a link." in own.get(HERE).text
    assert own.post(f"{HERE}password", data={"password": NEW, "repeat": NEW}).status_code == 303
    assert ask_tokens(program(app), NEW).status_code == 200


def test_two_changes_at_once_do_not_overwrite_each_other(
    own: TestClient, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = security.hash_password

    def slow(password: str) -> str:
        person(db).password_hash = real("someone else was faster")
        db.commit()
        return real(password)

    monkeypatch.setattr(security, "hash_password", slow)
    assert own.post(f"{HERE}password", data=change()).status_code == 409
    assert security.check_password("someone else was faster", person(db).password_hash)[0]


# -- devices


def test_a_device_is_shown_in_words_and_signed_out(app: FastAPI, own: TestClient, db: Session) -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    elsewhere = browser(app, "203.0.113.9")
    elsewhere.headers["User-Agent"] = agent
    sign_in(elsewhere)
    page = own.get(f"{HERE}security/").text
    assert "Firefox, Windows" in page
    assert "203.0.113.9" in page
    assert page.count("This device") == 1
    db.rollback()
    row = db.scalars(select(AuthSession).where(AuthSession.ip == "203.0.113.9")).one()
    assert own.post(f"{HERE}sessions/{row.id}/revoke").status_code == 303
    assert elsewhere.get(HERE).status_code == 303
    assert "Firefox, Windows" not in own.get(f"{HERE}security/").text


def test_all_others_are_signed_out_at_once(app: FastAPI, own: TestClient) -> None:
    others = [browser(app, f"203.0.113.{n}") for n in range(3)]
    for other in others:
        sign_in(other)
    assert own.post(f"{HERE}sessions/revoke").status_code == 303
    assert [other.get(HERE).status_code for other in others] == [303] * 3
    assert own.get(HERE).status_code == 200


def test_nobody_signs_someone_else_out(own: TestClient, staff: SignIn, db: Session) -> None:
    stranger = staff("Поддержка")
    mine = db.scalars(select(AuthSession.id).where(AuthSession.user_id == 1)).one()
    assert stranger.post(f"{HERE}sessions/{mine}/revoke").status_code == 404
    assert stranger.post(f"{HERE}sessions/999999/revoke").status_code == 404
    assert stranger.post(f"{HERE}sessions/{2**63}/revoke").status_code == 422
    assert own.get(HERE).status_code == 200
