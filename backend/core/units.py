"""One request = one unit of work = one thread hop.

A `Unit` opens the session, finds out who asks, checks the declared rights, runs the endpoint,
serialises or renders its result, remembers an Idempotency-Key's answer and commits, all in the
worker thread that runs the endpoint. The response leaves after the commit. The session is lazy:
making it costs no I/O, so cheap dependencies may hold it beforehand.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import structlog
from fastapi import Request
from fastapi.responses import Response
from pydantic import TypeAdapter
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from backend.core import clock, csrf, refusals, viewing
from backend.core.auth import authenticate, client_ip, strange_bearer
from backend.core.config import Settings
from backend.core.context import ANONYMOUS, Actor, Door, Principal, request_id_var
from backend.core.errors import (
    AppError,
    ConfirmationRequiredError,
    FactorMissingError,
    ForbiddenError,
    NotAuthenticatedError,
    StrongProofRequiredError,
)
from backend.core.i18n import current_language
from backend.core.permissions import Permission
from backend.core.ways import ways_of
from backend.database.crud.auth import ApiTokenCRUD, SessionCRUD
from backend.database.crud.idempotency import IdempotencyCRUD, Stored
from backend.database.session import Database, retrying

log = structlog.get_logger()
NO_CONTENT = 204
PROOF = timedelta(minutes=15)  # how long a proof of who one is holds for what is dear
current_unit: ContextVar["Unit"] = ContextVar("current_unit")


@dataclass(frozen=True)
class Reply:
    """An endpoint's value with a status of its own."""

    value: Any
    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """Who may call a route: whoever holds one right of each of `groups`, anyone who is `signed_in`,
    or everyone.
    """

    groups: tuple[frozenset[Permission], ...] = ()
    signed_in: bool = False
    recent: bool = False  # and a person proved who they are not long ago
    strong: bool = False  # and did so by their second factor, if they have one
    without_factor: bool = False  # also for whoever still has to set up the second factor that their role needs

    @property
    def public(self) -> bool:
        return not self.groups and not self.signed_in

    def admit(self, me: Principal) -> None:
        """Raises NotAuthenticatedError or ForbiddenError."""
        if not self.public and not me.signed_in:
            raise NotAuthenticatedError(headers={"WWW-Authenticate": "Bearer"})
        for group in self.groups:
            if not any(me.may(permission) for permission in group):
                raise ForbiddenError(fields={"permission": " | ".join(sorted(group))})
        if self.recent:
            demand_proof(me, strong=self.strong)


def proved_lately(me: Principal, *, strong: bool = False) -> bool:
    """An API token was made under a proof and can do no more than it was given: nobody is there to be asked.

    `strong`: of whoever has a second factor a password alone proves too little.
    """
    at = me.strong_at if strong and me.has_factor else me.confirmed_at
    return me.kind == "token" or (at is not None and at > clock.now() - PROOF)


def demand_proof(me: Principal, *, strong: bool = False) -> None:
    """Raises ConfirmationRequiredError."""
    if not proved_lately(me, strong=strong):
        raise StrongProofRequiredError if strong and me.has_factor else ConfirmationRequiredError


def has_what_it_takes(settings: Settings, me: Principal) -> bool:
    """Whether a person has the second factor that their role needs; programs with tokens of their own have none."""
    excused = me.kind == "token" or me.has_factor or me.impersonator_id is not None
    return excused or not settings.needs_factor(me.role, me.permissions)


