"""Which function performs which method."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from aiogram.methods import TelegramMethod

from backend.sandbox.hub import Call

Handler: TypeAlias = Callable[[Call[Any]], object | Awaitable[object]]
H = TypeVar("H", bound=Callable[..., object])

HANDLERS: dict[str, Handler] = {}


def performs(*methods: type[TelegramMethod[Any]]) -> Callable[[H], H]:
    def register(handler: H) -> H:
        for method in methods:
            HANDLERS[method.__api_method__.lower()] = handler
        return handler

    return register
