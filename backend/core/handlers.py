"""One error, three audiences: JSON for the API, a toast for an HTMX swap, a page or the sign-in for
a browser.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from backend.core.context import request_id_var
from backend.core.errors import (
    AppError,
    ConfirmationRequiredError,
    ConflictError,
    FactorMissingError,
    ForbiddenError,
    InvalidError,
    NotAuthenticatedError,
    NotFoundError,
    StrongProofRequiredError,
    TooLargeError,
    TooManyRequestsError,
    UnavailableError,
    UnsupportedMediaError,
)
from backend.core.i18n import N_, current_language
from backend.core.permissions import Permission
from backend.core.proof import ask_first
from backend.core.templating import go_to, principal, render
from backend.core.units import is_api
from backend.core.validation import explain

log = structlog.get_logger()
METHOD_NOT_ALLOWED, SERVER_ERROR = 405, 500
SET_UP = "/dashboard/settings/security/"  # where a person gets the second factor that their role needs

BY_STATUS: dict[int, type[AppError]] = {
    400: AppError,
    401: NotAuthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    415: UnsupportedMediaError,
    422: InvalidError,
    429: TooManyRequestsError,
    503: UnavailableError,
}


class MethodNotAllowedError(AppError):
    status = 405
    code = "method_not_allowed"
    default = N_("This address does not accept this kind of request.")


class InternalError(AppError):
    status = 500
    code = "internal"
    default = N_("Something went wrong on our side. The administrator can find it by the request ID.")


def _of_http(error: HTTPException) -> AppError:
    if error.status_code == METHOD_NOT_ALLOWED:
        return MethodNotAllowedError(headers=error.headers)
    return BY_STATUS.get(error.status_code, AppError)()


# The first that fits. What the database cannot do now (away, full, locked, slow) stored nothing:
# trying again is right.
MEANINGS: tuple[tuple[type[Exception], Callable[[Any], AppError]], ...] = (
    (AppError, lambda error: error),
    (RequestValidationError, lambda error: InvalidError(fields=explain(error.errors()))),
    (HTTPException, _of_http),
    (StaleDataError, lambda _error: ConflictError(code="stale")),
    (IntegrityError, lambda _error: ConflictError()),
    (DataError, lambda _error: InvalidError()),
    (OverflowError, lambda _error: InvalidError()),
    (UnicodeEncodeError, lambda _error: InvalidError()),
    (OperationalError, lambda _error: UnavailableError()),
    (PoolTimeoutError, lambda _error: UnavailableError()),
)


def as_app_error(error: Exception) -> AppError:
    """What a person is told about any exception."""
    for kind, mean in MEANINGS:
        if isinstance(error, kind):
            return mean(error)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return UnavailableError() if lost else InternalError()


def respond(request: Request, error: Exception) -> Response:
    """The answer to a failed request, for whoever asked."""
    me = getattr(request.state, "me", None)
    if me is not None and me.signed_in:
        current_language.set(me.language)
    told = as_app_error(error)
    if told.status >= SERVER_ERROR:
        log.error("request_failed", exc_info=error)
    response = _for_audience(request, told)
    response.headers.update(told.headers)
    return response


def _for_audience(request: Request, error: AppError) -> Response:
    if is_api(request.scope["path"]):
        return JSONResponse({"error": describe(error)}, error.status)
    htmx = request.headers.get("HX-Request") == "true"
    if isinstance(error, NotAuthenticatedError):
        return _to_sign_in(request, htmx=htmx)
    if isinstance(error, ConfirmationRequiredError):
        return ask_first(request, strong=isinstance(error, StrongProofRequiredError))
    if isinstance(error, FactorMissingError):
        return go_to(request, SET_UP)
    if htmx:
        response = render(
            request,
            "errors/_toast.html",
            error.status,
            error=error,
            request_id=request_id_var.get(),
        )
        response.headers["HX-Retarget"] = "#toasts"
        response.headers["HX-Reswap"] = "beforeend"
        return response
    inside = error.status < SERVER_ERROR and principal(request).may(Permission.DASHBOARD_READ)
    if inside and not hasattr(request.state, "views"):
        request.state.views = []  # the sidebar without the person's own: nothing may wait for the database here
    number = request_id_var.get()
    return render(request, "errors/page.html", error.status, error=error, inside=inside, request_id=number)


def describe(error: AppError) -> dict[str, Any]:
    """The `error` object of the API contract."""
    told: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "request_id": request_id_var.get(),
    }
    if error.fields:
        told["fields"] = error.fields
    return told


def _to_sign_in(request: Request, *, htmx: bool) -> Response:
    # A swap that failed is not a place to come back to; the page that it stands on is.
    back = request.headers.get("HX-Current-URL", "") if htmx else str(request.url.path)
    path = "/" + back.split("://", 1)[-1].partition("/")[2] if htmx else back
    if not htmx and request.method == "GET" and request.url.query:
        path = f"{path}?{request.url.query}"
    login = f"/login?next={quote(path)}" if request.method == "GET" or htmx else "/login"
    if htmx:
        return Response(status_code=401, headers={"HX-Redirect": login})
    return RedirectResponse(login, 303)


async def _on_error(request: Request, error: Exception) -> Response:
    return respond(request, error)


def install(app: FastAPI) -> None:
    kinds: tuple[Any, ...] = (
        AppError,
        RequestValidationError,
        HTTPException,
        StaleDataError,
        SQLAlchemyError,
    )
    for kind in (*kinds, OverflowError, UnicodeEncodeError):
        app.add_exception_handler(kind, _on_error)
