"""Examples for the description of the API, made from its schemas: every body and every answer has one."""

from collections.abc import Mapping
from typing import Any

from backend.core import errors

# What a field of this name looks like, unless its schema says so itself.
FIELDS: dict[str, Any] = {
    "telegram_id": 123456789,
    "username": "masha",
    "first_name": "Мария",
    "last_name": "Ковалёва",
    "language_code": "ru",
    "ui_language": "ru",
    "title": "Свет из окна",
    "description": "Портрет у окна без вспышки",
    "price": 199,
    "is_free": False,
    "total_price": 990,
    "discount_price": 790,
    "lesson_ids": [3, 1, 2],
    "position": 1,
    "text_content": "**Боком** к свету.",
    "video_path": "Q0x1mBv7p8Yh.mp4",
    "media_id": 7,
    "code": "AUTUMN25",
    "discount_percent": 25,
    "discount_amount": None,
    "max_uses": 100,
    "current_uses": 12,
    "expires_at": "2027-01-01T00:00:00Z",
    "payment_id": "stxQ3p8aB0",
    "payload": "Jm4yW0mB2m0cQqkP0n5cXb1u4GJx2b8d",
    "amount": 199,
    "full_price": 199,
    "discount": 0,
    "course_id": None,
    "is_test": False,
    "revoked_at": None,
    "subject": "Не открывается третий урок",
    "message": "Крутится кружок, и всё.",
    "text": "Обновите страницу.",
    "admin_response": "Обновите страницу.",
    "assignee_id": 2,
    "internal": False,
    "waiting_since": None,
    "reason": None,
    "reason_code": None,
    "error_message": None,
    "next": None,
    "total": 1,
    "url": "/api/media/7",
    "path": "Q0x1mBv7p8Yh.mp4",
    "filename": "урок.mp4",
    "mime": "video/mp4",
    "size": 4_200_000,
    "file_id": "BAACAgIAAxkBAAIB",
    "request_id": "5f0c1d9e8b7a4c3d",
    "version": 1,
    "status": "awaiting_payment",
    "currency": "XTR",
    "email": "anna@example.org",
    "state": "Support:writing",
    "data": {"screen": 812},
}
MOMENT = "2026-11-21T10:00:00Z"
BY_TYPE: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "string": "text", "object": {}}
REFUSALS = {
    error.status: error
    for error in (
        errors.AppError,
        errors.NotAuthenticatedError,
        errors.ForbiddenError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.TooLargeError,
        errors.UnsupportedMediaError,
        errors.InvalidError,
        errors.TooManyRequestsError,
        errors.UnavailableError,
    )
}
Schemas = Mapping[str, Any]


def example_of(schema: Mapping[str, Any], schemas: Schemas, name: str = "", *, sent: bool = False) -> Any:
    """A value of this schema. `sent`: of a body, with the fields that are needed or have an example of their own."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name, sent=sent)
    if own := _own(schema) or ([FIELDS[name]] if name in FIELDS else None):
        return own[0]
    if ways := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return example_of(next((way for way in ways if way.get("type") != "null"), ways[0]), schemas, name, sent=sent)
    if "properties" in schema:
        return _object(schema, schemas, sent=sent)
    if schema.get("type") == "array":
        return [example_of(schema.get("items", {}), schemas, name, sent=sent)]
    return MOMENT if schema.get("format") == "date-time" else BY_TYPE.get(schema.get("type", ""))


def _own(schema: Mapping[str, Any]) -> list[Any] | None:
    if "example" in schema:
        return [schema["example"]]
    if "const" in schema:
        return [schema["const"]]
    return schema.get("examples") or schema.get("enum")


def _object(schema: Mapping[str, Any], schemas: Schemas, *, sent: bool) -> dict[str, Any]:
    needed = schema.get("required", [])
    shown = {
        name: example_of(about, schemas, name, sent=sent)
        for name, about in schema["properties"].items()
        if not sent or name in needed or _own(about) or name in FIELDS
    }
    if sent and {"lesson_id", "course_id"} <= shown.keys():
        shown.pop("course_id")  # one of them names the thing
    return {name: value for name, value in shown.items() if not sent or value is not None}


def refusal(status: int) -> dict[str, Any]:
    """The body of an error with this status."""
    error = REFUSALS[status]
    told: dict[str, Any] = {"code": error.code, "message": error.default, "request_id": FIELDS["request_id"]}
    if error is errors.InvalidError:
        told["fields"] = {"price": "The least is 0."}
    return {"error": told}
