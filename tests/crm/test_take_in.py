"""A student who comes to work at the school keeps the account, with all that is in it."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import ADMIN, MANAGER, SUPPORT
from backend.core.security import hash_password
from backend.database.crud.auth import ABSOLUTE, SessionCRUD
from backend.database.crud.staff import has_login
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import OneTimeToken
from backend.database.models.dispatches import Dispatch
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from tests.conftest import PASSWORD, SignIn
from tests.crm.files import USERS, check, start, table, upload
from tests.crm.pages import one, words
from tests.crm.test_staff import HERE, NEW, again, hire, lead, role_id
from tests.crm.test_takeovers import forget, path
from tests.doors import BASE, browser
from tests.doors import sign_in as sign_in_with
from tests.factories import make_lesson, make_purchase, make_user


def found(admin: TestClient, who: str) -> list[str]:
    """The students that the page offers for what was typed, by the address of their form."""
    page = admin.get(f"{HERE}new", params={"who": who}).text
    forms = [form.attributes.get("action") or "" for form in HTMLParser(page).css("form")]
    return [action.removeprefix(HERE).partition("/")[0] for action in forms if action.endswith("/take-in")]


def test_a_student_is_found_and_comes_to_work_with_what_they_bought(
    app: FastAPI, admin: TestClient, bot: TestClient, db: Session
) -> None:
    vera = make_user(db, username="Vera_K", email="vera@pupils.example", email_verified_at=clock.now())
    lesson = make_lesson(db)
    make_purchase(db, vera, lesson)
    other = make_user(db, username="vera_k")  # a name that changed hands
    hire(db, SUPPORT, "boris").username = "boris_k"
    db.flush()
    for typed in ("VERA@pupils.example", str(vera.telegram_id)):
        assert found(admin, typed) == [str(vera.id)], typed
    assert found(admin, " @vera_k") == [str(vera.id), str(other.id)]
    for typed in ("boris_k", "nobody", "9" * 100, "", "%"):
        assert found(admin, typed) == [], typed
    assert admin.get(f"{HERE}new?who=%00").status_code == 422
    assert "No student fits “nobody”" in admin.get(f"{HERE}new?who=nobody").text

    support = {"role_id": role_id(db, SUPPORT)}
    answer = admin.post(f"{HERE}{vera.id}/take-in", data=support)
    assert answer.status_code == 201
    address = (one(answer.text, "#new-link").attributes["value"] or "").partition(":8000")[2]
    twice = admin.post(f"{HERE}{vera.id}/take-in", data=support)
    assert (twice.status_code, twice.headers["location"]) == (303, f"{HERE}{vera.id}")
    assert again(db, vera).role_id == support["role_id"]
    changed = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "authz_role_change")).one()
    assert (changed.user_id, changed.data) == (vera.id, {"before": "Ученик", "after": SUPPORT})

    guest = browser(app)
    assert guest.post(address, data={"login": "vera", "password": NEW, "repeat": NEW}).status_code == 303
    assert guest.get("/dashboard/tickets/").status_code == 200
    assert sign_in_with(browser(app), NEW, "vera@pupils.example").status_code == 303
    assert db.scalars(select(Purchase.user_id)).one() == vera.id
    known = bot.get("/api/users/", params={"telegram_id": str(vera.telegram_id)}).json()["items"]
    assert [person["id"] for person in known] == [vera.id]
    assert bot.get(f"/api/users/{vera.id}/lessons/{lesson.id}/content").status_code == 200
    assert found(admin, "vera@pupils.example") == []
    assert admin.post(f"{HERE}{vera.id}/take-in", data={"role_id": role_id(db, ADMIN)}).status_code == 409


def card(admin: TestClient, student: User) -> str:
    return words(offered(admin, str(student.telegram_id or student.email), student))


def offered(admin: TestClient, who: str, student: User) -> LexborNode:
    page = admin.get(f"{HERE}new", params={"who": who}).text
    return one(page, f"[aria-labelledby=student-{student.id}]")


def version(admin: TestClient, student: User) -> str:
    field = offered(admin, str(student.telegram_id), student).css_first("[name=version]")
    assert field is not None
    return field.attributes["value"] or ""


def test_nobody_slips_in_by_an_address_that_was_never_theirs(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    """A manager types an address of their own, has a password sent to it, and waits for the student to be taken in."""
    olga = make_user(db, telegram_id=None, email="olga@pupils.example", email_verified_at=clock.now())
    olga.password_hash = hash_password(PASSWORD)
    hire(db, MANAGER, "boris")
    db.commit()
    sent = {"first_name": "Ольга", "email": "evil@thief.example", "is_active": "true"}
    assert sign_in("boris").post(f"/dashboard/users/{olga.id}", data=sent).status_code == 303
    assert again(db, olga).email_verified_at is None
    forget(browser(app), "evil@thief.example")
    assert browser(app).post(path(db, "reset"), data={"password": NEW, "repeat": NEW}).status_code == 303
    forget(browser(app), "evil@thief.example")
    reset = path(db, "reset")

    shown = card(admin, olga)
    assert "Email: olga@pupils.example → evil@thief.example · Boris" in shown
    assert "The email will be removed because the student has not confirmed it" in shown
    assert "Their current password and any reset links stop working" in shown
    taken = admin.post(f"{HERE}{olga.id}/take-in", data={"role_id": role_id(db, ADMIN)})

    assert (taken.status_code, "/invite/" in taken.text) == (201, True)
    olga = again(db, olga)
    assert (olga.email, olga.email_verified_at, olga.password_hash, has_login(olga.login)) == (None, None, None, False)
    assert browser(app).get(reset).status_code == 404
    assert db.scalars(select(OneTimeToken.purpose).where(OneTimeToken.used_at.is_(None))).all() == ["invite"]
    assert sign_in_with(browser(app), NEW, "evil@thief.example").status_code == 401
    asked = letters(db, "reset")
    forget(browser(app), "evil@thief.example")
    assert (letters(db, "reset"), letters(db, "invite")) == (asked, 0)


def letters(db: Session, kind: str) -> int:
    return len(db.scalars(select(Dispatch.id).where(Dispatch.method == kind)).all())


def test_a_password_from_before_does_not_open_the_staffs_account(app: FastAPI, admin: TestClient, db: Session) -> None:
    """Somebody may have set it while another address stood there. A confirmed one stays, and gets the invitation."""
    olga = make_user(db, email="olga@pupils.example", email_verified_at=clock.now())
    olga.password_hash = hash_password(PASSWORD)
    db.commit()
    assert "The e-mail is taken off" not in card(admin, olga)
    taken = admin.post(f"{HERE}{olga.id}/take-in", data={"role_id": role_id(db, SUPPORT)})
    assert (taken.status_code, again(db, olga).email, letters(db, "invite")) == (201, "olga@pupils.example", 1)
    assert sign_in_with(browser(app), PASSWORD, "olga@pupils.example").status_code == 401
    assert browser(app).post(path(db, "invite"), data={"password": NEW, "repeat": NEW}).status_code == 303
    assert sign_in_with(browser(app), NEW, "olga@pupils.example").status_code == 303


def test_only_an_address_that_the_student_confirmed_and_nobody_else_wrote_stays(
    admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    """Whoever writes an address of their own into an account can confirm it as well."""
    hire(db, MANAGER, "boris")
    boris = sign_in("boris")
    own = make_user(db, email="own@pupils.example", email_verified_at=clock.now())
    unsure = make_user(db, email="unsure@pupils.example")
    file = upload(
        boris, USERS, table(["telegram_id", "first_name", "email"], [700100400, "Вера", "made@thief.example"])
    )
    check(boris, file)
    start(boris, file)
    begun = db.scalars(select(User).where(User.email == "made@thief.example")).one()
    changed = make_user(db, email="old@pupils.example", email_verified_at=clock.now())
    sent = {"first_name": "Ольга", "email": "new@thief.example", "is_active": "true"}
    assert boris.post(f"/dashboard/users/{changed.id}", data=sent).status_code == 303
    for each in (begun, again(db, changed)):
        each.email_verified_at = clock.now()
    db.commit()

    students = (own, unsure, begun, changed)
    told = ["The email will be removed" in card(admin, student) for student in students]
    for student in students:
        answer = admin.post(f"{HERE}{student.id}/take-in", data={"role_id": role_id(db, SUPPORT)})
        assert answer.status_code == 201
    assert [again(db, student).email for student in students] == ["own@pupils.example", None, None, None]
    assert told == [False, True, True, True]


def test_a_session_from_before_is_not_one_of_the_staff(app: FastAPI, admin: TestClient, db: Session) -> None:
    """Whoever came in as the student, by whatever address stood there, does not work at the school with it."""
    olga = make_user(db)
    secrets = []
    for kind in ("cookie", "api"):
        session, secret = SessionCRUD(db).open(olga, kind=kind, user_agent="", ip="", lifetime=ABSOLUTE)
        secrets.append((session.id, secret))
    db.commit()
    theirs = TestClient(app, base_url=BASE, cookies={"lyceum": secrets[0][1]}, follow_redirects=False)
    assert theirs.get("/dashboard/tickets/").status_code == 403
    assert len(SessionCRUD(db).of_user(olga.id)) == 2

    assert admin.post(f"{HERE}{olga.id}/take-in", data={"role_id": role_id(db, SUPPORT)}).status_code == 201

    assert theirs.get("/dashboard/tickets/").headers["location"].startswith("/login")
    assert SessionCRUD(db).find_api_session(secrets[1][0]) is None
    assert SessionCRUD(db).of_user(olga.id) == []


def test_a_friend_renamed_to_the_one_who_is_awaited_is_told_apart(
    admin: TestClient, bot: TestClient, sign_in: SignIn, db: Session
) -> None:
    hire(db, MANAGER, "boris")
    boris = sign_in("boris")
    told = {"telegram_id": 700_100_200, "first_name": "Пётр", "last_name": "Друг", "username": "friend"}
    friend = db.get_one(User, bot.post("/api/users/", json=told).json()["id"])
    assert "The staff wrote this" not in card(admin, friend)
    sent = {"first_name": "Вера", "last_name": "Друг", "username": "newteacher", "is_active": "true"}
    looked_at = version(admin, friend)
    boris.post(f"/dashboard/users/{friend.id}", data={**sent, "username": "interim"})
    boris.post(f"/dashboard/users/{friend.id}", data=sent)
    for number in range(3):  # what came after hides nothing
        boris.post(f"/dashboard/users/{friend.id}", data={**sent, "ui_language": ("ru", "en")[number % 2]})

    assert found(admin, "@newteacher") == [str(friend.id)]
    shown = card(admin, friend)
    assert "First name: Пётр → Вера · Boris" in shown
    assert "Telegram name: friend → newteacher · Boris" in shown
    assert ("Last name" in shown, "ask them for their Telegram ID" in shown) == (False, True)
    # Whoever looked before it was renamed does not take in what they have not seen.
    role = {"role_id": role_id(db, ADMIN)}
    assert admin.post(f"{HERE}{friend.id}/take-in", data=role | {"version": looked_at}).status_code == 409
    # Put back by whomever, or told anew by Telegram: nothing to be warned of.
    boris.post(f"/dashboard/users/{friend.id}", data={**sent, "first_name": "Пётр"})
    assert "First name" not in card(admin, friend)
    bot.post("/api/users/", json=told | {"username": "newteacher"})
    boris.post(f"/dashboard/users/{friend.id}", data={**sent, "first_name": "Пётр", "is_active": "true"})
    assert bot.post("/api/users/", json=told).status_code == 200
    assert "The staff wrote this" not in card(admin, friend)
    now = {"version": version(admin, friend)}
    assert admin.post(f"{HERE}{friend.id}/take-in", data=role | now).status_code == 201


def test_an_account_that_the_staff_made_is_told_of(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    hire(db, MANAGER, "boris")
    made = {"telegram_id": "700100300", "first_name": "Вера", "username": "newteacher", "language_code": "ru"}
    assert sign_in("boris").post("/dashboard/users/", data=made).status_code == 303
    vera = db.scalars(select(User).where(User.telegram_id == 700_100_300)).one()
    assert "Account created · Boris" in card(admin, vera)


def test_only_those_who_may_and_only_with_rights_of_their_own(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    student, closed = make_user(db), make_user(db, is_active=False)
    hire(db, lead(db), "head")
    head, support = sign_in("head"), {"role_id": role_id(db, SUPPORT)}
    assert head.post(f"{HERE}{student.id}/take-in", data={"role_id": role_id(db, ADMIN)}).status_code == 403
    assert admin.post(f"{HERE}{closed.id}/take-in", data=support).status_code == 409
    assert admin.post(f"{HERE}{student.id}/take-in", data={}).status_code == 422
    assert admin.post(f"{HERE}999999/take-in", data=support).status_code == 404
    assert f"{HERE}new?who={student.telegram_id}" in admin.get(f"/dashboard/users/{student.id}").text
    assert head.post(f"{HERE}{student.id}/take-in", data=support).status_code == 201
