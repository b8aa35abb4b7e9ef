"""From an HTTP request to a typed aiogram method, refusing what Telegram would refuse to read."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

import aiogram.methods
from aiogram.methods import SetWebhook, TelegramMethod
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from backend.sandbox.errors import QUERY_TOO_OLD, Json, TelegramError, bad_request
from backend.sandbox.keyboards import read_markup

MAX_UPLOAD = 50 * 1024 * 1024
MAX_BODY = MAX_UPLOAD + 1024 * 1024
EMPTY = {
    "chat_id": "chat_id is empty",
    "text": "message text is empty",
    "message_id": "message identifier is not specified",
    "file_id": "file_id not specified",
    "user_id": "invalid user_id specified",
    "photo": "there is no photo in the request",
    "video": "there is no video in the request",
    "document": "there is no document in the request",
    "callback_query_id": QUERY_TOO_OLD,
    "pre_checkout_query_id": QUERY_TOO_OLD,
}


@dataclass
class Arguments:
    values: Json = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)


@cache
def known_methods() -> dict[str, type[TelegramMethod[Any]]]:
    """All methods that aiogram knows, by lower-case name: Telegram ignores the case."""
    found: dict[str, type[TelegramMethod[Any]]] = {}
    for name in aiogram.methods.__all__:
        method = getattr(aiogram.methods, name)
        if isinstance(getattr(method, "__api_method__", None), str):
            found[method.__api_method__.lower()] = method
    return found


async def read_arguments(request: Request) -> Arguments:
    """Query string, form, multipart or JSON, as the Bot API accepts them."""
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise TelegramError(413, "Request Entity Too Large")
    arguments = Arguments(values=dict(request.query_params))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        await _read_json(request, arguments)
    elif kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        await _read_form(request, arguments)
    return arguments


async def _read_json(request: Request, arguments: Arguments) -> None:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(body, dict):
        raise bad_request("object expected")
    arguments.values |= body


async def _read_form(request: Request, arguments: Arguments) -> None:
    form = await request.form(max_files=20, max_fields=200, max_part_size=1024 * 1024)
    for name, value in form.multi_items():
        if isinstance(value, str):
            arguments.values[name] = value
        elif (value.size or 0) > MAX_UPLOAD:
            await form.close()
            raise TelegramError(413, "Request Entity Too Large")
        else:
            arguments.files[name] = value
            arguments.values.setdefault(name, f"attach://{name}")


@cache
def _structured(method: type[TelegramMethod[Any]], name: str) -> bool:
    """Whether the field holds JSON: an object or a list."""
    return _is_structured(method.model_fields[name].annotation)


def _is_structured(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | list | dict):
        return True
    return any(_is_structured(part) for part in get_args(annotation)) or (
        getattr(annotation, "__origin__", None) in {list, dict}
    )


def typed(method: type[TelegramMethod[Any]], values: Json) -> TelegramMethod[Any]:
    """The request as aiogram's own type of it; unknown parameters are ignored, as by Telegram."""
    known: Json = {"url": ""} if method is SetWebhook else {}  # an empty address removes it
    for name, value in values.items():
        if name not in method.model_fields or value is None or value == "":
            continue
        known[name] = read_markup(value) if name == "reply_markup" else _decoded(method, name, value)
    try:
        return method.model_validate(known)
    except ValidationError as error:
        raise _refusal(error) from error


def _decoded(method: type[TelegramMethod[Any]], name: str, value: object) -> object:
    if not (isinstance(value, str) and _structured(method, name)):
        return value
    if not value.lstrip().startswith(("{", "[")):
        return value  # a file_id or an address where a file may stand
    try:
        return json.loads(value)
    except ValueError as error:
        raise bad_request(f"can't parse {name} JSON object") from error


def _refusal(error: ValidationError) -> TelegramError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return bad_request(EMPTY.get(name, f'parameter "{name}" is required'))
    if name == "chat_id":
        return bad_request("chat not found")
    if name == "reply_markup":
        return bad_request("inline keyboard expected")
    where = ".".join(str(part) for part in first["loc"])
    return bad_request(f'can\'t parse "{where}": {first["msg"]}')


def dump_model(value: object) -> Any:
    """A Telegram object as the JSON that Telegram would send: no nulls, no aiogram defaults."""
    if isinstance(value, BaseModel):
        return {
            key: dump_model(item)
            for key in type(value).model_fields
            if (item := getattr(value, key)) is not None and not _is_default(item)
        }
    if isinstance(value, list):
        return [dump_model(item) for item in value]
    return value


def _is_default(value: object) -> bool:
    return type(value).__name__ == "Default"


def plain(value: object) -> Any:
    """The value of a field, or None where aiogram keeps its `Default` marker."""
    return None if _is_default(value) else value
