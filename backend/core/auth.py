"""Who is asking: turns a cookie, a JWT or an API token into a Principal, checked against the
database each time.
"""

import re
from dataclasses import replace
from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from backend.core import clock, csrf, security, viewing
from backend.core.config import Settings
from backend.core.context import ANONYMOUS, Principal
from backend.core.i18n import LANGUAGES, current_language
from backend.core.permissions import effective, held
from backend.database.crud.auth import ABSOLUTE, TOUCH, ApiTokenCRUD, SessionCRUD
from backend.database.listing import AnyRow
from backend.database.models.auth import AuthSession
from backend.database.models.users import full_name

THEMES = ("auto", "light", "dark")
LANGUAGE_COOKIE, THEME_COOKIE = "lyceum_language", "lyceum_theme"
SESSION_COOKIE, VISITOR_COOKIE, DEVICE_COOKIE = "lyceum", "lyceum_visitor", "lyceum_device"
DAY_SECONDS = 24 * 3600
YEAR_SECONDS = 365 * DAY_SECONDS
VISITOR_KEY = re.compile(r"[A-Za-z0-9_-]{22,64}")


def cookie_name(settings: Settings, name: str = SESSION_COOKIE) -> str:
    """Over https the browser itself guarantees the name's scope (RFC 6265bis, __Host-)."""
    return f"__Host-{name}" if settings.https else name


def set_cookie(response: Response, settings: Settings, name: str, value: str, *, seconds: int | None) -> None:
    """A cookie for this site alone, out of reach of scripts; `seconds=None` ends with the browser's
    session.
    """
    response.set_cookie(
        cookie_name(settings, name),
        value,
        max_age=seconds,
        httponly=True,
        secure=settings.https,
        samesite="lax",
    )


def keep_signed_in(response: Response, settings: Settings, secret: str, *, remember: bool) -> None:
    """`remember`: past the end of the browser, for REMEMBER_DAYS."""
    seconds = settings.remember_days * DAY_SECONDS if remember else 0
    set_cookie(response, settings, SESSION_COOKIE, secret, seconds=seconds or None)


def verify_password(plain_password: str, hashed_password: str) -> bool:
    return security.check_password(plain_password, hashed_password)[0]


def create_access_token(settings: Settings, session: AuthSession) -> str:
    """A JWT for an API session; `sub` is the user's id, `sid` the session's."""
    lifetime = timedelta(minutes=settings.access_token_expire_minutes)
    return security.encode_jwt(settings, {"sub": str(session.user_id), "sid": session.id}, lifetime)


def client_ip(request: Request) -> str:
    """The peer's address; proxies are unwrapped by the server for TRUSTED_PROXIES only."""
    return request.client.host if request.client else ""


def authenticate(request: Request, session: Session, *, api: bool) -> Principal:
    """The principal of a request, anonymous when nothing valid is presented. One query."""
    settings: Settings = request.app.state.settings
    return _from_bearer(request, session, settings) if api else _from_cookie(request, session, settings)


def _from_cookie(request: Request, session: Session, settings: Settings) -> Principal:
    secret = request.cookies.get(cookie_name(settings), "")
    found = SessionCRUD(session).find_by_secret(secret) if secret else None
    if found is None:
        return visitor(request, settings)
    _note_use(request, found)
    request.state.csrf_key = key = session_key(found.id)
    me = principal_of(found, kind="session", csrf_token=csrf.make_token(settings, key))
    return me if me.impersonator_id is None else viewing.seen_by(session, me) or visitor(request, settings)


def session_key(session_id: int) -> str:
    """What the forms of a session are bound to: they outlive a new secret. No visitor's key has a colon."""
    return f"session:{session_id}"


def by_itself(request: Request) -> None:
    """A page that asks again by itself is nobody at work: it must not keep a session alive."""
    request.state.touch_session = None


def _note_use(request: Request, session: AnyRow) -> None:
    if session.last_seen_at < clock.now() - TOUCH:
        request.state.touch_session = session.id


def visitor_key(request: Request, settings: Settings) -> str:
    """What a signed-out browser's forms are bound to: its cookie, "" when it has none yet."""
    key = request.cookies.get(cookie_name(settings, VISITOR_COOKIE), "")
    return key if VISITOR_KEY.fullmatch(key) else ""


def stranger(request: Request) -> Principal:
    """Who asks, before anybody has looked: what an error is drawn for, which has no form."""
    return Principal(language=current_language.get(), theme=_theme(request))


def visitor(request: Request, settings: Settings) -> Principal:
    """A signed-out browser.

    Without a cookie it gets one with the page (middleware) and the page's forms fit it.
    """
    key = visitor_key(request, settings) or getattr(request.state, "new_visitor", "")
    request.state.csrf_key = key
    return replace(stranger(request), csrf_token=csrf.make_token(settings, key) if key else "")


def _theme(request: Request) -> str:
    settings: Settings = request.app.state.settings
    theme = request.cookies.get(cookie_name(settings, THEME_COOKIE), "auto")
    return theme if theme in THEMES else "auto"


def _from_bearer(request: Request, session: Session, settings: Settings) -> Principal:
    scheme, _space, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.isascii():
        return ANONYMOUS
    if text.startswith(security.API_TOKEN_PREFIX):
        return _from_api_token(request, session, text)
    claims = security.decode_jwt(settings, text)
    found = SessionCRUD(session).find_api_session(claims["sid"]) if claims else None
    if found is None or claims is None or str(found.user_id) != claims["sub"]:
        return ANONYMOUS
    _note_use(request, found)
    return principal_of(found, kind="jwt")


def strange_bearer(request: Request) -> str:
    """What a bearer calls itself that we never gave out ("jwt", "api_token", "other"); "" for one of ours, if old."""
    scheme, _space, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        return ""
    if text.startswith(security.API_TOKEN_PREFIX):
        return "api_token"
    if security.decode_jwt(request.app.state.settings, text, expired_too=True):
        return ""
    return "jwt" if text.count(".") == 2 else "other"  # noqa: PLR2004 - header, claims, signature


def _from_api_token(request: Request, session: Session, text: str) -> Principal:
    token = ApiTokenCRUD(session).find_by_text(text)
    if token is None:
        return ANONYMOUS
    if token.last_used_at is None or token.last_used_at < clock.now() - TOUCH:
        request.state.touch_token = token.id
    return Principal(
        kind="token",
        user_id=token.user_id,
        name=token.name,
        permissions=effective(token.scopes, token.owner_permissions),
        language=current_language.get(),
        token_id=token.id,
    )


def principal_of(found: AnyRow, *, kind: str, csrf_token: str = "") -> Principal:
    """`found`: a row of crud.auth.LIVE."""
    language = found.ui_language if found.ui_language in LANGUAGES else current_language.get()
    return Principal(
        kind=kind,
        user_id=found.user_id,
        name=full_name(found.first_name, found.last_name),
        login=found.login or found.email or "",
        role=found.role,
        permissions=held(found.permissions),
        language=language,
        theme=found.theme,
        timezone=found.timezone,
        single_keys=found.single_keys,
        csrf_token=csrf_token,
        session_id=found.id,
        has_views=found.has_views,
        remembered=found.expires_at - found.created_at > ABSOLUTE,
        has_factor=found.has_factor,
        confirmed_at=found.confirmed_at,
        strong_at=found.strong_at,
        impersonator_id=found.impersonator_id,
        read_only=found.read_only,
    )
