"""Browser forms: validated by the same schemas as the JSON API; what was typed is never lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from backend.core import csrf
from backend.core.errors import AppError, UnsupportedMediaError
from backend.core.validation import explain
from backend.database.schemas.base import FORM

S = TypeVar("S", bound=BaseModel)
LISTS = (list, tuple, set, frozenset)


@dataclass
class Form(Generic[S]):
    """What the browser sent: `data` when valid, else `errors` beside the raw `values`."""

    data: S | None = None
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        found = self.values.get(name)
        return "" if found is None else found

    def error(self, name: str) -> str:
        return self.errors.get(name, "")

    def refuse(self, error: AppError) -> "Form[S]":
        """Puts a domain error at its fields ("" is the form as a whole)."""
        self.errors = dict(error.fields) or {"": error.message}
        self.data = None
        return self

    @classmethod
    def of(cls, row: object, names: Iterable[str]) -> "Form[S]":
        """A form filled from a record."""
        return cls(values={name: getattr(row, name) for name in names})


def number(sent: object) -> int:
    """A hidden field as an id; 0, which no row has, for anything else."""
    text = str(sent)[:20]
    return int(text) if text.isdecimal() and text.isascii() else 0


def form_of(schema: type[S]) -> Any:
    """The submitted form as `Form[schema]`.

    An empty field means "not given"; a checkbox that is off is False.
    """
    return Depends(_reader(schema))


def body_of(schema: type[S]) -> Any:
    """The body as JSON or as a form, whichever its Content-Type names.

    A form's other fields are not looked at.
    """

    async def read(request: Request) -> S:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            sent = await request.form(max_files=0, max_fields=50, max_part_size=1_000_000)
            values: Any = {name: sent[name] for name in schema.model_fields if name in sent}
        elif kind == "application/json":
            values = await _json(request)
        else:
            raise UnsupportedMediaError
        try:
            return schema.model_validate(values, context=None if kind == "application/json" else FORM)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error

    return Depends(read)


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        problem = {
            "type": "json_invalid",
            "loc": ("body",),
            "msg": "JSON decode error",
            "input": None,
        }
        raise RequestValidationError([problem]) from error


def body_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads `body_of(schema)`."""
    described = schema.model_json_schema()
    content = {
        "application/json": {"schema": described},
        "application/x-www-form-urlencoded": {"schema": {**described, "additionalProperties": True}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _reader(schema: type[S]) -> Any:
    async def read(request: Request) -> Form[S]:
        sent = await request.form(max_files=5, max_fields=200, max_part_size=1_000_000)
        return parse(schema, sent)

    return read


def parse(schema: type[S], sent: FormData) -> Form[S]:
    values, files = _values(schema, sent)
    given = {name: value for name, value in values.items() if value not in ("", None)}
    for name, about in schema.model_fields.items():
        # Clearing a field is a decision too: an empty optional field says None, not "unchanged".
        if name in values and name not in given and not about.is_required():
            given[name] = about.get_default(call_default_factory=True)
    try:
        return Form(schema.model_validate(given, context=FORM), values, {}, files)
    except ValidationError as error:
        return Form(None, values, explain(error.errors()), files)


def _values(schema: type[BaseModel], sent: FormData) -> tuple[dict[str, Any], dict[str, UploadFile]]:
    files = {k: v for k, v in sent.items() if isinstance(v, UploadFile) and v.filename}
    # A browser sends CR LF whatever was in the field; kept, it would look like a change of every
    # line.
    texts: Mapping[str, Any] = {
        k: v.replace("\r\n", "\n") for k, v in sent.items() if isinstance(v, str) and k != csrf.FIELD
    }
    values: dict[str, Any] = dict(texts)
    for name, about in schema.model_fields.items():
        key = about.alias or name
        origin = getattr(about.annotation, "__origin__", about.annotation)
        if origin in LISTS:
            values[key] = [item for item in sent.getlist(key) if isinstance(item, str) and item != ""]
        elif about.annotation is bool:
            values[key] = texts.get(key) in ("on", "true", "1", "True")
    return values, files
