"""CSRF for cookie-authenticated writes: Fetch-Metadata or Origin first, then a token bound to the
session.
"""

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from backend.core import security
from backend.core.config import Settings
from backend.core.errors import ForbiddenError
from backend.core.i18n import _

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
PURPOSE = "csrf"
FIELD, HEADER = "csrf_token", "X-CSRF-Token"


def make_token(settings: Settings, session_key: str) -> str:
    """`<mac>.<random>`, valid for one session (or one pre-session id on the sign-in form)."""
    random = secrets.token_urlsafe(12)
    return f"{security.sign(settings, PURPOSE, _message(session_key, random))}.{random}"


def check(settings: Settings, headers: Mapping[str, str], session_key: str, token: str | None) -> None:
    """Raises ForbiddenError unless the request comes from our own page and carries its session's
    token.
    """
    check_origin(settings, headers)
    if not _token_fits(settings, session_key, token or ""):
        raise _refusal()


def check_origin(settings: Settings, headers: Mapping[str, str]) -> None:
    """The half of `check` that needs nothing but the headers. Raises ForbiddenError."""
    if not same_origin(settings, headers):
        raise _refusal()


def _refusal() -> ForbiddenError:
    words = _("This form is out of date or came from another site. Reload the page and send it again.")
    return ForbiddenError(words, code="csrf")


def same_origin(settings: Settings, headers: Mapping[str, str]) -> bool:
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site == "same-origin"
    origin = headers.get("origin")
    if origin is None:
        return False
    ours = urlsplit(settings.url)
    return origin.lower() in {
        f"{ours.scheme}://{ours.netloc}".lower(),
        _own_host(settings, headers),
    }


def _own_host(settings: Settings, headers: Mapping[str, str]) -> str:
    # The Host header has passed the allow-list of the middleware: loopback spellings are all us.
    return f"{urlsplit(settings.url).scheme}://{headers.get('host', '')}".lower()


def _token_fits(settings: Settings, session_key: str, token: str) -> bool:
    mac, _dot, random = token.partition(".")
    fits = security.verify_signature(settings, PURPOSE, _message(session_key, random), mac)
    return fits and bool(session_key)  # no cookie, no key: such a token would be everybody's


def _message(session_key: str, random: str) -> str:
    # A visitor's key comes from the visitor: with its length in front, no other split of the text
    # reads the same.
    return f"{len(session_key)}!{session_key}!{random}"
