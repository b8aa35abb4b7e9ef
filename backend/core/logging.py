"""JSON lines on stderr, one event a line, UTC, the request's id in each; secrets never reach a
line.

Names of security events follow OWASP's logging vocabulary: authn_login_fail, authz_fail, ...
"""

import contextlib
import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
import structlog.tracebacks

from backend.core.context import request_id_var

SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "csrf", "api_key")
MASK = "***"
# What a secret looks like wherever it stands: a bot's token, an API token, a JWT, the password in a
# database's address.
SECRET_TEXT = re.compile(
    r"(?<!\d)\d{6,}:[\w-]{30,}|\blyc_[\w-]{20,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+|(?<=://)[^\s:/@\"]*:[^\s/@\"]+(?=@)"
)
# Some readers end a line here too: one event stays one line.
LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
# Local variables hold tokens and passwords: a traceback shows where, never what.
TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
# They say at INFO what every request already says, some with secrets in the address.
# uvicorn gives them handlers of its own, which print for people.
SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
TALKATIVE = ("uvicorn.access", "httpx", "httpx2", "httpcore", "alembic", "aiogram.event", "asyncio")


@lru_cache(maxsize=500)
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_WORDS) and not name.endswith("_id")


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if _is_secret(name):
            event[name] = MASK
        elif isinstance(value, dict):
            event[name] = mask_secrets(_logger, _method, dict(value))
    return event


def add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := request_id_var.get():
        event.setdefault("request_id", request_id)
    return event


class _Stderr:
    """The stderr of the moment. When nobody reads it any more, requests go on all the same."""

    def write(self, text: str) -> None:
        self.write_clean(SECRET_TEXT.sub(MASK, text))

    def write_clean(self, told: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(told if told.isascii() else told.translate(LINE_ENDS))

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


_stderr = _Stderr()
_encoded = json.JSONEncoder(ensure_ascii=False).encode


def answered(method: str, path: str, status: int, milliseconds: float) -> None:
    """The line of a request at INFO: the same as every other event, put together at once, as each request pays for it.

    Only its address and its id come from outside, so only they are looked through for secrets.
    """
    line = _encoded({
        "method": method,
        "path": SECRET_TEXT.sub(MASK, path),
        "status": status,
        "ms": milliseconds,
        "event": "request",
        "request_id": SECRET_TEXT.sub(MASK, request_id_var.get()),
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    })  # fmt: skip
    _stderr.write_clean(f"{line}\n")
    _stderr.flush()


class _Handler(logging.StreamHandler[Any]):
    """Ours, so that a second `configure` replaces it and nobody else's."""


COMMON: list[Any] = [
    structlog.contextvars.merge_contextvars,
    add_request_id,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
LAST: list[Any] = [
    mask_secrets,
    structlog.processors.ExceptionRenderer(TRACEBACK),
    structlog.processors.JSONRenderer(ensure_ascii=False),
]


def configure(*, debug: bool = False) -> None:
    """Our events and those of every library, in one format."""
    level = logging.DEBUG if debug else logging.INFO
    structlog.configure(
        processors=[*COMMON, *LAST],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_stderr),  # type: ignore[arg-type] # write and flush are all
        cache_logger_on_first_use=True,
    )
    handler = _Handler(_stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *LAST],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *COMMON],
        )
    )
    root = logging.getLogger()
    root.handlers = [
        *(known for known in root.handlers if not isinstance(known, _Handler)),
        handler,
    ]
    root.setLevel(logging.INFO)
    for name in SERVERS:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
