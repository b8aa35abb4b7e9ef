"""Who is asking: turns a cookie, a JWT or an API token into a Principal, checked against the database each time."""

from datetime import timedelta

from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import clock, csrf, security
from backend.core.config import Settings
from backend.core.context import ANONYMOUS, Principal
from backend.core.i18n import LANGUAGES, current_language
from backend.database.crud.auth import TOUCH, ApiTokenCRUD, SessionCRUD
from backend.database.models.auth import AuthSession
from backend.database.models.users import User

COOKIE_SECONDS = 30 * 24 * 3600


def cookie_name(settings: Settings) -> str:
    """Over https the browser itself guarantees the name's scope (RFC 6265bis, __Host-)."""
    return "__Host-lyceum" if settings.https else "lyceum"


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
    """The principal of a request, anonymous when nothing valid is presented. Reads one row, two for a JWT's role."""
    settings: Settings = request.app.state.settings
    return _from_bearer(request, session, settings) if api else _from_cookie(request, session, settings)


def _from_cookie(request: Request, session: Session, settings: Settings) -> Principal:
    secret = request.cookies.get(cookie_name(settings), "")
    found = SessionCRUD(session).find_by_secret(secret) if secret else None
    if found is None:
        return visitor(request, settings)
    if found.last_seen_at < clock.now() - TOUCH:
        request.state.touch_session = found.id
    token = csrf.make_token(settings, found.token_hash)
    return principal_of(found.user, kind="session", session_id=found.id, csrf_token=token)


def visitor(request: Request, settings: Settings) -> Principal:
    """A signed-out browser: its forms are bound to a cookie of their own."""
    key = request.cookies.get("lyceum_visitor", "")
    token = csrf.make_token(settings, key) if key else ""
    return Principal(language=current_language.get(), csrf_token=token, theme=_theme(request))


def _theme(request: Request) -> str:
    theme = request.cookies.get("lyceum_theme", "auto")
    return theme if theme in ("light", "dark") else "auto"


def csrf_key(request: Request) -> str:
    """What the CSRF token of this browser is bound to."""
    settings: Settings = request.app.state.settings
    secret = request.cookies.get(cookie_name(settings), "")
    return security.digest(secret) if secret else request.cookies.get("lyceum_visitor", "")


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
    return principal_of(found.user, kind="jwt", session_id=found.id)


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
        permissions=frozenset(token.scopes),
        language=current_language.get(),
        token_id=token.id,
    )


def principal_of(user: User, *, kind: str, session_id: int | None, csrf_token: str = "") -> Principal:
    language = user.ui_language if user.ui_language in LANGUAGES else current_language.get()
    return Principal(
        kind=kind,
        user_id=user.id,
        name=user.name,
        login=user.login or user.email or "",
        role=user.role.name,
        permissions=frozenset(user.role.permissions),
        language=language,
        theme=user.theme,
        timezone=user.timezone,
        csrf_token=csrf_token,
        session_id=session_id,
    )
