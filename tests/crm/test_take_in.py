"""A student who comes to work at the school keeps the account, with all that is in it."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import ADMIN, SUPPORT
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import OneTimeToken
from backend.database.models.purchases import Purchase
from tests.conftest import SignIn
from tests.crm.pages import one
from tests.crm.test_staff import HERE, NEW, again, hire, lead, role_id
from tests.doors import browser, sign_in
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
    assert sign_in(browser(app), NEW, "vera@pupils.example").status_code == 303
    assert db.scalars(select(Purchase.user_id)).one() == vera.id
    known = bot.get("/api/users/", params={"telegram_id": str(vera.telegram_id)}).json()["items"]
    assert [person["id"] for person in known] == [vera.id]
    assert bot.get(f"/api/users/{vera.id}/lessons/{lesson.id}/content").status_code == 200
    assert found(admin, "vera@pupils.example") == []
    assert admin.post(f"{HERE}{vera.id}/take-in", data={"role_id": role_id(db, ADMIN)}).status_code == 409


def test_nobody_slips_in_by_an_address_that_was_never_theirs(admin: TestClient, db: Session) -> None:
    """Whoever may edit students could have typed it, to ask for a new password later."""
    vera = make_user(db, email="accomplice@evil.example", password_hash="kept")
    db.add(OneTimeToken(user_id=vera.id, purpose="reset", token_hash="0" * 64, expires_at=clock.now()))
    db.flush()
    page = admin.get(f"{HERE}new?who={vera.telegram_id}").text
    assert "never confirmed" in page
    taken = admin.post(f"{HERE}{vera.id}/take-in", data={"role_id": role_id(db, SUPPORT)})
    assert taken.status_code == 303  # there is a password already
    vera = again(db, vera)
    assert (vera.email, vera.password_hash, vera.token_version) == (None, "kept", 3)
    assert db.scalars(select(OneTimeToken)).all() == []

    olga = make_user(db, email="olga@pupils.example", email_verified_at=clock.now())
    sent = {"first_name": "Ольга", "email": "other@pupils.example", "is_active": "true"}
    assert admin.post(f"/dashboard/users/{olga.id}", data=sent).status_code == 303
    assert again(db, olga).email_verified_at is None


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
