"""JSON lines on stderr, one event a line, UTC, the request's id in each; secrets never reach a line."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
import structlog.tracebacks

from backend.core.context import request_id_var

SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "csrf", "api_key")
MASK = "***"
# Local variables hold tokens and passwords: a traceback shows where, never what.
TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=16)


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if any(word in name.lower() for word in SECRET_WORDS):
            event[name] = MASK
    return event


def add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := request_id_var.get():
        event.setdefault("request_id", request_id)
    return event


def configure(*, debug: bool = False) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_request_id,
            mask_secrets,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(TRACEBACK),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
