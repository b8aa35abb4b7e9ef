"""Answers a route that asks for little without FastAPI's general way, which costs more than the look-up behind it.

FastAPI finds out with every request what each dependency is, may have to close it, and collects its parameters into a
response of its own. Nearly all routes that read need none of that: their dependencies look at the request alone, and
their parameters stand in the address. For those the same steps are known beforehand. Whatever is more is left to it.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def handler(needed: Dependant) -> Handler | None:
    """What answers a route with these needs; None when they are FastAPI's to meet.

    The route's own function is called in a thread and returns a finished response.
    """
    call = needed.call
    if call is None or _is_async(call) or _asks_for_more(needed) or not all(map(_is_simple, needed.dependencies)):
        return None
    steps: list[tuple[str | None, Callable[..., Any], str | None]] = [
        (one.name, one.call, one.request_param_name) for one in needed.dependencies if one.call is not None
    ]
    for_request = needed.request_param_name

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {for_request: request} if for_request else {}
        for name, build, parameter in steps:
            built = await (build(**{parameter: request}) if parameter else build())
            if name is not None:
                values[name] = built
        problems: list[Any] = []
        for fields, sent in ((needed.path_params, request.path_params), (needed.query_params, request.query_params)):
            if fields:
                found, wrong = request_params_to_args(fields, sent)
                values |= found
                problems += wrong
        if problems:
            raise RequestValidationError(problems)
        answer: Response = await run_in_threadpool(call, **values)
        return answer

    return handle


def _is_async(call: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(call)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner)


def _asks_for_more(one: Dependant) -> bool:
    """Than the request, parts of the path and single parameters of the query."""
    return bool(
        one.header_params
        or one.cookie_params
        or one.body_params
        or one.websocket_param_name
        or one.http_connection_param_name
        or one.response_param_name
        or one.background_tasks_param_name
        or one.security_scopes_param_name
    )


def _is_simple(one: Dependant) -> bool:
    """An `async def` that is given the request or nothing, and closes nothing."""
    parameters = one.path_params or one.query_params or one.dependencies or _asks_for_more(one)
    return inspect.iscoroutinefunction(one.call) and not parameters and one.concurrency is None
