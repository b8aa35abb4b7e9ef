"""Who may talk to the sandbox: programs and pages of this machine, and nobody else."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.sandbox.rules import is_loopback

SAFE = {"GET", "HEAD", "OPTIONS"}
# A proxy in front would make the whole world look like this machine.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def refusal(request: Request) -> str | None:
    """Why a request is refused; None when it is welcome."""
    client = request.client.host if request.client else ""
    if not is_loopback(client) or any(name in request.headers for name in FORWARDED):
        return "The sandbox answers this machine only."
    host = request.headers.get("host", "")
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        # A foreign name that resolves to this machine: DNS rebinding.
        return "The sandbox answers under localhost or 127.0.0.1 only."
    return None


def cross_site(request: Request) -> bool:
    """Whether a page of another site may be behind a request that acts for a student."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"} if request.method in SAFE else site != "same-origin"
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc != request.headers.get("host")
    return request.method not in SAFE and request.headers.get("x-sandbox") != "1"


class Guard:
    """Wraps the sandbox's own application, so that no route can be forgotten."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reason = refusal(Request(scope))
        if reason is None:
            await self.app(scope, receive, send)
            return
        response: Response = JSONResponse({"ok": False, "error_code": 403, "description": f"Forbidden: {reason}"}, 403)
        await response(scope, receive, send)
