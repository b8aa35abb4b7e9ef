"""Tokens for programs: a password buys a short access token and a refresh token that works once."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Request

from backend.core import factors
from backend.core.auth import client_ip, create_access_token
from backend.core.config import Settings
from backend.core.context import Actor
from backend.core.deps import (
    Caller,
    DatabaseDep,
    Routes,
    SettingsDep,
    crud,
    detached,
    hashing,
    public,
    signed_in,
)
from backend.core.errors import ForbiddenError, NotAuthenticatedError
from backend.core.events import Event
from backend.core.forms import body_of, body_schema
from backend.core.i18n import _
from backend.core.signin import Attempt, is_new, user_agent, verify, welcome
from backend.database import audit
from backend.database.crud.auth import API_ABSOLUTE, SessionCRUD
from backend.database.crud.credentials import CredentialCRUD
from backend.database.crud.throttle import Limit
from backend.database.crud.users import UserCRUD
from backend.database.models.auth import AuthSession
from backend.database.schemas.auth import ApiCredentials, MeResponse, RefreshRequest, TokenPair
from backend.database.schemas.base import ErrorResponse
from backend.database.session import Database

router = Routes(prefix="/auth", tags=["auth"])
alias = Routes(prefix="/api/auth", tags=["auth"])

Sessions = Annotated[SessionCRUD, crud(SessionCRUD)]
Users = Annotated[UserCRUD, crud(UserCRUD)]

UNSUPPORTED: dict[int | str, dict[str, Any]] = {
    415: {"model": ErrorResponse, "description": "Neither JSON nor a form"},
}


def both(add: Callable[[Routes], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """The same endpoint under /auth and /api/auth."""

    def register(endpoint: Any) -> Any:
        add(router)(endpoint)
        add(alias)(endpoint)
        return endpoint

    return register


@both(
    lambda routes: routes.post(
        "/login",
        response_model=TokenPair,
        dependencies=[public, detached, hashing],
        summary="Sign in with a password",
        responses=UNSUPPORTED,
        openapi_extra=body_schema(ApiCredentials),
    )
)
def login(
    request: Request,
    sent: Annotated[ApiCredentials, body_of(ApiCredentials)],
    database: DatabaseDep,
    settings: SettingsDep,
) -> object:
    """JSON or a form. 401 `invalid_credentials` says nothing about whether the login exists.

    A person with a second factor sends a code as `otp` as well: 401 `second_factor_required` without it, 401
    `invalid_otp` when it does not fit. Whose role asks for one and who has none is refused everywhere else: 403
    `second_factor_missing`. Five failures of an account in a quarter of an hour answer 429.
    """
    attempt = Attempt.of(request, sent.username, sent.password)
    verified = verify(database, attempt)
    counted = _second_factor(request, database, verified.user_id, sent.otp, attempt.actor)

    def open_session(session: Any) -> TokenPair | None:
        user = welcome(session, verified)
        method = factors.spend(session, settings, user.id, sent.otp or "") if counted else "password"
        if counted:
            factors.settle(session, request, user.id, method, counted)
        if not method:
            return None
        sessions, agent = SessionCRUD(session), user_agent(request)
        kind = Event.LOGIN_NEW_DEVICE if is_new(session, user.id, request) else Event.LOGIN_SUCCESS
        audit.note(session, kind, user_id=user.id, user_agent=agent, method="api")
        opened, _secret = sessions.open(
            user, kind="api", user_agent=agent, ip=client_ip(request), lifetime=API_ABSOLUTE, method=method
        )
        return _pair(settings, opened, sessions.issue_refresh(opened))

    pair = database.run(open_session, attempt.actor)
    if pair is None:
        raise factors.WrongFactorError
    return pair


def _second_factor(
    request: Request, database: Database, user_id: int, sent: str | None, actor: Actor
) -> tuple[Limit, ...]:
    """The limits that this attempt was counted under; none for a person without a second factor."""
    with database.read() as session:
        if not CredentialCRUD(session).has_factor(user_id):
            return ()
    if not sent:
        agent = user_agent(request)
        database.run(
            lambda session: audit.note(session, Event.FACTOR_ASKED, user_id=user_id, user_agent=agent, method="api"),
            actor,
        )
        raise factors.SecondFactorRequiredError
    counted = factors.limits(request, database, user_id, known=False)
    factors.count(database, counted)
    return counted


@both(
    lambda routes: routes.post(
        "/refresh",
        response_model=TokenPair,
        dependencies=[public, detached],
        summary="Exchange a refresh token",
        responses=UNSUPPORTED,
        openapi_extra=body_schema(RefreshRequest),
    )
)
def refresh(
    sent: Annotated[RefreshRequest, body_of(RefreshRequest)],
    caller: Caller,
    database: DatabaseDep,
    settings: SettingsDep,
) -> object:
    """A new pair; the token sent is used up. Sending a used one again ends the session."""
    # Committed even when refused: the end of a replayed chain must outlive the 401.
    rotation = database.run(lambda session: SessionCRUD(session).rotate(sent.refresh_token), caller.actor)
    if not rotation.secret or rotation.session is None:
        raise NotAuthenticatedError(_("This refresh token is no longer valid. Sign in again."), code="invalid_token")
    return _pair(settings, rotation.session, rotation.secret)


@both(
    lambda routes: routes.post(
        "/logout",
        status_code=204,
        dependencies=[signed_in],
        summary="End the session of this access token",
    )
)
def logout(caller: Caller, sessions: Sessions) -> None:
    """Access and refresh token are dead at once.

    An API token (`lyc_...`) is revoked in the settings instead: 403.
    """
    if caller.me.session_id is None:
        raise ForbiddenError(_("API tokens are revoked in Settings."))
    sessions.revoke(caller.me.session_id)
    audit.note(sessions.session, Event.SESSION_ENDED, session_id=caller.me.session_id)


@alias.get("/me", response_model=MeResponse, dependencies=[signed_in], summary="Who am I")
def me(caller: Caller, users: Users) -> object:
    """The person or the API token, with what they may do."""
    who = caller.me
    found = users.find_by_id(who.user_id) if who.user_id else None
    return MeResponse(
        id=who.user_id,
        kind="token" if who.kind == "token" else "jwt",
        name=who.name,
        login=found and found.login,
        email=found and found.email,
        role=who.role or None,
        permissions=sorted(who.permissions),
        language=who.language,
        created_at=found and found.created_at,
    )


def _pair(settings: Settings, session: AuthSession, secret: str) -> TokenPair:
    return TokenPair(
        access_token=create_access_token(settings, session),
        refresh_token=secret,
        expires_in=settings.access_token_expire_minutes * 60,
    )
