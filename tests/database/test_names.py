"""The names that the requirements promise to whoever builds on this code."""

import inspect
from importlib import import_module

import pytest
from sqlalchemy.orm import Session

import backend.database
from backend import init_roles
from backend.core.auth import create_access_token, verify_password
from backend.core.config import Settings
from backend.core.deps import get_current_user_from_cookie
from backend.core.security import hash_password
from backend.database import Base, get_db
from backend.database.models.users import User
from tests.conftest import PASSWORD, SECRET

DOMAINS = {
    "users": "User",
    "lessons": "Lesson",
    "courses": "Course",
    "promo_codes": "PromoCode",
    "purchases": "Purchase",
    "tickets": "Ticket",
}
# A payment is recorded and given back; nobody edits what it bought.
WITHOUT_UPDATE = {"purchases"}


@pytest.mark.parametrize(("module", "name"), DOMAINS.items())
def test_a_domain_has_its_crud_class_and_its_verbs(db: Session, module: str, name: str) -> None:
    crud = getattr(import_module(f"backend.database.crud.{module}"), f"{name}CRUD")(db)

    for verb in ("get_all", "get_by_id", "create", "update", "delete"):
        assert callable(getattr(crud, verb)), verb
    assert list(crud.get_all().items) == [] or module == "users"


@pytest.mark.parametrize(("module", "name"), DOMAINS.items())
def test_a_domain_has_its_schemas(module: str, name: str) -> None:
    schemas = import_module(f"backend.database.schemas.{module}")

    for kind in ("Create", "Response", *(() if module in WITHOUT_UPDATE else ("Update",))):
        assert inspect.isclass(getattr(schemas, f"{name}{kind}")), kind


def test_every_table_of_the_documents_is_a_model() -> None:
    names = {mapper.class_.__name__ for mapper in Base.registry.mappers}
    assert {"User", "Role", "Lesson", "Course", "CourseLesson", "Purchase", "PromoCode", "SupportTicket"} <= names


def test_passwords_tokens_and_sessions_have_their_doors() -> None:
    hashed = hash_password(PASSWORD)
    assert (verify_password(PASSWORD, hashed), verify_password("x", hashed)) == (True, False)
    assert callable(create_access_token)
    assert callable(get_current_user_from_cookie)
    assert inspect.isgeneratorfunction(get_db)


def test_a_session_of_the_configured_database_commits_when_it_is_done(
    settings: Settings, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SECRET_KEY", SECRET)
    backend.database._default.cache_clear()
    lent = get_db()

    next(lent).get_one(User, 1).first_name = "Другая"
    assert next(lent, None) is None

    assert db.get_one(User, 1).first_name == "Другая"
    backend.database._default().dispose()
    backend.database._default.cache_clear()


def test_roles_are_made_once(db: Session) -> None:
    roles = init_roles(db)
    again = init_roles(db)
    assert sorted(roles) == ["Автор", "Админ", "Менеджер", "Поддержка", "Ученик"]
    assert {name: role.id for name, role in roles.items()} == {name: role.id for name, role in again.items()}
