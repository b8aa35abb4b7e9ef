"""Pure ASGI layers around every response, errors and static files included."""

import asyncio
import re
import time
import uuid

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core import auth, i18n, security
from backend.core.config import Settings
from backend.core.context import ANONYMOUS, request_id_var
from backend.core.errors import AppError, TooLargeError, TooManyRequestsError
from backend.core.handlers import respond
from backend.core.hosts import is_loopback
from backend.core.logging import answered
from backend.core.metrics import Metrics
from backend.core.ratelimit import RateLimiter
from backend.core.units import is_api

log = structlog.get_logger()

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src"
    " 'self'; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src"
    " 'none'"
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
LONGEST_LENGTH = 15  # digits of a Content-Length that can be meant
OK, TOO_LARGE = 200, 413
CLIENT_LEFT = 499  # of the log and the metrics alone: nobody is there to be answered
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# What machines ask every few seconds: in the log it would bury everything else, metrics count it all the same.
QUIET = frozenset({"/health", "/health/ready", "/metrics", "/api/bot/lease"})
BAD = 400
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::[0-9]{1,5})?")  # a name or an address, and a port
# Addresses that carry a secret are logged without it.
SECRET_PATH = re.compile(r"^(/(?:enter|invite|reset|confirm|welcome)/|/sandbox/(?:file/)?bot).*$", re.DOTALL)


class BadHostError(AppError):
    status = 400
    code = "bad_host"
    default = i18n.N_("This address does not belong to the school. Use the address from the settings.")


class _CompleteError(OSError):
    """A streamed answer to HEAD goes no further; Starlette takes it as a client that left."""


class Outermost:
    """Request id, language, security headers, log line, metrics; turns a crash into a 500 with all
    of these.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, limiter: RateLimiter) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.limiter = limiter
        headers = SECURITY_HEADERS | ({"Strict-Transport-Security": HSTS} if settings.https else {})
        self.headers = tuple((name.lower().encode(), value.encode()) for name, value in headers.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":  # whatever answers GET answers HEAD
            scope = {**scope, "method": "GET"}
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        request_id = given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        request_id_var.set(request_id)
        i18n.current_language.set(self._language(request))
        self._meet(request)
        headers = (*self.headers, (b"x-request-id", request_id.encode()))
        watched = _Watched(request, send, self.settings, headers, method)
        started = time.perf_counter()
        try:
            await self._guarded(request, receive, watched)
        except asyncio.CancelledError:
            watched.status = watched.status or CLIENT_LEFT
            raise
        finally:
            self._report(request, method, watched.status or 500, time.perf_counter() - started)

    async def _guarded(self, request: Request, receive: Receive, watched: "_Watched") -> None:
        """The last wall: a crash is answered, logged and counted like anything else."""
        try:
            await self._serve(request, request.scope, receive, watched)
            if watched.too_large:
                await respond(request, TooLargeError())(request.scope, receive, watched)
        except Exception as error:
            if watched.complete:
                return
            if watched.status is not None:
                raise
            try:
                response = respond(request, error)
            except Exception:  # even the error page is broken
                log.exception("error_page_failed")
                response = PlainTextResponse("Something went wrong on our side.", 500)
            await response(request.scope, receive, watched)

    async def _serve(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(request)
        if isinstance(refusal, BadHostError):  # nothing of our answer is made from that name
            _forget_host(request)
        if refusal is None:
            wait = await self.limiter.hit(request)
            refusal = None if wait is None else TooManyRequestsError(retry_after=wait)
        if refusal is not None:
            await respond(request, refusal)(scope, receive, send)
            return
        await self.app(scope, receive, send)
        self.limiter.learn(request, request.state.me)

    def _refusal(self, request: Request) -> AppError | None:
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal() and len(length) <= LONGEST_LENGTH):
            return AppError()
        return None if self._known_host(request.headers.get("host", "")) else BadHostError()

    def _known_host(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        name = found[1].strip("[]").lower() if found else ""
        return name == self.settings.host.lower() or is_loopback(name)

    def _meet(self, request: Request) -> None:
        """Who asks, as far as the request alone says; the unit of work looks into the database."""
        path = request.scope["path"]
        if is_api(path) or path.startswith("/static/"):
            request.state.me = ANONYMOUS
            return
        if not auth.visitor_key(request, self.settings):
            request.state.new_visitor = security.new_token()
        request.state.me = auth.stranger(request)

    def _language(self, request: Request) -> str:
        chosen = request.cookies.get(auth.cookie_name(self.settings, auth.LANGUAGE_COOKIE), "")
        return chosen if chosen in i18n.LANGUAGES else i18n.negotiate(request.headers.get("accept-language"))

    def _report(self, request: Request, method: str, status: int, seconds: float) -> None:
        route = request.scope.get("route")
        path = request.scope["path"]
        self.metrics.observe(method, getattr(route, "path", None) or "unmatched", status, seconds)
        shown, taken = SECRET_PATH.sub(r"\1***", path), round(seconds * 1000, 1)
        if path in QUIET and status < BAD:
            log.debug("request", method=method, path=shown, status=status, ms=taken)
        else:
            answered(method, shown, status, taken)


def _forget_host(request: Request) -> None:
    kept = [(name, value) for name, value in request.scope["headers"] if name != b"host"]
    request.scope["headers"] = [*kept, (b"host", b"localhost")]


class _Watched:
    """`send` that adds the headers, remembers the status and drops the body of a HEAD answer."""

    def __init__(
        self, request: Request, send: Send, settings: Settings, headers: tuple[tuple[bytes, bytes], ...], method: str
    ) -> None:
        self.request = request
        self.send = send
        self.settings = settings
        self.headers = headers
        self.private = not request.scope["path"].startswith("/static/")
        self.head = method == "HEAD"
        self.status: int | None = None
        self.too_large = False
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if self.complete:
            raise _CompleteError
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            # The framework's own refusal of a large body is plain text: ours says it in the
            # reader's words.
            self.too_large = message["status"] == TOO_LARGE and headers.get("content-type", "").startswith("text/plain")
            if not self.too_large:
                self.status = message["status"]
                self._dress(headers)
        if self.too_large:
            return
        if self.head and message["type"] == "http.response.body":
            message, self.complete = {"type": "http.response.body", "body": b""}, True
        await self.send(message)

    def _dress(self, headers: MutableHeaders) -> None:
        own = {name for name, _value in headers.raw}
        headers.raw.extend(header for header in self.headers if header[0] not in own)
        if not self.private and self.status == OK:
            return
        headers.setdefault("Cache-Control", "no-store")
        headers.add_vary_header("Cookie, HX-Request")
        new_visitor = getattr(self.request.state, "new_visitor", "")
        if new_visitor and headers.get("content-type", "").startswith("text/html"):
            name = auth.cookie_name(self.settings, auth.VISITOR_COOKIE)
            flags = "HttpOnly; Path=/; SameSite=lax" + ("; Secure" if self.settings.https else "")
            headers.append("Set-Cookie", f"{name}={new_visitor}; {flags}")
