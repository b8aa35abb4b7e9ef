"""aiogram's models, built when they are first used.

aiogram builds all of its 440 models as it is imported: four seconds of a core, twice what the rest of a school takes to
start, and a school uses some forty of them. pydantic builds a model that was left alone when it is first needed; all it
lacks then are the names that aiogram's annotations are written with, which are kept here.
"""

import threading
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_build = BaseModel.__dict__["model_rebuild"].__func__
_names: dict[str, Any] = {}
_one_at_a_time = threading.RLock()  # building a model is not safe from two threads


def _model_rebuild(
    cls: type[BaseModel], /, *, _types_namespace: Mapping[str, Any] | None = None, **options: Any
) -> bool | None:
    """As pydantic's, which see; None when the model needs no building."""
    if not any(base.__module__.startswith("aiogram.") for base in cls.__mro__):
        return _build(cls, _types_namespace=_types_namespace, **_one_frame_deeper(options))  # type: ignore[no-any-return] # untyped
    if _types_namespace is not None:  # aiogram/types/__init__.py, at its end
        _names.update(_types_namespace)
        return None
    with _one_at_a_time:
        if cls.__pydantic_complete__:
            return None
        return _build(cls, _types_namespace=_names or None, **options)  # type: ignore[no-any-return] # untyped


def _one_frame_deeper(options: dict[str, Any]) -> dict[str, Any]:
    """pydantic looks for names where the caller stands; between the two of them we stand now."""
    return options | {"_parent_namespace_depth": options.get("_parent_namespace_depth", 2) + 1}


def install() -> None:
    """Before aiogram is imported for the first time; later it changes nothing, and does no harm."""
    BaseModel.model_rebuild = classmethod(_model_rebuild)  # type: ignore[assignment,method-assign] # the same signature
