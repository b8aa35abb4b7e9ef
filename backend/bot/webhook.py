"""Telegram's calls to us: only with the secret, answered when the work is done."""

import hmac
import json

import structlog
from aiogram.types import Update
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backend.bot.http import ApiUnavailableError, Patience
from backend.bot.service import Service
from backend.core.config import Settings
from backend.core.security import sign

log = structlog.get_logger()

PATH = "/bot/webhook"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
BODY_LIMIT = 1_000_000  # bytes
# Telegram tries again after a 503, for a day.
PAYMENT = Patience(20.0)


def secret(settings: Settings) -> str:
    """Telegram's rule: 1-256 of A-Z a-z 0-9 _ -. Every process derives the same one."""
    return settings.telegram_webhook_secret.get_secret_value() or sign(settings, "telegram-webhook", settings.url)


async def receive(request: Request) -> Response:
    service: Service | None = getattr(request.app.state, "bot", None)
    settings: Settings = request.app.state.settings
    given = request.headers.get(HEADER, "").encode("utf-8", "replace")
    if service is None or not hmac.compare_digest(given, secret(settings).encode()):
        return _refused(403, "Only Telegram may call here.")
    body = await _read(request)
    if body is None:
        return _refused(413, "Too large.")
    try:
        update = Update.model_validate_json(body, context={"bot": service.bot})
    except ValidationError as error:
        return _unreadable(body, error)
    try:
        await service.handle(update, PAYMENT)
    except ApiUnavailableError as error:
        log.warning("update_postponed", update=update.update_id, cause=error.cause)
        return _refused(503, "Again, please.")
    return JSONResponse({"ok": True})


def _unreadable(body: bytes, error: ValidationError) -> Response:
    """An update of a kind that we cannot read is taken all the same: Telegram would repeat it for a day."""
    try:
        number = json.loads(body)["update_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        number = None
    if not isinstance(number, int):
        return _refused(400, "Not an update.")
    log.error("update_unreadable", update=number, why=error.errors(include_input=False)[:3])
    return JSONResponse({"ok": True})


async def _read(request: Request) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return body


def _refused(status: int, words: str) -> Response:
    return JSONResponse({"ok": False, "description": words}, status)


route = Route(PATH, receive, methods=["POST"])
