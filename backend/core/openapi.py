"""The description of the API: what FastAPI derives from the routes, with who may call each and what
refuses it.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from backend.core.deps import API_ERRORS, UnitRoute
from backend.core.examples import REFUSALS as REFUSED
from backend.core.examples import example_of, refusal
from backend.core.units import Policy

DESCRIPTION = """
Sign in with `POST /auth/login` (the Authorize button does that) or use an API token, `lyc_...`,
from the settings page: `Authorization: Bearer <token>`. Cookies are not read here.

Times are RFC 3339 in UTC, money is an integer number of Stars. Lists answer
`{"items", "next", "total"}`: send `next` as `cursor` for the following page; `total` is null above
10,000. Errors answer `{"error": {"code", "message", "fields"?, "request_id"}}`; the message is in
the language of `Accept-Language`. A `POST` with an `Idempotency-Key` may be repeated: it takes
effect once and is answered the same for 48 hours.
"""
SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A JWT from /auth/login or an API token `lyc_...`",
    },
    "password": {
        "type": "oauth2",
        "description": "Login and password of a member of staff",
        "flows": {"password": {"tokenUrl": "/auth/login", "refreshUrl": "/auth/refresh", "scopes": {}}},
    },
}
REFUSALS = {
    "400": "The request could not be understood",
    "413": "The body is too large",
    "415": "The body is not JSON",
    "503": "The service is busy; see Retry-After",
}
WRITES, WITH_BODY = {"400", "413"}, {"415"}


def describe(app: FastAPI, server: str) -> dict[str, Any]:
    """The document, with `server` as the address that calls go to."""
    if app.openapi_schema is None:
        app.openapi_schema = _build(app)
    return {**app.openapi_schema, "servers": [{"url": server}]}


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION.strip(),
        routes=app.routes,
    )
    document["components"]["securitySchemes"] = SCHEMES
    for context in iter_route_contexts(app.router.routes):
        route = context.original_route
        if not isinstance(route, UnitRoute):
            continue
        described = document["paths"].get(context.path_format, {})
        for method in context.methods or ():
            if operation := described.get(method.lower()):
                _complete(operation, route.policy, writes=method != "GET")
    _exemplify(document)
    return document


def _exemplify(document: dict[str, Any]) -> None:
    """An example for every body and every answer that has none of its own."""
    schemas = document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content.setdefault("example", example_of(content["schema"], schemas, sent=True))
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if content is not None and not content.keys() & {"example", "examples"}:
                failed = int(status) in REFUSED
                content["example"] = refusal(int(status)) if failed else example_of(content["schema"], schemas)


def _complete(operation: dict[str, Any], policy: Policy, *, writes: bool) -> None:
    if policy.public:
        if operation["responses"].get("403", {}).get("description") == API_ERRORS[403]["description"]:
            del operation["responses"]["403"]  # a right; a route may refuse for a reason of its own
    else:
        operation["security"] = [{name: []} for name in SCHEMES]
        operation["x-permissions"] = [sorted(group) for group in policy.groups]
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    for status, reason in REFUSALS.items():
        if (writes or status not in WRITES) and ("requestBody" in operation or status not in WITH_BODY):
            operation["responses"].setdefault(status, {"description": reason, "content": error})
