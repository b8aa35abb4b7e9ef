"""One error, three audiences: JSON for the API, a toast for an HTMX swap, a page or the sign-in for a browser."""

from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from backend.core import errors
from backend.core.context import request_id_var
from backend.core.errors import AppError, NotAuthenticatedError
from backend.core.i18n import current_language
from backend.core.templating import render
from backend.core.units import is_api
from backend.core.validation import explain

log = structlog.get_logger()

BY_STATUS: dict[int, type[AppError]] = {
    400: AppError,
    401: errors.NotAuthenticatedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    413: errors.TooLargeError,
    415: errors.UnsupportedMediaError,
    422: errors.InvalidError,
    429: errors.TooManyRequestsError,
    503: errors.UnavailableError,
}


class MethodNotAllowedError(AppError):
    status = 405
    code = "method_not_allowed"
    default = errors.N_("This address does not take that kind of request.")


class InternalError(AppError):
    status = 500
    code = "internal"
    default = errors.N_("Something broke on our side. The administrator can find it by the request number.")


def as_app_error(error: Exception) -> AppError:
    """What a person is told about any exception."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return errors.InvalidError(fields=explain(error.errors()))
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            return MethodNotAllowedError(headers=error.headers)
        return BY_STATUS.get(error.status_code, AppError)()
    if isinstance(error, StaleDataError):
        return errors.ConflictError(code="stale")
    if isinstance(error, IntegrityError):
        return errors.ConflictError()
    if isinstance(error, DataError | OverflowError | UnicodeEncodeError):
        return errors.InvalidError()
    if isinstance(error, OperationalError | PoolTimeoutError) or getattr(error, "connection_invalidated", False):
        # The database is away, full, locked or slow: nothing was stored, and trying again is right.
        return errors.UnavailableError()
    return InternalError()


def respond(request: Request, error: Exception) -> Response:
    """The answer to a failed request, for whoever asked."""
    me = getattr(request.state, "me", None)
    if me is not None and me.signed_in:
        current_language.set(me.language)
    told = as_app_error(error)
    if told.status >= 500:
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
    if htmx:
        response = render(request, "errors/_toast.html", error.status, error=error, request_id=request_id_var.get())
        response.headers["HX-Retarget"] = "#toasts"
        response.headers["HX-Reswap"] = "beforeend"
        return response
    return render(request, "errors/page.html", error.status, error=error, request_id=request_id_var.get())


def describe(error: AppError) -> dict[str, Any]:
    """The `error` object of the API contract."""
    told: dict[str, Any] = {"code": error.code, "message": error.message, "request_id": request_id_var.get()}
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
    kinds: tuple[Any, ...] = (AppError, RequestValidationError, HTTPException, StaleDataError, SQLAlchemyError)
    for kind in (*kinds, OverflowError, UnicodeEncodeError):
        app.add_exception_handler(kind, _on_error)
