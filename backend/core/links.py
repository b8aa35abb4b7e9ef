"""Addresses of routes by name, from a table made once: Starlette's look-up walks all routes."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

NOT_FILTERS = frozenset({"sort", "limit", "cursor", "cols", "density", "view"})


class Links:
    """Route names of one app. The first route of a name wins."""

    def __init__(self, app: FastAPI) -> None:
        self._formats: dict[str, tuple[str, frozenset[str]]] = {}
        for route in iter_route_contexts(app.router.routes):
            if route.name and route.path_format:
                names = frozenset(getattr(route, "param_convertors", {}))
                self._formats.setdefault(route.name, (route.path_format, names))

    def has(self, name: str) -> bool:
        return name in self._formats

    def url(self, name: str, /, **params: Any) -> str:
        """The path of a route; parameters that it does not name become the query, None is left out.

        Raises LookupError for an unknown name and KeyError for a missing path parameter.
        """
        try:
            template, in_path = self._formats[name]
        except KeyError:
            raise LookupError(f"there is no route named {name!r}") from None
        path = template.format(**{key: _segment(params[key]) for key in in_path}) if in_path else template
        if len(params) == len(in_path):
            return path
        rest = {key: value for key, value in params.items() if key not in in_path and value is not None}
        return f"{path}?{encode(rest.items())}" if rest else path


def _segment(value: Any) -> str:
    return str(value) if type(value) is int else quote(str(value), safe="")


def encode(pairs: Iterable[tuple[str, Any]]) -> str:
    return urlencode([(key, _plain(value)) for key, value in pairs], doseq=True, quote_via=quote)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [_plain(item) for item in value] if isinstance(value, list | tuple | set) else value


_last: ContextVar[tuple[BaseModel, dict[str, Any]] | None] = ContextVar("last_dumped", default=None)


def _dumped(params: BaseModel) -> dict[str, Any]:
    """What is set of a page's parameters; a list asks it twenty times for the same ones."""
    last = _last.get()
    if last is None or last[0] is not params:
        last = params, params.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        _last.set(last)
    return dict(last[1])


def url_with(params: BaseModel, _url: str = "", /, **changes: Any) -> str:
    """The same list with some parameters changed: `url_with(params, list_url, status="active")`.

    Empty and default values are left out; any change but the cursor's starts from the first page.
    """
    values = _dumped(params)
    if not changes.keys() <= {"cursor"}:
        values.pop("cursor", None)
    for name, value in changes.items():
        field = type(params).model_fields.get(name)
        if value in (None, "", []) or (field is not None and value == field.default):
            values.pop(name, None)
        else:
            values[name] = value
    return f"{_url}?{encode(values.items())}" if values else _url or "?"


def set_filters(params: BaseModel) -> dict[str, Any]:
    """The search text and the filters that are on, by name."""
    values = _dumped(params)
    return {name: _plain(value) for name, value in values.items() if name not in NOT_FILTERS}


def local_path(target: str | None, default: str = "/dashboard/") -> str:
    """`next=` from outside, if it stays on this site: one slash and nothing like a host behind."""
    kept = target or ""
    local = kept.startswith("/") and not kept.startswith("//") and "\\" not in kept
    return kept if local and kept.isprintable() else default
