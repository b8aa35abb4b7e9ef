"""What operators and developers ask: is it alive, is it ready, what does it measure, how is it
called.
"""

import ipaddress
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from backend.core.auth import authenticate, client_ip
from backend.core.config import Settings
from backend.core.context import Principal
from backend.core.deps import Caller, DatabaseDep, Routes, SettingsDep, detached, public
from backend.core.errors import ForbiddenError, NotAuthenticatedError
from backend.core.hosts import is_loopback
from backend.core.metrics import Metrics
from backend.core.middleware import CSP
from backend.core.openapi import describe
from backend.core.permissions import Permission
from backend.core.templating import render
from backend.database.schema import SchemaError, current, head
from backend.database.session import Database

router = Routes(tags=["system"], include_in_schema=True)
REDIS_SECONDS = 1
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
# ReDoc makes <style> elements: empty ones that it fills through the CSSOM, and one fixed text.
# Their hashes let in these and nothing else, on this page alone.
REDOC_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)
known_head = cache(head)


def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


@router.get(
    "/health",
    dependencies=[public, detached],
    summary="Alive",
    responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}},
)
def health() -> Response:
    """The process answers. Says nothing about the database: see `/health/ready`."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/health/ready",
    dependencies=[public, detached],
    summary="Ready to serve",
    responses={
        200: {"content": {"application/json": {"example": {"status": "ok"}}}},
        503: {
            "description": "Something that requests need is missing",
            "content": {"application/json": {"example": {"status": "unavailable", "checks": {"database": "failed"}}}},
        },
    },
)
def ready(request: Request, caller: Caller, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Database, migrations, Redis when configured.

    `checks` shows on this machine or with `operations:read`.
    """
    checks = {
        "database": _outcome(lambda: _ask(database)),
        "migrations": _outcome(lambda: _compare(database)),
    }
    if settings.redis_url:
        checks["redis"] = _outcome(lambda: _ping(settings.redis_url))
    well = all(outcome == "ok" for outcome in checks.values())
    told: dict[str, Any] = {"status": "ok" if well else "unavailable"}
    if _may_look(request, caller.me):
        told["checks"] = checks
    return JSONResponse(told, 200 if well else 503)


@router.get(
    "/metrics",
    dependencies=[public, detached],
    summary="Metrics for Prometheus",
    description="Open on this machine, otherwise with `operations:read`.",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": "lyceum_http_requests_total 1.0"}}}},
)
def metrics(request: Request, caller: Caller, found: Annotated[Metrics, Depends(_metrics)]) -> Response:
    if not _may_look(request, caller.me):
        raise ForbiddenError if caller.me.signed_in else NotAuthenticatedError
    return Response(found.render(), media_type=found.content_type)


@router.get(
    "/openapi.json",
    dependencies=[public, detached],
    summary="This document",
    responses={200: {"content": {"application/json": {"example": {"openapi": "3.1.0"}}}}},
)
def openapi(request: Request, caller: Caller, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Open on a school that only this machine reaches, otherwise for signed-in staff, by session or
    token.
    """
    me = caller.me
    if not me.signed_in:
        with database.read() as session:
            me = authenticate(request, session, api=False)
    _check_reader(settings, me)
    return JSONResponse(describe(request.app, _server(request, settings)))


@router.get("/docs", dependencies=[public], include_in_schema=False, name="docs:swagger")
def swagger(request: Request, caller: Caller, settings: SettingsDep) -> Response:
    _check_reader(settings, caller.me)
    return render(request, "docs/swagger.html")


@router.get("/redoc", dependencies=[public], include_in_schema=False, name="docs:redoc")
def redoc(request: Request, caller: Caller, settings: SettingsDep) -> Response:
    _check_reader(settings, caller.me)
    response = render(request, "docs/redoc.html")
    response.headers["Content-Security-Policy"] = CSP.replace("style-src 'self'", f"style-src 'self' {REDOC_STYLES}")
    return response


def _check_reader(settings: Settings, me: Principal) -> None:
    if is_loopback(settings.host):
        return
    if not me.signed_in:
        raise NotAuthenticatedError
    if me.kind == "session" and not me.may(Permission.DASHBOARD_READ):
        raise ForbiddenError


def _server(request: Request, settings: Settings) -> str:
    """The address under which the reader sees us: one of our names (the middleware refuses all
    others).
    """
    name = request.url.hostname or ""
    return settings.url if name == settings.host else f"http://{request.headers['host']}"


def _may_look(request: Request, me: Principal) -> bool:
    return me.may(Permission.OPERATIONS_READ) or _from_this_machine(request)


def _from_this_machine(request: Request) -> bool:
    """Straight from here: a proxy on the same machine passes on the requests of strangers."""
    try:
        peer = ipaddress.ip_address(client_ip(request))
    except ValueError:
        return False
    forwarded = any(name in request.headers for name in FORWARDED)
    return peer.is_loopback and is_loopback(request.url.hostname or "") and not forwarded


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is not ready
        return f"failed: {type(error).__name__}"
    return "ok"


def _ask(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")


def _compare(database: Database) -> None:
    if current(database) != known_head():
        raise SchemaError


def _ping(url: str) -> None:
    import redis  # noqa: PLC0415 - a tenth of the start-up: only where Redis is configured

    with redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS) as client:
        client.ping()
