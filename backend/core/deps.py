"""What routes are made of: `Routes`, `require`, `crud`, `current`."""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, TypeVar, get_origin

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from backend.core import csrf, direct
from backend.core.config import Settings
from backend.core.context import Actor, Principal
from backend.core.errors import ForbiddenError, UnsupportedMediaError
from backend.core.permissions import Permission
from backend.core.units import Policy, Reply, Unit, current_unit, is_api
from backend.database.crud.base import BaseCRUD
from backend.database.schemas.base import ErrorResponse
from backend.database.session import Database

__all__ = [
    "Reply",
    "Routes",
    "crud",
    "current",
    "detached",
    "hashing",
    "public",
    "recent",
    "require",
    "signed_in",
    "strong",
    "without_factor",
]

C = TypeVar("C", bound=BaseCRUD[Any])
BIG_BODY = 1_000_000  # bytes; a larger one is not read before the sender is known
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

API_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorResponse, "description": "Nobody is signed in"},
    403: {"model": ErrorResponse, "description": "The right is missing"},
    422: {"model": ErrorResponse, "description": "`fields` names what is wrong"},
    429: {"model": ErrorResponse, "description": "Too many requests; see Retry-After"},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorResponse, "description": "No such record"}}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": ErrorResponse, "description": "The state forbids it"}}
BAD_LIST: dict[int | str, dict[str, Any]] = {400: {"model": ErrorResponse, "description": "Bad cursor or sort"}}


class UnitRoute(APIRoute):
    """A route whose endpoint runs inside a Unit. It refuses to exist without a declared policy."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _in_unit(endpoint), **options)
        marks = set(_walk(self.dependant))
        groups = tuple(_declared(self.dependant))
        self.policy = Policy(
            groups,
            signed_in=_declare_signed_in in marks,
            recent=bool(marks & {_declare_recent, _declare_strong}),
            strong=_declare_strong in marks,
            without_factor=_declare_without_factor in marks,
        )
        if self.policy.public and _declare_public not in marks:
            raise TypeError(f"{path}: declare require(Permission.X) or public on the route or its router")
        self.detached = _declare_detached in marks
        if self.detached and any(hasattr(mark, "on_session") for mark in marks):
            raise TypeError(f"{path}: a detached route has no session; use database.run(...)")
        model = self.response_model
        self.adapter: TypeAdapter[Any] | None = TypeAdapter(model) if model is not None else None
        self.description = f"{self.description}\n\n{_needs(self.policy)}".strip()

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        declared, self.dependant = self.dependant, _lean(self.dependant)
        inner = direct.handler(self.dependant) or super().get_route_handler()
        self.dependant = declared

        async def handle(request: Request) -> Response:
            status = self.status_code or 200
            unit = Unit(request, self.policy, self.adapter, status, detached=self.detached)
            request.state.unit = unit
            token = current_unit.set(unit)
            try:
                await _read_csrf(request, unit)
                return await inner(request)
            except RequestValidationError:
                await run_in_threadpool(unit.admit)  # an outsider learns 401, not what a body should hold
                if self.body_field is not None and unit.api and _is_no_json(request):
                    raise UnsupportedMediaError from None
                raise
            finally:
                current_unit.reset(token)
                unit.close()
                await request.close()  # the files of a form

        return handle


def read_query(request: Request, model: type[BaseModel]) -> Any:
    """The query as these parameters; unknown names are not looked at. Raises RequestValidationError."""
    query = request.query_params
    sent: dict[str, Any] = {name: query[name] for name in model.model_fields if name in query}
    for name in _lists(model) & sent.keys():
        sent[name] = query.getlist(name)
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        found = [{**problem, "loc": ("query", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(found) from None


@lru_cache
def _lists(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if get_origin(field.annotation) is list)


def _lean(declared: Dependant) -> Dependant:
    """What FastAPI has to find out with every request: no marks, which are read by now, and no model of the query,
    whose types it would look through field by field.
    """
    needed = [one for one in declared.dependencies if not _is_mark(one.call)]
    models = [field for field in declared.query_params if _is_model(field.field_info.annotation)]
    readers = [get_dependant(path="", call=_reader(field.field_info.annotation), name=field.name) for field in models]
    plain = [field for field in declared.query_params if field not in models]
    return replace(declared, dependencies=[*needed, *readers], query_params=plain)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _reader(model: Any) -> Callable[[Request], Coroutine[Any, Any, Any]]:
    async def read(request: Request) -> Any:
        return read_query(request, model)

    return read


def _is_no_json(request: Request) -> bool:
    """There is a body, and it says that it is something else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return not (kind == "application/json" or kind.endswith("+json")) and bool(getattr(request, "_body", b""))


