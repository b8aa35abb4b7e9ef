from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core.permissions import Permission
from backend.database.crud.users import UserCRUD
from backend.database.models.users import Role, User
from tests.conftest import SignIn
from tests.crm.pages import english_admin
from tests.doors import browser, sign_in, token_of
from tests.factories import make_lesson, make_purchase, make_ticket, make_user, numbers, save

Reading = Callable[..., TestClient]


@pytest.fixture
def own(app: FastAPI) -> TestClient:
    """A browser that signed in by itself; its session's token is in its headers."""
    client = browser(app)
    sign_in(client)
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/settings/"))
    return client


@pytest.fixture
def reader(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


@pytest.fixture
def reading(sign_in: SignIn, db: Session) -> Reading:
    """A browser of a person who holds these rights and nothing else, in English."""

    def enter(*rights: Permission) -> TestClient:
        role = f"Role {next(numbers)}"
        save(db, Role(name=role, permissions=sorted({Permission.DASHBOARD_READ, Permission.PROFILE_WRITE, *rights})))
        login = f"reader-{next(numbers)}"
        UserCRUD(db).create_staff(login=login, password_hash=None, role=role, first_name="Нина").ui_language = "en"
        db.commit()
        return sign_in(login)

    return enter


@pytest.fixture
def student(db: Session) -> User:
    """Who spent 777 Stars and waits for an answer."""
    found = make_user(db, first_name="Зоя", last_name="Мельник", username="zoya_melnik")
    make_purchase(db, found, make_lesson(db, title="Свет", price=100), amount=777)
    make_ticket(db, found, subject="Не открывается")
    return found
