"""Requests to /api: patience, retries and errors with words. What is asked is in `client`."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from backend.core.i18n import _

TokenSource = Callable[[], str]
"""Gives the API token; asked again when the server does not accept the one it gave."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
CHUNK = 64 * 1024
NOT_SIGNED_IN = "not_authenticated"
TOKEN_PAUSE = 2.0
PASSING_STATUSES = frozenset({408, 425, 429})


class ApiError(Exception):
    """The school's server did not do what was asked; `message` is for the student."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ApiRefusedError(ApiError):
    """The request was understood and refused; asking again changes nothing."""

    def __init__(self, status: int, code: str, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.status = status
        self.fields = dict(fields or {})

    @property
    def told(self) -> str:
        """What is wrong with a field says more than "Check the marked fields"."""
        return next(iter(self.fields.values()), self.message)


class ApiUnavailableError(ApiError):
    """No answer, or none that means anything: the same request may work later."""

    def __init__(self, cause: str, pause: float | None = None) -> None:
        super().__init__("unavailable", _("The school is not answering. Try again in a minute."))
        self.cause = cause
        self.pause = pause  # seconds, when the server named them


@dataclass(frozen=True)
class Patience:
    """How long a request is repeated before it counts as failed; None is for ever."""

    seconds: float | None
    try_seconds: float = 10.0


SCREEN = Patience(6.0)
ENDLESS = Patience(None)


@dataclass(frozen=True)
class Ask:
    """One request. Every request of the bot may be repeated: POSTs carry an Idempotency-Key."""

    method: str
    path: str
    params: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Http:
    """One connection to /api. `transport` None is the network, else the application itself.

    `host` is the name that the school is asked for, when `base_url` has another one.
    """

    base_url: str
    token: TokenSource
    transport: httpx2.AsyncBaseTransport | None = None
    host: str = ""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _secret: str = field(default="", repr=False)
    _client: httpx2.AsyncClient | None = field(default=None, repr=False)

    async def send(self, ask: Ask, patience: Patience = SCREEN) -> httpx2.Response:
        """Raises ApiRefusedError at once, ApiUnavailableError when patience has ended."""
        loop = asyncio.get_running_loop()
        end = None if patience.seconds is None else loop.time() + patience.seconds
        pause = FIRST_PAUSE
        while True:
            left = patience.try_seconds if end is None else min(patience.try_seconds, end - loop.time())
            try:
                return await self._once(ask, left)
            except ApiUnavailableError as error:
                wait = error.pause or pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
                if end is not None and loop.time() + wait >= end:
                    raise
            await self.sleep(wait)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _once(self, ask: Ask, seconds: float) -> httpx2.Response:
        request = await self._request(ask)
        try:
            async with asyncio.timeout(seconds):
                # A task of its own: an application in this process sets context variables.
                response = await asyncio.create_task(self._opened().send(request))
        except TimeoutError:
            raise ApiUnavailableError("timeout") from None
        except httpx2.HTTPError as error:
            raise ApiUnavailableError(type(error).__name__) from error
        self._check(response)
        return response

    async def stream(self, ask: Ask) -> AsyncIterator[bytes]:
        """The body of a GET in chunks. Raises like `send`, but tries once."""
        request = await self._request(ask)
        try:
            response = await self._opened().send(request, stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                self._check(response)
                async for chunk in response.aiter_bytes(CHUNK):
                    yield chunk
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            raise ApiUnavailableError(type(error).__name__) from error

    async def _request(self, ask: Ask) -> httpx2.Request:
        headers = {**ask.headers, "Authorization": f"Bearer {await self._authorize()}"}
        return self._opened().build_request(ask.method, ask.path, params=ask.params, json=ask.body, headers=headers)

    def _check(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        error = _error_of(response)
        if isinstance(error, ApiUnavailableError) and error.cause == NOT_SIGNED_IN:
            self._secret = ""
        raise error

    async def _authorize(self) -> str:
        if not self._secret:
            try:
                self._secret = await asyncio.to_thread(self.token)
            except Exception as error:
                raise ApiUnavailableError("no_token") from error
        return self._secret

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                base_url=self.base_url,
                headers={"Host": self.host} if self.host else None,
                transport=self.transport,
                timeout=None,
                trust_env=False,
            )
        return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _error_of(response: httpx2.Response) -> ApiError:
    pause = _seconds(response.headers.get("retry-after"))
    status = response.status_code
    if status >= httpx2.codes.INTERNAL_SERVER_ERROR or status in PASSING_STATUSES:
        return ApiUnavailableError(f"status_{status}", pause)
    told = _told(response)
    code = str(told.get("code", "unknown"))
    if code in (NOT_SIGNED_IN, "forbidden"):  # the token's fault, not the student's
        return ApiUnavailableError(code, TOKEN_PAUSE)
    if code == "idempotency_running":
        return ApiUnavailableError(code, pause)
    message = str(told.get("message") or _("The school could not do this."))
    fields = told.get("fields")
    return ApiRefusedError(status, code, message, fields if isinstance(fields, dict) else None)


def _told(response: httpx2.Response) -> dict[str, Any]:
    """The `error` object of the API contract; empty when a proxy in between answered."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None
