"""Pure ASGI layers around every response, errors and static files included."""

import re
import time
import uuid
from collections.abc import MutableMapping

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core import i18n
from backend.core.auth import visitor
from backend.core.config import Settings, is_loopback
from backend.core.context import request_id_var
from backend.core.errors import AppError, TooManyRequestsError
from backend.core.handlers import respond
from backend.core.metrics import Metrics
from backend.core.ratelimit import RateLimiter

log = structlog.get_logger()

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
HSTS = "max-age=31536000; includeSubDomains"
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class BadHostError(AppError):
    status = 400
    code = "bad_host"
    default = i18n.N_("This address does not belong to the school. Use the address from the settings.")


class Outermost:
    """Request id, language, security headers, log line, metrics; turns a crash into a 500 with all of these."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, limiter: RateLimiter) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.limiter = limiter
        self.headers = dict(SECURITY_HEADERS)
        if settings.https:
            self.headers["Strict-Transport-Security"] = HSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        request_id = given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        request_id_var.set(request_id)
        i18n.current_language.set(_language(request))
        request.state.me = visitor(request, self.settings)
        watched = _Watched(send, self.headers, request_id, private=_is_private(request))
        started = time.perf_counter()
        try:
            await self._serve(request, scope, receive, watched)
        except Exception as error:  # the last wall: a crash is answered, logged and counted like anything else
            if watched.status is not None:
                raise
            await respond(request, error)(scope, receive, watched)
        finally:
            self._report(request, watched.status or 500, time.perf_counter() - started)

    async def _serve(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._known_host(request.headers.get("host", "")):
            await respond(request, BadHostError())(scope, receive, send)
            return
        wait = self.limiter.hit(request)
        if wait is not None:
            await respond(request, TooManyRequestsError(retry_after=wait))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _known_host(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        return name in {self.settings.host.lower(), "testserver"} or is_loopback(name)

    def _report(self, request: Request, status: int, seconds: float) -> None:
        route = request.scope.get("route")
        path = getattr(route, "path", None) or "unmatched"
        self.metrics.observe(request.method, path, status, seconds)
        log.info(
            "request",
            method=request.method,
            path=request.url.path if not request.url.path.startswith("/sandbox/bot") else "/sandbox/bot",
            status=status,
            ms=round(seconds * 1000, 1),
        )


class _Watched:
    """`send` that adds the headers and remembers the status."""

    def __init__(self, send: Send, headers: MutableMapping[str, str], request_id: str, *, private: bool) -> None:
        self.send = send
        self.headers = headers
        self.request_id = request_id
        self.private = private
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
            if self.private:
                headers.setdefault("Cache-Control", "no-store")
                headers.add_vary_header("Cookie")
        await self.send(message)


def _is_private(request: Request) -> bool:
    return not request.url.path.startswith("/static/")


def _language(request: Request) -> str:
    chosen = request.cookies.get("lyceum_language", "")
    return chosen if chosen in i18n.LANGUAGES else i18n.negotiate(request.headers.get("accept-language"))

