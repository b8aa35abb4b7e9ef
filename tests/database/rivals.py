"""A race that always ends the same way: someone else is there first."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event


@contextmanager
def overtaken(engine: Engine, statement: str, rival: Callable[[Connection], None]) -> Iterator[list[str]]:
    """Right before the first statement that begins like this `rival` has its turn; gives those that were tried."""
    tried: list[str] = []
    at_work = False

    def note(connection: Connection, _cursor: object, said: str, *_rest: object) -> None:
        nonlocal at_work
        if at_work or not said.startswith(statement):
            return
        tried.append(said)
        if len(tried) == 1:
            at_work = True
            rival(connection)
            at_work = False

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield tried
    finally:
        event.remove(engine, "before_cursor_execute", note)