class Unit:
    """The unit of work of one request.

    A detached one admits the caller and leaves transactions to the endpoint.
    """

    def __init__(
        self,
        request: Request,
        policy: Policy,
        adapter: TypeAdapter[Any] | None,
        status: int,
        *,
        detached: bool = False,
    ) -> None:
        self.request = request
        self.policy = policy
        self.adapter = adapter
        self.status = status
        self.detached = detached
        self.api = is_api(request.scope["path"])
        self.writing = request.method not in csrf.SAFE_METHODS
        self.database: Database = request.app.state.database
        self.me: Principal = ANONYMOUS
        self.is_open = False  # its session may be asked

    @cached_property
    def session(self) -> Session:
        return self.database.write_sessions() if self.writing else self.database.readers.take()

    def close(self) -> None:
        """Once nobody asks it any more."""
        if not self.writing and "session" in self.__dict__:
            self.database.readers.give_back(self.__dict__.pop("session"))

    def run(self, endpoint: Callable[[], Any]) -> Response:
        """The whole unit, again from the start after a transient failure of the database."""
        try:
            response = self._run(endpoint)
        except ConfirmationRequiredError:
            if not self.api:  # here, for where the answer is drawn nothing may wait
                self.request.state.ways = ways_of(self.database, self.request.app.state.settings, self.me)
            raise
        except ForbiddenError as error:
            self._tell(error)
            raise
        except NotAuthenticatedError:
            if self.api and (kind := strange_bearer(self.request)):
                refusals.tell_token(self.database, self.actor, kind)
            raise
        self._touch()
        return response

    def refused(self, error: ForbiddenError) -> None:
        """What was refused by its headers, before anyone looked whose cookie came along."""
        with suppress(AppError), self.database.read_sessions() as session:
            self.me = authenticate(self.request, session, api=self.api)
        self._tell(error)

    def _tell(self, error: ForbiddenError) -> None:
        if error.code in refusals.REFUSED and self.me.signed_in:
            refusals.tell(self.database, self.actor, route_name(self.request), error)

    def _run(self, endpoint: Callable[[], Any]) -> Response:
        if not self.detached:
            return retrying(lambda: self._once(endpoint))
        retrying(self.admit)
        return self._answer(endpoint())

    def admit(self, *, form: bool = True) -> None:
        """Only the door: raises what an outsider gets. `form=False`: the form's token is not read yet."""
        with self.database.read_sessions() as session:
            self._admit(session, form=form)

    def _once(self, endpoint: Callable[[], Any]) -> Response:
        with self._opened() as session:
            self._admit(session)
            key = self.request.headers.get("idempotency-key") if self._repeatable else None
            if key is None:
                return self._answer(endpoint())
            return self._answer_once(IdempotencyCRUD(session), key, endpoint)

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        session = self.session
        with self.database.transaction(session=session) if self.writing else self.database.readers.reading(session):
            self.is_open = True
            try:
                yield session
            finally:
                self.is_open = False

    def _admit(self, session: Session, *, form: bool = True) -> None:
        self.me = authenticate(self.request, session, api=self.api)
        self.request.state.me = self.me
        current_language.set(self.me.language if self.me.signed_in else current_language.get())
        viewing.admit(self.me, self.request, recent=self.policy.recent)
        self.policy.admit(self.me)
        settings: Settings = self.request.app.state.settings
        if not (self.policy.public or self.policy.without_factor or has_what_it_takes(settings, self.me)):
            raise FactorMissingError
        if form and self.writing and not self.api:
            state = self.request.state
            csrf.check(settings, self.request.headers, state.csrf_key, getattr(state, "csrf_sent", None))
        session.info["actor"] = self.actor

    @property
    def actor(self) -> Actor:
        door = Door.API if self.api else Door.WEB
        door = Door.BOT if self.me.may(Permission.BOT) else door
        me, ip = self.me, client_ip(self.request)
        return Actor(door, me.user_id, me.token_id, ip, request_id_var.get(), me.impersonator_id)

    @property
    def _repeatable(self) -> bool:
        # A public answer may hold tokens and belongs to nobody: it is never kept.
        return self.api and self.request.method == "POST" and not self.policy.public

    def _answer(self, value: Any) -> Response:
        if isinstance(value, Response):
            return value
        reply = value if isinstance(value, Reply) else Reply(value, self.status)
        body = b""
        if self.adapter is not None and reply.status != NO_CONTENT:
            typed = self.adapter.validate_python(reply.value, from_attributes=True)
            body = self.adapter.dump_json(typed, by_alias=True)
        return Response(body, reply.status, reply.headers, media_type="application/json" if body else None)

    def _answer_once(self, keys: IdempotencyCRUD, key: str, endpoint: Callable[[], Any]) -> Response:
        owner = f"token:{self.me.token_id}" if self.me.token_id else f"user:{self.me.user_id}"
        body: bytes = getattr(self.request, "_body", b"")
        url = self.request.url
        sent = hashlib.sha256(f"{url.path}?{url.query}\n".encode() + body).hexdigest()
        stored = keys.claim(owner, key, sent)
        if stored is None:
            response = self._answer(endpoint())
            keys.remember(owner, key, Stored(response.status_code, bytes(response.body).decode()))
            return response
        headers = {"Idempotency-Replayed": "true"}
        return Response(stored.response, stored.status, headers, media_type="application/json")

    def _touch(self) -> None:
        """Notes that the session or token was used.

        A full disk must not turn a read into an error.
        """
        state = self.request.state
        session_id, token_id = (
            getattr(state, "touch_session", None),
            getattr(state, "touch_token", None),
        )
        if not (session_id or token_id):
            return
        try:
            with self.database.transaction() as session:
                if session_id:
                    SessionCRUD(session).touch(session_id)
                if token_id:
                    ApiTokenCRUD(session).touch(token_id)
        except (SQLAlchemyError, AppError) as error:
            log.warning("touch_failed", error=type(error).__name__)


def route_name(request: Request) -> str:
    """Of the code, not of the address: ids and what was typed stay out of the log."""
    return str(getattr(request.scope.get("route"), "name", ""))


# Addresses outside /api that are for programs as well.
MACHINES = frozenset({"/api", "/auth", "/openapi.json", "/metrics", "/health", "/health/ready"})


def is_api(path: str) -> bool:
    """JSON routes: bearer only, errors as JSON, no cookies."""
    return path.startswith(("/api/", "/auth/")) or path in MACHINES
