"""The page of a student's personal data."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import Permission
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import AuthSession, SignInPlace
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import ChangeSet
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.conftest import Reading
from tests.crm.pages import english_admin, errors, one, words
from tests.factories import make_lesson, make_purchase, make_user, save

P, IP = Permission, "203.0.113.77"


@pytest.fixture
def maria(db: Session) -> User:
    return make_user(db, first_name="Мария", last_name="Ковалёва", username="maria_k")


@pytest.fixture
def page(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def events(db: Session) -> list[tuple[str, int | None, int | None]]:
    rows = db.scalars(select(SecurityEvent).order_by(SecurityEvent.id))
    return [(row.kind, row.user_id, row.actor_id) for row in rows]


def test_the_copy_is_a_file_and_it_is_remembered_who_took_it(page: TestClient, db: Session, maria: User) -> None:
    answer = page.post(f"/dashboard/users/{maria.id}/personal/export")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert f'attachment; filename="person-{maria.id}-' in answer.headers["content-disposition"]
    assert answer.json()["person"]["username"] == "maria_k"
    assert events(db) == [("sensitive_read", maria.id, 1)]


@pytest.mark.parametrize("more", [(), (P.AUDIT_READ,)])
def test_the_copy_tells_events_and_addresses_to_those_who_may_see_them(
    reading: Reading, db: Session, maria: User, more: tuple[Permission, ...]
) -> None:
    about: dict[str, Any] = {"user_id": maria.id, "user_agent": "Own"}
    session = AuthSession(token_hash="x", token_version=1, kind="cookie", ip=IP, expires_at=clock.now(), **about)
    alert = {"channel": "telegram", "method": "sendMessage", "params": {"text": IP}, "user_id": maria.id, "chat_id": 1}
    save(
        db,
        SecurityEvent(kind="authn_login_fail", door="web", ip=IP, **about),
        session,
        SignInPlace(network=IP, **about),
        Dispatch(dedupe_key=f"alert:1:{maria.id}:chat", **alert),
    )
    rights = (P.USERS_READ, P.USERS_WRITE, P.PURCHASES_READ, P.TICKETS_READ, P.HISTORY_READ)
    person, url = reading(*rights, *more), f"/dashboard/users/{maria.id}/personal"
    said = "Security events and IP addresses are left out"
    assert (said in person.get(url).text) == (not more)
    answer = person.post(f"{url}/export")
    found = answer.json()
    assert (answer.status_code, answer.text.count(IP)) == (200, 4 if more else 0)
    assert ("security_events" in found, found.get("left_out", "").startswith(said)) == (bool(more), not more)
    assert [row["user_agent"] for row in found["sessions"]] == ["Own"]


def test_nothing_is_erased_until_the_name_is_typed(page: TestClient, db: Session, maria: User) -> None:
    url = f"/dashboard/users/{maria.id}"
    assert f"{url}/personal" in page.get(url).text
    for name, said in (("", "Fill in this field."), ("Мария", "Type the name exactly: Мария Ковалёва")):
        answer = page.post(f"{url}/personal/erase", data={"name": name})
        assert (answer.status_code, errors(answer.text)) == (422, {"name": said})
    bought = make_purchase(db, maria, make_lesson(db))
    answer = page.post(f"{url}/personal/erase", data={"name": " мария  ковалёва "})
    assert (answer.status_code, answer.headers["location"]) == (303, url)
    assert events(db) == [("sensitive_delete", maria.id, 1)]
    left = page.get(url)
    assert "Ковалёва" not in left.text
    assert words(one(left.text, "h1")) == f"#{maria.id} Data erased"
    assert f"{url}/edit" not in left.text
    assert "already been erased" in page.get(f"{url}/personal").text
    assert page.get("/dashboard/users/?q=ковалёва").text.count("maria_k") == 0
    assert "Data erased" in page.get("/dashboard/users/").text
    assert f"#{maria.id}" in page.get(f"/dashboard/sales/{bought.id}").text
    assert f"/dashboard/sales/{bought.id}/refund" not in page.get(f"/dashboard/sales/{bought.id}").text
    answer = page.post(f"{url}/personal/erase", data={"name": f"#{maria.id}"})
    assert (answer.status_code, "already been erased" in answer.text) == (422, True)


def test_people_of_the_staff_have_no_such_page(page: TestClient) -> None:
    for path in ("", "/export", "/erase"):
        method = "POST" if path else "GET"
        assert page.request(method, f"/dashboard/users/1/personal{path}", data={"name": "Анна"}).status_code == 404


def test_a_deleted_student_is_erased_from_the_page_of_the_deletion(page: TestClient, db: Session, maria: User) -> None:
    """Deleting alone can be undone, for the history holds everything: until it is erased there too."""
    url = f"/dashboard/users/{maria.id}"
    assert page.post(f"{url}/delete").status_code == 303
    at = db.scalars(select(func.max(ChangeSet.id))).one()
    assert f'href="{url}/personal"' in page.get(f"/dashboard/history/{at}").text
    asked = page.get(f"{url}/personal").text
    assert ("Мария Ковалёва" in asked, "so this can be undone" in asked) == (True, True)
    assert (f"{url}/personal/export" in asked, f'href="{url}"' in asked) == (False, False)
    assert page.post(f"{url}/personal/erase", data={"name": "Мария"}).status_code == 422
    answer = page.post(f"{url}/personal/erase", data={"name": "Мария Ковалёва"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/users/")
    assert "Ковалёва" not in page.get(f"/dashboard/history/{at}").text
    assert "already been erased" in page.get(f"{url}/personal").text
    assert "there is nothing to restore" in page.post(f"/dashboard/history/{at}/undo").text
    assert page.get(f"/dashboard/users/{maria.id + 1}/personal").status_code == 404


def test_an_undo_of_an_ordinary_deletion_brings_everything_back(page: TestClient, db: Session, maria: User) -> None:
    url = f"/dashboard/users/{maria.id}"
    page.post(f"{url}/delete")
    at = db.scalars(select(func.max(ChangeSet.id))).one()
    assert page.post(f"/dashboard/history/{at}/undo").status_code == 303
    assert "Ковалёва" in page.get(url).text
    assert f'href="{url}/personal"' not in page.get(f"/dashboard/history/{at}").text
    assert page.post(f"{url}/personal/export").json()["person"]["username"] == "maria_k"
