"""Statements are put together once for the whole suite, not anew for the engine of each test: a quarter of its time.

SQLAlchemy keeps what it has put together by engine and by the dialect object that each engine makes for itself. All of
ours are made with the same options, so dialects of one class are one here.
"""

from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache


def share() -> None:
    known: LRUCache[object, object] = LRUCache(10_000)
    Engine._compiled_cache = property(lambda _engine: known, lambda _engine, _own: None)
    DefaultDialect.__hash__ = lambda self: hash(type(self))
    DefaultDialect.__eq__ = lambda self, other: type(self) is type(other)
