"""The application. `uvicorn main:app` serves it; tests make their own with `create_app(Settings(...))`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import anyio.to_thread
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.gzip import GZipMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backend.core import finding, handlers, logging, memory, school, templating
from backend.core.config import Settings
from backend.core.metrics import Metrics
from backend.core.middleware import Outermost
from backend.core.ratelimit import RateLimiter
from backend.core.static import PREFIX, assets
from backend.core.stopping import with_signals
from backend.database.crud.roles import ensure_roles
from backend.database.schema import check_schema
from backend.database.session import Database
from backend.routes import ROUTERS

BODY_LIMIT = 1_000_000  # bytes; upload routes name their own


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    check_schema(app.state.database)
    await run_in_threadpool(ensure_roles, app.state.database)
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
    memory.settle()
    with_signals()
    async with school.followed(app), app.state.beside(app):
        yield
    app.state.database.dispose()


def create_app(settings: Settings) -> FastAPI:
    logging.configure(debug=settings.debug)
    app = FastAPI(
        title="Lyceum",
        summary="Back office of a school that lives in Telegram",
        version="0.1.0",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        form_limits={"max_fields": 200, "max_files": 5, "max_part_size": BODY_LIMIT},
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.database = Database(settings.database_url, pool_size=settings.threads + 4, settings=settings)
    app.state.school = school.School(settings, app.state.database)
    app.state.metrics = Metrics()
    handlers.install(app)
    templating.prepare(debug=settings.debug)
    app.mount(PREFIX, assets, name="static")
    # One flat table of finished routes. `include_router` would build each of them anew for every app, at its first
    # request (0.1 s), and look through the routers one by one at each.
    app.router.routes.extend(route for router in ROUTERS for route in router.routes)
    finding.install(app.router)
    app.state.beside = nullcontext
    if settings.telegram_here:
        # aiogram is half of the start-up and of the memory: a process that never speaks to Telegram goes without.
        from backend import runtime  # noqa: PLC0415 - on purpose, see above

        runtime.install_telegram(app, settings)
        app.state.beside = runtime.beside
    # Inside Outermost, so that its refusals carry the headers too.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY_LIMIT)
    # The CSRF token is masked anew in each page, so a compressed length tells nothing of it (BREACH).
    # A level more saves two of a hundred bytes and takes half as long again.
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=3)
    limiter = RateLimiter(settings, app.state.database)
    app.add_middleware(Outermost, settings=settings, metrics=app.state.metrics, limiter=limiter)
    if settings.trusted_proxies:  # here and not in the server's options, so that every way of starting obeys it
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    return app


def __getattr__(name: str) -> FastAPI:
    # `main:app` reads the environment; importing `create_app` must not.
    if name == "app":
        app = create_app(Settings())
        globals()["app"] = app
        return app
    raise AttributeError(name)
