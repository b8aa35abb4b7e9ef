"""Pages that are not there, and addresses that are not valid: who is at work keeps the sidebar."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core.permissions import STUDENT
from backend.database.models.users import User
from backend.database.models.views import ViewMark
from tests.conftest import SignIn
from tests.crm.pages import english_admin, one, words
from tests.factories import make_view, save


def headings(page: str) -> tuple[str, bool, bool]:
    """(what the page says, whether it has the sidebar, whether it has the foot of a page without one)."""
    return words(one(page, "h1")), 'class="ly-side"' in page, "ly-door-foot" in page


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/dashboard/lessons/77", 404, "Page not found"),
        ("/dashboard/users/?sort=nothing", 400, "This is not possible"),
        ("/dashboard/users/?limit=many", 422, "Invalid address"),
    ],
)
def test_staff_keep_the_sidebar(sign_in: SignIn, db: Session, path: str, status: int, heading: str) -> None:
    answer = english_admin(sign_in, db).get(path)
    assert (answer.status_code, headings(answer.text)) == (status, (heading, True, False))
    assert words(one(answer.text, "title")) == f"{heading} · Lyceum"
    assert words(one(answer.text, "main")).endswith(f"Error {status}")


def test_a_wrong_part_of_the_address_is_named_and_can_be_left_out(sign_in: SignIn, db: Session) -> None:
    page = english_admin(sign_in, db).get("/dashboard/users/?limit=many&q=anna").text
    assert words(one(page, "main li")) == "limit: Enter a whole number."
    assert one(page, "main .btn-primary").attributes["href"] == "/dashboard/users/?q=anna"


def test_nothing_waits_for_the_database_once_a_page_was_refused(
    sign_in: SignIn, db: Session, queries: list[str]
) -> None:
    view = make_view(db, owner_id=1, list_name="users", name="Mine")
    save(db, ViewMark(view_id=view.id, list_name="users", user_id=1, is_pinned=True))
    admin = english_admin(sign_in, db)
    assert "Mine" in admin.get("/dashboard/").text
    queries.clear()
    page = admin.get("/dashboard/lessons/77").text
    assert not [sql for sql in queries if "FROM saved_views" in sql and "EXISTS" not in sql]
    assert ("Mine" in page, headings(page)[1]) == (False, True)


def test_a_student_and_a_stranger_see_no_office(staff: SignIn, client: TestClient, db: Session) -> None:
    refused = staff(STUDENT).get("/dashboard/")
    assert (refused.status_code, 'class="ly-side"' in refused.text, "ly-door-foot" in refused.text) == (
        403,
        False,
        True,
    )
    lost = client.get("/nowhere")
    assert (lost.status_code, 'class="ly-side"' in lost.text) == (404, False)
    assert db.query(User).count() > 1