async def _read_csrf(request: Request, unit: Unit) -> None:
    """Finds the form's token. Whoever can be refused by the headers alone is, before the body is read."""
    if not unit.writing:
        return
    request.state.csrf_sent = sent = request.headers.get(csrf.HEADER)
    if not unit.api:
        try:
            csrf.check_origin(request.app.state.settings, request.headers)
        except ForbiddenError as error:
            await run_in_threadpool(unit.refused, error)
            raise
    length = request.headers.get("content-length")
    if length is None or int(length) > BIG_BODY:  # Outermost has refused what is no number
        await run_in_threadpool(lambda: unit.admit(form=sent is not None))
    if unit.api:
        return
    kind = request.headers.get("content-type", "")
    if sent is None and kind.startswith(FORM_TYPES):
        form = await request.form(max_files=5, max_fields=200, max_part_size=BIG_BODY)
        value = form.get(csrf.FIELD)
        request.state.csrf_sent = value if isinstance(value, str) else None


def _in_unit(endpoint: Callable[..., Any]) -> Callable[..., Response]:
    @functools.wraps(endpoint)
    def call(**arguments: Any) -> Response:
        unit = current_unit.get()
        return unit.run(lambda: endpoint(**arguments))

    return call


class Routes(APIRouter):
    """A router of UnitRoutes.

    "/" answers without its slash too, as do the collections of the API ("/{id}/purchases"); only API
    routes are part of the documentation.
    """

    def __init__(self, **options: Any) -> None:
        if is_api(options.get("prefix", "") + "/"):
            options.setdefault("responses", API_ERRORS)
        else:
            options.setdefault("include_in_schema", False)
        super().__init__(route_class=UnitRoute, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().add_api_route(path, endpoint, **options)
        unseen = {**options, "include_in_schema": False}
        if path == "/" and self.prefix:
            super().add_api_route("", endpoint, **unseen)
        elif self.prefix.startswith("/api") and "}/" in path:
            super().add_api_route(f"{path}/", endpoint, **unseen)


def require(*permissions: Permission) -> Any:
    """The caller holds at least one of these rights. Several `require` on a route must all hold."""

    async def declare() -> None:
        """Checked by the Unit, in the endpoint's own transaction."""

    declare.permissions = frozenset(permissions)  # type: ignore[attr-defined] # read by UnitRoute
    return Depends(declare)


async def _declare_public() -> None:
    """Marks a route that everyone may call."""


async def _declare_signed_in() -> None:
    """Marks a route that anyone with a session or token may call, whatever their rights."""


async def _declare_detached() -> None:
    """Marks a route that does slow work (a password hash) between transactions of its own:
    `database.run(...)`.
    """


async def _declare_recent() -> None:
    """Marks a route that asks the person once more who they are, when their last proof is old."""


async def _declare_strong() -> None:
    """The same, and whoever has a second factor is asked for that: what touches the ways into an account."""


async def _declare_without_factor() -> None:
    """Marks a route on the way to the second factor that a role needs."""


MARKS = frozenset(
    {_declare_public, _declare_signed_in, _declare_detached, _declare_recent, _declare_strong, _declare_without_factor}
)


async def _turn() -> AsyncIterator[None]:
    yield


public = Depends(_declare_public)
signed_in = Depends(_declare_signed_in)
detached = Depends(_declare_detached)
recent = Depends(_declare_recent)
strong = Depends(_declare_strong)
without_factor = Depends(_declare_without_factor)
# Two of these requests at a time; the others wait without holding one of the few threads that serve
# everyone.
hashing = Depends(_turn, scope="function", max_concurrency=2)


def _needs(policy: Policy) -> str:
    if policy.public:
        return "Open to everyone."
    groups = [" or ".join(f"`{permission}`" for permission in sorted(group)) for group in policy.groups]
    needs = f"Needs {' and '.join(groups)}." if groups else "Needs any valid token."
    return (
        f"{needs} A person signed in for more than 15 minutes gets 403 `confirmation_required`."
        if policy.recent
        else needs
    )


def _walk(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _walk(dependency)


def _is_mark(call: Any) -> bool:
    return call in MARKS or hasattr(call, "permissions")


def _declared(dependant: Dependant) -> Iterator[frozenset[Permission]]:
    for call in _walk(dependant):
        permissions = getattr(call, "permissions", None)
        if permissions:
            yield permissions


def crud(cls: type[C]) -> Any:
    """A CRUD class on the request's session."""

    async def build(request: Request) -> C:
        unit: Unit = request.state.unit
        return cls(unit.session)

    build.on_session = True  # type: ignore[attr-defined] # a detached route must not have one
    return Depends(build)


class Current:
    """The caller; known once the endpoint runs, so its fields are read through `.me`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    @property
    def me(self) -> Principal:
        return self._unit.me

    @property
    def session(self) -> Session:
        return self._unit.session

    @property
    def settings(self) -> Settings:
        settings: Settings = self._unit.request.app.state.settings
        return settings

    @property
    def actor(self) -> Actor:
        """Whom the history names, for the transactions of a detached route."""
        return self._unit.actor


async def _current(request: Request) -> Current:
    return Current(request.state.unit)


current = Depends(_current)
Caller = Annotated[Current, current]


async def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def get_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]


def get_current_user_from_cookie(request: Request) -> Principal:
    """The signed-in person of a page, for routes outside `Routes`. Raises NotAuthenticatedError."""
    unit = Unit(request, Policy((frozenset({Permission.DASHBOARD_READ}),)), None, 200)
    unit.admit()
    return unit.me
