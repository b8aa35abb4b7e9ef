"""Every column of every table, sent to every route that writes: nothing is set that the route does not name (B12)."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.base import Base
from backend.database.schemas.base import Input, kinds
from tests.access import API, PAGES, Rule, everything
from tests.conftest import Api
from tests.contents import digest
from tests.figures import Figure
from tests.routes import Schemas, schemas_of

ROLES = ("role", "is_admin", "permissions", "is_superuser", "scopes", "__class__", "admin", "is_staff", "user.role_id")
EVERYTHING = {
    **{column.name: "1" for table in Base.metadata.sorted_tables for column in table.columns},
    **dict.fromkeys(ROLES, "1"),
}
# What no body of any route names, whoever sends it.
NEVER = {
    "id", "role_id", "permissions", "is_admin", "password_hash", "token_version", "token_hash", "created_at",
    "updated_at", "login_key", "email_key", "code_key", "search_key", "email_verified_at", "erased_at", "revoked_at",
    "current_uses", "total", "subtotal", "discount", "paid_at", "is_test", "payer_telegram_id", "order_line_id",
    "first_reply_at", "waiting_since", "last_message_at", "actor_id", "impersonator_id", "owner_id", "change_set_id",
    "undoes_id", "lease_until", "attempts", "level", "confirmed_at", "sign_count", "last_step", "sealed", "secret",
}  # fmt: skip
NAMED = {"role_id": {"Invitation", "RoleChoice", "TakeIn"}}  # more than one's own rights is refused there
NAMED["id"] = {"BotProfile", "PlaceLesson"}  # Telegram's number of the bot; which lesson is dragged
PLACES = {"", "body", "path", "query", "header"}  # an error is told without the place that it stood in
BODILESS = ("/logout", "/blocked", "/unblocked")  # they read no body at all
# Forms that can be filled in as they are, each with what else moves along with its fields.
FILLED: dict[str, dict[str, Any]] = {
    "/dashboard/settings/profile": {
        "first_name": "Анна",
        "last_name": "Б",
        "email": "a@example.org",
        "timezone": "UTC",
    },
    "/dashboard/settings/school": {"name": "Школа"},
    "/dashboard/users/": {"telegram_id": "700555", "first_name": "Новый", "language_code": "ru"},
    "/dashboard/users/{user_id}": {"first_name": "Мария", "last_name": "К", "username": "maria_k", "is_active": "on"},
    "/dashboard/users/{row_id}/tags": {"tag": "новая"},
    "/dashboard/lessons/{row_id}/tags": {"tag": "новая"},
    "/dashboard/lessons/": {"title": "Урок", "description": "О свете", "price": "5"},
    "/dashboard/lessons/{lesson_id}": {"title": "Урок", "description": "О тени", "price": "6", "is_active": "on"},
    "/dashboard/courses/": {"title": "Курс", "description": "О свете", "total_price": "5"},
    "/dashboard/courses/{course_id}": {"title": "Курс", "description": "О тени", "total_price": "6"},
    "/dashboard/promo-codes/": {"code": "NEW", "discount_percent": "5"},
    "/dashboard/promo-codes/{promo_id}": {"code": "OLD", "discount_percent": "6", "max_uses": "9"},
    "/dashboard/tickets/": {"user_id": "", "subject": "Тема", "text": "Текст"},
    "/dashboard/tickets/{ticket_id}/messages": {"text": "Ответ", "to": "reply"},
    "/dashboard/views/": {"list_name": "lessons", "name": "Мой", "query": "is_active=true"},
    "/dashboard/views/{view_id}": {"name": "Другой", "is_shared": "on"},
}
FOLLOWS = {
    "version", "updated_at", "search_key", "email_key", "code_key", "last_message_at", "first_reply_at",
    "waiting_since", "admin_response", "status", "assignee_id", "value", "email_verified_at",
}  # fmt: skip


@pytest.fixture
def read(app: FastAPI) -> Schemas:
    return schemas_of(app)


def of(read: Schemas, rule: Rule) -> list[type[BaseModel]]:
    return read[rule.name.rstrip("/")]


def test_no_schema_names_what_only_the_program_sets(read: Schemas) -> None:
    named = {
        (name, schema.__name__)
        for rule in (*API, *PAGES)
        if rule.writes
        for schema in of(read, rule)
        for name in NEVER & schema.model_fields.keys()
        if schema.__name__ not in NAMED.get(name, ())
    }
    assert named == set()
    open_ones = {schema.__name__ for found in read.values() for schema in found if issubclass(schema, Input)}
    assert len(open_ones) > 40
    for found in read.values():
        assert all(schema.model_config.get("extra") == "forbid" for schema in found), found


def test_no_body_of_the_api_takes_a_field_that_it_does_not_name(
    read: Schemas, db: Session, api: Api, figure: Figure
) -> None:
    ids = everything(db)
    client = api("bot", *(scope for rule in API for scope in rule.scopes if ":" in scope))
    before, tried = digest(db), 0
    for rule in API:
        if not rule.writes or rule.roles == "*" or rule.method == "DELETE" or rule.path.endswith(BODILESS):
            continue
        answer = client.request(rule.method, rule.address(ids), json=EVERYTHING)
        assert answer.status_code == 422, rule.name
        told = answer.json()["error"]["fields"]
        unknown = {name for name, words in told.items() if words == "There is no such field."}
        assert of(read, rule), rule.name
        fields = [field for schema in of(read, rule) for field in schema.model_fields.items()]
        names = {name for name, _field in fields} | {field.alias or name for name, field in fields}
        assert unknown - PLACES == EVERYTHING.keys() - names - PLACES, rule.name
        tried += 1
    assert digest(db) == before
    assert tried >= 18
    figure("B12", "fields that a body takes without naming them", 0, "0", tried * len(EVERYTHING))


def columns(db: Session) -> dict[str, dict[Any, dict[str, Any]]]:
    """Every row that stands, by table and number."""
    return {
        table.name: {row["id"]: dict(row) for row in db.execute(select(table)).mappings()}
        for table in Base.metadata.sorted_tables
        if "id" in table.c and table.name not in ("sessions", "api_tokens")
    }


def changed(before: dict[str, dict[Any, dict[str, Any]]], after: dict[str, dict[Any, dict[str, Any]]]) -> set[str]:
    """The columns of rows that stood before and hold something else now."""
    return {
        name
        for table, rows in before.items()
        for row_id, row in rows.items()
        for name, value in row.items()
        if row_id in after[table] and after[table][row_id][name] != value
    }


def test_no_form_takes_a_field_that_it_does_not_show(
    read: Schemas, db: Session, admin: TestClient, figure: Figure
) -> None:
    """A form that is right but for the columns sent along is refused whole; alone it changes what it shows."""
    ids = everything(db)
    now = columns(db)
    for rule in PAGES:
        if rule.path not in FILLED or rule.method != "POST":
            continue
        filled = {name: value or ids[name] for name, value in FILLED[rule.path].items()}
        (schema,) = of(read, rule)
        answer = admin.post(rule.address(ids), data={**EVERYTHING, **filled})
        assert answer.status_code in (422, 400), (rule.name, answer.status_code)
        answer = admin.post(rule.address(ids), data=filled)
        assert answer.status_code in (200, 303), (rule.name, answer.text)
        before, now = now, columns(db)
        assert changed(before, now) <= schema.model_fields.keys() | FOLLOWS, rule.name
    figure("B12", "forms that change a column besides those they show", 0, "0", len(FILLED))


def test_every_other_form_refuses_them_too(read: Schemas, db: Session, admin: TestClient) -> None:
    ids = everything(db)
    before = columns(db)
    for rule in PAGES:
        if rule.method == "POST" and rule.path not in FILLED and of(read, rule) and not rule.path.endswith("/toggle"):
            answer = admin.post(rule.address(ids), data=EVERYTHING)
            assert answer.status_code in (200, 303, 400, 404, 409, 422), (rule.name, answer.status_code)
    assert columns(db) == before


WRONG: dict[type, tuple[object, ...]] = {int: (True, "1", "0x1", 1.0, 1.5), bool: (0, 1, "true", "on")}


def test_no_body_of_the_api_takes_one_type_for_another(read: Schemas, figure: Figure) -> None:
    """Not only what the schemas say: each number and switch of each body, tried."""
    bodies = {schema for rule in API if rule.writes for schema in of(read, rule)}
    tried = [(schema, name, kind) for schema in bodies for name, kind in kinds(schema).items()]
    for schema, name, kind in tried:
        for value in WRONG[kind]:
            with pytest.raises(ValidationError) as told:
                schema.model_validate({name: value})
            found = {problem["type"] for problem in told.value.errors() if problem["loc"][:1] == (name,)}
            assert found & {"int_type", "bool_type", "list_type"}, (schema, name, value)
    assert len(tried) > 25
    figure("B12", "fields that take one type for another", 0, "0", len(tried))


def test_a_price_of_true_is_told_at_its_field_and_a_form_says_numbers_as_text(api: Api, admin: TestClient) -> None:
    client = api("lessons:write")
    for wrong in (True, "50", 50.0):
        answer = client.post("/api/lessons/", json={"title": "A", "description": "b", "price": wrong})
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, ["price"])
    assert client.post("/api/lessons/", json={"title": "A", "description": "b", "price": 50}).json()["price"] == 50
    form = {"title": "B", "description": "c", "price": "50", "is_active": "on"}
    assert admin.post("/dashboard/lessons/", data=form).status_code == 303
