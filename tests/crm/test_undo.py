"""Undo in the dashboard: by someone who may change every record of the set, and never of those who run the school."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.core.permissions import ADMIN, AUTHOR, MANAGER, SUPPORT
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.history import Change
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from backend.database.session import Database
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL
from tests.factories import make_lesson, make_user


def last_set(db: Session) -> int:
    found = db.scalar(select(func.max(Change.change_set_id)))
    assert found is not None
    return found


def change(database: Database, model: type, row_id: int, **values: object) -> None:
    with database.transaction(Actor(Door.CLI)) as session:
        row = session.get_one(model, row_id)
        for name, value in values.items():
            setattr(row, name, value)


@pytest.mark.parametrize("role", [MANAGER, ADMIN])
def test_a_member_of_staff_is_neither_removed_nor_restored_by_an_undo(
    database: Database, db: Session, staff: SignIn, role: str
) -> None:
    with database.transaction(Actor(Door.CLI)) as session:
        boris = StaffCRUD(session).add_admin("boris", password_hash=None).id
    made = last_set(db)
    answer = staff(role).post(f"/dashboard/history/{made}/undo", headers={"Accept-Language": "en"})
    assert answer.status_code == 403
    assert db.scalar(select(User.login).where(User.id == boris)) == "boris"


def test_a_manager_gives_nobody_their_old_role_back(database: Database, db: Session, staff: SignIn) -> None:
    manager = staff(MANAGER)
    with database.transaction() as session:
        boris = StaffCRUD(session).add_admin("boris", password_hash=None).id
        author, admin = (UserCRUD(session).role_named(name).id for name in (AUTHOR, ADMIN))
    change(database, User, boris, role_id=author)
    assert manager.post(f"/dashboard/history/{last_set(db)}/undo").status_code == 403
    assert db.scalar(select(User.role_id).where(User.id == boris)) == author != admin


def test_a_manager_takes_back_the_change_of_a_student(database: Database, db: Session, staff: SignIn) -> None:
    maria = make_user(db, first_name="Maria")
    manager = staff(MANAGER)
    change(database, User, maria.id, first_name="Mary")
    answer = manager.post(f"/dashboard/history/{last_set(db)}/undo", data={"next": "//evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
    assert db.scalar(select(User.first_name).where(User.id == maria.id)) == "Maria"


@pytest.mark.parametrize("role", [MANAGER, SUPPORT])
def test_what_one_may_not_change_one_may_not_change_back(
    database: Database, db: Session, staff: SignIn, role: str
) -> None:
    lesson, person = make_lesson(db, price=50), staff(role)
    change(database, Lesson, lesson.id, price=70)
    assert person.post(f"/dashboard/history/{last_set(db)}/undo").status_code == 403
    assert db.scalar(select(Lesson.price).where(Lesson.id == lesson.id)) == 70


def test_there_is_nothing_to_take_back_at_a_made_up_number(staff: SignIn) -> None:
    assert staff(ADMIN).post("/dashboard/history/999999/undo").status_code == 404


def test_an_undo_in_a_list_answers_with_the_rows_that_it_has_changed(
    database: Database, db: Session, admin: TestClient
) -> None:
    lesson, other = make_lesson(db, title="Light"), make_lesson(db)
    change(database, Lesson, lesson.id, title="Shade")
    url, page = f"/dashboard/history/{last_set(db)}/undo", "/dashboard/lessons/?sort=title&cols=price"
    answer = admin.post(url, data={"next": page}, headers=PARTIAL)
    assert answer.status_code == 200
    assert f'hx-target="#lesson-{lesson.id}"' in answer.text
    assert "Light" in answer.text
    assert f"#lesson-{other.id}" not in answer.text
    assert 'data-undo="redo"' in answer.text


@pytest.mark.parametrize("page", ["/dashboard/users/", "/dashboard/lessons/1", "/dashboard/lessons/?price_min=dear"])
def test_elsewhere_an_undo_goes_back_to_its_page(database: Database, db: Session, admin: TestClient, page: str) -> None:
    lesson = make_lesson(db, title="Light")
    change(database, Lesson, lesson.id, title="Shade")
    answer = admin.post(f"/dashboard/history/{last_set(db)}/undo", data={"next": page}, headers=PARTIAL)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, page)
    assert db.scalar(select(Lesson.title).where(Lesson.id == lesson.id)) == "Light"


def test_a_record_that_comes_back_needs_the_list_anew(database: Database, db: Session, admin: TestClient) -> None:
    lesson = make_lesson(db)
    with database.transaction(Actor(Door.CLI)) as session:
        session.delete(session.get_one(Lesson, lesson.id))
    page = "/dashboard/lessons/?sort=title"
    answer = admin.post(f"/dashboard/history/{last_set(db)}/undo", data={"next": page}, headers=PARTIAL)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, page)
