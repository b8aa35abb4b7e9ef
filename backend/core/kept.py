"""`{% kept KEY %}...{% endkept %}`: a part of a page that is drawn once for all requests with the same key.

The key names everything that the part depends on, but for the language, the time zone, the routes and the CSRF token,
which are seen to here: in a kept part a token is a placeholder, which `with_token` fills in for each reader. A key of
`none` keeps nothing.
"""

import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from markupsafe import Markup

from backend.core.i18n import current_language
from backend.core.text import current_timezone

MOST = 2_000_000  # characters, of the parts and of the texts in their keys
# Never leaves the process, so that no text from outside can hold it.
TOKEN = f"csrf{secrets.token_hex(16)}"
around: ContextVar[object] = ContextVar("kept_around")  # whatever else decides about addresses: the app's routes
_parts: dict[tuple[object, ...], Markup] = {}
_size = 0


class Kept(Extension):
    tags = {"kept"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        place = nodes.Const(f"{parser.name}:{line}")
        key = parser.parse_tuple()
        body = parser.parse_statements(("name:endkept",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_drawn", [place, key]), [], [], body).set_lineno(line)

    @staticmethod
    def _drawn(place: str, key: object, caller: Callable[[], Any]) -> Markup:
        if key is None:
            return Markup(caller())  # noqa: S704 - what a template has drawn
        whole = (place, key, current_language.get(), current_timezone.get(), around.get())
        found = _parts.get(whole)
        return found if found is not None else _keep(whole, caller())


def _keep(key: tuple[object, ...], part: Any) -> Markup:
    global _size  # noqa: PLW0603 - the size of the one store
    size = len(part) + _characters(key)
    if _size + size > MOST:
        _parts.clear()
        _size = 0
    _size += size
    _parts[key] = made = Markup(part)  # noqa: S704 - what a template has drawn
    return made


def _characters(key: tuple[object, ...]) -> int:
    found = 0
    for one in key:
        if isinstance(one, str):
            found += len(one)
        elif isinstance(one, tuple):
            found += _characters(one)
    return found


def with_token(page: str, token: str) -> bytes:
    """The page as its reader gets it. Bytes are looked through several times as fast as Cyrillic text is."""
    return page.encode().replace(TOKEN.encode(), token.encode())
