"""A changed function put in the place of the running one, without importing anything anew."""

import functools
import gc
from collections.abc import Iterable, Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

Pair = tuple[CodeType, CodeType]
CACHED = type(functools.cache(len))


class AtImportError(Exception):
    """The change is in what runs when the module is imported."""


def compiled(path: Path, text: bytes) -> CodeType:
    """As the import system does it."""
    code = compile(text, str(path), "exec", dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def pairs(old: CodeType, new: CodeType) -> Iterator[Pair]:
    """The functions that a change makes other ones, with what they become. Raises AtImportError."""
    inner_old, inner_new = _inner(old), _inner(new)
    if old.co_flags & CO_OPTIMIZED:
        if old.co_freevars != new.co_freevars:
            raise AtImportError
        if old != new:
            yield old, new
    elif _bare(old) != _bare(new):
        raise AtImportError
    if len(inner_old) == len(inner_new):
        for before, after in zip(inner_old, inner_new, strict=True):
            yield from pairs(before, after)


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _bare(code: CodeType) -> CodeType:
    """Without the functions in it, and without the places of the text: where a function ends is one of them."""
    constants = tuple(None if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_consts=constants, co_linetable=b"")


class Running:
    """The functions of some files that are there now, and what keeps their results."""

    def __init__(self, files: Iterable[Path]) -> None:
        names = {str(path) for path in files}
        self._functions: dict[CodeType, list[FunctionType]] = {}
        self._caches: list[Any] = []
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename in names:
                self._functions.setdefault(thing.__code__, []).append(thing)
            elif type(thing) is CACHED and _file_of(thing) in names:
                self._caches.append(thing)

    def forget(self) -> None:
        """Empties the caches, so that a function which runs once runs once more."""
        for cache in self._caches:
            cache.cache_clear()

    def swap(self, changes: Iterable[Pair]) -> int:
        """How many functions have another body now."""
        swapped = 0
        for old, new in changes:
            for function in self._functions.get(old, ()):
                function.__code__ = new
                swapped += 1
        self.forget()
        return swapped


def _file_of(cache: Any) -> str:
    code = getattr(cache.__wrapped__, "__code__", None)
    return code.co_filename if code else ""
