"""The sandbox as an application, and its place under /sandbox of another."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.core.context import Principal
from backend.core.stopping import with_signals
from backend.sandbox.errors import Json
from backend.sandbox.guard import Guard
from backend.sandbox.hub import Hub
from backend.sandbox.models import Bot
from backend.sandbox.page import Page
from backend.sandbox.requests import MAX_BODY
from backend.sandbox.server import BotApi
from backend.sandbox.student_api import StudentApi
from backend.sandbox.webhook import Background

PREFIX = "/sandbox"
# Somebody to be at once: the page of an empty sandbox would have nobody to write as.
NEWCOMERS: tuple[Json, ...] = (
    {"first_name": "Ольга", "last_name": "Тестова", "username": "olga_test", "language_code": "ru"},
    {"first_name": "Иван", "last_name": "Пробный", "username": "ivan_prob", "language_code": "ru"},
    {"first_name": "Emma", "last_name": "Sandbox", "username": "emma_sbx", "language_code": "en"},
)


class Sandbox:
    """One sandbox: its state, its ASGI application and the bot that it starts with."""

    def __init__(self, path: Path | None = None, *, name: str = "Lyceum") -> None:
        self.hub = Hub(path)
        api = BotApi(self.hub)
        self.background = Background(self.hub, api.perform)
        routes = [*StudentApi(self.hub).routes(), *api.routes()]
        begun = _Begun(Starlette(routes=routes), self.background)
        # The surrounding application's limit is for people; a bot sends videos.
        self.asgi: ASGIApp = Guard(RequestBodyLimitMiddleware(begun, 2 * MAX_BODY))
        self.bot = self._own_bot(name)

    def _own_bot(self, name: str) -> Bot:
        """The same bot, and the same token, at every start from the same file."""
        found = self.hub.world.bots()
        if not found:
            return self.hub.world.create_bot(name, "lyceum_school_bot")
        self._name(found[0], name)
        return found[0]

    def rename(self, name: str) -> None:
        """The bot is called what its school is called."""
        self._name(self.bot, name)

    def _name(self, own: Bot, name: str) -> None:
        if own.state["name"] != name:
            own.state["name"] = name
            self.hub.world.save_bot(own)

    @property
    def token(self) -> str:
        """The token of the bot that the sandbox starts with."""
        return self.bot.token

    def stop(self) -> None:
        """Ends long polls and live pages, so that a server can shut down at once."""
        self.hub.signals.stop()

    async def aclose(self) -> None:
        self.stop()
        await self.background.end()
        self.hub.close()


class _Begun:
    """Starts the background with the first request, when there is an event loop to run it."""

    def __init__(self, app: ASGIApp, background: Background) -> None:
        self.app = app
        self.background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.background.begin()
        await self.app(scope, receive, send)


def mount(
    app: FastAPI,
    *,
    path: Path | None,
    name: str = "Lyceum",
    viewer: Callable[[Request], Principal] | None = None,
    page: bool = True,
) -> Sandbox:
    """Serves a sandbox under /sandbox of `app` and closes it with `app`.

    `viewer` says who looks at the chat page (and may refuse by raising), in a worker thread.
    Without `page` there is only the Bot API and the students' JSON.
    """
    sandbox = Sandbox(path, name=name)
    if page:
        _add_page(app, sandbox, viewer)
    app.mount(PREFIX, sandbox.asgi)
    app.state.sandbox = sandbox
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(whole: Any) -> AsyncIterator[Any]:
        async with outer(whole) as state:
            with_signals(sandbox.stop)
            sandbox.background.begin()
            try:
                yield state
            finally:
                await sandbox.aclose()

    app.router.lifespan_context = lifespan
    return sandbox


def _add_page(app: FastAPI, sandbox: Sandbox, viewer: Callable[[Request], Principal] | None) -> None:
    app.include_router(Page(sandbox.hub, viewer).router)
    if not sandbox.hub.world.students():
        for profile in NEWCOMERS:
            sandbox.hub.world.create_student(profile)
